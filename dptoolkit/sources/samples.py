"""Samples: which particles begin where, drawn event by event.

A sample is one function `(rng, volumes) -> Primaries`; it registers itself by its name and docstring.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from dptoolkit.constants import MUON_MASS
from dptoolkit.geometry import Volumes

Draw = Callable[[np.random.Generator, Volumes], "Primaries"]
SAMPLES: dict[str, Draw] = {}


@dataclass(frozen=True)
class Primaries:
    """The particles of one interaction."""

    vertex: np.ndarray
    """[cm]"""
    pdg: np.ndarray
    direction: np.ndarray
    """Unit vectors (n, 3)."""
    energy: np.ndarray
    """Kinetic [MeV]."""


def sample(draw: Draw) -> Draw:
    """Registers a sample by the name of its function."""
    SAMPLES[draw.__name__] = draw
    return draw


def sample_named(name: str) -> Draw:
    """The sample of that name."""
    if name not in SAMPLES:
        raise ValueError(f"sample {name!r}: expected one of {', '.join(SAMPLES)}")
    return SAMPLES[name]


@sample
def muons(rng: np.random.Generator, volumes: Volumes) -> Primaries:
    """A muon of either charge, 50 to 1000 MeV, from anywhere in any direction."""
    return _single(rng, volumes, int(rng.choice([13, -13])), (50, 1000))


@sample
def protons(rng: np.random.Generator, volumes: Volumes) -> Primaries:
    """A proton of 50 to 500 MeV, from anywhere in any direction."""
    return _single(rng, volumes, 2212, (50, 500))


@sample
def electrons(rng: np.random.Generator, volumes: Volumes) -> Primaries:
    """An electron of 50 to 1000 MeV, from anywhere in any direction."""
    return _single(rng, volumes, 11, (50, 1000))


@sample
def photons(rng: np.random.Generator, volumes: Volumes) -> Primaries:
    """A photon of 50 to 1000 MeV, from anywhere in any direction."""
    return _single(rng, volumes, 22, (50, 1000))


@sample
def michel(rng: np.random.Generator, volumes: Volumes) -> Primaries:
    """A positive muon of 20 to 80 MeV, which stops within 22 cm and decays."""
    return _single(rng, volumes, -13, (20, 80))


BOMB = {
    13: (50, 500),
    -13: (50, 500),
    211: (50, 300),
    -211: (50, 300),
    2212: (50, 300),
    11: (50, 500),
    22: (50, 500),
    111: (50, 300),
}
"""Kinetic energies [MeV] of the particles that a bomb may hold."""


@sample
def bomb(rng: np.random.Generator, volumes: Volumes) -> Primaries:
    """Two to six particles of any kind from one vertex, in independent directions."""
    pdg = rng.choice(list(BOMB), rng.integers(2, 7))
    spans = np.array([BOMB[int(one)] for one in pdg], float)
    energy = rng.uniform(spans[:, 0], spans[:, 1])
    return Primaries(_anywhere(rng, volumes), pdg, _isotropic(rng, len(pdg)), energy)


COSMIC_ENERGIES = (0.2, 1000.0)
"""Total energies of cosmic muons [GeV]."""
POSITIVE = 0.56
"""Share of positive cosmic muons: charge ratio 1.27, PDG."""


@sample
def cosmics(rng: np.random.Generator, volumes: Volumes) -> Primaries:
    """One cosmic muon an event, at sea level, through the box around the active volume; +y is up."""
    low, high = volumes.bounds
    size = high - low
    while True:
        energy, cosine = _cosmic(rng)
        azimuth = rng.uniform(0, 2 * np.pi)
        sine = np.sqrt(1 - cosine**2)
        direction = np.array([sine * np.cos(azimuth), -cosine, sine * np.sin(azimuth)])
        faces = np.abs(direction) * (size.prod() / size)
        if rng.uniform() * np.linalg.norm(size.prod() / size) < faces.sum():
            break
    axis = rng.choice(3, p=faces / faces.sum())
    vertex = low + size * rng.uniform(size=3)
    vertex[axis] = low[axis] if direction[axis] > 0 else high[axis]
    pdg = -13 if rng.uniform() < POSITIVE else 13
    return Primaries(vertex, np.array([pdg]), direction[None], np.array([energy * 1e3 - MUON_MASS]))


def cosmic_flux(energy: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    """Muons at sea level [1/(cm2 s sr GeV)] by total energy [GeV] and cosine of the zenith angle.

    Gaisser's formula for low energies and large angles, M. Guan et al., arXiv:1509.06176.
    """
    p1, p2, p3, p4, p5 = 0.102573, -0.068287, 0.958633, 0.0407253, 0.817285
    curved = cosine**2 + p1**2 + p2 * cosine**p3 + p4 * cosine**p5
    curved = np.sqrt(curved / (1 + p1**2 + p2 + p4))
    power = 0.14 * (energy * (1 + 3.64 / (energy * curved**1.29))) ** -2.7
    return power * (1 / (1 + 1.1 * energy * curved / 115) + 0.054 / (1 + 1.1 * energy * curved / 850))


def _cosmic(rng: np.random.Generator) -> tuple[float, float]:
    """(total energy [GeV], cosine of the zenith angle) of a muon, by solid angle and energy."""
    edges, cosines, cumulative = _cosmic_table()
    cell = int(np.searchsorted(cumulative, rng.uniform(), side="right"))
    i, j = divmod(cell, len(cosines) - 1)
    energy = np.exp(rng.uniform(np.log(edges[i]), np.log(edges[i + 1])))
    return float(energy), float(rng.uniform(cosines[j], cosines[j + 1]))


@cache
def _cosmic_table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    edges, cosines = np.geomspace(*COSMIC_ENERGIES, 241), np.linspace(0.0, 1.0, 101)
    energy = np.sqrt(edges[1:] * edges[:-1])[:, None]
    flux = cosmic_flux(energy, (cosines[1:] + cosines[:-1])[None] / 2) * energy
    cumulative = np.cumsum(flux.ravel())
    return edges, cosines, cumulative / cumulative[-1]


def _single(rng: np.random.Generator, volumes: Volumes, pdg: int, energies: tuple[float, float]) -> Primaries:
    energy = np.array([rng.uniform(*energies)])
    return Primaries(_anywhere(rng, volumes), np.array([pdg]), _isotropic(rng, 1), energy)


def _anywhere(rng: np.random.Generator, volumes: Volumes) -> np.ndarray:
    """A point in the active volume [cm]."""
    size = volumes.high - volumes.low
    content = size.prod(axis=1)
    chosen = rng.choice(len(volumes), p=content / content.sum())
    return volumes.low[chosen] + size[chosen] * rng.uniform(size=3)


def _isotropic(rng: np.random.Generator, n: int) -> np.ndarray:
    cosine, azimuth = rng.uniform(-1, 1, n), rng.uniform(0, 2 * np.pi, n)
    sine = np.sqrt(1 - cosine**2)
    return np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], axis=1)
