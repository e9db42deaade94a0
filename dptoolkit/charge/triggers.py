"""How a self-triggering pixel comes to its hits: the ways to one, their mean, and how it starts again."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dptoolkit.charge.averages import moments, shares, smooth_root
from dptoolkit.charge.pixel_hits import PerPixel

Waveform = Float[Array, "p t"]


class Triggers(eqx.Module):
    """Hits before the ADC, positions in ticks; charges with the reset noise, and their spread."""

    position: Array
    start: Array
    probability: Array
    charge: Array
    spread: Array
    position_spread: Array
    covariance: Array
    """Of charge and position."""


class Branch(eqx.Module):
    """One of two ways in which a pixel starts again: how likely, when [ticks], and from which charge."""

    reached: PerPixel
    start: PerPixel
    base: PerPixel
    variance: PerPixel
    """Of `base`."""


class Ways(eqx.Module):
    """Per abscissa: chance of a hit there, where [ticks], its charge, and the charge until it is reset."""

    probability: Float[Array, "p c"]
    position: Float[Array, "p c"]
    collected: Float[Array, "p c"]
    charge_variance: Float[Array, "p c"]
    position_variance: Float[Array, "p c"]
    covariance: Float[Array, "p c"]
    """Of charge and position, by the noise within a tick and that of the reset charge."""
    lost: Float[Array, "p c"]


def length_so_far(charge: Waveform) -> Waveform:
    """Length of the way of a charge until each tick, sum |dQ|; without gradient."""
    steps = jnp.abs(jnp.diff(jax.lax.stop_gradient(charge), axis=1, prepend=0.0))
    return jnp.cumsum(steps, axis=1)


def mean_trigger(ways: Ways, start: PerPixel) -> Triggers:
    """Probability, means, widths and covariance over the ways to a hit."""
    weight = shares(ways.probability)
    mean_charge, charge_variance = moments(weight, ways.collected)
    mean_position, position_variance = moments(weight, ways.position)
    both = (ways.collected - mean_charge[:, None]) * (ways.position - mean_position[:, None])
    inner = [jnp.sum(weight * x, axis=1) for x in (ways.charge_variance, ways.position_variance)]
    return Triggers(
        position=mean_position,
        start=start,
        probability=jnp.sum(ways.probability, axis=1),
        charge=mean_charge,
        spread=smooth_root(charge_variance + inner[0]),
        position_spread=smooth_root(position_variance + inner[1]),
        covariance=jnp.sum(weight * (both + ways.covariance), axis=1),
    )
