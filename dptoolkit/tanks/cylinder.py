"""Standing cylinders. The axis is z, the centre the origin; columns of the barrel begin at x = radius."""

from functools import lru_cache
from typing import ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from dptoolkit.geometry import Box
from dptoolkit.params import setting
from dptoolkit.tanks.base import CIRCLE, AbstractTank, SensorArray, check_counts, check_positive

SURFACES = ("barrel", "top", "bottom")


class AbstractCylinder(AbstractTank):
    """What a cylinder is, whatever its sensors: a barrel between two caps."""

    radius: eqx.AbstractVar[float]
    """Of the surface that carries the sensors [cm]."""
    height: eqx.AbstractVar[float]
    columns: eqx.AbstractVar[int]
    turn: eqx.AbstractVar[float]
    """Azimuth of the first column [rad]."""
    surfaces: ClassVar[tuple[str, ...]] = SURFACES
    unrolled_axes: ClassVar[tuple[str, str]] = ("around the barrel", "height")

    @property
    def bounds(self) -> Box:
        corner = np.array([self.radius, self.radius, self.height / 2])
        return -corner, corner

    @property
    def longest_path(self) -> float:
        return float(np.hypot(2 * self.radius, self.height))

    def locate(self, points: Float[np.ndarray, "n 3"]) -> Int[np.ndarray, " n"]:
        inside = np.hypot(points[:, 0], points[:, 1]) <= self.radius
        return np.where(inside & (np.abs(points[:, 2]) <= self.height / 2), 0, -1)

    def random_point(self, rng: np.random.Generator) -> Float[np.ndarray, " 3"]:
        distance, angle = self.radius * np.sqrt(rng.uniform()), rng.uniform(0, 2 * np.pi)
        return np.array(
            [distance * np.cos(angle), distance * np.sin(angle), self.height * (rng.uniform() - 0.5)]
        )

    def unrolled(self) -> Float[np.ndarray, "k 2"]:
        """The barrel cut near -x, seen from outside; the caps above and below where they touch it at +x."""
        s = self.sensors
        angle = self._seam + np.mod(np.arctan2(s.y, s.x) - self._seam, 2 * np.pi)
        flat = np.stack([self.radius * angle, s.z], axis=1)
        offset = self.height / 2 + self.radius
        top = np.stack([s.y, offset - s.x], axis=1)
        bottom = np.stack([s.y, s.x - offset], axis=1)
        flat = np.where((s.surface == SURFACES.index("top"))[:, None], top, flat)
        return np.where((s.surface == SURFACES.index("bottom"))[:, None], bottom, flat)

    def unrolled_outline(self) -> list[np.ndarray]:
        left, up, offset = self.radius * self._seam, self.height / 2, self.height / 2 + self.radius
        right = left + 2 * np.pi * self.radius
        barrel = np.array([[left, -up], [right, -up], [right, up], [left, up], [left, -up]])
        middle = np.array([0.0, offset])
        return [barrel, self.radius * CIRCLE + middle, self.radius * CIRCLE - middle]

    @property
    def _seam(self) -> float:
        """Azimuth at which the barrel is cut: the middle between two columns."""
        if self.columns == 0:
            return -np.pi
        return self.turn + 2 * np.pi * ((self.columns // 2 + 0.5) / self.columns - 1)

    def frame(self) -> Float[np.ndarray, "l 2 3"]:
        circle, up = self.radius * CIRCLE, self.height / 2
        rings = [np.column_stack([circle, np.full(len(circle), z)]) for z in (-up, up)]
        sides = [np.stack([rings[0][:-1:12], rings[1][:-1:12]], axis=1)]
        return np.concatenate([*(np.stack([ring[:-1], ring[1:]], axis=1) for ring in rings), *sides])


class Cylinder(AbstractCylinder):
    """A square lattice of `columns` x `rows` sensors on the barrel, of `top` and `bottom` on the caps.

    Those of the caps are the places of a lattice, whose cell is centred on the axis, that are closest to it.
    """

    radius: float = setting("cm")
    height: float = setting("cm")
    spacing: float = setting("cm")
    """Of the lattice [cm]."""
    columns: int = setting()
    rows: int = setting()
    top: int = setting(default=0)
    bottom: int = setting(default=0)
    turn: ClassVar[float] = 0.0

    def __check_init__(self) -> None:
        check_positive(self, "radius", "height", "spacing")
        check_counts(self, columns=self.columns, rows=self.rows, top=self.top, bottom=self.bottom)
        if self.rows * self.spacing > self.height + self.spacing:
            raise ValueError(
                f"Cylinder.rows = {self.rows}: {self.rows} x {self.spacing:g} cm is higher than the barrel"
            )

    @property
    def sensors(self) -> SensorArray:
        return _lattice(
            self.radius, self.height, self.spacing, (self.columns, self.rows), (self.top, self.bottom)
        )


def barrel(radius: float, spacing: float, columns: int, rows: int, turn: float = 0.0) -> np.ndarray:
    """x, y, z, nx, ny, nz, surface of every place, row by row from below."""
    angle = np.tile(turn + 2 * np.pi * np.arange(columns) / max(columns, 1), rows)
    z = np.repeat((np.arange(rows) - (rows - 1) / 2) * spacing, columns)
    cos, sin, zero = np.cos(angle), np.sin(angle), np.zeros_like(angle)
    return np.stack([radius * cos, radius * sin, z, -cos, -sin, zero, zero], axis=1)


def cap(x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
    """The same of the places (x, y) on the cap at `z`."""
    ones, zero, surface = np.ones_like(x), np.zeros_like(x), SURFACES.index("top" if z > 0 else "bottom")
    return np.stack([x, y, z * ones, zero, zero, -np.sign(z) * ones, surface * ones], axis=1)


def array(places: np.ndarray) -> SensorArray:
    """Sensors of such rows."""
    columns = places.T
    return SensorArray(*columns[:6], surface=columns[6].astype(int))


def _closest(n: int, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """The `n` places (x, y), closest to the axis, of a square lattice whose cell is centred on it."""
    half = int(np.sqrt(n)) + 2
    line = (np.arange(-half, half) + 0.5) * spacing
    x, y = (grid.ravel() for grid in np.meshgrid(line, line))
    distance = np.round((x**2 + y**2) / spacing**2, 6)
    chosen = np.sort(np.lexsort((x, y, distance))[:n])
    return x[chosen], y[chosen]


@lru_cache(maxsize=16)
def _lattice(
    radius: float, height: float, spacing: float, sides: tuple[int, int], caps: tuple[int, int]
) -> SensorArray:
    places = [barrel(radius, spacing, *sides)]
    places += [cap(*_closest(n, spacing), z) for n, z in zip(caps, (height / 2, -height / 2), strict=True)]
    return array(np.concatenate(places))
