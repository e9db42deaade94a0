"""The transport distance: a squared shift, however far."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.calibrate import Calibration, Toy
from dptoolkit.events import segments_from_arrays
from dptoolkit.inference.transport import Transport
from tests.inference.decay import Decay, hits

pytest.importorskip("ott")

LOSS = Transport(time=4.0, ticks=2, blur=0.5)


def pulse(charge: Any, shift: Any) -> dict:
    """A Gaussian of width 3 ticks around tick 24."""
    found = Decay()(jnp.asarray(1.0))["trace"]
    tick = found.tick[:, None, None] + jnp.arange(found.samples.shape[2])
    samples = charge * jnp.exp(-((tick - 24 - shift) ** 2) / 18) + jnp.zeros_like(found.samples)
    return {"trace": dataclasses.replace(found, samples=jnp.where(found.valid[:, None, None], samples, 0.0))}


@jax.jit
def value_and_slope(x: Any) -> Any:
    return jax.value_and_grad(lambda x: LOSS(pulse(x[0], x[1]), pulse(7.0, 0.0)))(x)


def test_it_is_least_at_the_truth_with_finite_gradients_everywhere():
    best, slope = value_and_slope(jnp.array([7.0, 0.0]))
    np.testing.assert_allclose(slope, 0, atol=1e-4)
    assert abs(best) < 1e-4
    for place in ([6.0, 0.0], [8.0, 0.0], [7.0, 4.0], [7.0, -4.0], [1.0, 12.0], [40.0, -12.0]):
        value, slope = value_and_slope(jnp.array(place))
        assert value > best + 1e-3 and np.isfinite(slope).all()


def test_a_shift_costs_its_square():
    """8 ticks of 1 us are 2 units of 4 us: cost 4; the slope is 2 x 2 / 4 per tick."""
    value, slope = value_and_slope(jnp.array([7.0, 8.0]))
    assert value == pytest.approx(4.0, rel=0.02) and slope[1] == pytest.approx(1.0, rel=0.03)


def test_padding_and_order_of_hits_change_nothing():
    rng = np.random.default_rng(0)
    mine, theirs = hits(rng), hits(rng)
    loss = Transport()
    turned = jnp.concatenate([jnp.arange(6)[::-1], jnp.zeros(2, int)])

    def padded(part: Any) -> Any:
        grown = jax.tree.map(lambda x: x[turned], part)
        return dataclasses.replace(grown, valid=grown.valid & (jnp.arange(8) < 6))

    whole = loss({"pads": mine}, {"pads": theirs})
    assert whole > 0
    assert loss({"pads": padded(mine)}, {"pads": padded(theirs)}) == pytest.approx(float(whole), rel=1e-4)


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="blur = 0"):
        Transport(blur=0.0)


def test_waveforms_of_wires_are_nearest_at_the_true_field(small_wire):
    ends = np.linspace([-10.0, -15, -20], [15.0, 12, 18], 61)
    segments = segments_from_arrays(ends[:-1], ends[1:], np.full(60, 1.7))
    truth = Toy(small_wire, {"detector.field.strength": 0.5}).observe(segments, 0)
    distance = {}
    for field in (0.45, 0.5, 0.55):
        model = Calibration(small_wire, ["field.strength"], start={"detector.field.strength": field})
        problem = model.problem([segments], [truth]).with_loss(Transport())
        distance[field] = problem.value(problem.start)
    assert distance[0.5] < 0.01 * min(distance[0.45], distance[0.55])


def test_charge_of_one_event_is_never_carried_to_another():
    """Of two events one has gained charge: only the total tells, whatever lies between the events."""
    before = hits(np.random.default_rng(0))
    event = jnp.arange(len(before.event)) % 2
    before = dataclasses.replace(before, event=event)
    grown = dataclasses.replace(before, charge=before.charge * jnp.where(event == 0, 1.5, 1.0)[:, None])
    near = Transport(charge_weight=1e-9)({"pads": grown}, {"pads": before})
    assert abs(near) < 1e-2
