"""Reconstructed events against the truth: resolutions, biases, pulls, efficiencies, with statistical errors.

The truth of an event is its segments, placed as those of the reconstruction were; its particle is the track
that lost most energy. Distances are those of the fitted charge to the nearest true segment of any particle.
Segments without a model of a track are compared in electrons freed where the detector is sensitive: what a
cathode or a wall swallows nobody could find.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree
from scipy.stats import beta

from dptoolkit.config import from_yaml
from dptoolkit.detector import LArTPC
from dptoolkit.io import InputError, place, read_segments
from dptoolkit.io.event_file import EventFile
from dptoolkit.reconstruction.distance import distances
from dptoolkit.reconstruction.files import Reconstruction
from dptoolkit.reconstruction.production import digest_of
from dptoolkit.reconstruction.result import Reconstructed
from dptoolkit.sources.species import SPECIES

SPACING = 0.02
"""Between points of true segments, for distances [cm]."""
ONE_SIGMA = 0.683
"""Of binomial intervals (Clopper and Pearson)."""


@dataclass(frozen=True)
class TrueTrack:
    """The particle of an event."""

    start: Float[np.ndarray, " 3"]
    direction: Float[np.ndarray, " 3"]
    momentum: float
    """[MeV]; nan if the file does not say."""
    energy: float
    """That it and what it knocked on deposited [MeV]."""
    species: str


@dataclass(frozen=True)
class Entry:
    """One number of one event: how far off (not negative), with a sign where it has one, and its pulls."""

    size: float
    signed: float = np.nan
    pulls: tuple[float, ...] = ()


def evaluate(found: Reconstruction, truth: EventFile) -> dict[str, Any]:
    """The report of `evaluate --json`: events, a summary of every quantity, efficiencies, identification."""
    index = {int(number): i for i, number in enumerate(truth.event_numbers)}
    missing = [event.number for event in found.events if event.number not in index]
    if missing:
        raise InputError(
            f"{truth.path}: has no event {missing[0]}; expected the truth of all reconstructed events"
        )
    entries, told, detector = defaultdict(list), [], detector_of(found)
    for event in found.reconstructed:
        true = truth.select(slice(index[event.number], index[event.number] + 1))
        for name, entry in entries_of(event, true, detector).items():
            entries[name].append(entry)
        told.append((true_track(true).species, event.hypothesis))
    n, fitted = len(found.events), found.reconstructed
    seconds = [event.seconds for event in fitted]
    tried = max((len(event.log_likelihoods) for event in fitted), default=0)
    return {
        "events": n,
        **{name: summary(part) for name, part in entries.items()},
        "efficiency": interval(len(fitted), n),
        "converged": interval(sum(event.converged for event in fitted), n),
        **({"misid_fraction": misidentified(told)} if tried > 1 else {}),
        "seconds_per_event": float(np.mean(seconds)) if seconds else None,
    }


def placed_truth(path: Path, found: Reconstruction) -> tuple[EventFile, str]:
    """The segments of a file in the frame of the detector, and how they came there."""
    run, events = found.native.run, read_segments(path)
    provenance, digest = dict(run.provenance), digest_of(path)
    origin = dict(provenance.get("origin") or {})
    if events.attributes.get("detector_name") == run.detector_name:
        return events, "truth: positions as they are in the file, which is of this detector"
    known = {provenance.get("input_sha256"): provenance, origin.get("input_sha256"): origin}
    how = known.get(digest, provenance).get("place", "auto")
    region = from_yaml(run.detector_config, run.detector_name).region
    events, note = place(events, region, str(how), run.seed or 0)
    return events, note.replace("placement", "truth")


def detector_of(found: Reconstruction) -> LArTPC | None:
    """The detector of a file; None if that is not a TPC, or not told."""
    run = found.native.run
    detector = from_yaml(run.detector_config, run.detector_name) if run.detector_config else None
    return detector if isinstance(detector, LArTPC) else None


def entries_of(event: Reconstructed, truth: EventFile, detector: LArTPC | None = None) -> dict[str, Entry]:
    """What is measured of one event."""
    if not event.names:
        return _of_segments(event, truth, detector)
    true = true_track(truth)
    found = _of_track(event, true)
    de = np.asarray(event.segments.de, float)
    found["charge_fraction"] = _relative(float(de.sum()), true.energy)
    found["distance_mm"] = Entry(10 * distance(event, truth))
    return found


def _of_segments(event: Reconstructed, truth: EventFile, detector: LArTPC | None) -> dict[str, Entry]:
    compared = distances(event.segments, truth.segments, detector)
    return {
        "charge_fraction": _relative(1 + compared.charge_fraction, 1.0),
        "distance_mm": Entry(compared.median),
        "missed_fraction": Entry(1 - compared.covered),
    }


def _of_track(event: Reconstructed, true: TrueTrack) -> dict[str, Entry]:
    values = dict(zip(event.names, event.values, strict=True))
    errors = dict(zip(event.names, np.sqrt(np.diag(event.covariance)), strict=True))
    off = np.array([values[name] for name in "xyz"]) - true.start
    pulls = tuple(float(d / errors[name]) for d, name in zip(off, "xyz", strict=True))
    theta, phi = values["theta"], values["phi"]
    unit = np.array([np.cos(theta), np.sin(theta) * np.sin(phi), np.sin(theta) * np.cos(phi)])
    angle = np.degrees(np.arctan2(np.linalg.norm(np.cross(unit, true.direction)), unit @ true.direction))
    turn = _angles(true.direction)
    angles = ((theta - turn[0]) / errors["theta"], _wrapped(phi - turn[1]) / errors["phi"])
    found = {
        "vertex_cm": Entry(float(np.linalg.norm(off)), float(off @ true.direction), pulls),
        "direction_deg": Entry(float(angle), np.nan, tuple(map(float, angles))),
    }
    if "momentum" in values and np.isfinite(true.momentum):
        pull = (values["momentum"] - true.momentum) / errors["momentum"]
        found["momentum_fraction"] = _relative(values["momentum"], true.momentum, (float(pull),))
    return found


def true_track(truth: EventFile) -> TrueTrack:
    """The particle of one event: the track that lost most energy."""
    columns = truth.columns
    tracks, which = np.unique(columns["track"], return_inverse=True)
    lost = np.bincount(which, columns["de"])
    rows = np.flatnonzero(which == np.argmax(lost))
    rows = rows[np.argsort(columns["t0"][rows], kind="stable")]
    first, step = rows[0], columns["end"][rows[0]] - columns["start"][rows[0]]
    species = {one.pdg: name for name, one in SPECIES.items()}
    name = species.get(abs(int(columns["pdg"][first])), str(int(columns["pdg"][first])))
    kinetic, energy = _kinetic(truth, int(tracks[np.argmax(lost)]), rows), float(lost.max())
    momentum = np.nan
    if np.isfinite(kinetic[0]) and name in SPECIES:
        momentum = float(np.sqrt(kinetic[0] * (kinetic[0] + 2 * SPECIES[name].mass)))
    if np.isfinite(kinetic).all():
        energy = kinetic[0] - kinetic[1]
    return TrueTrack(columns["start"][first], step / np.linalg.norm(step), momentum, float(energy), name)


def _kinetic(truth: EventFile, track: int, rows: np.ndarray) -> np.ndarray:
    """Kinetic energy of a track at its start and its end [MeV]; nan where it is not known."""
    if "kinetic" in truth.columns:
        return np.array([truth.columns["kinetic"][rows[0], 0], truth.columns["kinetic"][rows[-1], 1]])
    particles = truth.particles or {}
    if "kinetic_energy" in particles:
        there = np.flatnonzero(np.asarray(particles["track"]) == track)
        if len(there):
            return np.array([float(particles["kinetic_energy"][there[0]]), np.nan])
    return np.full(2, np.nan)


def distance(event: Reconstructed, truth: EventFile) -> float:
    """Median distance of the fitted energy to the nearest true segment [cm]."""
    start, end = truth.columns["start"], truth.columns["end"]
    n = np.maximum(np.ceil(np.linalg.norm(end - start, axis=1) / SPACING).astype(int), 1)
    row = np.repeat(np.arange(len(n)), n)
    part = (np.arange(len(row)) - np.repeat(np.cumsum(n) - n, n) + 0.5) / n[row]
    tree = KDTree(start[row] + part[:, None] * (end - start)[row])
    middle = (np.asarray(event.segments.start, float) + np.asarray(event.segments.end, float)) / 2
    away, de = tree.query(middle)[0], np.asarray(event.segments.de, float)
    order = np.argsort(away)
    below = np.cumsum(de[order])
    return float(away[order][np.searchsorted(below, below[-1] / 2)])


def summary(entries: Sequence[Entry]) -> dict[str, Any]:
    """Median, p68 and mean of sizes; bias of signed values; width of pulls; error of the mean."""
    size = np.array([entry.size for entry in entries])
    signed = np.array([entry.signed for entry in entries])
    signed = signed[np.isfinite(signed)]
    pulls = np.array([pull for entry in entries for pull in entry.pulls])
    pulls = pulls[np.isfinite(pulls)]
    return {
        "median": float(np.median(size)),
        "p68": float(np.quantile(size, ONE_SIGMA)),
        "mean": float(size.mean()),
        "bias": float(signed.mean()) if len(signed) else None,
        "pull_width": float(np.sqrt(np.mean(pulls**2))) if len(pulls) else None,
        "error": float(size.std(ddof=1) / np.sqrt(len(size))) if len(size) > 1 else None,
        "events": len(size),
    }


def interval(n: int, of: int) -> dict[str, Any]:
    """A fraction with its binomial interval of 68 %."""
    low = beta.ppf((1 - ONE_SIGMA) / 2, n, of - n + 1) if n else 0.0
    high = beta.ppf((1 + ONE_SIGMA) / 2, n + 1, of - n) if n < of else 1.0
    return {"fraction": n / of if of else None, "low": float(low), "high": float(high), "events": of}


def misidentified(told: Sequence[tuple[str, str]]) -> Mapping[str, Any]:
    """By true species: how often another one was the best."""
    species = sorted({true for true, _ in told})
    return {
        name: interval(
            sum(found != name for true, found in told if true == name), sum(true == name for true, _ in told)
        )
        for name in species
    }


def _relative(value: float, truth: float, pulls: tuple[float, ...] = ()) -> Entry:
    """As a part of the truth."""
    return Entry(abs(value / truth - 1), value / truth - 1, pulls)


def _angles(direction: np.ndarray) -> tuple[float, float]:
    """(angle to x, angle from z towards y)."""
    return float(np.arccos(np.clip(direction[0], -1, 1))), float(np.arctan2(direction[1], direction[2]))


def _wrapped(angle: float) -> float:
    return float((angle + np.pi) % (2 * np.pi) - np.pi)
