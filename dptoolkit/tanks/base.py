"""What every tank tells: where its sensors are and where they look, and what placement and displays ask."""

from abc import abstractmethod

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from dptoolkit.geometry import Box
from dptoolkit.params import Component

CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 97)) for f in (np.cos, np.sin)], axis=1)
"""Of radius 1, for outlines."""


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
    unrolled_axes: eqx.AbstractClassVar[tuple[str, str]]
    """What the axes of the flat picture of the wall are called."""

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
        """At least from anywhere inside to any sensor [cm]."""

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


def check_positive(tank: AbstractTank, *names: str) -> None:
    """Raise a `ValueError` unless these lengths [cm] are positive."""
    for name in names:
        if not getattr(tank, name) > 0:
            raise ValueError(
                f"{type(tank).__name__}.{name} = {getattr(tank, name):g} cm: expected a positive length"
            )


def check_counts(tank: AbstractTank, **numbers: int) -> None:
    """Raise a `ValueError` unless these numbers of sensors are 0 or more."""
    for name, number in numbers.items():
        if number < 0:
            raise ValueError(f"{type(tank).__name__}.{name} = {number}: expected no fewer than 0 sensors")
