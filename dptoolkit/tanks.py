"""Tanks whose wall carries photosensors: where every sensor is and where it looks.

The axis of a cylinder is z and its centre the origin. Sensors lie on a square lattice: in rings on the barrel
(which row by row begin at x = radius), in rows and columns on the caps, as many as are closest to the axis.
"""

from abc import abstractmethod
from functools import lru_cache
from typing import ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from dptoolkit.geometry import Box
from dptoolkit.params import Component

SURFACES = ("barrel", "top", "bottom")


class SensorArray(eqx.Module):
    """Centres [cm] and normals (into the tank) of flat, round sensors: one array a coordinate."""

    x: Float[np.ndarray, " k"]
    y: Float[np.ndarray, " k"]
    z: Float[np.ndarray, " k"]
    nx: Float[np.ndarray, " k"]
    ny: Float[np.ndarray, " k"]
    nz: Float[np.ndarray, " k"]
    surface: Int[np.ndarray, " k"]
    """Index into `surfaces` of the tank."""

    def __len__(self) -> int:
        return len(self.x)

    @property
    def position(self) -> Float[np.ndarray, "k 3"]:
        """Centres [cm]."""
        return np.stack([self.x, self.y, self.z], axis=1)

    @property
    def normal(self) -> Float[np.ndarray, "k 3"]:
        return np.stack([self.nx, self.ny, self.nz], axis=1)


class AbstractTank(Component):
    """A convex tank: light goes straight from anywhere inside to every sensor."""

    surfaces: eqx.AbstractClassVar[tuple[str, ...]]
    """Names of the parts of the wall."""

    @property
    @abstractmethod
    def sensors(self) -> SensorArray:
        """All sensors; the position in it is the number of a sensor."""

    @property
    @abstractmethod
    def bounds(self) -> Box:
        """Lower and upper corner of the box around it [cm]."""

    @property
    @abstractmethod
    def longest_path(self) -> float:
        """From one point of the wall to another [cm]."""

    @abstractmethod
    def locate(self, points: Float[np.ndarray, "n 3"]) -> Int[np.ndarray, " n"]:
        """0 for every point inside, -1 outside."""

    @abstractmethod
    def random_point(self, rng: np.random.Generator) -> Float[np.ndarray, " 3"]:
        """Uniform in the volume [cm]."""

    @abstractmethod
    def unrolled(self) -> Float[np.ndarray, "k 2"]:
        """Where every sensor is on a flat picture of the wall [cm]."""

    @abstractmethod
    def unrolled_outline(self) -> list[np.ndarray]:
        """Lines (n, 2) around the surfaces on that picture [cm]."""

    @abstractmethod
    def frame(self) -> Float[np.ndarray, "l 2 3"]:
        """Lines by which a three-dimensional view shows it [cm]."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of its volumes: one."""
        return ("tank",)

    @property
    def axes(self) -> set[int]:
        """The axis of the tank is what an `--place X,Y,Z,AXIS` turns a file to."""
        return {2}

    @property
    def boxes(self) -> list[Box]:
        """Around its one volume."""
        return [self.bounds]

    def groups(self) -> list[Box]:
        """The boxes in which a file can be put: one."""
        return [self.bounds]

    def encloses(self, points: Float[np.ndarray, "n 3"]) -> bool:
        """Whether all points are inside."""
        return bool((self.locate(points) >= 0).all())


class Cylinder(AbstractTank):
    """A standing cylinder with `columns` x `rows` sensors on its barrel, `top` and `bottom` on its caps."""

    radius: float = eqx.field(static=True)
    """Of the surface that carries the sensors [cm]."""
    height: float = eqx.field(static=True)
    spacing: float = eqx.field(static=True)
    """Of the lattice [cm]."""
    columns: int = eqx.field(static=True)
    rows: int = eqx.field(static=True)
    top: int = eqx.field(static=True, default=0)
    bottom: int = eqx.field(static=True, default=0)
    surfaces: ClassVar[tuple[str, ...]] = SURFACES

    def __check_init__(self) -> None:
        for name in ("radius", "height", "spacing"):
            if not getattr(self, name) > 0:
                raise ValueError(f"Cylinder.{name} = {getattr(self, name):g} cm: expected a positive length")
        for name in ("columns", "rows", "top", "bottom"):
            if getattr(self, name) < 0:
                raise ValueError(f"Cylinder.{name} = {getattr(self, name)}: expected no fewer than 0 sensors")
        if self.rows * self.spacing > self.height + self.spacing:
            raise ValueError(
                f"Cylinder.rows = {self.rows}: {self.rows} x {self.spacing:g} cm is higher than the barrel"
            )

    @property
    def sensors(self) -> SensorArray:
        return _lattice(
            self.radius, self.height, self.spacing, (self.columns, self.rows), (self.top, self.bottom)
        )

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
        """The barrel cut at -x and seen from outside, the caps above and below where they touch it at +x."""
        s = self.sensors
        flat = np.stack([self.radius * np.arctan2(s.y, s.x), s.z], axis=1)
        offset = self.height / 2 + self.radius
        top = np.stack([s.y, offset - s.x], axis=1)
        bottom = np.stack([s.y, s.x - offset], axis=1)
        flat = np.where((s.surface == SURFACES.index("top"))[:, None], top, flat)
        return np.where((s.surface == SURFACES.index("bottom"))[:, None], bottom, flat)

    def unrolled_outline(self) -> list[np.ndarray]:
        across, up, offset = np.pi * self.radius, self.height / 2, self.height / 2 + self.radius
        barrel = np.array([[-across, -up], [across, -up], [across, up], [-across, up], [-across, -up]])
        circle = self.radius * _circle()
        middle = np.array([0.0, offset])
        return [barrel, circle + middle, circle - middle]

    def frame(self) -> Float[np.ndarray, "l 2 3"]:
        circle, up = self.radius * _circle(), self.height / 2
        rings = [np.column_stack([circle, np.full(len(circle), z)]) for z in (-up, up)]
        sides = [np.stack([rings[0][:-1:12], rings[1][:-1:12]], axis=1)]
        return np.concatenate([*(np.stack([ring[:-1], ring[1:]], axis=1) for ring in rings), *sides])


def _circle() -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 97)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _barrel(radius: float, spacing: float, columns: int, rows: int) -> np.ndarray:
    """x, y, z, nx, ny, nz, surface of every sensor, row by row from below."""
    angle = np.tile(2 * np.pi * np.arange(columns) / max(columns, 1), rows)
    z = np.repeat((np.arange(rows) - (rows - 1) / 2) * spacing, columns)
    cos, sin, zero = np.cos(angle), np.sin(angle), np.zeros_like(angle)
    return np.stack([radius * cos, radius * sin, z, -cos, -sin, zero, zero], axis=1)


def _cap(n: int, spacing: float, z: float, surface: int) -> np.ndarray:
    """The `n` places of a square lattice, whose cell is centred on the axis, that are closest to it."""
    half = int(np.sqrt(n)) + 2
    line = (np.arange(-half, half) + 0.5) * spacing
    x, y = (grid.ravel() for grid in np.meshgrid(line, line))
    distance = np.round((x**2 + y**2) / spacing**2, 6)
    chosen = np.sort(np.lexsort((x, y, distance))[:n])
    x, y = x[chosen], y[chosen]
    ones, zero = np.ones_like(x), np.zeros_like(x)
    return np.stack([x, y, z * ones, zero, zero, -np.sign(z) * ones, surface * ones], axis=1)


@lru_cache(maxsize=16)
def _lattice(
    radius: float, height: float, spacing: float, barrel: tuple[int, int], caps: tuple[int, int]
) -> SensorArray:
    parts = [_barrel(radius, spacing, *barrel)]
    for name, n, z in zip(SURFACES[1:], caps, (height / 2, -height / 2), strict=True):
        parts.append(_cap(n, spacing, z, SURFACES.index(name)))
    columns = np.concatenate(parts).T
    return SensorArray(*columns[:6], surface=columns[6].astype(int))
