"""Recover a distortion of the drift field from muons, by a model of it inside the detector.

Points of each muon are measured where they seem to be. A fit of the field (`Problem`, whose free parameters
are `detector.field.*`) compares how tracks bend (`reconstruction.bends`) with what the model displaces. Where
the true points are, and what displacements are short of at first order, follows from the estimate: so it
takes a few passes, each a fit that begins where the one before ended.

The data of a toy are space points with stated errors, not waveforms: true paths of generated muons,
scattering included, moved along the lines of the true field.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import yaml
from jaxtyping import Array, Float

from dptoolkit.charge.apparent import DistortionDetector, NearStart, SmoothCharge
from dptoolkit.charge.field import AbstractField
from dptoolkit.charge.paths import FullPath
from dptoolkit.detector import LArTPC
from dptoolkit.events import bucket
from dptoolkit.geometry import Volumes
from dptoolkit.inference.experiment import Experiment
from dptoolkit.inference.fit import BY_CALLER, INTERRUPTED, FitResult, Snapshot, fit
from dptoolkit.inference.itemised import ItemisedProblem
from dptoolkit.inference.losses import GaussianChi2
from dptoolkit.inference.optimise import AbstractMethod, GaussNewton
from dptoolkit.inference.problem import Problem
from dptoolkit.io.errors import InputError
from dptoolkit.io.event_file import EventFile
from dptoolkit.params import infos
from dptoolkit.reconstruction.bends import FEWEST, SHORT, MeasuredTrack, Resolution, Room, bent_tracks
from dptoolkit.surrogates.potential import NetworkField

ROUGHNESS = 5.5
"""Width of the prior of `SmoothCharge` with which a fit begins: each pass then tells it from the muons."""
WEIGHT_WIDTH = 0.5
"""Width of the prior of the weights of a network around those with which it began, which are of that size: it
decides among the many weights that give the same field."""
ENOUGH = 5.0
"""How much the loss may still fall at the end of a fit: 1/2 is a standard deviation of one number, and the
data determine more than a hundred."""
LATEST, GAIN = 6, 3.0
"""A pass ends, too, when its loss has not fallen by so much over the latest steps."""
SLOW = f"the loss fell by less than {GAIN:g} in {LATEST} steps"
TOGETHER = 256
"""Tracks of a batch."""
ITERATIONS = 4
"""With which a true point is found from an apparent one: each gains a factor of twenty."""
PATH_STEPS = 4
"""Of the paths that say what first order misses."""
SINGULAR = 1e-7
"""Relative eigenvalues of the information below are directions that no datum feels."""
WALL = 1.0
"""How near to the edge of the detector a track ends that leaves it [cm]."""


@dataclass(frozen=True)
class TruePath:
    """Where a generated muon ran."""

    event: int
    points: np.ndarray
    """Middles of stretches of equal length (n, 3) [cm]."""
    volume: np.ndarray
    ends: np.ndarray
    """Where it entered and left the detector (0 to 2, 3) [cm]."""


def muon_paths(file: EventFile, volumes: Volumes, spacing: float) -> list[TruePath]:
    """The first muon of every event, at points `spacing` apart [cm]; short ones are left out."""
    event, track = np.asarray(file.columns["event"]), np.asarray(file.columns["track"])
    muons = np.flatnonzero(np.abs(np.asarray(file.columns["pdg"])) == 13)
    found = []
    for rows in np.split(muons, np.flatnonzero(np.diff(event[muons])) + 1):
        if len(rows) == 0:
            continue
        number, rows = event[rows[0]], rows[track[rows] == track[rows].min()]
        line = np.concatenate([file.columns["start"][rows], file.columns["end"][rows[-1:]]])
        path = _points_along(line, spacing)
        volume = volumes.locate(path)
        inside = volume >= 0
        if inside.sum() >= FEWEST:
            ends = line[[0, -1]]
            found.append(TruePath(int(number), path[inside], volume[inside], ends[_on_wall(ends, volumes)]))
    if not found:
        raise InputError(
            f"{file.path}: no muon runs through {FEWEST} points {spacing:g} cm apart; expected events of "
            f"generate cosmics in this detector"
        )
    return found


def _points_along(line: np.ndarray, spacing: float) -> np.ndarray:
    passed = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    places = (np.arange(int(passed[-1] // spacing)) + 0.5) * spacing
    return np.stack([np.interp(places, passed, line[:, axis]) for axis in range(3)], axis=1)


def _on_wall(points: np.ndarray, volumes: Volumes) -> np.ndarray:
    low, high = volumes.bounds
    return np.any(np.minimum(points - low, high - points) < WALL, axis=1)


def measure(
    paths: Sequence[TruePath], truth: LArTPC, resolution: Resolution, seed: int
) -> list[MeasuredTrack]:
    """What is seen of muons in a detector with its true field: points with errors, and a tracker's."""
    rng = np.random.default_rng(seed)
    every, volume = np.concatenate([p.points for p in paths]), np.concatenate([p.volume for p in paths])
    detector = seen_by(FullPath(truth.field, PATH_STEPS), truth)
    apparent = every + displaced(detector, every, volume)
    tracks, first = [], 0
    for path in paths:
        drift = np.abs(np.asarray(truth.volumes.drift)[path.volume])
        width = resolution.across + (resolution.drift - resolution.across) * drift
        points = apparent[first : first + len(path.points)] + width * rng.normal(size=path.points.shape)
        tracker = resolution.tracker or 0.0
        ends = path.ends + tracker * rng.normal(size=path.ends.shape)
        tracks.append(MeasuredTrack(path.event, points, path.volume, ends))
        first += len(path.points)
    return tracks


def seen_by(model: AbstractField, detector: LArTPC) -> DistortionDetector:
    """The detector with this field, as far as displacements need it."""
    return DistortionDetector(model, detector.drift, detector.volumes)


def displaced(detector: DistortionDetector, points: np.ndarray, volume: np.ndarray) -> np.ndarray:
    """Displacements [cm] of points (n, 3), padded so that few sizes compile."""
    return _at_points(_displacement, detector, points, volume)


def field_at(detector: DistortionDetector, points: np.ndarray, volume: np.ndarray) -> np.ndarray:
    """Field vectors [kV/cm] at points (n, 3)."""
    return _at_points(_field, detector, points, volume)


def _at_points(function: Any, detector: Any, points: np.ndarray, volume: np.ndarray) -> np.ndarray:
    parts = []
    for first in range(0, len(points), 16384):
        some, there = points[first : first + 16384], volume[first : first + 16384]
        n = len(some)
        more = min(bucket(n), 16384) - n
        some = np.concatenate([some, np.repeat(some[:1], more, axis=0)])
        there = np.concatenate([there, np.repeat(there[:1], more)])
        found = function(detector, jnp.asarray(some, jnp.result_type(float)), jnp.asarray(there, jnp.int32))
        parts.append(np.asarray(found, float)[:n])
    return np.concatenate(parts)


@eqx.filter_jit
def _displacement(
    detector: DistortionDetector, points: Float[Array, "n 3"], volume: Array
) -> Float[Array, "n 3"]:
    return detector.field.displacement(points, volume, detector.volumes, detector.drift.speed)


@eqx.filter_jit
def _field(detector: DistortionDetector, points: Float[Array, "n 3"], volume: Array) -> Float[Array, "n 3"]:
    return detector.field.local(points, volume, detector.volumes)


def true_points(
    tracks: Sequence[MeasuredTrack], model: DistortionDetector
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(true points, what displacements there lack at first order) if the field is that of the model."""
    apparent = np.concatenate([track.points for track in tracks])
    volume = np.concatenate([track.volume for track in tracks])
    whole = DistortionDetector(FullPath(model.field, PATH_STEPS), model.drift, model.volumes)
    points = apparent
    for _ in range(ITERATIONS):
        points = apparent - displaced(model, points, volume)
    lacking = displaced(whole, points, volume) - displaced(model, points, volume)
    points = points - lacking
    cuts = np.cumsum([len(track.points) for track in tracks])[:-1]
    return np.split(points, cuts), np.split(lacking, cuts)


@dataclass(frozen=True)
class FieldCalibration:
    """A fit of a model of the field to measured tracks."""

    detector: LArTPC
    """Its nominal field, drift and volumes."""
    model: AbstractField
    resolution: Resolution = field(default_factory=Resolution)
    roughness: float | None = None
    """Width of the prior of `SmoothCharge`; None: the one that makes the measured tracks most likely."""
    weight_width: float = WEIGHT_WIDTH
    passes: int = 3
    method: AbstractMethod = field(
        default_factory=lambda: GaussNewton(tolerance=ENOUGH, longest=100.0, near=0.0, max_steps=60)
    )

    def problem(
        self, tracks: Sequence[MeasuredTrack], model: AbstractField, roughness: float = ROUGHNESS
    ) -> ItemisedProblem:
        """The fit that begins at `model`, which says where the true points are."""
        start = seen_by(model, self.detector)
        points, lacking = true_points(tracks, start)
        sources: list[Any] = [SmoothCharge(jnp.asarray(roughness, jnp.result_type(float)))]
        observed: list[Any] = [sources[0].nothing(len(self.detector.volumes))]
        if isinstance(self.model, NetworkField):
            width = jnp.asarray(self.weight_width, jnp.result_type(float))
            sources.append(NearStart(self.model.weights, width, "field.weights"))
            observed.append(sources[-1].nothing())
        room = Room.of(tracks, TOGETHER)
        for first in range(0, len(tracks), TOGETHER):
            some = slice(first, first + TOGETHER)
            places = points[some], lacking[some]
            degree = SHORT if model is self.model else 1
            source, seen = bent_tracks(tracks[some], places, start.volumes, self.resolution, room, degree)
            sources.append(source)
            observed.append(seen)
        experiments = [Experiment(start, source) for source in sources]
        return ItemisedProblem(experiments, free_paths(model), GaussianChi2(noise=1.0), observed)

    def run(
        self,
        tracks: Sequence[MeasuredTrack],
        callback: Callable[[Snapshot, int], Any] | None = None,
        checkpoint: Path | None = None,
        watch: Callable[[Problem, int], Any] | None = None,
    ) -> "Recovered":
        """All passes; `callback` sees every step and the number of its pass."""
        model, results = self.model, []
        roughness = ROUGHNESS if self.roughness is None else self.roughness
        for number in range(self.passes):
            problem = self.problem(tracks, model, roughness)
            if watch is not None:
                watch(problem, number)
            name = None if checkpoint is None else checkpoint.with_suffix(f".{number}.npz")
            result = fit(problem, method=self.method, callback=_Patient(callback, number), checkpoint=name)
            if result.stopped == BY_CALLER:
                result = replace(result, converged=True, stopped=SLOW)
            results.append(result)
            z = jnp.asarray(result.history[-1].z, problem.start.dtype)
            reached: Any = problem.model(z).detector
            model = reached.field
            if result.stopped == INTERRUPTED:
                break
            if self.roughness is None:
                roughness *= _likelier(problem, z)
        return Recovered(model, seen_by(model, self.detector), problem, results)


def _likelier(problem: ItemisedProblem, z: Array) -> float:
    """By how much wider the prior of `SmoothCharge` should be, for the data to be most likely, at a minimum.

    MacKay's rule (Neural Computation 4, 415 (1992)): the sum of its squared residuals is the number of
    directions that this prior constrains, less those which the data determine.
    """
    parts = problem.normal_by_batch(z)
    smooth = parts[0]
    priors = [isinstance(source, SmoothCharge | NearStart) for source in problem.sources]
    prior = np.sum([part.matrix for part, told in zip(parts, priors, strict=True) if told], axis=0)
    whole = problem.normal(z).matrix
    constrained, left = (float(np.sum(inverse(matrix) * smooth.matrix)) for matrix in (prior, whole))
    determined = constrained - left
    return float(np.sqrt(2 * smooth.loss / determined)) if determined > 1 else 1.0


def inverse(information: np.ndarray) -> np.ndarray:
    """The covariance; nothing along directions that no datum feels."""
    scale = np.sqrt(np.maximum(np.diag(information), 1e-300))
    size, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    felt = size > SINGULAR * size.max(initial=0.0)
    return (vectors[:, felt] / size[felt]) @ vectors[:, felt].T / np.outer(scale, scale)


class _Patient:
    """Ends a pass when the loss hardly falls: weights of a network creep along curved valleys."""

    def __init__(self, callback: Callable[[Snapshot, int], Any] | None, number: int):
        self.callback, self.number = callback, number
        self.losses: list[float] = []

    def __call__(self, snapshot: Snapshot) -> None:
        if self.callback is not None:
            self.callback(snapshot, self.number)
        self.losses.append(snapshot.loss)
        if len(self.losses) > LATEST and self.losses[-1 - LATEST] - self.losses[-1] < GAIN:
            raise StopIteration


@dataclass(frozen=True)
class Recovered:
    """A field as it was found."""

    model: AbstractField
    detector: DistortionDetector
    problem: Problem
    """Of the last pass."""
    results: list[FitResult]
    """Of every pass."""

    @property
    def converged(self) -> bool:
        return self.results[-1].converged

    @property
    def stopped(self) -> str:
        return self.results[-1].stopped


def free_paths(model: AbstractField) -> list[str]:
    """What of a model of the field is fitted: its arrays, not the nominal strength."""
    return [f"detector.field.{path}" for path, info in infos(model).items() if np.ndim(info.value) > 0]


def with_field(source: str, model: NetworkField) -> str:
    """The YAML text of a detector, `source`, with this network as its field."""
    config = yaml.safe_load(source)
    config["field"] = {
        "type": "FullPath",
        "field": {
            "type": "NetworkField",
            "strength": float(model.strength),
            "hidden": list(model.hidden),
            "omega": model.omega,
            "groups": model.groups,
            "grounded": model.grounded,
        },
    }
    changes = {k: v for k, v in config.pop("set", {}).items() if not k.startswith("field.")}
    weights = [float(f"{w:.8g}") for w in np.asarray(model.weights)]
    config["set"] = {**changes, "field.field.weights": weights}
    return yaml.safe_dump(config, sort_keys=False)
