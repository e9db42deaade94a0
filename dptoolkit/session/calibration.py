"""View-model of the calibration: a toy of a sample or of the user's own file, fitted as one watches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import param

from dptoolkit.calibrate import Calibration, Toy, classes_of, in_batches, stages_of, truth_of
from dptoolkit.config import detector_names, load_tpc
from dptoolkit.detector import LArTPC
from dptoolkit.inference.calibration import Row, table
from dptoolkit.inference.fit import FitResult
from dptoolkit.inference.information import Budget, information_budget
from dptoolkit.inference.problem import Problem
from dptoolkit.inference.uncertainty import Uncertainty, uncertainty
from dptoolkit.io import EventFile, place, read_segments
from dptoolkit.session.fits import Fits, Maker
from dptoolkit.session.live_fit import Row as LiveRow
from dptoolkit.session.runner import Frame, Task, Tell
from dptoolkit.session.upload import opened_upload
from dptoolkit.sources.generator import generate
from dptoolkit.sources.samples import SAMPLES

NAME = "gauss-newton"
OWN = "your file"
"""The sample that was uploaded."""
EDGES = np.linspace(-5.0, 5.0, 41)
"""Of the bins of residuals [standard deviations]; those beyond count in the outermost."""
MOST = 200
"""Events of a calibration that one may ask for."""


@dataclass(frozen=True)
class Prepared:
    """What is fitted: the problem with all events, and the truth of its toy."""

    problem: Problem
    truth: Mapping[str, float]
    spans: np.ndarray
    """Width of the typical range of every parameter (k)."""


@dataclass(frozen=True)
class Found:
    """What the events of a stage tell at a point."""

    uncertainty: Uncertainty
    counts: np.ndarray
    """Residuals that are not zero, by bin of `EDGES`."""
    batches: int
    budgets: tuple[tuple[str, Budget], ...]
    """Of all events, where they are of several classes; by what classes are of."""


class LiveCalibration(Fits):
    """One fit of the parameters that a detector declares, to a toy with a random truth."""

    kept = ("detector", "sample", "events", "noise", "seed", "free", *Fits.kept)
    leading = ("detector",)

    detector = param.Selector(
        default="small-wire", objects=detector_names("LArTPC"), doc="What is calibrated"
    )
    sample = param.Selector(default="muons", objects=list(SAMPLES), doc="Events with which it is done")
    events = param.Integer(default=8, bounds=(1, MOST), doc="Number of events")
    noise = param.Boolean(default=True, doc="Whether the data have noise")
    seed = param.Integer(default=3, bounds=(0, None), doc="Of the events, the truth and the noise")
    free = param.List(default=[], item_type=str, doc="Free parameters; none named: all that are calibrated")

    def __init__(self, **controls: Any):
        super().__init__()
        self._file: EventFile | None = None
        self._prepared: Prepared | None = None
        self.param.watch(self._other_detector, "detector")
        self.param.watch(self._begin_anew, ["sample", "events", "noise", "seed", "free"])
        self.from_dict(controls)

    @property
    def choices(self) -> list[str]:
        """The parameters that may be free."""
        return Calibration(load_tpc(self.detector)).paths

    @property
    def frame(self) -> Frame:
        """The present state of the fit."""
        return self.frames.get(NAME, Frame())

    @property
    def prepared(self) -> Prepared | None:
        """What is fitted, when it is ready."""
        return self._prepared

    def open_upload(self, name: str, content: bytes, max_mb: float) -> None:
        """Take the segments of an uploaded file as the sample; errors name it as the user does."""
        self._file = opened_upload(name, content, max_mb, read_segments)
        self.param.sample.objects = [*SAMPLES, OWN]
        if self.sample == OWN:
            self._begin_anew()
        self.sample = OWN

    def begin(self) -> None:
        """Make the fit ready at its start."""
        self._prepared = None
        super().begin()

    def makers(self) -> Mapping[str, Maker]:
        name, noise, seed, free = self.detector, self.noise, self.seed, list(self.free)
        file = self._file if self.sample == OWN else None
        sample, numbers = self.sample, np.arange(self.events)

        def make(tell: Tell) -> Task:
            tell("making the events")
            detector = load_tpc(name)
            calibration = Calibration(detector, free, noise)
            events = _generated(sample, detector, numbers, seed) if file is None else _first(file, numbers)
            batches, firsts = in_batches(place(events, detector.volumes, seed=seed)[0], most=1)
            toy = Toy(detector, truth_of(detector, calibration.paths, seed, {}), noise, seed)
            observed = []
            for segments, first in zip(batches, firsts, strict=True):
                done = f"{len(observed)} of {len(batches)} batches"
                tell(f"simulating the data, {done}; a new kind of detector compiles first")
                observed.append(toy.observe(segments, first))
            problem = calibration.problem(batches, observed)
            self._prepared = Prepared(problem, toy.truth, _spans(problem))
            labels = classes_of(batches, detector)
            return Task(
                stages_of(problem), NAME, np.asarray(problem.start), look=lambda p, z: _seen(p, z, labels)
            )

        return {NAME: make}

    def result(self) -> FitResult | None:
        """The fit up to the present point; None before its first."""
        frame = self.frame
        if frame.seen is None:
            return None
        return FitResult(frame.seen.uncertainty, list(frame.history), frame.converged, frame.activity)

    def table(self) -> list[Row]:
        """The parameters at the present point, for a report."""
        prepared, result = self.prepared, self.result()
        return [] if prepared is None or result is None else table(prepared.problem, result, prepared.truth)

    def rows(self) -> list[LiveRow]:
        """The same, for the page."""
        infos = {} if self.prepared is None else self.prepared.problem.infos
        return [
            LiveRow(
                name=row.path,
                symbol=infos[f"detector.{row.path}"].symbol,
                unit=row.unit,
                truth=np.nan if row.truth is None else row.truth,
                start=row.start,
                error=row.error,
                held=False,
                values=(row.estimate,),
            )
            for row in self.table()
        ]

    def ways(self) -> tuple[np.ndarray, np.ndarray]:
        """(steps, distances from the truth as parts of the typical range (steps, k))."""
        prepared, history = self.prepared, self.frame.history
        if prepared is None or not history:
            return np.zeros(0), np.zeros((0, 0))
        problem = prepared.problem
        truth = np.array([prepared.truth[path.removeprefix("detector.")] for path in problem.paths])
        values = np.array([[snapshot.values[path] for path in problem.paths] for snapshot in history], float)
        return np.array([float(snapshot.step) for snapshot in history]), (values - truth) / prepared.spans

    def facts(self) -> dict[str, str]:
        """What was calibrated, for the report."""
        sample = self.sample if self._file is None or self.sample != OWN else self._file.path.name
        kind = "noise" if self.noise else "no noise; errors are those of a nominal one"
        numbers = {"events": str(self.events), "seed": str(self.seed)}
        return {"detector": self.detector, "sample": sample, **numbers, "toy": kind}

    def _other_detector(self, *_events: Any) -> None:
        """Free parameters are those of a detector."""
        if self.free:
            self.free = []
        else:
            self._begin_anew()


def _generated(sample: str, detector: LArTPC, numbers: np.ndarray, seed: int) -> EventFile:
    made = generate(sample, detector.volumes, numbers, seed)
    columns = dict(made.segments)
    event = columns.pop("event")
    return EventFile.build(columns, made.numbers[event], path=Path(f"{sample}.h5"), format="dptoolkit")


def _first(file: EventFile, numbers: np.ndarray) -> EventFile:
    return file.select(slice(0, min(len(numbers), file.n_events)))


def _spans(problem: Problem) -> np.ndarray:
    ends = [problem.infos[path].typical for path in problem.paths]
    return np.array([1.0 if typical is None else typical[1] - typical[0] for typical in ends])


def _seen(problem: Problem, z: np.ndarray, labels: Mapping[str, Sequence[str]]) -> Found:
    """What is known at a point; the second derivatives are those that the fit has made."""
    point = jnp.asarray(z, problem.start.dtype)
    known = uncertainty(problem, point)
    assert known is not None, "the likelihoods of a calibration have residuals"
    residuals = problem.residuals(point)
    residuals = residuals[residuals != 0]
    counts, _ = np.histogram(np.clip(residuals, EDGES[0], EDGES[-1]), EDGES)
    n = len(problem.sources)
    whole = {what: some for what, some in labels.items() if len(some) == n and len(set(some)) > 1}
    budgets = tuple((what, information_budget(problem, point, some)) for what, some in whole.items())
    return Found(known, counts, n, budgets)
