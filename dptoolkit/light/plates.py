"""Flat rectangular light collectors on the walls of a drift volume, and their solid angles."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

AXES = "xyz"
EVEN_WITHIN = 1e-6
"""Distance from the middle of the volume that is none [cm]."""


class Plates(eqx.Module):
    """The plates of one drift volume, the same in every one: lengths from the middle of its box [cm]."""

    center: Float[np.ndarray, "p 3"]
    half: Float[np.ndarray, "p 2"]
    """Half lengths along the two sides."""
    sides: Float[np.ndarray, "p 2 3"]
    """Unit vectors of the two sides."""
    inwards: Float[np.ndarray, "p 3"]
    """Unit normals, towards the middle of the volume."""

    @classmethod
    def on_walls(
        cls, center: Float[np.ndarray, "p 3"], size: Float[np.ndarray, "p 2"], axis: Int[np.ndarray, " p"]
    ) -> "Plates":
        """Plates whose normal is the x, y or z `axis`; `size` along the two others in their order."""
        unit, every = np.eye(3), np.arange(len(center))
        sides = np.array([[unit[k] for k in range(3) if k != one] for one in axis])
        inwards = -np.sign(center[every, axis])[:, None] * unit[axis]
        return cls(np.asarray(center, float), np.asarray(size, float) / 2, sides, inwards)

    def __len__(self) -> int:
        return len(self.center)

    @property
    def even(self) -> Bool[np.ndarray, " 3"]:
        """Axes along which every plate is its own mirror image."""
        return np.abs(self.center).max(axis=0) < EVEN_WITHIN

    def solid_angle(
        self, points: Float[Array, "n 3"], back: Float[Array, ""] | float = 0.0
    ) -> Float[Array, "n p"]:
        """Of every plate, seen from points in front of it [cm]; 0 from behind.

        With `back` as seen from so much further away from its wall.

        A rectangle over whose corner (a, b) the point stands at a height d covers
        arctan(a b / (d sqrt(a^2 + b^2 + d^2))); any other is a sum of four such.
        """
        offset = points[:, None] - jnp.asarray(self.center, points.dtype)
        half, sides, inwards = (
            jnp.asarray(part, points.dtype) for part in (self.half, self.sides, self.inwards)
        )
        height = jnp.sum(offset * inwards, axis=2) + back
        along, across = (jnp.sum(offset * sides[:, k], axis=2) for k in (0, 1))
        in_front = height > 0
        d = jnp.where(in_front, height, 1.0)
        total = jnp.zeros_like(d)
        for one in (1, -1):
            for other in (1, -1):
                a, b = along + one * half[:, 0], across + other * half[:, 1]
                total += one * other * jnp.arctan(a * b / (d * jnp.sqrt(a * a + b * b + d * d)))
        return jnp.where(in_front, total, 0.0)
