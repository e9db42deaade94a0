"""Which parts of which steps shine: the index tables of a simulation of light, made on the host."""

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float, Int

from dptoolkit import constants
from dptoolkit.events import Segments, growth, scale_of

MASSES = {
    11: constants.ELECTRON_MASS,
    13: constants.MUON_MASS,
    211: constants.PION_MASS,
    321: constants.KAON_MASS,
    2212: constants.PROTON_MASS,
}
"""Charged particles, by the magnitude of their PDG number [MeV]; others make no light here."""
ROOM = 1.02
"""Steps are kept whose beta n is above 1 / this, so that the index may grow by so much in a fit."""
CHUNK = 64
"""Parts of steps that are taken together; chunks are padded to few numbers of them."""


class Pieces(eqx.Module):
    """Parts of steps in chunks of one event each."""

    segment: Int[np.ndarray, "c m"]
    low: Float[np.ndarray, "c m"]
    high: Float[np.ndarray, "c m"]
    """Part `low` to `high` of the step, from 0 to 1."""
    mass: Float[np.ndarray, "c m"]
    """[MeV]"""
    live: Bool[np.ndarray, "c m"]
    """False for padding."""
    event: Int[np.ndarray, " c"]


def shining(segments: Segments, inside: Bool[np.ndarray, " n"], index: float, longest: float) -> Pieces:
    """Parts, at most `longest` [cm], of charged steps `inside` that can shine in a medium of this `index`."""
    kinetic = segments.kinetic
    if kinetic is None:
        raise ValueError(
            "segments: they have no kinetic energies, and Cherenkov light depends on the speed of particles; "
            "expected steps with ek0 and ek1 (geant4-steps) or kinetic_start and kinetic_end (native)"
        )
    mass = np.array([MASSES.get(abs(int(pdg)), np.inf) for pdg in np.asarray(segments.pdg)])
    energy = np.asarray(kinetic, float).max(axis=1)
    beta = np.sqrt(1 - 1 / (1 + energy / mass) ** 2)
    length = np.asarray(segments.dx, float)
    shines = np.asarray(segments.valid) & inside & (length > 0) & (beta * index * ROOM > 1)
    chosen = np.flatnonzero(shines)
    chosen = chosen[np.argsort(np.asarray(segments.event)[chosen], kind="stable")]
    parts = np.maximum(np.ceil(length[chosen] / longest - 1e-9).astype(int), 1)
    segment = np.repeat(chosen, parts)
    number = np.arange(len(segment)) - np.repeat(np.cumsum(parts) - parts, parts)
    low = number / np.repeat(parts, parts)
    high = (number + 1) / np.repeat(parts, parts)
    return _chunks(segment, low, high, mass, np.asarray(segments.event))


def _chunks(
    segment: np.ndarray, low: np.ndarray, high: np.ndarray, mass: np.ndarray, event_of: np.ndarray
) -> Pieces:
    """Rows of `CHUNK` pieces of one event each."""
    event = event_of[segment]
    events, first, count = np.unique(event, return_index=True, return_counts=True)
    needed = -(-count // CHUNK)
    n = growth(scale_of(max(int(needed.sum()), 1), 1))
    chunk, column = np.divmod(np.arange(len(event)) - np.repeat(first, count), CHUNK)
    row = chunk + np.repeat(np.cumsum(needed) - needed, count)
    table: dict[str, np.ndarray] = {}
    for name, values, empty in (
        ("segment", segment, 0), ("low", low, 0.0), ("high", high, 1.0), ("mass", mass[segment], 1e3),
        ("live", np.ones(len(segment), bool), False),
    ):  # fmt: skip
        table[name] = np.full((n, CHUNK), empty, values.dtype)
        table[name][row, column] = values
    of_row = np.zeros(n, int)
    of_row[: needed.sum()] = np.repeat(events, needed)
    return Pieces(**table, event=of_row)
