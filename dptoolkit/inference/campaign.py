"""Campaigns: the same fit to many toys, for what its errors are worth.

If errors are right, pulls (estimate - truth) / error have mean 0 and width 1, and the truth lies within one
error in 68.3 % of the toys. A toy is a function of its seed, so rows do not depend on who computes them.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dptoolkit.atomic import write_text
from dptoolkit.farm import as_done, farm
from dptoolkit.inference.calibration import table
from dptoolkit.inference.fit import INTERRUPTED, FitResult
from dptoolkit.inference.problem import Problem
from dptoolkit.workers import Progress

FIRST = ("seed", "converged", "steps", "loss", "stopped")
PARTS = ("truth", "start", "estimate", "error", "pull")


@dataclass(frozen=True)
class ToyFit:
    """What became of one toy; tuples have an entry for every parameter."""

    seed: int
    converged: bool
    steps: int
    loss: float
    stopped: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    truth: tuple[float, ...]
    start: tuple[float, ...]
    estimate: tuple[float, ...]
    error: tuple[float, ...]
    pull: tuple[float, ...]
    """In the scale that is fitted; nan where data do not determine a parameter."""

    @classmethod
    def of(cls, problem: Problem, result: FitResult, truth: Mapping[str, float], seed: int) -> "ToyFit":
        """The row of a fit to data of known truth; Ctrl-C during the fit is passed on."""
        if result.stopped == INTERRUPTED:
            raise KeyboardInterrupt
        rows = table(problem, result, truth)
        unknown = [row.path for row in rows if row.truth is None]
        if unknown:
            raise ValueError(f"truth: {unknown[0]} is free and has no true value; a pull needs one")
        columns = {name: tuple(_number(getattr(row, name)) for row in rows) for name in PARTS}
        names, units = tuple(row.path for row in rows), tuple(row.unit for row in rows)
        stopped = result.stopped
        return cls(seed, result.converged, result.steps, result.loss, stopped, names, units, **columns)

    @property
    def missed(self) -> np.ndarray:
        """Estimate / truth - 1; infinite for a truth of zero."""
        truth = np.array(self.truth)
        return np.divide(
            np.array(self.estimate) - truth, truth, np.full(len(truth), np.inf), where=truth != 0
        )


@dataclass(frozen=True)
class Pulls:
    """The pulls of one parameter, with statistical errors."""

    path: str
    unit: str
    toys: int
    mean: float
    mean_error: float
    width: float
    width_error: float
    within_1: float
    """Part of the toys whose truth lies within one error: 0.683 expected."""
    within_2: float
    """Within two: 0.954 expected."""
    within_1_error: float
    within_2_error: float
    rms_percent: float
    """Root mean square of estimate / truth - 1."""
    largest_percent: float


@dataclass(frozen=True)
class Campaign:
    """The fits of all toys, in the order of their seeds."""

    rows: Sequence[ToyFit]

    @property
    def names(self) -> tuple[str, ...]:
        return self.rows[0].names

    @property
    def converged(self) -> list[ToyFit]:
        return [row for row in self.rows if row.converged]

    @property
    def pulls(self) -> np.ndarray:
        """Of the converged fits (n, k); not finite where data do not determine a parameter."""
        return np.array([row.pull for row in self.converged]).reshape(-1, len(self.names))

    @property
    def missed(self) -> np.ndarray:
        """Estimate / truth - 1 of the converged fits (n, k)."""
        return np.array([row.missed for row in self.converged]).reshape(-1, len(self.names))

    def summary(self) -> list[Pulls]:
        """A line for every parameter, of the converged fits with a finite error."""
        columns = zip(self.names, self.rows[0].units, self.pulls.T, self.missed.T, strict=True)
        return [
            _summary(name, unit, pulls[np.isfinite(pulls)], missed[np.isfinite(pulls)])
            for name, unit, pulls, missed in columns
        ]

    def csv(self) -> str:
        """A line for every toy; numbers are written in full."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        labels = [f"{name} [{unit}]" for name, unit in zip(self.names, self.rows[0].units, strict=True)]
        writer.writerow([*FIRST, *(f"{part} {label}" for label in labels for part in PARTS)])
        for row in self.rows:
            columns = [getattr(row, part) for part in PARTS]
            numbers = [float(column[i]) for i in range(len(labels)) for column in columns]
            writer.writerow([row.seed, int(row.converged), row.steps, row.loss, row.stopped, *numbers])
        return text.getvalue()

    @classmethod
    def from_csv(cls, text: str) -> "Campaign":
        """What `csv` wrote."""
        header, *lines = csv.reader(io.StringIO(text))
        labels = [column.removeprefix("truth ") for column in header if column.startswith("truth ")]
        names, units = zip(*(label.removesuffix("]").rsplit(" [", 1) for label in labels), strict=True)
        return cls([_row(line, names, units) for line in lines])


def run_toys(
    job: Callable[[int], ToyFit],
    seeds: Sequence[int],
    path: Path,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    progress: Progress = lambda done, total: None,
) -> Campaign:
    """The rows of `job` for all seeds, kept in the CSV file `path`; those already there are not made again.

    The file is replaced as a whole after every toy, so an interrupted campaign goes on after its last.
    """
    before = Campaign.from_csv(path.read_text()).rows if path.exists() else []
    found = {row.seed: row for row in before if row.seed in set(seeds)}
    progress(len(found), len(seeds))
    for row in _made(job, [seed for seed in seeds if seed not in found], jobs, scheduler):
        found[row.seed] = row
        write_text(path, Campaign([found[seed] for seed in sorted(found)]).csv())
        progress(len(found), len(seeds))
    return Campaign([found[seed] for seed in sorted(found)])


def _made(
    job: Callable[[int], ToyFit], seeds: list[int], jobs: int, scheduler: str | None
) -> Iterator[ToyFit]:
    if (jobs == 1 and scheduler is None) or not seeds:
        yield from map(job, seeds)
        return
    with farm(min(jobs, len(seeds)), scheduler) as client:
        yield from as_done(client, job, [(seed,) for seed in seeds])


def _row(line: list[str], names: tuple[str, ...], units: tuple[str, ...]) -> ToyFit:
    seed, converged, steps, loss, stopped = line[: len(FIRST)]
    numbers = np.array(line[len(FIRST) :], float).reshape(len(names), len(PARTS))
    columns = {part: tuple(numbers[:, i].tolist()) for i, part in enumerate(PARTS)}
    flag = bool(int(converged))
    return ToyFit(int(seed), flag, int(steps), float(loss), stopped, tuple(names), tuple(units), **columns)


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _summary(name: str, unit: str, pulls: np.ndarray, missed: np.ndarray) -> Pulls:
    n = len(pulls)
    mean, width = (float(pulls.mean()), float(pulls.std(ddof=1))) if n > 1 else (np.nan, np.nan)
    inside = [float(np.mean(np.abs(pulls) < sigmas)) if n else np.nan for sigmas in (1, 2)]
    spread = [float(np.sqrt(share * (1 - share) / max(n, 1))) for share in (0.6827, 0.9545)]
    mean_error, width_error = width / np.sqrt(max(n, 1)), width / np.sqrt(2 * max(n - 1, 1))
    sizes = [float(100 * f(np.abs(missed))) if n else np.nan for f in (_rms, np.max)]
    return Pulls(name, unit, n, mean, float(mean_error), width, float(width_error), *inside, *spread, *sizes)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))
