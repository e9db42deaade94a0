"""Hits of charge that is free: what a pad collected, when, and which pads stayed silent.

The sum of a pad's hits is compared with what the model integrates in their windows, which is linear in the
charge whether the model would trigger or not: so a pad pulls from wherever a fit begins. Times count as much
as the model is sure of a hit. Whether a pad fired counts by its -ln P; charge that is so large that no noise
explains why no hit follows, where the slope of P has vanished, is pulled down to where it is in doubt.

A hit that is in doubt happened because noise helped: given a hit of probability F(z), normal noise of
deviation s that helps has the mean s f(z) / F(z) (Mills' ratio). Without this term charges near the threshold
come out high.
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from dptoolkit.events import Hits
from dptoolkit.inference.alignment import Observables
from dptoolkit.inference.losses import AbstractResidualLoss, Residuals, soft_residual

UNLIKELY = 1e-2
"""Times of hits below this probability are not looked at."""
STRAY = 1e-3
"""The least probability of what happened: a stray hit, or a pad that failed, costs 7 at most."""
FAR = 3.0
"""Charge without a hit pulls from so many deviations of the noise above the threshold on."""


class PadHits(AbstractResidualLoss):
    """Half the squares of residuals of charge, time and silence of pads.

    Charges are over their noise, of resets, comparator and rounding; times over that of the front end and
    what straight segments leave out; both count linearly far off. Whether a hit happened counts -ln P.
    """

    sequential: ClassVar[bool] = True
    hit_noise: float = eqx.field(static=True, default=1100.0)
    """Of a hit [electrons]."""
    helping_noise: float = eqx.field(static=True, default=870.0)
    """The part of it that makes hits happen [electrons]."""
    threshold: float = eqx.field(static=True, default=5000.0)
    """Of the front end [electrons]."""
    time_noise: float = eqx.field(static=True, default=0.3)
    """[us]: 0.5 mm of drift."""

    def __check_init__(self) -> None:
        for name in ("hit_noise", "threshold", "time_noise"):
            value = getattr(self, name)
            if not value > 0:
                raise ValueError(f"PadHits: {name} = {value}: expected a positive number")
        if not self.helping_noise >= 0:
            raise ValueError(f"PadHits: helping_noise = {self.helping_noise}: expected 0 or more")

    def residuals(self, predicted: Observables, observed: Observables) -> Residuals:
        parts = []
        for name, mine in predicted.items():
            if not isinstance(mine, Hits):
                raise ValueError(f"{name}: PadHits compares hits, got {type(mine).__name__}")
            theirs = observed[name]
            late = time_residuals(mine, theirs, self.time_noise, UNLIKELY)
            parts += [self._charges(mine, theirs), self._unseen(mine, theirs)]
            parts += [late.ravel(), hit_residuals(mine, theirs).ravel()]
        return jnp.concatenate(parts)

    def _charges(self, mine: Hits, theirs: Hits) -> Float[Array, " p"]:
        happened = theirs.probability > 0.5
        measured = jnp.sum(jnp.where(happened, theirs.charge, 0.0), axis=1)
        noise = self.hit_noise * jnp.sqrt(jnp.maximum(jnp.sum(happened, axis=1), 1))
        compared = happened[:, 0] & mine.valid
        helped = jnp.sum(jnp.where(happened, self.helping_noise * mills(mine.probability), 0.0), axis=1)
        return soft_residual(jnp.where(compared, mine.total + helped - measured, 0.0) / (4 * noise)) * 4

    def _unseen(self, mine: Hits, theirs: Hits) -> Float[Array, " p"]:
        """Of charge far above the threshold that no hit followed; unless all hits of a pad were used."""
        ready = mine.valid & jnp.any(theirs.probability < 0.5, axis=1)
        over = mine.left - self.threshold - FAR * self.hit_noise
        hidden = jnp.where(ready, jnp.maximum(over, 0.0), 0.0)
        return soft_residual(hidden / (4 * self.hit_noise)) * 4


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
    """Of whether hits happened: half the square is -ln of the probability of what did, bounded by `STRAY`."""
    happened = theirs.probability > 0.5
    chance = jnp.clip(jnp.where(happened, mine.probability, 1 - mine.probability), STRAY, 1.0)
    cost = -2 * jnp.log(chance)
    counts = mine.valid[:, None] & (cost > 0)
    root = jnp.sqrt(jnp.where(counts, cost, 1.0))
    return jnp.where(counts, jnp.where(happened, -root, root), 0.0)


def mills(probability: Float[Array, "..."]) -> Float[Array, "..."]:
    """f(z) / F(z) where the normal distribution F(z) is a `probability`, held and at least `STRAY`."""
    almost = 1 - 10 * jnp.finfo(probability.dtype).eps
    known = jnp.clip(jax.lax.stop_gradient(probability), STRAY, almost)
    return norm.pdf(norm.ppf(known)) / known
