"""Gaussian clouds on a grid, without binning error.

A response known at nodes and interpolated linearly in between is integrated exactly against a
Gaussian of any width: the weight of a node is the Gaussian convolved with the node's hat function,
the second difference of F(u) = int int Gaussian. Weights add up to 1: charge is conserved. One
evaluation a node serves value and both derivatives. The share of a box, which has edges that no hats
follow, is the difference of two normal distribution functions.

Differences are products with a banded matrix: a sum of neighbours in place would be merged by the
compiler with what makes them, and special functions evaluated again for every use.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erfc
from jaxtyping import Array, Float

NARROWEST = 1e-6
"""Added to the variance [squared node spacings or box widths]: keeps derivatives finite for clouds without
extent. The weights of hats move by less than 1e-5, the edge of a box softens to a thousandth of its width."""


def hat_weights(
    position: Float[Array, "..."], variance: Float[Array, "..."], n_nodes: int
) -> Float[Array, "... n"]:
    """Shares of a unit cloud on the nodes 0, 1, ... n_nodes - 1.

    `position` of its centre in node spacings, `variance` of the Gaussian in their square.
    """
    return _shares(n_nodes, position, variance)


def box_weights(
    position: Float[Array, "..."], variance: Float[Array, "..."], n_boxes: int
) -> Float[Array, "... n"]:
    """Shares of a unit cloud on the boxes of width 1 around 0, 1, ... n_boxes - 1.

    `position` of its centre in boxes, `variance` of the Gaussian in their square.
    """
    edge = jnp.arange(n_boxes + 1) - 0.5 - position[..., None]
    sigma = jnp.sqrt(jnp.maximum(variance, 0.0) + NARROWEST)[..., None]
    return _difference(0.5 * erfc(-edge / (sigma * 2**0.5)), order=1)


def hat_slopes(
    position: Float[Array, "..."], variance: Float[Array, "..."], n_nodes: int
) -> tuple[Float[Array, "... n"], Float[Array, "... n"]]:
    """Derivatives of `hat_weights` by position and by variance."""
    offset = _offsets(n_nodes, position)
    sigma = jnp.sqrt(jnp.maximum(variance, 0.0) + NARROWEST)[..., None]
    density = jnp.exp(-0.5 * (offset / sigma) ** 2) / (sigma * (2 * jnp.pi) ** 0.5)
    by_position = -_difference(0.5 * erfc(-offset / (sigma * 2**0.5)), order=2)
    # dF/d(sigma^2) = density / 2
    return by_position, 0.5 * _difference(density, order=2)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _shares(n_nodes: int, position: Array, variance: Array) -> Array:
    offset = _offsets(n_nodes, position)
    sigma = jnp.sqrt(jnp.maximum(variance, 0.0) + NARROWEST)[..., None]
    return jnp.maximum(0.0, 1 - jnp.abs(offset[..., 1:-1])) + _difference(_tail(offset, sigma), order=2)


@_shares.defjvp
def _shares_jvp(n_nodes: int, primals: tuple[Array, Array], tangents: tuple[Array, Array]):
    position_dot, variance_dot = tangents
    by_position, by_variance = hat_slopes(*primals, n_nodes)
    change = by_variance * variance_dot[..., None] + by_position * position_dot[..., None]
    return _shares(n_nodes, *primals), change


def _offsets(n_nodes: int, position: Array) -> Array:
    """Node minus centre, with one more node on each side."""
    return jnp.arange(-1, n_nodes + 1) - position[..., None]


def _difference(values: Array, order: int) -> Array:
    """Along the last axis, which becomes shorter by `order`."""
    matrix = np.diff(np.eye(values.shape[-1]), n=order, axis=0).T
    return jnp.matmul(values, jnp.asarray(matrix, values.dtype), precision=jax.lax.Precision.HIGHEST)


def _tail(u: Float[Array, "..."], sigma: Float[Array, "..."]) -> Float[Array, "..."]:
    """E|x - u|/2 of a Gaussian minus |u|/2: decays with |u|, so differences lose no digits."""
    z = jnp.abs(u) / sigma
    return sigma * (jnp.exp(-0.5 * z**2) / (2 * jnp.pi) ** 0.5 - z * 0.5 * erfc(z / 2**0.5))
