"""A calibration: which parameters are free, truths of toys, the fit in stages, and its result as a table.

Detectors declare which parameters vary and over which values (`typical`); `likelihood` chooses the loss by
the kind of read-out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dptoolkit.events import Hits, Waveforms
from dptoolkit.inference.alignment import Observables
from dptoolkit.inference.coordinates import pull_of
from dptoolkit.inference.fit import FitResult
from dptoolkit.inference.losses import (
    AbstractLoss,
    CensoredHits,
    ColouredChi2,
    GaussianChi2,
    HitLikelihood,
)
from dptoolkit.inference.problem import Problem
from dptoolkit.params import infos


def calibrated(detector: Any) -> list[str]:
    """The parameters that a calibration frees: those whose `typical` values are declared."""
    return [path for path, info in infos(detector).items() if info.typical is not None]


def random_truth(detector: Any, paths: Sequence[str], seed: int) -> dict[str, float]:
    """Values for `paths`, drawn uniformly between the ends of their typical ranges."""
    rng = np.random.default_rng(seed)
    known, values = infos(detector), {}
    for path in paths:
        typical = known[path.removeprefix("detector.").split("[")[0]].typical
        if typical is None:
            raise ValueError(f"{path}: has no typical range to draw a truth from; give one with --set")
        values[path] = float(rng.uniform(*typical))
    return values


def likelihood(detector: Any, readout: Observables, noisy: bool) -> AbstractLoss:
    """The loss that suits what a detector reads out, for data with or without noise."""
    kinds = {type(part) for part in readout.values()}
    if kinds == {Hits}:
        thresholds = [float(plane.front_end.threshold) for plane in detector.planes]
        return HitLikelihood() if noisy else CensoredHits(threshold=min(thresholds))
    if kinds == {Waveforms} and noisy:
        (n_ticks,) = {part.samples.shape[2] for part in readout.values()}
        return ColouredChi2.of({p.name: p.noise_statistics() for p in detector.planes}, n_ticks)
    if kinds == {Waveforms}:
        return GaussianChi2(noise=1.0)
    raise ValueError(f"no likelihood for a read-out of {', '.join(kind.__name__ for kind in kinds)}")


FEW, MORE = 2, 8
"""Batches of the first stage, and how many times more those of the next have."""


def in_stages(problem: Problem) -> list[Problem]:
    """The problem with few events, then with all: most steps are made where they cost little."""
    parts, n = [], FEW
    while n < len(problem.sources) // 2:
        parts.append(problem.part(n))
        n *= MORE
    return [*parts, problem]


@dataclass(frozen=True)
class Row:
    """A parameter of a calibration; `truth` and `pull` are None where the truth is unknown.

    Estimates scatter like a Gaussian in the scale that is fitted (1 / tau for a lifetime), so the pull is
    taken there: (estimate - truth) / error where errors are small.
    """

    path: str
    unit: str
    truth: float | None
    start: float
    estimate: float
    error: float
    pull: float | None


def table(problem: Problem, result: FitResult, truth: Mapping[str, float] | None) -> list[Row]:
    """A row for every coordinate of the fit."""
    flat = lambda values: np.asarray(problem.coordinates.flat(values))  # noqa: E731
    first, last = result.history[0].values, result.history[-1].values
    known = dict(truth or {})
    real = {path: known.get(path, known.get(path.removeprefix("detector."))) for path in problem.paths}
    truths = [
        real[path] if np.ndim(last[path]) == 0 else None
        for path in problem.paths
        for _ in range(np.size(last[path]))
    ]
    known_as = [problem.infos[path] for path in problem.paths for _ in range(np.size(last[path]))]
    errors = np.full(len(truths), np.nan) if result.uncertainty is None else result.uncertainty.errors
    rows = zip(problem.names, known_as, truths, flat(first), flat(last), errors, strict=True)
    return [
        Row(
            name.removeprefix("detector."),
            info.unit,
            true,
            float(start),
            float(estimate),
            float(error),
            None if true is None or not np.isfinite(error) else pull_of(info.scale, estimate, true, error),
        )
        for name, info, true, start, estimate, error in rows
    ]
