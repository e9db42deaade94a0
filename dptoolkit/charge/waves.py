"""Gaussian pulses in the frequency domain: the phase of a time, the damping of a width.

Cosine and sine come from their series at half the angle, so that one loop over clouds and frequencies
holds everything; arguments are known to a fraction of a turn, which the library functions cannot use.
"""

from math import factorial, pi

import jax.numpy as jnp
from jaxtyping import Array, Float

TERMS = 8
"""Of the series of sine and cosine at up to a quarter of a turn: exact to 1e-10."""


def waves(
    n: int, window: int, time: Float[Array, "..."], variance: Float[Array, "..."]
) -> tuple[Float[Array, "... n"], Float[Array, "... n"]]:
    """e^(-w^2 variance / 2) times cos w time and sin w time at the `frequencies` w."""
    cosine, sine = _circle(time[..., None] * (jnp.arange(n) / window))
    damping = jnp.exp(-0.5 * frequencies(n, window) ** 2 * variance[..., None])
    return damping * cosine, damping * sine


def frequencies(n: int, window: int) -> Float[Array, " n"]:
    """2 pi k / `window`, k = 0, 1, ... n - 1 [rad a tick]."""
    return 2 * jnp.pi / window * jnp.arange(n)


def _circle(turns: Float[Array, "..."]) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Cosine and sine of an angle in turns."""
    half = pi * (turns - jnp.round(turns))
    square = half**2
    cosine = _polynomial([(-1) ** k / factorial(2 * k) for k in range(TERMS)], square)
    sine = half * _polynomial([(-1) ** k / factorial(2 * k + 1) for k in range(TERMS)], square)
    return 1 - 2 * sine**2, 2 * sine * cosine


def _polynomial(coefficients: list[float], x: Float[Array, "..."]) -> Float[Array, "..."]:
    total = jnp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total
