"""Calibrate a detector with events whose segments are known: toys with a known truth, or recorded read-out.

The glue of file, detector and fit; fits themselves are in `inference`. A toy is simulated with merged
lines half as long as the fit uses, so that the fit does not see its own approximations.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dptoolkit.detector import LArTPC, Readout
from dptoolkit.events import Segments, SensorHits, Waveforms, bucket, pad
from dptoolkit.inference.calibration import calibrated, in_stages, likelihood, random_truth
from dptoolkit.inference.experiment import Experiment
from dptoolkit.inference.fit import FitResult, Snapshot, graduated
from dptoolkit.inference.losses import AbstractLoss, AbstractResidualLoss, HitLikelihood, MultiScale
from dptoolkit.inference.optimise import NEAR
from dptoolkit.inference.problem import Problem
from dptoolkit.io import (
    EventFile,
    InputError,
    NativeFile,
    count_outside,
    events_slice,
    outside_notes,
    place,
    read_native,
    read_segments,
)
from dptoolkit.params import free, replace
from dptoolkit.simulation import event_key
from dptoolkit.sources.recorded import SegmentSource

SEGMENTS = 1024
"""Events are computed together up to this many segments."""
ANGLES = (0.0, 35.0, 60.0, 90.0)
"""Classes of events by angle to the drift [degrees]."""
BLURS = ((256.0, 4), (64.0, 4), (16.0, 1))
"""Of the multi-scale losses before the likelihood of waveforms: [us], channels."""


@dataclass(frozen=True)
class Toy:
    """Data made by the detector itself, with another truth."""

    detector: LArTPC
    truth: Mapping[str, float]
    """Values of the parameters that differ from the detector's own."""
    noise: bool = False
    seed: int = 0

    def observe(self, segments: Segments, number: int) -> Readout:
        """What is read out of the event(s) `number`."""
        model = replace(self.detector if self.noise else self.detector.without_noise(), self.truth)
        model = dataclasses.replace(model, step=model.step / 2)
        key = event_key(self.seed + 1, number) if self.noise else None
        return jax.tree.map(np.asarray, model(segments, key=key))


@dataclass(frozen=True)
class Calibration:
    """What a calibration frees and where it starts; makes the `Problem`."""

    detector: LArTPC
    free: Sequence[str] = ()
    """Default: all parameters with typical values."""
    noise: bool = False
    """Whether the data have noise, and so the model."""
    start: Mapping[str, Any] = field(default_factory=dict)

    @property
    def paths(self) -> list[str]:
        """In full: wildcards expanded."""
        return list(free(self.detector, list(self.free) or calibrated(self.detector)).values)

    def problem(self, batches: Sequence[Segments], observed: Sequence[Readout]) -> Problem:
        """The problem of these events with the likelihood of their read-out."""
        model = replace(self.detector if self.noise else self.detector.without_noise(), dict(self.start))
        model = dataclasses.replace(model, room=max(model.cut(segments).scale for segments in batches))
        loss = likelihood(self.detector, observed[0], self.noise)
        experiments = [Experiment(model, SegmentSource(segments)) for segments in batches]
        return Problem(experiments, self.paths, loss, list(observed))


def calibrate(
    problem: Problem,
    *,
    method: str = "gauss-newton",
    max_steps: int | None = None,
    callback: Callable[[Snapshot], Any] | None = None,
    checkpoint: str | Path | None = None,
) -> FitResult:
    """Fit in `stages_of` the problem; those of hits end near their minimum.

    Those of waveforms do not: what is near for a blurred loss may be far for the likelihood.
    """
    stages = stages_of(problem)
    near = NEAR if isinstance(problem.loss.alone, HitLikelihood) else None
    return graduated(
        stages, method=method, max_steps=max_steps, callback=callback, checkpoint=checkpoint, near=near
    )


def stages_of(problem: Problem) -> list[Problem]:
    """Few events before all, and before the likelihood a loss that pulls from further off."""
    stages = in_stages(problem)
    easy, loss = stages[0], problem.loss
    coarse: list[AbstractLoss] = []
    if _has_waveforms(problem) and isinstance(loss.alone, AbstractResidualLoss):
        coarse = [MultiScale(time, wires) for time, wires in BLURS]
    elif isinstance(loss.alone, HitLikelihood):
        coarse = [likelihood(problem.detector, problem.observed[0], noisy=False)]
    return [*(easy.with_loss(loss.around(one)) for one in coarse), *stages]


def batches_of(
    path: str | Path, detector: LArTPC, *, events: str = ":", how: str = "auto", seed: int = 0
) -> tuple[list[Segments], list[int], list[str]]:
    """The events of a file, placed in the detector, `in_batches`: (segments, first event numbers, notes)."""
    file, note = place(read_segments(path).select(events), detector.volumes, how, seed=seed)
    if count_outside(file.segments, detector.volumes)[1] == 1:
        raise InputError(
            f"{path}: all energy of events {events} lies outside the active volume of {detector.name} "
            f"({note}); choose other --events, or --place X,Y,Z or random"
        )
    return *in_batches(file), [note, *outside_notes(file.segments, detector.volumes, detector.name, how)]


def known_events(
    path: str | Path, detector: LArTPC, events: str = ":"
) -> tuple[list[Segments], list[Readout]]:
    """The segments and the recorded read-out of a native file, in batches; nothing else of it is used."""
    first, whole = events_slice(events).start or 0, read_native(path, None if events == ":" else events)
    _check_recorded(whole, Path(path), detector)
    batches, _ = in_batches(whole.event_file)
    groups = _groups(whole.event_file, SEGMENTS)
    spans = [slice(first + group.start, first + group.stop) for group in groups]
    return batches, [_charge(read_native(path, span)) for span in spans]


def _charge(file: NativeFile) -> Readout:
    """What was read out, without light."""
    return {name: part for name, part in file.readout.items() if not isinstance(part, SensorHits)}


def _check_recorded(file: NativeFile, path: Path, detector: LArTPC) -> None:
    """An error unless `detector` may have recorded these events."""
    expected, recorded = [plane.name for plane in detector.planes], list(_charge(file))
    maker = file.run.detector_name
    if file.run.expectation:
        raise InputError(f"{path}: holds expected signals; expected recorded ones")
    if not len(file.event_file):
        raise InputError(f"{path}: holds no segments, only read-out; leave out --known-segments")
    if (maker and maker != detector.name) or set(recorded) != set(expected):
        raise InputError(
            f"{path}: was recorded by {maker or 'a detector'!r} with planes {', '.join(recorded)}; expected "
            f"{detector.name!r} with {', '.join(expected)}; give the --detector that recorded it"
        )


def in_batches(file: EventFile, most: int = SEGMENTS) -> tuple[list[Segments], list[int]]:
    """Events, together up to `most` segments, padded to one size: (segments, number of the first event)."""
    groups = _groups(file, most)
    batches = [file.select(group) for group in groups]
    size = bucket(max(len(batch) for batch in batches))
    segments = [pad(batch.segments, size) for batch in batches]
    return segments, [int(batch.event_numbers[0]) for batch in batches]


def truth_of(
    detector: LArTPC, paths: Sequence[str], seed: int, given: Mapping[str, float]
) -> dict[str, float]:
    """A random truth of the parameters at `paths`, but for those that are given."""
    drawn = random_truth(detector, [path for path in paths if path not in given], seed)
    return {**drawn, **given}


def check_alike(maker: LArTPC, detector: LArTPC) -> None:
    """Raise a `ValueError` unless what `maker` reads out can be compared with a prediction of `detector`."""
    for what, found, expected in (
        ("planes", [plane.name for plane in maker.planes], [plane.name for plane in detector.planes]),
        ("volumes", len(maker.volumes), len(detector.volumes)),
    ):
        if found != expected:
            raise ValueError(f"{maker.name}: {what} {found} are not those of {detector.name}: {expected}")


def classes_of(batches: Sequence[Segments], detector: LArTPC) -> dict[str, list[str]]:
    """Labels of batches of events by angle to the drift and by drift distance, for an information budget.

    A batch is where half of its energy lies on either side.
    """
    angles, distances = [], []
    volumes = detector.volumes
    for segments in batches:
        volume = volumes.locate((np.asarray(segments.start) + np.asarray(segments.end)) / 2)
        inside = np.asarray(segments.valid) & (volume >= 0)
        start, end = (
            np.asarray(volumes.to_local(point, jnp.asarray(np.maximum(volume, 0)))[2])
            for point in (segments.start, segments.end)
        )
        cosine = np.abs(end - start) / np.maximum(np.asarray(segments.dx), 1e-9)
        energy = np.where(inside, np.asarray(segments.de), 0.0)
        angles.append(
            _class(_median(np.degrees(np.arccos(np.minimum(cosine, 1.0))), energy), ANGLES, "degrees")
        )
        thirds = np.round(volumes.drift_length * np.array([0, 1, 2, 3]) / 3, 1)
        distances.append(_class(_median((start + end) / 2, energy), thirds, "cm"))
    return {"angle to the drift": angles, "drift distance": distances}


def _median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _class(value: float, edges: Sequence[float] | np.ndarray, unit: str) -> str:
    number = int(np.clip(np.searchsorted(edges, value) - 1, 0, len(edges) - 2))
    return f"{edges[number]:g} to {edges[number + 1]:g} {unit}"


def _groups(file: EventFile, most: int) -> list[slice]:
    sizes = np.bincount(file.columns["event"], minlength=file.n_events)
    groups, first, total = [], 0, 0
    for event, size in enumerate(sizes):
        if total and total + size > most:
            groups.append(slice(first, event))
            first, total = event, 0
        total += int(size)
    return [*groups, slice(first, file.n_events)]


def _has_waveforms(problem: Problem) -> bool:
    return any(isinstance(part, Waveforms) for part in problem.observed[0].values())
