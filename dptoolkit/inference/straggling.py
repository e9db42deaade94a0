"""Hits of tracks whose energy loss fluctuates: residuals with a tail.

The charge of a hit is that of the typical loss plus Landau's fluctuation, here in Moyal's form
(Phil. Mag. 46 (1955) 263): with u = (charge - typical) / w its -ln L is (u + exp(-u)) / 2, stated as
the residual sign(u) sqrt(u + exp(-u) - 1). Far above, where delta rays are, it grows as sqrt(u) only. Below,
where noise and a neighbour's charge matter more than Landau's steep edge, it goes on linearly.
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dptoolkit.events import Hits
from dptoolkit.inference.alignment import Observables
from dptoolkit.inference.losses import AbstractResidualLoss, Residuals

UNLIKELY = 1e-3
"""Charges and times of hits below this probability are not looked at."""
EDGE = -1.5
"""u below which the residual is continued by its tangent."""


class StragglingHits(AbstractResidualLoss):
    """Half the squares of residuals of the hits of a track, each given those before it on its pad.

    Charge and time count as much as the model is sure of the hit, sqrt(P); whether it happened counts as
    2 (P - happened), which is bounded: a hit or pad that the model cannot know of costs a constant. The width
    of a charge has its noise and the fluctuation of the energy loss in it, that of a time its noise and what
    a smooth track leaves out; times far off count as sqrt(2 |t|). All weights are held, so that every
    residual pulls on the mean alone.
    """

    sequential: ClassVar[bool] = True
    relative: float = eqx.field(static=True, default=0.07)
    """Moyal's width of the charge over its typical value: xi / loss of a minimum-ionising particle in
    4 mm of argon is 0.055, and a path that is not known adds."""
    time_noise: float = eqx.field(static=True, default=0.5)
    """[us]: 0.8 mm of drift, of a track that scatters between its kinks."""

    def __check_init__(self) -> None:
        for name in ("relative", "time_noise"):
            value = getattr(self, name)
            if not value > 0:
                raise ValueError(f"StragglingHits: {name} = {value}: expected a positive number")

    def residuals(self, predicted: Observables, observed: Observables) -> Residuals:
        parts = []
        for name, mine in predicted.items():
            said = jnp.where(mine.valid[:, None], 2 * (mine.probability - observed[name].probability), 0.0)
            parts += [part.ravel() for part in (*self._differences(mine, observed[name]), said)]
        return jnp.concatenate(parts)

    def _differences(self, mine: Hits, theirs: Hits) -> tuple[Array, Array]:
        """Residuals of charge and time."""
        both = (theirs.probability > 0.5) & (mine.probability > UNLIKELY) & mine.valid[:, None]
        hits = jax.lax.stop_gradient(mine)
        weight = jnp.where(both, jnp.sqrt(jnp.where(both, hits.probability, 1.0)), 0.0)
        noise, charge = jnp.where(both, hits.charge_sigma, 1.0), jnp.where(both, hits.charge, 1.0)
        # a Gaussian of width s is Moyal's form of width s / sqrt(2) near its peak
        charge_width = jnp.sqrt(noise**2 / 2 + (self.relative * charge) ** 2)
        time_width = jnp.sqrt(jnp.where(both, hits.time_sigma, 1.0) ** 2 + self.time_noise**2)
        charge = moyal_residual(jnp.where(both, theirs.charge - mine.charge, 0.0) / charge_width)
        time = soft_residual(jnp.where(both, theirs.time - mine.time, 0.0) / time_width)
        return weight * charge, weight * time


def moyal_residual(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """sign(u) sqrt(u + exp(-u) - 1), by its tangent below `EDGE`; u / sqrt(2) near 0."""
    inside = jnp.where(u > EDGE, u, EDGE)
    value = _root(inside)
    edge = jnp.asarray(EDGE, u.dtype)
    slope = (1 - jnp.exp(-edge)) / (2 * _root(edge))
    return jnp.where(u > EDGE, value, value + slope * (u - EDGE))


def soft_residual(t: Float[Array, "..."]) -> Float[Array, "..."]:
    """T near 0, sign(t) sqrt(2 |t|) far off: half its square is sqrt(1 + t^2) - 1."""
    # sqrt(1 + t^2) - 1 = t^2 / (1 + sqrt(1 + t^2)), which has a smooth root
    return t * jnp.sqrt(2 / (1 + jnp.sqrt(1 + t**2)))


def _root(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """U sqrt((u + exp(-u) - 1) / u^2), by its series where that is 0 / 0."""
    small = jnp.abs(u) < 0.05
    safe = jnp.where(small, 1.0, u)
    ratio = jnp.where(small, 0.5 - u / 6 + u**2 / 24, (safe + jnp.exp(-safe) - 1) / safe**2)
    return u * jnp.sqrt(ratio)
