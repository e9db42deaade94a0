"""Gaussian clouds on a grid of hat functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.charge.spread import NARROWEST, hat_weights

NODES = jnp.arange(-60, 61)
CENTRES = (0.0, 0.2137, 0.5, -0.99)
VARIANCES = (0.0, 1e-4, 0.05, 1.0, 30.0)


def weights(centre, variance):
    offset = NODES - jnp.asarray(centre)
    return hat_weights(offset, jnp.broadcast_to(jnp.asarray(variance, float), offset.shape))


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("centre", CENTRES)
def test_weights_add_up_to_one_and_their_mean_is_the_centre(centre, variance):
    share = weights(centre, variance)
    assert float(share.sum()) == pytest.approx(1, abs=1e-12)
    assert float(share @ NODES) == pytest.approx(centre, abs=1e-10)
    assert float(share.min()) >= -1e-15


@pytest.mark.parametrize("variance", [v for v in VARIANCES if v >= 0.5])
def test_variance_is_that_of_the_cloud_and_the_hat(variance):
    """A hat adds 1/6 on average over the cell; a wide cloud does not see the place in the cell."""
    for centre in CENTRES:
        share = weights(centre, variance)
        assert float(share @ (NODES - centre) ** 2) == pytest.approx(variance + 1 / 6, rel=1e-3)


def test_weights_are_the_integral_of_gaussian_times_hat():
    x = np.linspace(-12, 12, 240001)
    for variance in (0.01, 0.3, 2.0):
        density = np.exp(-0.5 * x**2 / variance) / np.sqrt(2 * np.pi * variance)
        for offset in (0.0, 0.4, -1.3, 2.0):
            exact = np.sum(density * np.maximum(0, 1 - np.abs(x - offset))) * (x[1] - x[0])
            assert float(hat_weights(jnp.asarray(offset), jnp.asarray(variance))) == pytest.approx(exact, abs=1e-9)


def test_without_width_a_cloud_is_interpolated_linearly():
    offset = jnp.asarray([-0.3, 0.7, 1.4])
    np.testing.assert_allclose(hat_weights(offset, jnp.zeros(3)), [0.7, 0.3, 0.0], atol=1e-6)


@pytest.mark.parametrize("variance", [1e-3, 0.05, 1.0, 30.0])
def test_gradient_is_the_finite_difference(variance):
    offset, h = jnp.linspace(-3, 3, 41) + 0.013, 1e-6
    spread = jnp.full(41, variance)
    by_offset = jax.vmap(jax.grad(hat_weights))(offset, spread)
    by_variance = jax.vmap(jax.grad(hat_weights, argnums=1))(offset, spread)
    np.testing.assert_allclose(
        by_offset, (hat_weights(offset + h, spread) - hat_weights(offset - h, spread)) / (2 * h), atol=1e-7
    )
    k = 1e-4 * variance
    np.testing.assert_allclose(
        by_variance, (hat_weights(offset, spread + k) - hat_weights(offset, spread - k)) / (2 * k), atol=2e-6 / variance
    )


@pytest.mark.parametrize("variance", [0.0, NARROWEST / 2, NARROWEST])
def test_gradients_are_finite_and_conserve_charge_without_width(variance):
    """What one node gains the others lose, on a node and between nodes."""
    for centre in CENTRES:
        offset = NODES - centre
        spread = jnp.full(offset.shape, variance)
        for argument in (0, 1):
            slopes = jax.vmap(jax.grad(hat_weights, argnums=argument))(offset, spread)
            assert np.isfinite(slopes).all()
            assert abs(float(slopes.sum())) < 1e-6


def test_float32_keeps_the_charge():
    for variance in VARIANCES:
        offset = (NODES - 0.37).astype(jnp.float32)
        share = hat_weights(offset, jnp.full(offset.shape, variance, jnp.float32))
        assert float(share.sum()) == pytest.approx(1, abs=3e-6)
