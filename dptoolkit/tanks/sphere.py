"""Spheres covered evenly with photosensors."""

from functools import lru_cache
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from dptoolkit.geometry import Box
from dptoolkit.params import setting
from dptoolkit.tanks.base import CIRCLE, AbstractTank, SensorArray, check_counts, check_positive

GOLDEN = np.pi * (3 - np.sqrt(5))
"""Angle that a circle is turned by from one sensor to the next: no two ever come close."""
NEWTON_STEPS = 60


class Sphere(AbstractTank):
    """`number` sensors on a spiral from pole to pole, each with the same share of the wall."""

    radius: float = setting("cm")
    """Of the surface that carries the sensors [cm]."""
    number: int = setting()
    surfaces: ClassVar[tuple[str, ...]] = ("sphere",)
    unrolled_axes: ClassVar[tuple[str, str]] = ("longitude (Mollweide)", "latitude (Mollweide)")

    def __check_init__(self) -> None:
        check_positive(self, "radius")
        check_counts(self, number=self.number)

    @property
    def sensors(self) -> SensorArray:
        return _spiral(self.radius, self.number)

    @property
    def bounds(self) -> Box:
        corner = np.full(3, self.radius)
        return -corner, corner

    @property
    def longest_path(self) -> float:
        return 2 * self.radius

    def locate(self, points: Float[np.ndarray, "n 3"]) -> Int[np.ndarray, " n"]:
        return np.where(np.linalg.norm(points, axis=1) <= self.radius, 0, -1)

    def random_point(self, rng: np.random.Generator) -> Float[np.ndarray, " 3"]:
        direction = rng.normal(size=3)
        return self.radius * np.cbrt(rng.uniform()) * direction / np.linalg.norm(direction)

    def unrolled(self) -> Float[np.ndarray, "k 2"]:
        """Mollweide's map, which keeps areas: its middle is +x, its upper end +z."""
        s = self.sensors
        height = s.z / self.radius
        # 2 t + sin(2 t) = pi sin(latitude); Newton's steps are halved at the poles, where the root is double
        t = np.arcsin(height)
        for _ in range(NEWTON_STEPS):
            slope = 2 + 2 * np.cos(2 * t)
            t = t - 0.5 * (2 * t + np.sin(2 * t) - np.pi * height) / np.where(slope > 1e-9, slope, np.inf)
        across = 2 * np.sqrt(2) / np.pi * self.radius * np.arctan2(s.y, s.x) * np.cos(t)
        return np.stack([across, np.sqrt(2) * self.radius * np.sin(t)], axis=1)

    def unrolled_outline(self) -> list[np.ndarray]:
        return [np.sqrt(2) * self.radius * CIRCLE * np.array([2.0, 1.0])]

    def frame(self) -> Float[np.ndarray, "l 2 3"]:
        circle = self.radius * CIRCLE
        rings = [np.insert(circle, axis, 0.0, axis=1) for axis in range(3)]
        return np.concatenate([np.stack([ring[:-1], ring[1:]], axis=1) for ring in rings])


@lru_cache(maxsize=16)
def _spiral(radius: float, number: int) -> SensorArray:
    z = 1 - (2 * np.arange(number) + 1) / max(number, 1)
    across, angle = np.sqrt(1 - z**2), GOLDEN * np.arange(number)
    normal = -np.stack([across * np.cos(angle), across * np.sin(angle), z], axis=1)
    position = -radius * normal
    return SensorArray(*position.T, *normal.T, surface=np.zeros(number, int))
