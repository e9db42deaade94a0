"""Hits of charge that is free: what a pad collected, when, and which pads stayed silent.

The sum of a pad's hits is compared with what the model integrates in their windows, which is linear in the
charge whether the model would trigger or not: so a pad pulls from wherever a fit begins. Times and silent
pads count as much as the model is sure of a hit.
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dptoolkit.events import Hits
from dptoolkit.inference.alignment import Observables
from dptoolkit.inference.losses import AbstractResidualLoss, Residuals, soft_residual

UNLIKELY = 1e-2
"""Times of hits below this probability are not looked at."""


class PadHits(AbstractResidualLoss):
    """Half the squares of residuals of charge, time and silence of pads.

    Charges are over their noise, of resets, comparator and rounding; times over that of the front end and
    what straight segments leave out, beyond which they count linearly. A hit, or a pad without any, that the
    model takes for unlikely counts 2 (P - happened): a bounded pull.
    """

    sequential: ClassVar[bool] = True
    charge_noise: float = eqx.field(static=True, default=1100.0)
    """Of a hit [electrons]."""
    time_noise: float = eqx.field(static=True, default=0.3)
    """[us]: 0.5 mm of drift."""

    def __check_init__(self) -> None:
        for name in ("charge_noise", "time_noise"):
            value = getattr(self, name)
            if not value > 0:
                raise ValueError(f"PadHits: {name} = {value}: expected a positive number")

    def residuals(self, predicted: Observables, observed: Observables) -> Residuals:
        parts = []
        for name, mine in predicted.items():
            if not isinstance(mine, Hits):
                raise ValueError(f"{name}: PadHits compares hits, got {type(mine).__name__}")
            theirs = observed[name]
            late = time_residuals(mine, theirs, self.time_noise, UNLIKELY)
            parts += [self._charges(mine, theirs), late.ravel(), hit_residuals(mine, theirs).ravel()]
        return jnp.concatenate(parts)

    def _charges(self, mine: Hits, theirs: Hits) -> Float[Array, " p"]:
        happened = theirs.probability > 0.5
        measured = jnp.sum(jnp.where(happened, theirs.charge, 0.0), axis=1)
        noise = self.charge_noise * jnp.sqrt(jnp.maximum(jnp.sum(happened, axis=1), 1))
        compared = happened[:, 0] & mine.valid
        return soft_residual(jnp.where(compared, mine.total - measured, 0.0) / (4 * noise)) * 4


def time_residuals(mine: Hits, theirs: Hits, noise: float, least: float) -> Float[Array, "p h"]:
    """Of the times of hits, as much as the model is sure of them, sqrt(P), if that is at least `least`.

    `noise` [us] is added to their width.
    """
    both = (theirs.probability > 0.5) & (mine.probability > least) & mine.valid[:, None]
    hits = jax.lax.stop_gradient(mine)
    weight = jnp.where(both, jnp.sqrt(jnp.where(both, hits.probability, 1.0)), 0.0)
    width = jnp.sqrt(jnp.where(both, hits.time_sigma, 1.0) ** 2 + noise**2)
    return weight * soft_residual(jnp.where(both, theirs.time - mine.time, 0.0) / width)


def hit_residuals(mine: Hits, theirs: Hits) -> Float[Array, "p h"]:
    """Of whether hits happened: 2 (P - happened), which is bounded."""
    return jnp.where(mine.valid[:, None], 2 * (mine.probability - theirs.probability), 0.0)
