"""A muon that stops and decays: a small event for demonstrations, which needs no file.

A simple parametrisation and not a generator: the mean energy loss follows

    dE/dx(R) = (m^4 + (8 R^-0.42)^4)^(1/4) MeV/cm,     m = 2.08 MeV/cm, R residual range [cm],

that is the power law of stopping tracks (R. Acciarri et al., JINST 8 (2013) P08005, scaled from
protons to muons) joined to the minimum in liquid argon; fluctuations, delta rays and the
decay electron are drawn from a fixed seed and only look like the real ones.
"""

import numpy as np

from dptoolkit.events import Segments, segments_from_arrays

MINIMUM = 2.08
"""Least mean energy loss of a muon in liquid argon [MeV/cm]; PDG tables."""
STOPPING = 8.0
"""Energy loss at 1 cm of residual range [MeV/cm]."""
ELECTRON = 2.1
"""Energy loss of electrons of some MeV [MeV/cm]."""
LENGTH_STEP = 0.4
"""[cm]"""
MICHEL_ENERGY = 34.0
"""[MeV]"""
DECAY_TIME = 1.7
"""[us]"""

Path = tuple[np.ndarray, np.ndarray]


def example_muon(
    center: tuple[float, float, float] = (0.0, 0.0, 0.0),
    direction: tuple[float, float, float] = (0.35, -0.5, 0.8),
    length: float = 100.0,
    seed: int = 5,
) -> Segments:
    """About 300 segments of a muon whose track of `length` [cm] has its middle at `center` [cm]."""
    rng = np.random.default_rng(seed)
    unit = np.asarray(direction, float) / np.linalg.norm(direction)
    n = max(2, round(length / LENGTH_STEP))
    step = length / n
    muon = _wander(rng, np.zeros(3), unit, n, step, 0.004)
    middle = muon[1][n // 2 - 1]
    start, end = muon[0] - middle, muon[1] - middle
    residual = (n - np.arange(n) - 0.5) * step
    de = stopping_power(residual) * step * rng.gamma(60.0, 1 / 60.0, n)
    parts = [(start, end, de, np.zeros(n), 0, 13)]

    where = np.sort(rng.choice(np.arange(n // 12, n - n // 6), 5, replace=False))
    for number, index in enumerate(where, start=1):
        energy = float(rng.uniform(1.5, 7.0))
        parts.append(_electron(rng, end[index], _tilted(rng, unit, 0.6), energy, 0.0, number))
    parts.append(_electron(rng, end[-1], _tilted(rng, unit, 2.0), MICHEL_ENERGY, DECAY_TIME, len(where) + 1))
    columns = [np.concatenate([np.atleast_1d(part[k]) for part in parts]) for k in range(4)]
    kinetic = [_kinetic(part[2]) for part in parts]
    repeats = [len(part[2]) for part in parts]
    return segments_from_arrays(
        columns[0] + np.asarray(center, float),
        columns[1] + np.asarray(center, float),
        columns[2],
        t0=columns[3],
        track=np.repeat([part[4] for part in parts], repeats),
        pdg=np.repeat([part[5] for part in parts], repeats),
        kinetic=np.concatenate(kinetic),
    )


def stopping_muon(
    middle: tuple[float, float, float],
    direction: tuple[float, float, float],
    length: float = 8.0,
    n: int = 20,
) -> Segments:
    """The last `length` [cm] of a muon that stops: `n` straight segments around `middle` [cm]."""
    unit = np.asarray(direction, float) / np.linalg.norm(direction)
    points = np.asarray(middle, float) + np.linspace(-0.5, 0.5, n + 1)[:, None] * length * unit
    residual = (n - np.arange(n) - 0.5) * length / n
    return segments_from_arrays(points[:-1], points[1:], stopping_power(residual) * length / n)


def _kinetic(de: np.ndarray) -> np.ndarray:
    """Energy at both ends of the steps of a particle that stops after them [MeV]."""
    left = np.concatenate([np.cumsum(de[::-1])[::-1], [0.0]])
    return np.stack([left[:-1], left[1:]], axis=1)


def stopping_power(residual_range: np.ndarray) -> np.ndarray:
    """Mean energy loss [MeV/cm] of a muon at `residual_range` [cm]."""
    return (MINIMUM**4 + (STOPPING * residual_range**-0.42) ** 4) ** 0.25


def _electron(
    rng: np.random.Generator, start: np.ndarray, direction: np.ndarray, energy: float, time: float, track: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int, int]:
    n = max(2, round(energy / ELECTRON / LENGTH_STEP))
    path = _wander(rng, start, direction, n, energy / ELECTRON / n, 0.22)
    return *path, np.full(n, energy / n), np.full(n, time), track, 11


def _wander(
    rng: np.random.Generator, start: np.ndarray, direction: np.ndarray, n: int, step: float, angle: float
) -> Path:
    """(starts, ends) of `n` steps whose direction changes by about `angle` [rad] a step."""
    points = [start]
    for kick in rng.normal(0.0, angle, (n, 3)):
        direction = direction + kick
        direction = direction / np.linalg.norm(direction)
        points.append(points[-1] + step * direction)
    track = np.array(points)
    return track[:-1], track[1:]


def _tilted(rng: np.random.Generator, direction: np.ndarray, angle: float) -> np.ndarray:
    """A unit vector at `angle` [rad] to `direction`."""
    side = np.cross(direction, rng.normal(size=3))
    return np.cos(angle) * direction + np.sin(angle) * side / np.linalg.norm(side)
