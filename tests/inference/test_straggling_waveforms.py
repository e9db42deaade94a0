"""The loss of waveforms of fluctuating tracks: what it measures on a wire, and what it lets pass."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.events import Waveforms
from dptoolkit.inference.losses import MultiScale
from dptoolkit.inference.straggling_waveforms import (
    LAGS,
    Rectified,
    StragglingWaveforms,
    _measured,
    _neighbours,
    _with_ends,
)

WIRES, TICKS, PERIOD = 4, 64, 0.5


def pulses(height: float = 20.0, tick: float = 30.0, bipolar: bool = False, extra: float = 0.0) -> dict:
    """The same pulse of 3 ticks' width on every wire; on the last one of another height."""
    t = np.arange(TICKS) - tick
    shape = np.exp(-0.5 * (t / 3.0) ** 2) * (-t / 3.0 if bipolar else 1.0)
    heights = np.full(WIRES, height)
    heights[-1] += extra
    zero = jnp.zeros(1, jnp.int32)
    return {
        "Y": Waveforms(
            samples=jnp.asarray((heights[:, None] * shape)[None]),
            event=zero, group=zero, channel=zero, tick=zero, valid=jnp.ones(1, bool),
            n_channels=WIRES, tick_period=PERIOD, unit="ADC",
        )
    }  # fmt: skip


def loss(**widths: float) -> StragglingWaveforms:
    return StragglingWaveforms.of({"Y": (np.ones(WIRES), np.ones(1))}, **widths)


def measured(predicted: dict, observed: dict) -> tuple[np.ndarray, np.ndarray]:
    """(relative excess, delay [us]) of every wire."""
    u, d = (part["Y"].samples for part in (predicted, observed))
    match, tau = _measured(u, _with_ends(d, *_neighbours(predicted["Y"])), PERIOD)
    return np.asarray(match / jnp.linalg.norm(u, axis=2) - 1)[0], np.asarray(tau)[0]


@pytest.mark.parametrize("bipolar", [False, True])
@pytest.mark.parametrize("delay", [0.1, 3.3, -6.0])
def test_charge_and_delay_of_a_wire_are_measured(bipolar: bool, delay: float) -> None:
    """10 % more charge that comes late or early, by as much as four widths of the pulse."""
    predicted = pulses(bipolar=bipolar)
    alpha, tau = measured(predicted, pulses(22.0, 30.0 + delay / PERIOD, bipolar))
    assert alpha == pytest.approx(np.full(WIRES, 0.1), abs=0.02)
    assert tau == pytest.approx(np.full(WIRES, delay), abs=0.05)


def test_it_is_least_where_prediction_and_data_agree() -> None:
    judge, data = loss(), pulses()
    best = float(judge(pulses(), data))
    for other in (pulses(25.0), pulses(15.0), pulses(tick=31.5), pulses(tick=28.5)):
        assert float(judge(other, data)) > best


@pytest.mark.parametrize("height", [50.0, 500.0, 5000.0])
def test_what_the_track_cannot_explain_costs_the_same_wherever_it_is(height: float) -> None:
    """-ln p a wire: of a delta ray on a wire of the track, of a signal that only one of the two has."""
    judge, nothing, most = loss(), pulses(0.0), -np.log(loss().otherwise)
    for pair in ((pulses(height), nothing), (nothing, pulses(height))):
        cost = float(judge(*pair)) / WIRES
        assert cost < most + 1e-6 and (cost > 0.8 * most or height == 50.0)
    extra = float(judge(pulses(200.0), pulses(200.0, extra=200 * height))) - float(judge(pulses(), pulses()))
    assert 0.95 * most < extra < 1.05 * most


def test_noise_alone_is_no_signal() -> None:
    rng = np.random.default_rng(0)
    noise = pulses(0.0)
    noise["Y"] = dataclasses.replace(noise["Y"], samples=jnp.asarray(rng.normal(size=(1, WIRES, TICKS))))
    assert float(loss()(pulses(0.0), noise)) < 0.05


def test_a_signal_on_the_border_of_two_blocks_is_measured_once() -> None:
    """Late by two ticks and 10 % too large: what both blocks say, and say together, is that of one block."""
    t = np.arange(2 * TICKS)

    def halves(tick: float, height: float) -> dict:
        samples = height * np.exp(-0.5 * ((t - tick) / 3.0) ** 2) * np.ones((WIRES, 1))
        part = pulses()["Y"]
        return {"Y": dataclasses.replace(
            part, samples=jnp.asarray(np.stack([samples[:, TICKS:], samples[:, :TICKS]])),
            tick=jnp.asarray([TICKS, 0]), valid=jnp.ones(2, bool),
            **{name: jnp.zeros(2, jnp.int32) for name in ("event", "group", "channel")},
        )}  # fmt: skip

    judge = loss()
    predicted, observed = halves(64.0, 50.0), halves(66.0, 55.0)
    charge, time, share = judge._of_plane("Y", predicted["Y"], observed["Y"])
    assert np.asarray(share).sum(axis=0) == pytest.approx(np.ones(WIRES), abs=0.1)
    whole = judge._of_plane("Y", pulses(50.0)["Y"], pulses(55.0, tick=32.0)["Y"])
    for cut, one in zip((charge, time), whole[:2], strict=True):
        mean = (np.asarray(share) * np.asarray(cut)).sum(axis=0)
        assert mean == pytest.approx(np.asarray(one)[0], rel=0.25)


def test_neighbours_are_those_of_the_same_wires() -> None:
    part = pulses()["Y"]
    rows = np.array([[0, 0, 64], [0, 0, 0], [0, 4, 128], [1, 0, 128], [0, 0, 128], [0, 4, 0]])
    group, channel, tick = (jnp.asarray(rows[:, k], jnp.int32) for k in range(3))
    blocks = dataclasses.replace(
        part, samples=jnp.zeros((6, WIRES, TICKS)), event=jnp.zeros(6, jnp.int32), group=group,
        channel=channel, tick=tick, valid=jnp.asarray([True, True, True, True, False, True]),
    )  # fmt: skip
    before, after = (np.asarray(one).tolist() for one in _neighbours(blocks))
    assert before == [1, 6, 6, 6, 6, 6] and after == [6, 0, 6, 6, 6, 6]
    assert _with_ends(blocks.samples, *_neighbours(blocks)).shape == (6, WIRES, TICKS + 2 * LAGS + 2)


def test_residuals_of_pure_noise_have_no_more_than_its_variance() -> None:
    """At the truth the residual of a time is that of the noise and of the widths: below 1."""
    rng, found = np.random.default_rng(1), []
    for _ in range(100):
        data = pulses()
        samples = data["Y"].samples + jnp.asarray(rng.normal(size=data["Y"].samples.shape))
        data["Y"] = dataclasses.replace(data["Y"], samples=samples)
        charge, time, _ = loss(relative=1e-3, time_noise=1e-3)._of_plane("Y", pulses()["Y"], data["Y"])
        found.append(np.stack([np.asarray(charge), np.asarray(time)]))
    widths = np.std(found, axis=(0, 2, 3))
    # the weight of a wire that is surely seen is below 1; Moyal's residual has variance 1/2 near 0, per unit
    assert 0.6 < widths[1] < 1.05 and 0.4 < widths[0] < 1.05


@pytest.mark.parametrize("point", [(31.2, 230.0), (33.1, 90.0), (30.3, 8.0)])
def test_its_gradient_is_the_finite_difference_and_that_of_its_residuals(point: tuple) -> None:
    """By the delay and the height of pulses of another width, also of small ones: nothing is held."""
    data, part, judge = pulses(200.0), pulses()["Y"], loss(otherwise=1e-4)

    def predicted(place: jax.Array) -> dict:
        tick, height = place
        shape = jnp.exp(-0.5 * ((jnp.arange(TICKS) - tick) / 3.5) ** 2)
        return {"Y": dataclasses.replace(part, samples=jnp.broadcast_to(height * shape, part.samples.shape))}

    of = lambda place: judge(predicted(place), data)  # noqa: E731
    residuals = lambda place: judge.residuals(predicted(place), data)  # noqa: E731
    place, step = jnp.asarray(point), 1e-5
    slope = np.asarray(jax.grad(of)(place))
    ends = [[float(of(place + side * step * axis)) for side in (1, -1)] for axis in np.eye(2)]
    assert slope == pytest.approx([(a - b) / (2 * step) for a, b in ends], rel=1e-4, abs=1e-5)
    assert jax.jacfwd(residuals)(place).T @ residuals(place) == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_sizes_of_signals_that_integrate_to_zero_survive_averaging() -> None:
    """Blurred over 256 us a bipolar signal is gone, its size is not; what is below the noise stays out."""
    plain = MultiScale(256.0, 1)
    data, nothing = pulses(bipolar=True), pulses(0.0)
    assert float(Rectified(plain, least=4.0)(nothing, data)) > 20 * float(plain(nothing, data))
    assert float(Rectified(plain, least=100.0)(nothing, data)) == 0.0


def test_widths_must_be_positive() -> None:
    with pytest.raises(ValueError, match="relative"):
        loss(relative=0.0)
