"""A stopping muon drawn by hand: a curved path with the energy loss of its range, seen by wire planes."""

import numpy as np

from dptoolkit.reconstruction.seed import _range_energy
from dptoolkit.reconstruction.views import View

DIRECTION = np.array([0.3, 0.25, 1.0]) / np.linalg.norm([0.3, 0.25, 1.0])
ANGLES = (np.pi / 3, -np.pi / 3, 0.0)
PITCH, STEP = 0.3, 0.1


def path(length: float = 60.0, curve: float = 3.0, direction: np.ndarray = DIRECTION) -> np.ndarray:
    """Points every millimetre; the end is `curve` [cm] off the first direction."""
    t = np.linspace(0, 1, round(length / STEP) + 1)[:, None]
    side = np.cross(direction, [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    return np.array([5.0, 3.0, -20.0]) + t * length * direction + curve * t**3 * side


def deposits(points: np.ndarray, rng: np.random.Generator, michel: bool) -> tuple[np.ndarray, np.ndarray]:
    """(places, charges) of its steps, and of an electron of 12 cm that goes on where it stops."""
    left = STEP * np.arange(len(points))[::-1]
    de = -np.diff(np.interp(left, *_range_energy("muon")))
    de = de * (1 + 0.15 * rng.normal(size=len(de)))
    charge = de / (1 + 0.0486 * de / STEP / (1.396 * 0.5))
    middle = (points[1:] + points[:-1]) / 2
    if michel:
        electron = points[-1] + np.linspace(0, 12, 120)[:, None] * np.array([0.2, 0.3, 0.93])
        middle, charge = np.concatenate([middle, electron]), np.concatenate([charge, np.full(120, 0.15)])
    return middle, charge


def views_of_muon(points: np.ndarray, rng: np.random.Generator, michel: bool = False) -> list[View]:
    """What three planes of wires see, drift along x; only the last one collects."""
    middle, charge = deposits(points, rng, michel)
    views = []
    for angle in ANGLES:
        across = np.array([0.0, np.sin(angle), np.cos(angle)])
        wires, which = np.unique(np.floor(middle @ across / PITCH), return_inverse=True)
        total = np.bincount(which, charge)
        x = np.bincount(which, charge * middle[:, 0]) / total + 0.05 * rng.normal(size=len(wires))
        places = np.stack([(wires + 0.5) * PITCH, x], axis=1)
        views.append(View(np.stack([across, [1.0, 0.0, 0.0]]), places, total, angle == 0.0))
    return views
