"""Drift volumes: boxes of liquid argon with a cathode on one face and an anode on the opposite one.

Every volume has its own frame: `drift` is the distance to the anode, `across` and `up` are
coordinates in the anode plane, measured from its centre. `across` = drift direction x up, so two
volumes that face each other are turned, not mirrored, and their wire angles change sign as built.
"""

from itertools import product
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import ArrayLike

_AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}

TOLERANCE = 0.1
"""[cm]: sensitive volumes of simulated geometries exceed the nominal active volume by up to half a
millimetre (Module 0: 62.054 cm against 62 cm), which is no reason to move a file."""
GAP = 20.0
"""[cm]: volumes closer than this (modules of one detector) are one place to put events; the cryostats of
ICARUS, 124 cm apart, are two."""

Box = tuple[np.ndarray, np.ndarray]
"""Lower and upper corner [cm]."""


@runtime_checkable
class Region(Protocol):
    """Where a detector is sensitive, as placement and displays need to know it: drift volumes or a tank."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of its volumes."""
        ...

    @property
    def bounds(self) -> Box:
        """Of the box around all of it."""
        ...

    @property
    def axes(self) -> set[int]:
        """Main axes: those of the drift, or of the tank."""
        ...

    def locate(self, points: Float[np.ndarray, "n 3"]) -> Int[np.ndarray, " n"]:
        """Index of the volume that holds each point, -1 outside."""
        ...

    @property
    def boxes(self) -> list[Box]:
        """Around every volume."""
        ...

    def groups(self) -> list[Box]:
        """Separate places where events can be put."""
        ...

    def encloses(self, points: Float[np.ndarray, "n 3"]) -> bool:
        """Whether all points are inside, or in small gaps."""
        ...

    def random_point(self, rng: np.random.Generator) -> Float[np.ndarray, " 3"]:
        """Uniform in the volume [cm]."""
        ...

    def frame(self) -> Float[np.ndarray, "l 2 3"]:
        """Lines by which a three-dimensional view shows it [cm]."""
        ...


class Volumes(eqx.Module):
    """Drift volumes of a detector, one row each [cm]."""

    low: Float[np.ndarray, "v 3"]
    high: Float[np.ndarray, "v 3"]
    anode: Float[np.ndarray, "v 3"]
    """Centre of the anode face."""
    drift: Float[np.ndarray, "v 3"]
    """Unit vector along the drift of electrons."""
    across: Float[np.ndarray, "v 3"]
    up: Float[np.ndarray, "v 3"]
    names: tuple[str, ...] = eqx.field(static=True)

    @classmethod
    def from_boxes(
        cls,
        centers: ArrayLike,
        size: ArrayLike,
        drift: list[str],
        *,
        up: str = "+y",
        names: list[str] | None = None,
    ) -> "Volumes":
        """Boxes of `size` (one for all, or one each) at `centers`; `drift` names the axis of each."""
        centers = np.atleast_2d(np.asarray(centers, float))
        directions = np.array([axis_vector(axis) for axis in drift])
        vertical = axis_vector(up)
        if centers.shape[1] != 3 or len(directions) != len(centers):
            raise ValueError(
                f"volumes: {len(centers)} centers need as many drift directions, got {len(drift)}"
            )
        if any(abs(direction @ vertical) > 1e-9 for direction in directions):
            raise ValueError(f"volumes: drift {drift} must be perpendicular to up {up!r}")
        half = np.broadcast_to(np.asarray(size, float) / 2, centers.shape)
        if (half <= 0).any():
            raise ValueError(f"volumes: size must be three positive lengths, got {size}")
        faces = np.linalg.norm(half * (1 - np.abs(directions)), axis=1)
        if np.ptp(faces) > 1e-6:
            raise ValueError("volumes: every volume needs an anode face of the same size")
        return cls(
            low=centers - half,
            high=centers + half,
            anode=centers + directions * half,
            drift=directions,
            across=np.cross(directions, vertical),
            up=np.broadcast_to(vertical, centers.shape).copy(),
            names=tuple(names or [str(i) for i in range(len(centers))]),
        )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def drift_length(self) -> float:
        """Longest drift [cm]."""
        return float(np.max(np.abs(np.sum((self.high - self.low) * self.drift, axis=1))))

    @property
    def face(self) -> tuple[float, float]:
        """Extent of the anode face (across, up) [cm]."""
        size = self.high - self.low
        return (
            float(np.abs(np.sum(size * self.across, axis=1)).max()),
            float(np.abs(np.sum(size * self.up, axis=1)).max()),
        )

    def anode_axes(self, volume: int) -> list[tuple[str, float, float]]:
        """(name, coordinate of the anode's centre [cm], sign) of the axes along `across` and `up`."""
        found = []
        for direction in (self.across[volume], self.up[volume]):
            axis = int(np.argmax(np.abs(direction)))
            found.append(("xyz"[axis], float(self.anode[volume, axis]), float(np.sign(direction[axis]))))
        return found

    def locate(self, points: Float[np.ndarray, "n 3"]) -> Int[np.ndarray, " n"]:
        """Index of the volume that holds each point, -1 outside all of them."""
        found = np.full(len(points), -1)
        for index in range(len(self)):
            inside = np.all((points >= self.low[index]) & (points <= self.high[index]), axis=1)
            found[inside & (found < 0)] = index
        return found

    def to_local(
        self, points: Float[Array, "n 3"], volume: Int[Array, " n"]
    ) -> tuple[Float[Array, " n"], Float[Array, " n"], Float[Array, " n"]]:
        """(across, up, distance to the anode) of `points` in their `volume` [cm]."""
        offset = points - jnp.asarray(self.anode, points.dtype)[volume]
        across = jnp.sum(offset * jnp.asarray(self.across, points.dtype)[volume], axis=1)
        up = jnp.sum(offset * jnp.asarray(self.up, points.dtype)[volume], axis=1)
        distance = -jnp.sum(offset * jnp.asarray(self.drift, points.dtype)[volume], axis=1)
        return across, up, distance

    def to_global(
        self, across: np.ndarray, up: np.ndarray, distance: np.ndarray, volume: np.ndarray
    ) -> Float[np.ndarray, "n 3"]:
        """The inverse of `to_local`."""
        return (
            self.anode[volume]
            + across[:, None] * self.across[volume]
            + up[:, None] * self.up[volume]
            - distance[:, None] * self.drift[volume]
        )

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner of the box around all volumes [cm]."""
        return self.low.min(axis=0), self.high.max(axis=0)

    @property
    def axes(self) -> set[int]:
        """Axes along which electrons drift."""
        return {int(axis) for axis in np.argmax(np.abs(np.asarray(self.drift)), axis=1)}

    @property
    def boxes(self) -> list[Box]:
        """All volumes."""
        return list(zip(self.low, self.high, strict=True))

    def groups(self) -> list[Box]:
        """Boxes around volumes that are neighbours, in the order of the volumes."""
        boxes: list[Box] = []
        for low, high in self.boxes:
            near = [box for box in boxes if (low <= box[1] + GAP).all() and (high >= box[0] - GAP).all()]
            merged = (
                np.min([low, *(box[0] for box in near)], axis=0),
                np.max([high, *(box[1] for box in near)], axis=0),
            )
            position = min(
                (i for i, box in enumerate(boxes) if any(box is one for one in near)), default=len(boxes)
            )
            boxes = [box for box in boxes if not any(box is one for one in near)]
            boxes.insert(position, merged)
        return boxes

    def encloses(self, points: Float[np.ndarray, "n 3"]) -> bool:
        """Whether every point is in an active volume, or in a small gap between them."""
        inside = [
            ((points >= low - TOLERANCE) & (points <= high + TOLERANCE)).all(axis=1)
            for low, high in self.groups()
        ]
        return bool(np.any(inside, axis=0).all())

    def random_point(self, rng: np.random.Generator) -> Float[np.ndarray, " 3"]:
        """Uniform in all volumes [cm]."""
        size = np.asarray(self.high) - np.asarray(self.low)
        content = size.prod(axis=1)
        chosen = rng.choice(len(self), p=content / content.sum())
        return self.low[chosen] + size[chosen] * rng.uniform(size=3)

    def frame(self) -> Float[np.ndarray, "l 2 3"]:
        """The edges of all volumes [cm]."""
        corners = np.array(list(product((0, 1), repeat=3)))
        edges = [(a, b) for a in corners for b in corners if (b - a).sum() == 1 and (b >= a).all()]
        ends = np.array(edges)
        low, size = self.low[:, None, None], (self.high - self.low)[:, None, None]
        return (low + ends * size).reshape(-1, 2, 3)


def axis_vector(name: str) -> np.ndarray:
    """Unit vector of "+x", "-z", "y"."""
    letter = str(name).lstrip("+-")
    if letter not in _AXES:
        raise ValueError(f"axis {name!r}: expected one of x, y, z with an optional sign")
    return np.array(_AXES[letter]) * (-1.0 if str(name).startswith("-") else 1.0)
