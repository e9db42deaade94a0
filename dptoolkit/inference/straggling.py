"""Hits of tracks whose energy loss fluctuates: residuals with a tail.

What fluctuates is the charge that a pad gets. When it triggers, and so how that charge is shared by its hits,
follows from the charge and is no second measurement: charges are compared pad by pad, the sum of the hits
with what the model integrates in their windows. The difference is that of the typical loss plus Landau's
fluctuation, here in Moyal's form (Phil. Mag. 46 (1955) 263): with u = (charge - typical) / w its -ln L is
(u + exp(-u)) / 2, stated as the residual sign(u) sqrt(u + exp(-u) - 1). Far above, where delta rays are, it
grows as sqrt(u) only. Below, where noise and a neighbour's charge matter more than Landau's steep edge, it
goes on linearly.

The pull of a charge, 1 - exp(-u), vanishes on average where <exp(-u)> = 1, and Laplace transforms say where
that is: Landau's distribution has <exp(-s lambda)> = s^s (L. Landau, J. Phys. USSR 8 (1944) 201), a Gaussian
of width sigma exp(s^2 sigma^2 / 2). Of a charge whose <exp(-charge / xi)> is exp(-predicted / xi), xi being
Landau's width, plus noise, it is at

    typical = predicted + xi ln(w / xi) - sigma^2 / (2 w).
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dptoolkit.events import Hits
from dptoolkit.inference.alignment import Observables
from dptoolkit.inference.losses import AbstractResidualLoss, Residuals
from dptoolkit.inference.pad_hits import hit_residuals, time_residuals

UNLIKELY = 1e-3
"""Times of hits below this probability are not looked at."""
SURE = 0.9
"""Charges of pads count from this probability of a first hit on: those of the others are high, or there would
be no hit."""
EDGE = -2.0
"""u below which the residual is continued by its tangent."""


class StragglingHits(AbstractResidualLoss):
    """Half the squares of residuals of the hits of a track, each given those before it on its pad.

    The charge of a pad counts where the model is sure of a hit, the time of a hit as much as it is, sqrt(P);
    whether it happened counts as -ln P, which is bounded: a hit or pad that the model cannot know of costs a
    constant. The width of a charge has its noise and the fluctuation of the energy loss in it,
    that of a time its noise and what a smooth track leaves out; times far off count as sqrt(2 |t|). All
    weights are held, so that every residual pulls on the mean alone.
    """

    sequential: ClassVar[bool] = True
    charge_noise: float = eqx.field(static=True, default=1070.0)
    """Of a hit [electrons]: resets, comparator and rounding."""
    relative: float = eqx.field(static=True, default=0.05)
    """Landau's width over the charge: xi / loss of a minimum-ionising particle is 0.057 in 4 mm of argon, and
    recombination takes an eighth of that."""
    time_noise: float = eqx.field(static=True, default=0.5)
    """[us]: 0.8 mm of drift, of a track that scatters between its kinks."""

    def __check_init__(self) -> None:
        for name in ("charge_noise", "relative", "time_noise"):
            value = getattr(self, name)
            if not value > 0:
                raise ValueError(f"StragglingHits: {name} = {value}: expected a positive number")

    def residuals(self, predicted: Observables, observed: Observables) -> Residuals:
        parts = []
        for name, mine in predicted.items():
            theirs = observed[name]
            late = time_residuals(mine, theirs, self.time_noise, UNLIKELY)
            parts += [self._charges(mine, theirs), late.ravel(), hit_residuals(mine, theirs).ravel()]
        return jnp.concatenate(parts)

    def width(self, charge: Float[Array, "..."], noise: Float[Array, "..."] | float) -> Float[Array, "..."]:
        """W of Moyal's form [electrons] for this `charge` and `noise` [electrons]: w^2 = 2 xi^2 + noise^2.

        Landau's distribution is wider than Moyal's form with its xi; with this w the curvature J^T J is the
        inverse variance of what is fitted, within 10 % for any mixture of the two.
        """
        return jnp.sqrt(noise**2 + 2 * (self.relative * charge) ** 2)

    def _charges(self, mine: Hits, theirs: Hits) -> Float[Array, " p"]:
        """Residuals of the charge of pads."""
        happened = theirs.probability > 0.5
        first = jax.lax.stop_gradient(mine.probability[:, 0])
        both = happened[:, 0] & (first > SURE) & mine.valid & (mine.total > 0)
        total = jnp.where(both, mine.total, 1.0)
        held = jax.lax.stop_gradient(total)
        noise = self.charge_noise * jnp.sqrt(jnp.maximum(jnp.sum(happened, axis=1), 1))
        width, xi = self.width(held, noise), self.relative * held
        typical = total + xi * jnp.log(width / xi) - noise**2 / (2 * width)
        measured = jnp.sum(jnp.where(happened, theirs.charge, 0.0), axis=1)
        weight = jnp.where(both, (first - SURE) / (1 - SURE), 0.0)
        return weight * moyal_residual(jnp.where(both, measured - typical, 0.0) / width)


def moyal_residual(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """sign(u) sqrt(u + exp(-u) - 1), by its tangent below `EDGE`; u / sqrt(2) near 0."""
    inside = jnp.where(u > EDGE, u, EDGE)
    value = _root(inside)
    edge = jnp.asarray(EDGE, u.dtype)
    slope = (1 - jnp.exp(-edge)) / (2 * _root(edge))
    return jnp.where(u > EDGE, value, value + slope * (u - EDGE))


def _root(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """U sqrt((u + exp(-u) - 1) / u^2), by its series where that is 0 / 0."""
    small = jnp.abs(u) < 0.05
    safe = jnp.where(small, 1.0, u)
    ratio = jnp.where(small, 0.5 - u / 6 + u**2 / 24, (safe + jnp.exp(-safe) - 1) / safe**2)
    return u * jnp.sqrt(ratio)
