"""The box in which the light of a drift volume goes to and fro: six walls, parts of which are plates."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from dptoolkit.light.plates import AXES, Plates

TOLERANCE = 1e-6
"""Plates of one wall may lie this far from its plane [cm]."""

Vector = tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]
"""One array a coordinate, which compilers vectorise better than a last axis of three."""


class LightBox(eqx.Module):
    """Walls at `low` and `high` [cm], from the middle of the drift volume, and the plates on them.

    A wall with plates stands where they are, outside the drift volume or at its border; the others are the
    faces of the drift volume.
    """

    low: Float[np.ndarray, " 3"]
    high: Float[np.ndarray, " 3"]
    plates: Plates
    wall: Int[np.ndarray, " p"]
    """Of every plate: 2 axis + (1 for the upper wall)."""

    @classmethod
    def around(cls, size: Float[np.ndarray, " 3"], plates: Plates) -> "LightBox":
        """Of a drift volume of this `size` [cm].

        Raises `ValueError` if plates lie inside the volume, over an edge, on each other, or at several
        depths of a wall.
        """
        ends = np.stack([-size / 2, size / 2])
        axis = np.argmax(np.abs(plates.inwards), axis=1)
        wall = 2 * axis + (plates.inwards[np.arange(len(plates)), axis] < 0)
        for one in np.unique(wall):
            axis, upper = divmod(int(one), 2)
            where = plates.center[wall == one, axis]
            if np.ptp(where) > TOLERANCE:
                raise ValueError(
                    f"plates of the wall at {'-+'[upper]}{AXES[axis]} lie at {where.min():g} to "
                    f"{where.max():g} cm; expected one plane"
                )
            if abs(where[0]) < abs(ends[upper, axis]) - TOLERANCE:
                raise ValueError(
                    f"plates at {AXES[axis]} = {where[0]:g} cm are inside the drift volume, which ends at "
                    f"{ends[upper, axis]:g} cm"
                )
            ends[upper, axis] = where[0]
        box = cls(ends[0], ends[1], plates, wall)
        box._check()
        return box

    def on_plate(self, point: Vector, wall: Int[Array, ""]) -> Bool[Array, " p"]:
        """Which plate a point of a wall is on."""
        along, across = self.in_plane(point)
        half = jnp.asarray(self.plates.half, point[0].dtype)
        inside = (jnp.abs(along) <= half[:, 0]) & (jnp.abs(across) <= half[:, 1])
        return inside & (jnp.asarray(self.wall) == wall)

    def in_plane(self, point: Vector) -> tuple[Float[Array, " p"], Float[Array, " p"]]:
        """From the middle of every plate, along its two sides [cm]."""
        offset = [point[k] - jnp.asarray(self.plates.center[:, k], point[k].dtype) for k in range(3)]
        return self.along(offset, 0), self.along(offset, 1)

    def along(self, vector: tuple[Array, Array, Array] | list[Array], side: int) -> Float[Array, " p"]:
        """Component of a vector along the first or second side of every plate."""
        sides = jnp.asarray(self.plates.sides, vector[0].dtype)
        return vector[0] * sides[:, side, 0] + vector[1] * sides[:, side, 1] + vector[2] * sides[:, side, 2]

    def _check(self) -> None:
        rows = np.arange(len(self.wall))
        reach = np.abs(self.plates.sides).transpose(0, 2, 1) @ self.plates.half[..., None]
        low, high = self.plates.center - reach[..., 0], self.plates.center + reach[..., 0]
        if (low < self.low - TOLERANCE).any() or (high > self.high + TOLERANCE).any():
            which = int(
                np.argmax(((low < self.low - TOLERANCE) | (high > self.high + TOLERANCE)).any(axis=1))
            )
            raise ValueError(f"plate {which} reaches over the edge of its wall")
        for one in rows:
            free = np.delete(np.arange(3), self.wall[one] // 2)
            others = rows[(self.wall == self.wall[one]) & (rows > one)]
            common = np.minimum(high[others], high[one]) - np.maximum(low[others], low[one])
            hidden = (common[:, free] > TOLERANCE).all(axis=1)
            if hidden.any():
                raise ValueError(f"plates {one} and {others[hidden][0]} overlap")
