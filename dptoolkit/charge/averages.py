"""Averages over the ways to a hit, and values of a waveform between its ticks."""

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Float, Int

PerPixel = Float[Array, " p"]
Waveform = Float[Array, "p t"]


def shares(probability: Float[Array, "p c"]) -> Float[Array, "p c"]:
    """Scaled to sum 1, or 0 where nothing can happen."""
    total = jnp.sum(probability, axis=1, keepdims=True)
    possible = total > jnp.finfo(total.dtype).tiny ** 0.5
    return jnp.where(possible, probability, 0.0) / jnp.where(possible, total, 1.0)


def moments(weight: Float[Array, "p c"], x: Float[Array, "p c"]) -> tuple[PerPixel, PerPixel]:
    """(mean, variance)."""
    mean = jnp.sum(weight * x, axis=1)
    return mean, jnp.sum(weight * (x - mean[:, None]) ** 2, axis=1)


def charge_at(charge: Waveform, position: Float[Array, "p m"]) -> Float[Array, "p m"]:
    """`charge` at positions in ticks, linear in between, constant outside."""
    left = jnp.clip(jnp.floor(jax.lax.stop_gradient(position)), 0, charge.shape[1] - 2)
    fraction = jnp.clip(position - left, 0.0, 1.0)
    left = left.astype(int)
    here = jnp.take_along_axis(charge, left, axis=1)
    there = jnp.take_along_axis(charge, left + 1, axis=1)
    return here + fraction * (there - here)


def from_0_to_1(x: Waveform, first: Int[Array, "p 1"]) -> Waveform:
    """A rising function, scaled from 0 at `first` to 1 at the end; 0 where it does not rise."""
    low = jnp.take_along_axis(x, jnp.minimum(first, x.shape[1] - 1), axis=1)
    total = x[:, -1:] - low
    return jnp.maximum(x - low, 0.0) / jnp.where(total > 0, total, 1.0)


def smooth_root(square: Array) -> Array:
    """Square root with gradient 0 at 0."""
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)


def positive_moments(mean: Array, sigma: Array) -> tuple[Array, Array]:
    """(E[x | x > 0], variance of x given that) of a normal x."""
    z = jnp.maximum(mean / sigma, -6.0)  # further down the mean is sigma / 6, and norm.cdf would vanish
    ratio = norm.pdf(z) / norm.cdf(z)
    return sigma * (z + ratio), sigma**2 * jnp.maximum(1 - ratio * (z + ratio), 0.0)


def mean_below(mean: Array, limit: Array, sigma: Array) -> Array:
    """E[min(x, limit)] of a normal x; sigma = 0 is min(mean, limit)."""
    scale = jnp.where(sigma > 0, sigma, 1.0)
    z = (mean - limit) / scale
    smooth = mean - scale * (z * norm.cdf(z) + norm.pdf(z))
    return jnp.where(sigma > 0, smooth, jnp.minimum(mean, limit))
