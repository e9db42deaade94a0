"""Amplifier, coupling, digitiser and noise of wires."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.charge.electronics import (
    ColdElectronics,
    Digitiser,
    RCCoupling,
    WireNoise,
    noise_filter,
    shaped_noise,
)
from dptoolkit.constants import FEMTOCOULOMB

TIME = jnp.arange(0, 60, 0.005)


@pytest.mark.parametrize("peaking_time", [0.5, 1.0, 2.0, 3.0])
def test_the_height_of_the_answer_is_the_gain(peaking_time):
    answer = ColdElectronics(peaking_time=peaking_time).impulse(TIME) * FEMTOCOULOMB
    assert float(answer.max()) == pytest.approx(14.0, rel=1e-3)


def test_the_peaking_time_counts_from_one_percent():
    answer = np.asarray(ColdElectronics(peaking_time=2.0).impulse(TIME))
    peak = answer.argmax()
    start = np.argmax(answer > 0.01 * answer.max())
    assert float(TIME[peak] - TIME[start]) == pytest.approx(2.0, rel=0.005)


def test_nothing_comes_before_the_charge_and_nothing_stays():
    assert float(jnp.abs(ColdElectronics().impulse(jnp.linspace(-10, 0, 50))).max()) == 0
    assert (
        abs(float(ColdElectronics().impulse(jnp.asarray([40.0]))[0] / ColdElectronics().impulse(TIME).max()))
        < 1e-9
    )


def test_the_spectrum_is_the_fourier_transform_of_the_impulse():
    electronics = ColdElectronics()
    impulse = np.asarray(electronics.impulse(TIME))
    for omega in (0.0, 0.3, 1.0, 3.0, 6.0):
        exact = np.sum(impulse * np.exp(-1j * omega * np.asarray(TIME))) * 0.005
        assert complex(electronics.spectrum(jnp.asarray([omega]))[0]) == pytest.approx(exact, abs=2e-7)


def test_a_longer_shaping_keeps_the_height_and_scales_the_area():
    short, long = (float(jnp.sum(ColdElectronics(peaking_time=t).impulse(TIME))) for t in (1.0, 2.0))
    assert long / short == pytest.approx(2, rel=1e-3)


def test_the_tail_of_the_coupling_brings_the_integral_to_zero():
    pulse = jnp.zeros((1, 1, 4000)).at[0, 0, 10:14].set(100.0)
    out = RCCoupling(time_constant=100.0)(pulse, 0.5)[0, 0]
    assert abs(float(out.sum())) < 1e-6 * 400
    assert float(out[20:].max()) < 0


def test_the_tail_of_a_step_decays_with_the_time_constant():
    """The answer to a step is exp(-t / tau), and a tick holds its mean."""
    step = jnp.ones((1, 1, 500))
    out = RCCoupling(time_constant=50.0)(step, 0.5)[0, 0]
    edges = np.exp(-np.arange(501) * 0.5 / 50.0)
    np.testing.assert_allclose(out, (edges[:-1] - edges[1:]) * 50.0 / 0.5, rtol=1e-10)


def test_a_slow_coupling_changes_nothing():
    pulse = jax.random.normal(jax.random.key(0), (2, 3, 64))
    np.testing.assert_allclose(RCCoupling(time_constant=1e9)(pulse, 0.5), pulse, atol=1e-6)


def test_the_coupling_is_linear_and_causal():
    a, b = jax.random.normal(jax.random.key(1), (2, 1, 1, 64))
    coupling = RCCoupling(time_constant=20.0)
    np.testing.assert_allclose(
        coupling(2 * a + 3 * b, 0.5), 2 * coupling(a, 0.5) + 3 * coupling(b, 0.5), atol=1e-12
    )
    late = jnp.zeros((1, 1, 64)).at[..., 40].set(1.0)
    assert float(jnp.abs(coupling(late, 0.5)[..., :40]).max()) == 0


def test_the_digitiser_saturates_at_both_ends():
    digitiser = Digitiser(counts_per_mv=2.0, pedestal=400.0)
    np.testing.assert_allclose(
        digitiser(jnp.asarray([-1e4, -10.0, 0.0, 10.0, 1e4])), [-400, -20, 0, 20, 3695]
    )


def test_a_sample_is_rounded_and_passes_gradients_straight_through():
    digitiser = Digitiser()
    millivolt = jnp.asarray([0.1, 3.3, -7.77])
    counts = digitiser(millivolt, jax.random.key(0))
    np.testing.assert_allclose(counts, jnp.round(millivolt * 2.048))
    slope = jax.grad(lambda x: jnp.sum(digitiser(x, jax.random.key(0))))(millivolt)
    np.testing.assert_allclose(slope, 2.048)


def test_noise_of_a_wire_is_the_published_sum():
    """FACTS: rms^2 = 0.9^2 + (0.79 + 0.22 L)^2, L in metres."""
    assert float(WireNoise().rms(jnp.asarray(230.0))) == pytest.approx(np.hypot(0.9, 0.79 + 0.22 * 2.3))


@pytest.mark.parametrize("n_taps", [49, 64])
def test_the_noise_filter_keeps_the_power_of_white_noise(n_taps):
    taps = noise_filter(np.linspace(0.2, 1.0, 33), n_taps)
    assert taps.size == n_taps and np.sum(taps**2) == pytest.approx(1)


def test_filtered_noise_has_the_spectrum():
    """Amplitude of the filter, to 15 % of the largest: 49 taps blur the cut at 20 kHz."""
    electronics = ColdElectronics()
    taps = shaped_noise(electronics, 0.5)
    frequency = np.linspace(0, 1, 257)
    phase = np.exp(-2j * np.pi * np.outer(frequency, np.arange(taps.size)) * 0.5)
    found = np.abs(phase @ taps)
    wanted = np.abs(np.asarray(electronics.spectrum(jnp.asarray(2 * np.pi * frequency))))
    wanted *= np.sqrt(np.mean(found**2) / np.mean(wanted**2))
    error = np.abs(found - wanted) / wanted.max()
    assert error[(frequency > 0.06) & (frequency < 0.9)].max() < 0.15
    white = np.random.default_rng(0).normal(size=200_000)
    assert np.convolve(white, taps, "valid").std() == pytest.approx(1, rel=0.02)
