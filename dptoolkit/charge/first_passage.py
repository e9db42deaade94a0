"""First passage: where a noisy comparison exceeds its level for the first time."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erfc
from jaxtyping import Array, Float

PerPixel = Float[Array, " p"]

RESET_NODES = 21
RESET_RANGE = 4.5
"""Nodes of the reset charge, and how many standard deviations they span."""


class Passage(eqx.Module):
    """Per abscissa: chance to fire, mean and variance of the level crossed, and how far away [ticks]."""

    probability: Float[Array, "p c"]
    level: Float[Array, "p c"]
    level_variance: Float[Array, "p c"]
    lag: Float[Array, "p c"]


def first_passage(
    height: Float[Array, "p c"], ticks: Float[Array, "p c"], level: Float[Array, "p r"], sigma: PerPixel
) -> Passage:
    """First of many independent comparisons height + noise >= level, averaged over the levels.

    A group of ticks of constant hazard u fires at the fraction 1/u - 1/(e^u - 1) of its length;
    1/2 - u (u + 6.3) / (2 u^2 + 12 u + 75.6) is that to 0.02.
    """
    weights = _reset_weights(level.dtype)
    almost = 1 - jnp.finfo(level.dtype).eps
    scale = 1 / (math.sqrt(2) * sigma[:, None])

    def next_group(survived: Float[Array, "p r"], group: tuple[PerPixel, PerPixel]) -> tuple:
        height, ticks = (x[:, None] for x in group)
        exceeds = 0.5 * erfc((level - height) * scale)
        hazard = -ticks * jnp.log1p(-jnp.minimum(exceeds, almost))
        surviving = survived * jnp.exp(-hazard)
        lean = hazard * (hazard + 6.3) / (2 * hazard**2 + 12 * hazard + 75.6)
        fires = survived - surviving
        sums = (fires, fires * level, fires * (level - middle) ** 2, fires * lean)
        return surviving, tuple(x @ weights for x in sums)

    start, middle = jnp.ones_like(level), jnp.mean(level, axis=1, keepdims=True)
    sums = jax.lax.scan(next_group, start, (height.T, ticks.T))[1]
    probability, level_sum, square_sum, lean_sum = (x.T for x in sums)
    possible = probability > jnp.finfo(level.dtype).tiny ** 0.5
    total = jnp.where(possible, probability, 1.0)
    mean_level = jnp.where(possible, level_sum / total, level[:, :1])
    length = jnp.sqrt(jnp.maximum(4 * ticks**2 - 1, 0.0)) / 2
    variance = jnp.where(possible, square_sum / total - (mean_level - middle) ** 2, 0.0)
    return Passage(
        probability,
        mean_level,
        jnp.maximum(variance, 0.0),
        -length * jnp.where(possible, lean_sum / total, 0.0),
    )


def reset_grid() -> np.ndarray:
    """Standard deviations of the reset charge; the trapezoidal rule is the best one for a step."""
    return np.linspace(-RESET_RANGE, RESET_RANGE, RESET_NODES)


def _reset_weights(dtype: jnp.dtype) -> Array:
    density = np.exp(-(reset_grid() ** 2) / 2)
    return jnp.asarray(density / density.sum(), dtype)
