"""Events of a sample: particles and all they make in liquid argon, with labels.

Stochastic and without gradients; `docs/generator.md` says what is modelled and how well. The numbers of an
event come from the seed and the event's number alone: any batch, shard or process gives the same event.
"""

from dataclasses import dataclass

import numpy as np

from dptoolkit.constants import NEUTRAL_PION_MASS
from dptoolkit.geometry import Volumes
from dptoolkit.sources.labels import semantic_of_primary
from dptoolkit.sources.loss_tables import MASS
from dptoolkit.sources.particles import Particles
from dptoolkit.sources.samples import sample_named
from dptoolkit.sources.transport import transport

Table = dict[str, np.ndarray]
BATCH = 256
"""Events that are followed together: enough that NumPy is busy, few enough for the memory."""


@dataclass(frozen=True)
class Generated:
    """Events by columns; `event` counts from 0."""

    numbers: np.ndarray
    segments: Table
    """start, end [cm], de [MeV], dx [cm], t0 [us], event, track, pdg."""
    particles: Table
    """As they were born: place [cm], t0 [us], momentum and kinetic energy [MeV], labels."""
    interactions: Table


def generate(sample: str, volumes: Volumes, numbers: np.ndarray, seed: int) -> Generated:
    """The events `numbers` of a sample in the box around the active volume."""
    draw, numbers = sample_named(sample), np.asarray(numbers, np.int64)
    columns, keys, vertices = [], [], []
    for index, number in enumerate(numbers):
        rng = np.random.default_rng([seed, int(number)])
        primaries = draw(rng, volumes)
        n = len(primaries.pdg)
        columns.append(
            {
                **dict(zip("xyz", np.tile(primaries.vertex[:, None], n), strict=True)),
                **dict(zip(("ux", "uy", "uz"), primaries.direction.T, strict=True)),
                "energy": primaries.energy,
                "time": np.zeros(n),
                "event": np.full(n, index),
                "parent": np.full(n, -1),
                "pdg": primaries.pdg,
                "semantic": semantic_of_primary(primaries.pdg),
            }
        )
        keys.append(rng.integers(0, 2**64, n, dtype=np.uint64))
        vertices.append(primaries.vertex)
    joined = {name: np.concatenate([one[name] for one in columns]) for name in columns[0]}
    start = Particles.of(joined, np.concatenate(keys))
    segments, born = transport(start, len(numbers), volumes.bounds)
    return Generated(numbers, segments, _particles(born), _interactions(np.stack(vertices)))


def _particles(born: Particles) -> Table:
    mass = np.append(MASS, [0.0, NEUTRAL_PION_MASS])[born.kind]
    momentum = np.sqrt(born.energy * (born.energy + 2 * mass))
    labels = ("event", "track", "parent", "ancestor", "group", "interaction", "pdg", "process", "semantic")
    return {
        **{name: getattr(born, name) for name in labels},
        **{name: getattr(born, name) for name in "xyz"},
        "t0": born.time,
        **{f"p{axis}": momentum * getattr(born, f"u{axis}") for axis in "xyz"},
        "kinetic_energy": born.energy,
    }


def _interactions(vertices: np.ndarray) -> Table:
    n = len(vertices)
    places = dict(zip("xyz", vertices.T.copy(), strict=True))
    return {"event": np.arange(n), **places, "t0": np.zeros(n), "interaction": np.zeros(n, np.int64)}
