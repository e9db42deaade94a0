"""The loss of waveforms of fluctuating tracks: what it measures on a wire, and what it lets pass."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.events import Waveforms
from dptoolkit.inference.losses import MultiScale
from dptoolkit.inference.straggling_waveforms import Rectified, StragglingWaveforms, _measured

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
    return StragglingWaveforms.of({"Y": (np.ones(WIRES), np.ones(1))}, TICKS, **widths)


def measured(predicted: dict, observed: dict) -> tuple[np.ndarray, np.ndarray]:
    """(relative excess, delay [us]) of every wire."""
    alpha, tau = _measured(predicted["Y"].samples, observed["Y"].samples, PERIOD)
    return np.asarray(alpha)[0], np.asarray(tau)[0]


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


def test_a_wire_with_far_too_much_charge_costs_less_than_its_square() -> None:
    """A delta ray of five times the charge: Moyal's tail, not 0.5 (4 / 0.07)^2 = 1600."""
    judge = loss()
    costs = [float(judge(pulses(), pulses(extra=extra))) for extra in (0.0, 20.0, 80.0)]
    assert costs[0] < costs[1] < costs[2] < 60.0


def test_a_signal_that_only_one_of_the_two_has_costs_a_constant() -> None:
    """2 a wire at most, however large it is."""
    judge, nothing = loss(), pulses(0.0)
    for height in (50.0, 500.0):
        for pair in ((pulses(height), nothing), (nothing, pulses(height))):
            assert float(judge(*pair)) <= 2.001 * WIRES
    assert float(judge(nothing, pulses(500.0))) > 1.9 * WIRES


def test_noise_alone_is_no_signal() -> None:
    rng = np.random.default_rng(0)
    noise = pulses(0.0)
    noise["Y"] = dataclasses.replace(noise["Y"], samples=jnp.asarray(rng.normal(size=(1, WIRES, TICKS))))
    assert float(loss()(pulses(0.0), noise)) < 0.05


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


def test_its_gradient_is_the_finite_difference() -> None:
    """By the delay and the height of pulses of another width: between changes of the nearest tick."""
    data, part = pulses(200.0), pulses()["Y"]

    def of(tick: jax.Array, height: jax.Array) -> jax.Array:
        shape = jnp.exp(-0.5 * ((jnp.arange(TICKS) - tick) / 3.5) ** 2)
        samples = jnp.broadcast_to(height * shape, part.samples.shape)
        return loss()({"Y": dataclasses.replace(part, samples=samples)}, data)

    point, step = (jnp.asarray(31.2), jnp.asarray(230.0)), 1e-4
    slopes = jax.grad(of, (0, 1))(*point)
    for axis in range(2):
        ends = [of(*(x + side * step * (axis == k) for k, x in enumerate(point))) for side in (1, -1)]
        # the weight of a wire is held: of signals so large it hardly changes
        assert float(slopes[axis]) == pytest.approx(float(ends[0] - ends[1]) / (2 * step), rel=0.02)
    assert float(slopes[0]) > 0


def test_sizes_of_signals_that_integrate_to_zero_survive_averaging() -> None:
    """Blurred over 256 us a bipolar signal is gone, its size is not; what is below the noise stays out."""
    plain = MultiScale(256.0, 1)
    data, nothing = pulses(bipolar=True), pulses(0.0)
    assert float(Rectified(plain, least=4.0)(nothing, data)) > 20 * float(plain(nothing, data))
    assert float(Rectified(plain, least=100.0)(nothing, data)) == 0.0


def test_widths_must_be_positive() -> None:
    with pytest.raises(ValueError, match="relative"):
        loss(relative=0.0)
