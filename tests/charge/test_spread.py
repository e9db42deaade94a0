"""Gaussian clouds on a grid of hat functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr

from dptoolkit.charge.spread import NARROWEST, box_weights, hat_weights

NODES = jnp.arange(-60, 61)
CENTRES = (0.0, 0.2137, 0.5, -0.99)
VARIANCES = (0.0, 1e-4, 0.05, 1.0, 30.0)


FIRST = -60


def weights(centre, variance):
    """Shares on the nodes -60 ... 60."""
    return hat_weights(jnp.asarray(centre) - FIRST, jnp.asarray(variance, float), len(NODES))


def share(offset, variance):
    """Of one node, at this distance from the centre."""
    return weights(-offset, variance)[-FIRST]


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("centre", CENTRES)
def test_weights_add_up_to_one_and_their_mean_is_the_centre(centre, variance):
    shares = weights(centre, variance)
    assert float(shares.sum()) == pytest.approx(1, abs=1e-12)
    assert float(shares @ NODES) == pytest.approx(centre, abs=1e-10)
    assert float(shares.min()) >= -1e-15


@pytest.mark.parametrize("variance", [v for v in VARIANCES if v >= 0.5])
def test_variance_is_that_of_the_cloud_and_the_hat(variance):
    """A hat adds 1/6 on average over the cell; a wide cloud does not see the place in the cell."""
    for centre in CENTRES:
        shares = weights(centre, variance)
        assert float(shares @ (NODES - centre) ** 2) == pytest.approx(variance + 1 / 6, rel=1e-3)


def test_weights_are_the_integral_of_gaussian_times_hat():
    x = np.linspace(-12, 12, 240001)
    for variance in (0.01, 0.3, 2.0):
        wide = variance + NARROWEST
        density = np.exp(-0.5 * x**2 / wide) / np.sqrt(2 * np.pi * wide)
        for offset in (0.0, 0.4, -1.3, 2.0):
            exact = np.sum(density * np.maximum(0, 1 - np.abs(x - offset))) * (x[1] - x[0])
            assert float(share(offset, variance)) == pytest.approx(exact, abs=1e-8)


def test_without_width_a_cloud_is_interpolated_linearly():
    np.testing.assert_allclose([share(u, 0.0) for u in (-0.3, 0.7, 1.4)], [0.7, 0.3, 0.0], atol=1e-6)


@pytest.mark.parametrize("variance", [1e-3, 0.05, 1.0, 30.0])
def test_gradient_is_the_finite_difference(variance):
    h, k = 1e-6, 1e-4 * variance
    for centre in CENTRES[1:]:
        by_centre, by_variance = (jax.jacfwd(weights, argnums=i)(centre, variance) for i in (0, 1))
        by_steps = (weights(centre + h, variance) - weights(centre - h, variance)) / (2 * h)
        np.testing.assert_allclose(by_centre, by_steps, atol=1e-7)
        by_steps = (weights(centre, variance + k) - weights(centre, variance - k)) / (2 * k)
        np.testing.assert_allclose(by_variance, by_steps, atol=2e-6 / variance)


@pytest.mark.parametrize("variance", [0.0, NARROWEST / 2, NARROWEST])
def test_gradients_are_finite_and_conserve_charge_without_width(variance):
    """What one node gains the others lose, on a node and between nodes."""
    for centre in CENTRES:
        for argument in (0, 1):
            slopes = jax.jacfwd(weights, argnums=argument)(centre, variance)
            assert np.isfinite(slopes).all()
            assert abs(float(slopes.sum())) < 1e-6


def test_float32_keeps_the_charge():
    for variance in VARIANCES:
        shares = hat_weights(jnp.float32(60.37), jnp.float32(variance), 121)
        assert shares.dtype == jnp.float32
        assert float(shares.sum()) == pytest.approx(1, abs=3e-6)


def boxes(centre, variance):
    """Shares on the boxes -40 ... 40."""
    return box_weights(jnp.asarray(centre) + 40, jnp.asarray(variance, float), 81)


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("centre", CENTRES)
def test_shares_of_boxes_are_exact_and_add_up_to_one(centre, variance):
    shares, sigma = boxes(centre, variance), np.sqrt(variance + NARROWEST)
    edges = np.arange(-40, 42) - 0.5
    np.testing.assert_allclose(shares, np.diff(ndtr((edges - centre) / sigma)), atol=1e-14)
    assert float(shares.sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("variance", [1e-3, 0.05, 1.0])
def test_gradient_of_boxes_is_the_finite_difference_and_conserves_charge(variance):
    h, k = 1e-6, 1e-5 * variance
    for centre in CENTRES[1:]:
        by_centre, by_variance = (jax.jacfwd(boxes, argnums=i)(centre, variance) for i in (0, 1))
        by_steps = (boxes(centre + h, variance) - boxes(centre - h, variance)) / (2 * h)
        np.testing.assert_allclose(by_centre, by_steps, atol=1e-7)
        by_steps = (boxes(centre, variance + k) - boxes(centre, variance - k)) / (2 * k)
        np.testing.assert_allclose(by_variance, by_steps, atol=1e-7 / variance)
        assert abs(float(by_centre.sum())) < 1e-9 and abs(float(by_variance.sum())) < 1e-9


def test_gradients_of_boxes_are_finite_without_width():
    for centre in CENTRES:
        for argument in (0, 1):
            assert np.isfinite(jax.jacfwd(boxes, argnums=argument)(centre, 0.0)).all()
            assert np.isfinite(jax.jacrev(boxes, argnums=argument)(centre, 0.0)).all()
