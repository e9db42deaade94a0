"""The self-triggering pixel: exact crossings without noise, first passages with it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.charge.larpix import RESET_TICKS, LArPix
from dptoolkit.charge.pixel_hits import Before
from dptoolkit.params import infos, replace

TICK = 0.1


def quiet(**static):
    return LArPix(reset_noise=0.0, uncorrelated_noise=0.0, **static)


def ramp(total, start, length, n_ticks=512):
    """Charge that rises by `total` over `length` ticks from tick `start` on."""
    return jnp.asarray(total * np.clip((np.arange(n_ticks) - start) / length, 0, 1))[None]


def run(model, charge, time0=0.0, key=None):
    return _run(model, charge, jnp.full(charge.shape[0], time0), key)


@eqx.filter_jit
def _run(model, charge, time0, key):
    return model(charge, time0, key)


def bump(n_ticks=256):
    """Two smooth pulses, 30 ke and 9 ke."""
    ticks = np.arange(n_ticks)
    first, second = np.tanh((ticks - 60) / 9), np.tanh((ticks - 160) / 7)
    return jnp.asarray(15e3 * (1 + first) + 4.5e3 * (1 + second))[None]


def test_crossing_of_a_ramp_is_exact():
    hits = run(quiet(), ramp(20e3, 100, 40), time0=7.0)
    rate = 20e3 / 40 / TICK  # electrons / us
    np.testing.assert_allclose(hits.time[0, 0], 7.0 + 10.0 + 5000 / rate, rtol=1e-12)
    np.testing.assert_allclose(hits.charge[0, 0], 5000 + 1.8 * rate, rtol=1e-12)
    np.testing.assert_allclose(hits.window_start[0, 0], 7.0)
    np.testing.assert_allclose(hits.window_end[0, 0], hits.time[0, 0] + 1.8)
    assert hits.probability[0, 0] == 1


def test_second_hit_starts_one_tick_after_the_hold_of_the_first():
    hits = run(quiet(), ramp(60e3, 100, 100))
    rate = 6e3  # electrons / us
    cycle = 5000 / rate + 1.8 + RESET_TICKS * TICK
    np.testing.assert_allclose(hits.time[0, :3], 10 + 5000 / rate + cycle * np.arange(3), rtol=1e-12)
    np.testing.assert_allclose(hits.window_start[0, 1:3], hits.window_end[0, :2] + RESET_TICKS * TICK)
    np.testing.assert_allclose(hits.charge[0, :3], 5000 + 1.8 * rate, rtol=1e-12)


def test_without_noise_there_is_no_hit_below_threshold_and_one_above():
    below, above = run(quiet(), ramp(4999.0, 50, 10)), run(quiet(), ramp(5001.0, 50, 10))
    assert not jnp.any(below.probability) and not jnp.any(below.charge) and not jnp.any(below.time)
    np.testing.assert_array_equal(above.probability[0, :2], [1, 0])


def test_without_noise_the_charge_of_all_hits_is_the_total_less_what_falls_in_resets():
    charge = bump()
    hits = run(quiet(), charge)
    assert jnp.sum(hits.charge) <= charge[0, -1]
    ticks = np.arange(charge.shape[1])
    at = lambda t: np.interp(np.asarray(t) / TICK, ticks, charge[0])  # noqa: E731
    n = int(jnp.sum(hits.probability))
    expected = at(hits.window_end[0, :n]) - at(hits.window_start[0, :n])
    np.testing.assert_allclose(hits.charge[0, :n] - expected, 0, atol=1e-6 * float(charge[0, -1]))


@pytest.mark.parametrize("model", [quiet(max_hits=3), LArPix(max_hits=3)], ids=["quiet", "noise"])
def test_time0_moves_every_time_and_nothing_else(model):
    here, later = run(model, bump()), run(model, bump(), time0=50.0)
    for name in ("time", "window_start", "window_end"):
        moved = getattr(later, name) - getattr(here, name)
        np.testing.assert_allclose(moved, 50.0 * (here.probability > 0), atol=1e-9)
    np.testing.assert_allclose(later.charge, here.charge)


def test_a_longer_flat_end_changes_nothing_without_noise():
    charge = bump()
    padded = jnp.pad(charge, [(0, 0), (0, 100)], mode="edge")
    for a, b in zip(
        jax.tree.leaves(run(quiet(), charge)), jax.tree.leaves(run(quiet(), padded)), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_a_longer_flat_end_adds_only_false_triggers_with_noise():
    charge = ramp(20e3, 100, 20)
    padded = jnp.pad(charge, [(0, 0), (0, 100)], mode="edge")
    a, b = run(LArPix(), charge), run(LArPix(), padded)
    np.testing.assert_allclose(a.probability[0, 0], b.probability[0, 0], atol=1e-6)
    np.testing.assert_allclose(a.time[0, 0], b.time[0, 0], atol=3e-3)
    np.testing.assert_allclose(a.charge[0, 0], b.charge[0, 0], rtol=1e-3)


def test_without_hold_the_charge_is_the_threshold():
    model = quiet()
    hits = run(eqx.tree_at(lambda m: m.hold, model, jnp.asarray(0.0)), ramp(20e3, 100, 40))
    np.testing.assert_allclose(hits.charge[0, 0], 5000, rtol=1e-12)


def test_adc_saturates_and_inverts():
    model = quiet()
    np.testing.assert_allclose(model.from_adc(model.to_adc(jnp.asarray(12345.0))), 12345.0)
    hits = run(model, ramp(5e5, 100, 10), key=jax.random.key(0))
    assert hits.adc[0, 0] == 255
    top = float(model.from_adc(255))
    np.testing.assert_allclose(hits.charge[0, 0], top)
    np.testing.assert_allclose(run(model, ramp(5e5, 100, 10)).charge[0, 0], top)


def test_sample_without_noise_is_the_expectation_rounded_to_a_count():
    expected, sample = run(quiet(), bump()), run(quiet(), bump(), key=jax.random.key(0))
    np.testing.assert_allclose(sample.time, expected.time)
    assert jnp.all(sample.adc == jnp.round(sample.adc))
    np.testing.assert_allclose(sample.adc, expected.adc, atol=0.5)


def test_hits_beyond_the_last_column_are_reported():
    charge = ramp(60e3, 100, 100)
    np.testing.assert_allclose(run(quiet(max_hits=2), charge).overflow, 1)
    np.testing.assert_allclose(run(quiet(max_hits=8), charge).overflow, 0)
    np.testing.assert_allclose(run(quiet(max_hits=8), ramp(4e3, 100, 100)).overflow, 0)


def test_rounding_passes_gradients_straight_through():
    def total(scale):
        return jnp.sum(run(LArPix(), scale * ramp(20e3, 100, 5), key=jax.random.key(1)).charge)

    np.testing.assert_allclose(jax.grad(total)(1.0), 20e3, rtol=0.1)


def test_crossing_moves_by_minus_dq_over_current():
    charge = bump()
    change = jnp.asarray(np.sin(np.arange(charge.shape[1]) / 20))[None]
    model = quiet(max_hits=1)
    hits, moved = jax.jvp(lambda q: run(model, q), (charge,), (change,))
    ticks = np.arange(charge.shape[1])
    position = float(hits.time[0, 0]) / TICK
    at = lambda x, t: np.interp(t, ticks, x[0])  # noqa: E731
    current = lambda t: float(charge[0, int(t) + 1] - charge[0, int(t)])  # noqa: E731 (electrons / tick)
    moved_position = -at(change, position) / current(position)
    np.testing.assert_allclose(moved.time[0, 0], moved_position * TICK, rtol=1e-9)
    end = position + 18
    np.testing.assert_allclose(moved.charge[0, 0], at(change, end) + current(end) * moved_position, rtol=1e-9)


def summary(hits):
    return jnp.sum(hits.probability * (hits.charge / 5e3 + hits.time / 10 + hits.adc / 50))


@eqx.filter_jit
def gradients(model, charge, key=None):
    return eqx.filter_grad(lambda a: summary(a[0](a[1], jnp.zeros(len(a[1])), key)))((model, charge))


MODELS = {"quiet": quiet(max_hits=3), "noise": LArPix(max_hits=3)}


@pytest.mark.parametrize("name", MODELS)
def test_gradient_is_the_finite_difference_for_every_parameter(name):
    model = MODELS[name]
    by_parameter = gradients(model, bump())[0]
    for path, info in infos(model).items():
        if info.value == 0:  # noise that is switched off: no derivative is defined there
            continue
        step = 1e-5 * info.value
        up, down = (
            summary(run(replace(model, {path: info.value + change}), bump())) for change in (step, -step)
        )
        expected = (up - down) / (2 * step)
        np.testing.assert_allclose(getattr(by_parameter, path), expected, rtol=2e-4, atol=1e-9, err_msg=path)


@pytest.mark.parametrize("name", MODELS)
def test_gradient_to_the_waveform_is_the_finite_difference(name):
    model = MODELS[name]
    change = jnp.asarray(np.random.default_rng(0).normal(size=256).cumsum())[None]
    h = 1e-4
    up, down = (summary(run(model, bump() + step * change)) for step in (h, -h))
    expected = (up - down) / (2 * h)
    np.testing.assert_allclose(jnp.sum(gradients(model, bump())[1] * change), expected, rtol=2e-3)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", [None, 0])
def test_gradients_are_finite_everywhere(name, seed):
    key = None if seed is None else jax.random.key(seed)
    charge = jnp.concatenate([jnp.zeros((1, 64)), ramp(1e6, 5, 0.5, 64), -ramp(1e4, 5, 3, 64)])
    assert all(bool(jnp.all(jnp.isfinite(g))) for g in jax.tree.leaves(gradients(MODELS[name], charge, key)))


FIRST = {
    "clear": ramp(20e3, 100.3, 20),
    "fast": ramp(20e3, 100.3, 3),
    "4000 e": ramp(4000.0, 100.3, 10),
    "4500 e": ramp(4500.0, 100.3, 10),
    "5000 e": ramp(5000.0, 100.3, 10),
    "6000 e": ramp(6000.0, 100.3, 10),
    "slow": ramp(6e3, 100.3, 300),
    "bipolar": ramp(9e3, 100.3, 20) - ramp(9e3, 125.3, 20),
}
LATER = {"60 ke in 10 us": ramp(60e3, 100.3, 100), "60 ke in 30 us": ramp(60e3, 100.3, 300)}


TWO_PULSES = {
    "3 ke, 20 ke": (3e3, 20e3, 150),
    "4 ke, 20 ke": (4e3, 20e3, 150),
    "4.5 ke, 6 ke": (4.5e3, 6e3, 80),
    "5 ke, 8 ke": (5e3, 8e3, 150),
}


def assert_samples_agree(charge, hits, bias, n=4000):
    """Within 4.5 standard errors and the stated `bias` of P, time [us] and charge [electrons]."""
    model = LArPix(max_hits=hits)
    expected = run(model, charge)
    samples = run(model, jnp.repeat(charge, n, axis=0), key=jax.random.key(3))
    for hit in range(hits):
        fired = np.asarray(samples.probability[:, hit]) > 0
        chance = fired.mean()
        error = np.sqrt(max(chance * (1 - chance), 1 / n) / n)
        assert abs(expected.probability[0, hit] - chance) < 4.5 * error + bias[0]
        for name, extra in (("time", bias[1]), ("charge", bias[2])):
            values = np.asarray(getattr(samples, name))[fired, hit]
            error = values.std() / np.sqrt(fired.sum())
            assert abs(getattr(expected, name)[0, hit] - values.mean()) < 4.5 * error + extra, name


@pytest.mark.parametrize("name", FIRST)
def test_mean_of_samples_is_the_expectation_of_the_first_hit(name):
    assert_samples_agree(FIRST[name], 1, (0.004, 0.04, 20.0))


@pytest.mark.parametrize("name", LATER)
def test_mean_of_samples_is_the_expectation_of_three_hits(name):
    assert_samples_agree(LATER[name], 3, (0.004, 0.04, 30.0))


@pytest.mark.parametrize("name", TWO_PULSES)
def test_mean_of_samples_is_the_expectation_when_either_of_two_pulses_makes_the_first_hit(name):
    first, second, ticks = TWO_PULSES[name]
    charge = ramp(first, 100.3, 10) + ramp(second, 100.3 + ticks, 20)
    assert_samples_agree(charge, 2, (0.006, 0.1, 120.0))


def test_the_second_hit_needs_the_first_to_be_the_small_pulse():
    """3 ke fires with P = 0.23; only then 20 ke makes a second hit."""
    charge = ramp(3e3, 100.3, 10) + ramp(20e3, 250.3, 20)
    small = run(LArPix(), ramp(3e3, 100.3, 10, 250)).probability[0, 0]
    np.testing.assert_allclose(run(LArPix(), charge).probability[0, 1], small, atol=0.006)


def test_noise_fires_as_often_as_the_exact_first_passage_says():
    """The product over every tick, integrated finely, for a plateau three deviations below threshold."""
    charge = ramp(3000.0, 30, 7, 400)
    model = LArPix(max_hits=1)
    reset = np.linspace(-6, 6, 2001) * 900
    weight = np.exp(-((reset / 900) ** 2) / 2)
    z = (5000 - reset[:, None] - np.asarray(charge)) / 500
    none = np.prod(np.asarray(jax.scipy.special.ndtr(z)), axis=1)
    np.testing.assert_allclose(
        run(model, charge).probability[0, 0], 1 - np.sum(weight * none) / weight.sum(), atol=0.004
    )


def test_parameters_carry_units():
    model = replace(LArPix(), {"threshold": "4.5e3 electron", "hold": "1500 ns"})
    np.testing.assert_allclose([model.threshold, model.hold], [4500, 1.5])
    with pytest.raises(ValueError, match="max_hits"):
        LArPix(max_hits=0)


WAVEFORMS = {
    "two pulses": bump(),
    "a steep and long ramp": ramp(90e3, 60, 70, 256),
    "a slow ramp": ramp(30e3, 20, 200, 256),
    "a step after a small one": ramp(7e3, 40, 15, 256) + ramp(30e3, 90, 4, 256),
}


@pytest.mark.parametrize("name", WAVEFORMS)
def test_hits_given_those_before_them_have_the_stated_mean_width_and_correlation(name):
    """Residuals of samples over the stated widths: mean 0, variance 1, the stated correlation."""
    model, n = LArPix(max_hits=5), 4096
    charge = jnp.repeat(WAVEFORMS[name], n, axis=0)
    sample = run(model, charge, key=jax.random.key(5))
    happened = sample.probability > 0.5
    expected = eqx.filter_jit(LArPix.__call__)(
        model, charge, jnp.zeros(n), before=Before(sample.time, happened)
    )
    for k in range(5):
        alive = np.asarray(happened[:, k - 1]) if k else np.ones(n, bool)
        both = alive & np.asarray(happened[:, k])
        said = np.asarray(happened[:, k] - expected.probability[:, k])[alive]
        p = np.asarray(expected.probability[:, k])[alive]
        allowed = 4 * np.sqrt(np.sum(p * (1 - p))) + 0.004 * alive.sum() + 1
        assert abs(said.sum()) < allowed
        if both.sum() < 400:
            continue
        charges = np.asarray(sample.charge - expected.charge)[both, k]
        charges = charges / np.asarray(expected.charge_sigma)[both, k]
        times = np.asarray(sample.time - expected.time)[both, k] / np.asarray(expected.time_sigma)[both, k]
        correlation = np.asarray(expected.correlation)[both, k].mean()
        of_mean, of_width = 0.04, 0.1  # that they may be off, besides four statistical errors
        for residual in (charges, times):
            _agrees(residual, 0, of_mean)
            _agrees(residual**2, 1, of_width)
        _agrees(charges * times, correlation, of_width)


def _agrees(values, mean, within):
    error = values.std() / np.sqrt(len(values))
    np.testing.assert_allclose(values.mean(), mean, atol=within + 4 * error)


def test_after_a_known_hit_charge_begins_where_it_was_reset():
    """Without more charge than falls into the dead time there is no second hit, with it there is."""
    charge = jnp.concatenate([ramp(30e3, 60, 4, 256), ramp(30e3, 60, 40, 256)])
    first = run(LArPix(), charge).time[:, :1]
    before = Before(jnp.pad(first, [(0, 0), (0, 7)]), jnp.arange(8)[None] < jnp.ones((2, 1)))
    given = LArPix()(charge, jnp.zeros(2), before=before)
    assert given.probability[0, 1] < 1e-3 < 0.999 < given.probability[1, 1]
    np.testing.assert_allclose(given.window_start[:, 1], first[:, 0] + 1.8 + RESET_TICKS * TICK)
    assert not jnp.any(given.probability[:, 2:])


@pytest.mark.parametrize("scale", [0.4, 1.0, 1.5])
def test_windows_of_known_hits_integrate_the_charge_of_the_hits(scale: float) -> None:
    """Of a pixel without noise; it is proportional to the waveform, which single hits are not."""
    model, charge, start = quiet(max_hits=6), scale * bump(), jnp.full(1, 3.0)
    hits = run(model, charge, 3.0)
    before = Before(hits.time, hits.probability > 0.5)
    assert int(before.happened.sum()) >= 1
    total = model.integrated(charge, start, before)
    assert np.asarray(total) == pytest.approx(np.asarray(hits.charge.sum(axis=1)), rel=1e-6)
    assert np.asarray(model.integrated(1.1 * charge, start, before)) == pytest.approx(1.1 * np.asarray(total))
    nothing = Before(hits.time, jnp.zeros_like(before.happened))
    assert float(model.integrated(charge, start, nothing)[0]) == 0.0


def test_the_noise_of_a_hit_is_that_of_its_samples() -> None:
    model, n = LArPix(), 4000
    charge = jnp.broadcast_to(ramp(40e3, 40, 4), (n, 512))
    sampled = run(model, charge, key=jax.random.key(1))
    total = jnp.sum(sampled.charge[:, :1], axis=1)
    assert float(total.std()) == pytest.approx(float(model.hit_noise), rel=0.05)
