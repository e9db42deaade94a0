"""Hits of tracks whose energy loss fluctuates: a likelihood with a tail, in place of the charges themselves.

The charge of a hit is that of the most probable loss plus Landau's fluctuation, here in Moyal's form
(Phil. Mag. 46 (1955) 263): with u = (charge - most probable) / w its -ln L is (u + exp(-u)) / 2, stated as the
residual sign(u) sqrt(u + exp(-u) - 1). Far above, where delta rays are, it grows as sqrt(u) only. Below, where
noise and a neighbour's charge matter more than Landau's steep edge, it goes on linearly.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dptoolkit.events import Hits
from dptoolkit.inference.alignment import Observables
from dptoolkit.inference.losses import AbstractResidualLoss, Residuals

EDGE = -1.5
"""u below which the residual is continued by its tangent."""


class StragglingHits(AbstractResidualLoss):
    """-ln L of noisy hits of a track, each given those before it on its pad (see `HitLikelihood`).

    Widths are held. A charge has the width of its noise and of the fluctuation of the energy loss, a time that
    of its noise and of what a smooth track leaves out; times far off count as sqrt(2 |t|), and
    hits or pads without one where the other is certain cost a constant.
    """

    sequential = True
    relative: float = eqx.field(static=True, default=0.07)
    """Moyal's width of the charge over its most probable value: xi / loss of a minimum-ionising particle in
    4 mm of argon is 0.055, and a path that is not known adds."""
    time_noise: float = eqx.field(static=True, default=0.3)
    """[us]: 0.5 mm of drift."""
    unlikely: float = eqx.field(static=True, default=0.05)
    """Probabilities count as at least this, and at most 1 minus this."""

    def __check_init__(self) -> None:
        for name in ("relative", "time_noise"):
            if not getattr(self, name) > 0:
                raise ValueError(
                    f"StragglingHits: {name} = {getattr(self, name)}: expected a positive number"
                )
        if not 0 < self.unlikely < 0.5:
            raise ValueError(f"StragglingHits: unlikely = {self.unlikely}: expected between 0 and 0.5")

    def __call__(self, predicted: Observables, observed: Observables) -> Float[Array, ""]:
        total = jnp.zeros(())
        for name, mine in predicted.items():
            both, charge, time, width = self._differences(mine, observed[name])
            chance = jnp.clip(mine.probability, self.unlikely, 1 - self.unlikely)
            said = -jnp.where(observed[name].probability > 0.5, jnp.log(chance), jnp.log1p(-chance))
            terms = jnp.where(both, 0.5 * (charge**2 + time**2) + jnp.log(width), 0.0) + said
            total = total + jnp.sum(jnp.where(mine.valid[:, None], terms, 0.0))
        return total

    def residuals(self, predicted: Observables, observed: Observables) -> Residuals:
        parts = []
        for name, mine in predicted.items():
            both, charge, time, _ = self._differences(mine, observed[name])
            held = jax.lax.stop_gradient(jnp.clip(mine.probability, self.unlikely, 1 - self.unlikely))
            said = (mine.probability - observed[name].probability) / jnp.sqrt(held * (1 - held))
            in_doubt = (mine.probability > self.unlikely) & (mine.probability < 1 - self.unlikely)
            said = jnp.where(in_doubt & mine.valid[:, None], said, 0.0)
            parts += [
                jnp.where(part_in, part, 0.0).ravel() for part_in, part in ((both, charge), (both, time))
            ]
            parts.append(said.ravel())
        return jnp.concatenate(parts)

    def _differences(self, mine: Hits, theirs: Hits) -> tuple[Array, Array, Array, Array]:
        """Which hits are compared; residuals of charge and time; the product of their widths."""
        both = (theirs.probability > 0.5) & (mine.probability > self.unlikely) & mine.valid[:, None]
        held = jax.lax.stop_gradient
        noise = held(jnp.where(both, mine.charge_sigma, 1.0))
        charge_width = jnp.sqrt(noise**2 / 2 + (self.relative * held(jnp.where(both, mine.charge, 1.0))) ** 2)
        time_width = jnp.sqrt(held(jnp.where(both, mine.time_sigma, 1.0)) ** 2 + self.time_noise**2)
        charge = moyal_residual(jnp.where(both, theirs.charge - mine.charge, 0.0) / charge_width)
        time = soft_residual(jnp.where(both, theirs.time - mine.time, 0.0) / time_width)
        return both, charge, time, charge_width * time_width


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
