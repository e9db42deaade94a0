"""Tanks and tracks that the tests of light share."""

from typing import Any

import numpy as np

from dptoolkit.events import Segments, segments_from_arrays
from dptoolkit.light.cherenkov import Cherenkov
from dptoolkit.light.medium import AbstractMedium, Clear, Water
from dptoolkit.light.plates import Plates
from dptoolkit.light.sensor import Photosensor
from dptoolkit.optical import OpticalDetector
from dptoolkit.tanks import Cylinder

STRAIGHT = 1e12
"""Radiation length at which particles do not scatter."""


def small_tank(
    medium: AbstractMedium | None = None, radiation_length: float = 36.08, step: float = 2.0, **tank: Any
) -> OpticalDetector:
    """A cylinder of 6 m with about a hundred 20-inch sensors."""
    shape = {
        "radius": 600.0,
        "height": 700.0,
        "spacing": 180.0,
        "columns": 21,
        "rows": 3,
        "top": 21,
        "bottom": 21,
    }
    return OpticalDetector(
        tank=Cylinder(**(shape | tank)),
        medium=medium or Water(),
        cherenkov=Cherenkov(radiation_length=radiation_length),
        sensor=Photosensor(radius=25.4),
        step=step,
    )


def clear_tank(**more: Any) -> OpticalDetector:
    """The same without dispersion, loss and scattering."""
    return small_tank(medium=Clear(), radiation_length=STRAIGHT, **more)


def track(
    length: float,
    n: int,
    energy: float = 500.0,
    start: tuple[float, ...] = (80.0, -60.0, 150.0),
    towards: tuple[float, ...] = (0.4, 0.2, -0.9),
    loss: float = 2.2,
    pdg: int = 13,
    **more: Any,
) -> Segments:
    """A straight muon of `n` steps that loses `loss` [MeV/cm] from `energy` [MeV] on."""
    unit = np.asarray(towards) / np.linalg.norm(towards)
    passed = np.linspace(0, length, n + 1)
    points, kinetic = np.asarray(start) + passed[:, None] * unit, energy - loss * passed
    return segments_from_arrays(
        points[:-1],
        points[1:],
        np.full(n, loss * length / n),
        kinetic=np.stack([kinetic[:-1], kinetic[1:]], axis=1),
        pdg=pdg,
        **more,
    )


def closed_plates(size: np.ndarray) -> Plates:
    """All six walls of a box are plates."""
    places = [(axis, sign) for axis in range(3) for sign in (-1, 1)]
    center = np.array([np.eye(3)[axis] * size / 2 * sign for axis, sign in places])
    sides = np.array([np.delete(size, axis) for axis, _ in places])
    return Plates.on_walls(center, sides, np.array([axis for axis, _ in places]))
