"""Fits: `fit(problem)` runs a method step by step, and says why it stopped.

Progress, live views, Ctrl-C, checkpoints and exact resume are here, once for all methods; the methods
themselves (`optimise`) only know one step. `steps` is the same as an iterator.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from dptoolkit.atomic import write_with
from dptoolkit.inference.optimise import AbstractMethod, State, method_of
from dptoolkit.inference.problem import Problem
from dptoolkit.inference.uncertainty import Uncertainty, uncertainty

INTERRUPTED, BY_CALLER = "interrupted", "stopped by the caller"


@dataclass(frozen=True)
class Snapshot:
    """A point on the way of a fit; nothing in it changes afterwards."""

    step: int
    values: dict[str, Any]
    """Physical values by path."""
    z: np.ndarray
    loss: float
    expected_decrease: float
    """How much the method expects the loss to fall still; nan if it does not know."""
    seconds: float
    stage: int = 0
    """Number of the problem in a graduated fit; losses of different stages cannot be compared."""
    batches: int = 0
    """Batches of events in that problem."""

    def line(self, all_batches: int) -> str:
        """How far the fit is, in a line; of a stage with fewer than all batches it says how many."""
        numbers = (
            f"step {self.step:3d}   loss {self.loss:14.6g}   still to fall {self.expected_decrease:10.3g}"
        )
        return numbers if self.batches == all_batches else f"{numbers}   ({self.batches} batches)"


@dataclass(frozen=True)
class FitResult:
    """Estimates with errors in physical units, and how the fit got there."""

    uncertainty: Uncertainty | None
    """None where the loss has no residuals, so no Fisher information, or the parameters are too many."""
    history: list[Snapshot] = field(default_factory=list)
    converged: bool = False
    stopped: str = ""

    @property
    def estimate(self) -> dict[str, Any]:
        """Values by path."""
        return self.history[-1].values

    @property
    def error(self) -> dict[str, Any]:
        """Standard errors by path; infinite for what the data do not determine."""
        return {} if self.uncertainty is None else self.uncertainty.error

    @property
    def correlation(self) -> np.ndarray:
        """Of the coordinates, by `names` of the problem; nan where the loss has no residuals."""
        size = len(self.history[-1].z)
        return np.full((size, size), np.nan) if self.uncertainty is None else self.uncertainty.correlation

    @property
    def loss(self) -> float:
        return self.history[-1].loss

    @property
    def steps(self) -> int:
        """Accepted steps."""
        return len(self.history) - 1


def fit(
    problem: Problem,
    *,
    method: str | AbstractMethod = "gauss-newton",
    start: Mapping[str, Any] | np.ndarray | None = None,
    max_steps: int | None = None,
    callback: Callable[[Snapshot], Any] | None = None,
    checkpoint: str | Path | None = None,
    near: float | None = None,
) -> FitResult:
    """Minimise the loss from `start` (values by path, coordinates, or the experiment as it is).

    `callback` sees every step and may raise `StopIteration` to end the fit. Ctrl-C returns what there is.
    With a `checkpoint` every step is saved there; a fit that finds one goes on as if never stopped, and tells
    `callback` the steps before.
    A fit that only prepares another ends `near` the minimum, where the loss is expected to fall by less than
    that; it has no uncertainty.
    """
    method = method_of(method)
    limit = method.max_steps if max_steps is None else max_steps
    history: list[Snapshot] = []
    state: State | None = None
    stopped = f"no convergence in {limit} steps"
    try:
        points = steps(problem, method, start=start, max_steps=limit, checkpoint=checkpoint, past=history)
        told = 0
        for snapshot, reached in points:
            state = reached
            while told < len(history):
                told += 1
                if callback is not None:
                    callback(history[told - 1])
            if near is not None and snapshot.expected_decrease < near:
                return FitResult(None, history, True, f"the loss is expected to fall by less than {near:g}")
    except KeyboardInterrupt:
        stopped = INTERRUPTED
        if not history:
            raise
    except StopIteration:
        stopped = BY_CALLER
    converged = state is not None and state.converged
    if state is not None and state.stopped:
        stopped = state.stopped
    z = jnp.asarray(history[-1].z, problem.start.dtype)
    return FitResult(uncertainty(problem, z) if method.few else None, history, converged, stopped)


def graduated(
    problems: Sequence[Problem],
    *,
    start: Mapping[str, Any] | np.ndarray | None = None,
    callback: Callable[[Snapshot], Any] | None = None,
    checkpoint: str | Path | None = None,
    near: float | None = None,
    **options: Any,
) -> FitResult:
    """Fits one problem after the other, from easy to exact; each starts where the one before ended.

    Easy is one with a coarser loss (`with_loss`) or with fewer events (`part`); all have the same free
    parameters. The result is that of the last, with the history of all; `options` as for `fit`, and those
    before the last may end `near` their minimum. `callback` sees the point where a fit ends and the next
    begins once for each of the two, with the same step.
    """
    past: list[Snapshot] = []
    result: FitResult | None = None
    for number, problem in enumerate(problems):
        name = None if checkpoint is None else Path(checkpoint).with_suffix(f".{number}.npz")
        first = len(past)

        def tell(snapshot: Snapshot, first: int = first, number: int = number) -> None:
            if callback is not None:
                callback(replace(snapshot, step=first + snapshot.step, stage=number))

        final = number == len(problems) - 1
        enough = None if final else near
        try:
            result = fit(problem, start=start, callback=tell, checkpoint=name, near=enough, **options)
        except KeyboardInterrupt:  # before the first point of this stage was known
            if result is None:
                raise
            past.append(replace(result.history[-1], stage=number - 1))
            result = FitResult(None, [], False, INTERRUPTED)
            break
        if problem.loss is not problems[-1].loss:
            result = replace(result, uncertainty=None)  # of another loss
        start = result.history[-1].z
        last = final or result.stopped in (INTERRUPTED, BY_CALLER)
        kept = result.history if last else result.history[:-1]
        past += [replace(snapshot, stage=number) for snapshot in kept]
        if last:
            break
    if result is None:
        raise ValueError("problems: expected at least one")
    history = [replace(snapshot, step=step) for step, snapshot in enumerate(past)]
    return replace(result, history=history)


def steps(
    problem: Problem,
    method: AbstractMethod,
    *,
    start: Mapping[str, Any] | np.ndarray | None = None,
    max_steps: int = 100,
    checkpoint: str | Path | None = None,
    past: list[Snapshot] | None = None,
) -> Iterator[tuple[Snapshot, State]]:
    """Every point of a fit with the state of its method; all points so far are left in `past`.

    The last state comes with the last point once more: it says why the method stopped.
    """
    past = [] if past is None else past
    began = time.monotonic()
    state = _resume(problem, method, checkpoint, past)
    if state is None:
        state = method.begin(problem, coordinates_of(problem, start))
        past.append(snapshot_of(problem, state, 0, 0.0))
    before = past[-1].seconds
    yield past[-1], state
    while not state.stopped and len(past) <= max_steps:
        following = method.step(problem, state)
        moved = not np.array_equal(following.z, state.z)
        state = following
        if moved:
            past.append(snapshot_of(problem, state, len(past), before + time.monotonic() - began))
        _save(checkpoint, problem, method, state, past)
        yield past[-1], state


def by_stage(history: Sequence[Any], heights: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """(steps, heights) of the points of a fit as curves, apart by nan where one stage follows another."""
    rows: list[tuple[float, float]] = []
    for number, (snapshot, height) in enumerate(zip(history, heights, strict=True)):
        if number and history[number - 1].stage != snapshot.stage:
            rows.append((np.nan, np.nan))
        rows.append((float(snapshot.step), height))
    found = np.array(rows, float).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def coordinates_of(problem: Problem, start: Mapping[str, Any] | np.ndarray | None) -> Any:
    """Coordinates of a start: values by path (others as they are), coordinates, or None."""
    if start is None:
        return problem.start
    if isinstance(start, Mapping):
        values = dict(problem.values(problem.start))
        full = {path if path in values else f"detector.{path}": value for path, value in start.items()}
        unknown = sorted(set(full) - set(values))
        if unknown:
            raise ValueError(f"start: {unknown[0]!r} is not free; free are {', '.join(values)}")
        return problem.coordinates.of({**values, **full})
    z = jnp.asarray(start, problem.start.dtype)
    if z.shape != problem.start.shape:
        raise ValueError(f"start: expected {problem.start.shape} coordinates, got {z.shape}")
    return z


def snapshot_of(problem: Problem, state: State, step: int, seconds: float) -> Snapshot:
    """Where a method is, for people."""
    values = {path: _plain(value) for path, value in problem.values(state.z).items()}
    z = np.asarray(state.z)
    loss, left = float(state.loss), float(state.expected_decrease)
    return Snapshot(step, values, z, loss, left, seconds, batches=len(problem.sources))


def _plain(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else np.asarray(value)


def _save(
    path: str | Path | None, problem: Problem, method: AbstractMethod, state: State, past: list[Snapshot]
) -> None:
    if path is None:
        return
    identity = problem.identity
    header = {
        "method": repr(method),
        "identity": identity,
        "history": [_listed(snapshot) for snapshot in past],
    }
    arrays: dict[str, Any] = {"header": np.array(json.dumps(header))}
    arrays |= method.saved(state) | problem.saved()
    write_with(path, lambda file: np.savez(file, **arrays))


def _resume(
    problem: Problem, method: AbstractMethod, path: str | Path | None, past: list[Snapshot]
) -> State | None:
    """The state a checkpoint holds, its history in `past`; None where there is none."""
    if path is None or not Path(path).exists():
        return None
    with np.load(path) as stored:
        header = json.loads(str(stored["header"]))
        if header["method"] != repr(method):
            raise ValueError(
                f"{path}: checkpoint of the method {header['method']}; "
                f"expected {method!r}; remove it to start anew"
            )
        if header["identity"] != problem.identity:
            raise ValueError(
                f"{path}: checkpoint of another fit (other data, loss, parameters or start); expected one of "
                f"{', '.join(problem.paths)} with {type(problem.loss).__name__}; remove it to start anew"
            )
        past.extend(_unlisted(snapshot) for snapshot in header["history"])
        arrays = {name: stored[name] for name in stored.files if name != "header"}
        problem.recall(arrays)
        return method.restored(problem, arrays)


def _listed(snapshot: Snapshot) -> dict[str, Any]:
    values = {path: np.asarray(value).tolist() for path, value in snapshot.values.items()}
    return {**asdict(snapshot), "values": values, "z": snapshot.z.tolist()}


def _unlisted(stored: dict[str, Any]) -> Snapshot:
    values = {path: _plain(np.asarray(value)) for path, value in stored["values"].items()}
    return Snapshot(**{**stored, "values": values, "z": np.asarray(stored["z"])})
