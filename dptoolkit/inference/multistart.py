"""Fits from many starts at once: whether the minimum that a fit finds is the only one.

All starts go in step: the quadratic models at their next points are one compiled call. Ends closer than
one standard deviation belong to one basin.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from dptoolkit.inference.fit import FitResult, Snapshot, coordinates_of, snapshot_of
from dptoolkit.inference.optimise import GaussNewton, State
from dptoolkit.inference.problem import Problem
from dptoolkit.inference.uncertainty import from_information
from dptoolkit.workers import Progress

"""Called with (fits that have ended, fits in all)."""


@dataclass(frozen=True)
class Basin:
    """Starts that lead to one minimum; `result` is the fit with the least loss."""

    result: FitResult
    starts: tuple[int, ...]


@dataclass(frozen=True)
class MultiStart:
    """The fits in the order of their starts, and the minima they found, deepest first."""

    results: list[FitResult]
    basins: list[Basin]

    @property
    def best(self) -> FitResult:
        return self.basins[0].result

    @property
    def share(self) -> float:
        """Part of the starts that lead to the best minimum."""
        return len(self.basins[0].starts) / len(self.results)


def spread_starts(problem: Problem, n: int, seed: int = 0) -> np.ndarray:
    """Coordinates (n, k) drawn uniformly over typical values, or 2 units to both sides of the start."""
    rng, columns = np.random.default_rng(seed), []
    low, high = (np.asarray(edge, float) for edge in problem.reach())
    for path in problem.paths:
        start, typical = problem.coordinates.start[path], problem.infos[path].typical
        ends = [-2.0, 2.0]
        if typical is not None:
            full = dict(problem.values(problem.start))
            chosen = [problem.coordinates.of({**full, path: np.full(start.shape, x)}) for x in typical]
            first = sum(problem.coordinates.start[p].size for p in problem.paths[: problem.paths.index(path)])
            ends = sorted(float(z[first]) for z in chosen)
        columns.append(rng.uniform(ends[0], ends[1], (n, start.size)))
    return np.clip(np.concatenate(columns, axis=1), low, high)


def multistart(
    problem: Problem,
    starts: Sequence[Mapping[str, Any]] | np.ndarray,
    *,
    method: GaussNewton | None = None,
    progress: Progress = lambda done, total: None,
) -> MultiStart:
    """Fit from every start (values by path, or coordinates) by Gauss-Newton, all in step."""
    if len(starts) == 0:
        raise ValueError("starts: expected at least one")
    method = GaussNewton() if method is None else method
    began = time.monotonic()
    points = jnp.stack([jnp.asarray(coordinates_of(problem, start)) for start in starts])
    states = [
        method.at(problem, z, normal, method.damping)
        for z, normal in zip(points, problem.normals(points), strict=True)
    ]
    histories = [[snapshot_of(problem, state, 0, 0.0)] for state in states]
    while active := [i for i, state in enumerate(states) if not _done(state, histories[i], method)]:
        for i, state in zip(active, _next(problem, method, [states[i] for i in active]), strict=True):
            if not np.array_equal(state.z, states[i].z):
                seconds = time.monotonic() - began
                histories[i].append(snapshot_of(problem, state, len(histories[i]), seconds))
            states[i] = state
        progress(sum(bool(state.stopped) for state in states), len(states))
    results = [_result(problem, *pair) for pair in zip(states, histories, strict=True)]
    return MultiStart(results, _basins(results))


def _done(state: State, history: list[Snapshot], method: GaussNewton) -> bool:
    return bool(state.stopped) or len(history) > method.max_steps


def _next(problem: Problem, method: GaussNewton, states: list[State]) -> list[State]:
    """Every state after one more trial."""
    trials = [method.trial(problem, state) for state in states]
    wanted = [trial for trial in trials if trial is not None]
    found = iter(problem.normals(jnp.stack(wanted)) if wanted else [])
    return [
        method.judged(problem, state, trial, None if trial is None else next(found))
        for state, trial in zip(states, trials, strict=True)
    ]


def _result(problem: Problem, state: State, history: list[Snapshot]) -> FitResult:
    stopped = state.stopped or f"no convergence in {len(history) - 1} steps"
    known = from_information(problem, state.z, state.memory[0].matrix)
    return FitResult(known, history, state.converged, stopped)


def _basins(results: list[FitResult]) -> list[Basin]:
    basins: list[tuple[FitResult, list[int]]] = []
    order = np.argsort([result.loss if np.isfinite(result.loss) else np.inf for result in results])
    for i in map(int, order):
        for best, members in basins:
            if _distance(best, results[i]) < 1:
                members.append(i)
                break
        else:
            basins.append((results[i], [i]))
    return [Basin(best, tuple(sorted(members))) for best, members in basins]


def _distance(best: FitResult, other: FitResult) -> float:
    """In standard deviations of the best; directions that the data do not feel count nothing."""
    step = other.history[-1].z - best.history[-1].z
    matrix = best.uncertainty.matrix if best.uncertainty is not None else np.eye(len(step))
    return float(np.sqrt(max(step @ matrix @ step, 0.0)))
