"""Particles shot into argon, and what came of them."""

from functools import cache

import numpy as np

from dptoolkit.sources.particles import Particles
from dptoolkit.sources.transport import transport


def at_origin(pdg: int, energy: float, n: int) -> Particles:
    """`n` particles, one an event, from the origin along z."""
    key = np.random.default_rng(7).integers(0, 2**64, n, dtype=np.uint64)
    place = {"x": 0.0, "y": 0.0, "z": 0.0, "ux": 0.0, "uy": 0.0, "uz": 1.0, "time": 0.0}
    labels = {"event": np.arange(n), "pdg": pdg, "parent": -1, "semantic": 1 if abs(pdg) > 11 else 0}
    return Particles.of({**place, **labels, "energy": energy}, key)


@cache
def shot(pdg: int, energy: float, n: int) -> tuple[dict[str, np.ndarray], Particles]:
    """Segments and particles of `at_origin` in an endless medium."""
    return transport(at_origin(pdg, energy, n), n, (np.full(3, -1e6), np.full(3, 1e6)))


def chord_angles(points: np.ndarray, path: np.ndarray, length: float) -> np.ndarray:
    """Angles between neighbouring chords that follow the path for `length` [cm]."""
    ends = np.arange(0, path[-1], length)
    at = np.stack([np.interp(ends, path, points[:, axis]) for axis in range(3)], axis=1)
    chords = np.diff(at, axis=0)
    chords /= np.linalg.norm(chords, axis=1)[:, None]
    return np.linalg.norm(np.cross(chords[:-1], chords[1:]), axis=1)
