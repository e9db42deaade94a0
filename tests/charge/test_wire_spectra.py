"""Spectra of clouds on nodes against the sum they are, and their derivatives against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.charge.wire_spectra import Clouds, node_spectra, sampled

NODES, FREQUENCIES, WINDOW = 9, 12, 32
SHAPE = NODES, FREQUENCIES, WINDOW
NAMES = ("charge", "position", "variance of position", "time", "variance of time")


def clouds() -> Clouds:
    """Two items of three clouds; the last of them is empty."""
    rng = np.random.default_rng(3)
    charge = jnp.asarray(rng.uniform(0.5, 2.0, (2, 3))).at[1, 2].set(0.0)
    position, variance = rng.uniform(2, 6, (2, 3)), rng.uniform(0.3, 2, (2, 3))
    time, width = rng.uniform(3, 20, (2, 3)), rng.uniform(0.2, 4, (2, 3))
    return (charge, *(jnp.asarray(part) for part in (position, variance, time, width)))


def test_a_cloud_on_a_node_has_the_spectrum_of_a_gaussian_pulse():
    charge, place, nothing, time, width = (jnp.full((1, 1), v) for v in (2.5, 4.0, 0.0, 7.3, 1.9))
    found = node_spectra(*SHAPE, (charge, place, nothing, time, width))
    omega = 2 * np.pi * np.arange(FREQUENCIES) / WINDOW
    expected = 2.5 * np.exp(-1j * omega * 7.3 - 0.5 * omega**2 * 1.9)
    np.testing.assert_allclose(found[0, 0, :, 4] + 1j * found[0, 1, :, 4], expected, rtol=2e-3)
    total = found.sum(axis=-1)
    np.testing.assert_allclose(total[0, 0] + 1j * total[0, 1], expected, atol=1e-9)


@pytest.mark.parametrize("which", range(5), ids=NAMES)
def test_the_derivative_by_every_property_of_a_cloud_is_the_finite_difference(which: int):
    change = jnp.asarray(np.random.default_rng(4).normal(size=(2, 3)))
    tangents = tuple(change if i == which else jnp.zeros_like(change) for i in range(5))

    def moved(by: float) -> jax.Array:
        return node_spectra(*SHAPE, tuple(c + by * t for c, t in zip(clouds(), tangents, strict=True)))

    _, slope = jax.jvp(lambda c: node_spectra(*SHAPE, c), (clouds(),), (tangents,))
    step = 1e-5
    np.testing.assert_allclose(slope, (moved(step) - moved(-step)) / (2 * step), atol=2e-9)


def test_reverse_and_forward_derivatives_agree():
    weight = jnp.asarray(np.random.default_rng(5).normal(size=(2, 2, FREQUENCIES, NODES)))
    total = lambda c: jnp.sum(weight * node_spectra(*SHAPE, c))  # noqa: E731
    forward, reverse = jax.jacfwd(total)(clouds()), jax.grad(total)(clouds())
    for name, a, b in zip(NAMES, forward, reverse, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, err_msg=name)


def test_frequencies_beyond_nyquist_fold_back_as_sampling_does():
    """A pulse narrower than a tick, at a fraction of it: samples are those of the continuous pulse."""
    window, n, width, time = 32, 29, 0.6, 12.3
    place = tuple(jnp.full((1, 1), v) for v in (1.0, 4.0, 0.5, time, width**2))
    spectrum = node_spectra(NODES, n, window, place).sum(axis=-1)
    samples = sampled((spectrum[:, 0] + 1j * spectrum[:, 1]).T[..., None], window)[0, 0]
    pulse = np.exp(-0.5 * ((np.arange(window) - time) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(samples, pulse, atol=1e-3)
