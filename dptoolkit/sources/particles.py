"""The particles of a batch of events: those alive, and a record of all that were born."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dptoolkit.sources.dice import Dice, mix
from dptoolkit.sources.labels import Process, begins_group, semantic_of
from dptoolkit.sources.species import HEAVY, NEUTRAL_PION_PDG, PHOTON_PDG

PHOTON, NEUTRAL_PION = 6, 7
"""Indices after those of charged particles, see `loss_tables.KINDS`."""
KIND_OF_PDG = {11: 0, -11: 1, PHOTON_PDG: PHOTON, NEUTRAL_PION_PDG: NEUTRAL_PION} | {
    sign * species.pdg: index for index, species in enumerate(HEAVY, 2) for sign in (1, -1)
}
REAL = ("x", "y", "z", "ux", "uy", "uz", "energy", "time")
"""Place [cm], direction, kinetic energy [MeV], time [us]."""
WHOLE = (
    "event",
    "track",
    "parent",
    "ancestor",
    "group",
    "interaction",
    "pdg",
    "process",
    "semantic",
    "steps",
)
_REAL = {name: row for row, name in enumerate(REAL)}
_WHOLE = {name: row for row, name in enumerate(WHOLE)}


class Particles:
    """Columns of particles by name: `particles.energy`; contiguous arrays."""

    def __init__(self, real: np.ndarray, whole: np.ndarray, key: np.ndarray) -> None:
        self.real, self.whole, self.key = real, whole, key

    @classmethod
    def of(cls, columns: Mapping[str, Any], key: np.ndarray) -> "Particles":
        """From columns; whole numbers that are not given are 0."""
        n = len(key)
        real = np.stack([np.broadcast_to(np.asarray(columns[name], float), n) for name in REAL])
        whole = np.stack([np.broadcast_to(np.asarray(columns.get(name, 0), np.int64), n) for name in WHOLE])
        return cls(real, whole, key)

    def __getattr__(self, name: str) -> np.ndarray:
        if name in _REAL:
            return self.real[_REAL[name]]
        if name in _WHOLE:
            return self.whole[_WHOLE[name]]
        raise AttributeError(name)

    def __len__(self) -> int:
        return len(self.key)

    def __getitem__(self, chosen: np.ndarray) -> "Particles":
        return Particles(self.real[:, chosen], self.whole[:, chosen], self.key[chosen])

    @property
    def kind(self) -> np.ndarray:
        """Index of the kind of particle."""
        return _kinds(self.pdg)

    @property
    def direction(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Components of the unit vector."""
        return self.ux, self.uy, self.uz

    def dice(self) -> Dice:
        """The stream of this step."""
        return Dice(mix(self.key + self.steps.astype(np.uint64) * np.uint64(0xD1342543DE82EF95)))


def joined(parts: list[Particles]) -> Particles:
    """All particles of `parts`, in their order."""
    return Particles(
        np.concatenate([part.real for part in parts], axis=1),
        np.concatenate([part.whole for part in parts], axis=1),
        np.concatenate([part.key for part in parts]),
    )


@dataclass(frozen=True)
class Brood:
    """Daughters of one process that are about to be born: a column each."""

    mother: Particles
    process: Process
    pdg: np.ndarray | int
    real: np.ndarray
    """Rows as in `REAL`."""
    key: np.ndarray

    @classmethod
    def of(
        cls, mother: Particles, process: Process, pdg: np.ndarray | int, key: np.ndarray, **columns: Any
    ) -> "Brood":
        """Daughters that share with their mothers what `columns` does not give."""
        real = mother.real.copy()
        for name, column in columns.items():
            real[_REAL[name]] = column
        return cls(mother, process, pdg, real, key)

    def moving(self, direction: tuple[np.ndarray, ...]) -> "Brood":
        """The same daughters, in these directions."""
        for row, component in zip((3, 4, 5), direction, strict=True):
            self.real[row] = component
        return self


@dataclass
class Family:
    """Numbers new particles and remembers them as they were born."""

    n_tracks: np.ndarray
    """Particles so far of every event."""
    born: list[Particles] = field(default_factory=list)

    def primaries(self, particles: Particles) -> Particles:
        """Enter particles without mother; each is its own ancestor and group."""
        self._number(particles)
        for name in ("ancestor", "group"):
            particles.whole[_WHOLE[name]] = particles.track
        self.born.append(particles)
        return particles

    def enter(self, broods: list[Brood]) -> Particles:
        """All daughters of a step of the whole batch."""
        mother = np.concatenate([brood.mother.whole for brood in broods], axis=1)
        size = [len(brood.key) for brood in broods]
        pdg = np.concatenate([np.full(n, brood.pdg) for n, brood in zip(size, broods, strict=True)])
        process = np.repeat([int(brood.process) for brood in broods], size)
        key = np.concatenate([brood.key for brood in broods])
        made = Particles(np.concatenate([brood.real for brood in broods], axis=1), mother.copy(), key)
        mother_pdg = mother[_WHOLE["pdg"]]
        semantic = semantic_of(process, pdg, mother_pdg, mother[_WHOLE["semantic"]])
        rows = {"parent": mother[_WHOLE["track"]], "pdg": pdg, "process": process, "semantic": semantic}
        for name, row in (rows | {"steps": 0}).items():
            made.whole[_WHOLE[name]] = row
        self._number(made)
        own = begins_group(process, mother_pdg)
        made.whole[_WHOLE["group"]] = np.where(own, made.track, mother[_WHOLE["group"]])
        self.born.append(made)
        return made

    def _number(self, made: Particles) -> None:
        """Track 1, 2, ... of every event in the order of birth; the order within an event is kept."""
        event = made.event
        order = np.argsort(event, kind="stable")
        counts = np.bincount(event, minlength=len(self.n_tracks))
        first = np.cumsum(counts) - counts
        rank = np.arange(len(event)) - first[event[order]]
        made.whole[_WHOLE["track"], order] = self.n_tracks[event[order]] + rank + 1
        self.n_tracks += counts


def _kinds(pdg: np.ndarray) -> np.ndarray:
    return _KIND_TABLE[pdg + 2212]


_KIND_TABLE = np.full(2 * 2212 + 1, -1)
for _pdg, _kind in KIND_OF_PDG.items():
    _KIND_TABLE[_pdg + 2212] = _kind
