"""Gaussian clouds on a grid, without binning error.

A response known at nodes and interpolated linearly in between is integrated exactly against a
Gaussian of any width: the weight of a node is the Gaussian convolved with the node's hat function,
the second difference of F(u) = int int Gaussian. Weights add up to 1: charge is conserved.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import erfc
from jaxtyping import Array, Float

NARROWEST = 1e-6
"""Variance floor in squared node spacings: keeps derivatives finite for clouds without extent; the
weights move by less than 1e-6."""


@jax.custom_jvp
def hat_weights(offset: Float[Array, "..."], variance: Float[Array, "..."]) -> Float[Array, "..."]:
    """Share of a unit cloud at node distance `offset` (node minus centre, in node spacings).

    `variance` is that of the Gaussian, in squared node spacings.
    """
    sigma = jnp.sqrt(jnp.maximum(variance, NARROWEST))
    hat = jnp.maximum(0.0, 1 - jnp.abs(offset))
    return hat + _tail(offset + 1, sigma) - 2 * _tail(offset, sigma) + _tail(offset - 1, sigma)


def _tail(u: Float[Array, "..."], sigma: Float[Array, "..."]) -> Float[Array, "..."]:
    """E|x - u|/2 of a Gaussian minus |u|/2: decays with |u|, so differences lose no digits."""
    z = jnp.abs(u) / sigma
    density = jnp.exp(-0.5 * z**2) / jnp.sqrt(2 * jnp.pi)
    return sigma * (density - z * 0.5 * erfc(z / jnp.sqrt(2.0)))


def _cumulative(u: Float[Array, "..."], sigma: Float[Array, "..."]) -> Float[Array, "..."]:
    return 0.5 * erfc(-u / (sigma * jnp.sqrt(2.0)))


@hat_weights.defjvp
def _hat_weights_jvp(primals, tangents):
    offset, variance = primals
    offset_dot, variance_dot = tangents
    variance = jnp.maximum(variance, NARROWEST)
    sigma = jnp.sqrt(variance)
    slope = sum(c * _cumulative(offset + k, sigma) for k, c in ((1, 1.0), (0, -2.0), (-1, 1.0)))
    curvature = sum(
        c * jnp.exp(-0.5 * ((offset + k) / sigma) ** 2) for k, c in ((1, 1.0), (0, -2.0), (-1, 1.0))
    ) / (2 * sigma * jnp.sqrt(2 * jnp.pi))
    return hat_weights(offset, variance), slope * offset_dot + curvature * variance_dot
