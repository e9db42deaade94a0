"""A problem: an experiment, which of its leaves are free, a loss and what was observed.

Nothing here knows what a detector is beyond `Detector`: fits, errors, landscapes and dashboards are
written against `Problem`.
"""

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dptoolkit.inference.alignment import Observables, align, emptied, extended
from dptoolkit.inference.coordinates import Coordinates
from dptoolkit.inference.losses import AbstractLoss, AbstractResidualLoss
from dptoolkit.params import Component, free, infos

Vector = Float[Array, " k"]
Watch = Callable[[str, int, int], Any]
"""Told what is done to the batches of events, how many are done, and of how many."""
TOGETHER = 8
"""Points that a device other than a CPU computes side by side."""


@runtime_checkable
class Detector(Protocol):
    """What a detector offers to a problem.

    For `sequential` losses it also has `given(layout, observed)`: the layout for predictions of everything
    given what was observed before it.
    """

    def layout(self, inputs: Any, /) -> Any:
        """Shapes and index tables for concrete inputs; on the host."""
        ...

    def __call__(self, inputs: Any, /, key: Array | None = None, layout: Any = None) -> Observables: ...


@runtime_checkable
class Source(Protocol):
    """What makes the inputs of a detector."""

    def __call__(self) -> Any: ...


class Experiment(Component):
    """The instrument and what happened in it: one pytree."""

    detector: Detector
    source: Source

    def layout(self) -> Any:
        """Index tables of the events at hand."""
        return self.detector.layout(self.source())

    def __call__(self, key: Array | None = None, layout: Any = None) -> Observables:
        return self.detector(self.source(), key=key, layout=layout)


class Batch(eqx.Module):
    """Events that are computed at once: their source, its layout, and data and prediction on equal rows."""

    source: Source
    layout: Any
    extra: Observables
    observed: Observables


@dataclass(frozen=True)
class Normal:
    """The loss and its local quadratic model in coordinates: gradient (k) and curvature J^T J (k, k)."""

    loss: float
    gradient: np.ndarray
    matrix: np.ndarray


class Problem:
    """Find the values of the free leaves under which the experiment predicts what was observed.

    Several experiments with one detector are batches of events: what they observed is a sequence then, and
    losses add up. Paths without prefix mean `detector.`; wildcards are allowed. Every function of the
    coordinates z takes concrete numbers, lays the events out anew there and runs compiled code.
    """

    def __init__(
        self,
        experiments: Experiment | Sequence[Experiment],
        free_paths: Sequence[str],
        loss: AbstractLoss,
        observed: Observables | Sequence[Observables],
    ):
        batches = [experiments] if isinstance(experiments, Experiment) else list(experiments)
        data = [observed] if isinstance(observed, dict) else list(observed)
        if len(batches) != len(data) or not batches:
            raise ValueError(
                f"observed: expected one for each of {len(batches)} experiments, got {len(data)}"
            )
        self.detector: Any = batches[0].detector
        self.sources = [batch.source for batch in batches]
        self.observed = data
        self.loss = loss
        values = free(batches[0], [_full_path(path) for path in free_paths]).values
        if not values:
            raise ValueError("free_paths: expected at least one parameter")
        if len(batches) > 1 and any(path.startswith("source.") for path in values):
            raise ValueError("free_paths: a source can only be free in a problem of one experiment")
        declared = infos(batches[0])
        self.infos = {path: declared[path.split("[")[0]] for path in values}
        self.coordinates = Coordinates.at(values, declared)
        self.watch: Watch = lambda what, done, total: None
        self._held: dict[int, float] = {}
        self._stages: dict[bytes, list[Batch]] = {}
        self._last_normal: tuple[bytes, Normal] | None = None
        self._last_parts: tuple[bytes, list[np.ndarray]] | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """Free parameters, in full (`detector.drift.lifetime`)."""
        return self.coordinates.paths

    @property
    def names(self) -> tuple[str, ...]:
        """A name for every coordinate."""
        return self.coordinates.names

    @property
    def start(self) -> Vector:
        """Coordinates of the experiment as it was given."""
        return jnp.zeros(len(self.coordinates), jnp.result_type(float))

    @property
    def identity(self) -> str:
        """A digest of data, loss, detector and start: two problems that share it are the same."""
        digest = hashlib.sha256(repr((self.paths, type(self.loss).__name__)).encode())
        arrays = eqx.filter((self.detector, self.loss, self.sources, self.observed), eqx.is_array_like)
        for leaf in jax.tree.leaves(arrays):
            digest.update(np.ascontiguousarray(np.asarray(leaf)).tobytes())
        return digest.hexdigest()[:16]

    def with_loss(self, loss: AbstractLoss) -> "Problem":
        """The same problem judged by another loss; layouts are shared."""
        other = copy.copy(self)
        other.loss, other._last_normal, other._last_parts = loss, None, None
        if loss.sequential != self.loss.sequential:
            other._stages = {}
        return other

    def part(self, n: int) -> "Problem":
        """The same problem with the first `n` batches of events only."""
        other = copy.copy(self)
        other.sources, other.observed = self.sources[:n], self.observed[:n]
        other._stages, other._last_normal, other._last_parts = {}, None, None
        return other

    def holding(self, held: Mapping[int, float]) -> "Problem":
        """The same problem with some coordinates (by number) held at a value; compiled code is shared."""
        other = copy.copy(self)
        other._held = {**self._held, **held}
        return other

    def reach(self) -> tuple[Vector, Vector]:
        """Least and greatest coordinates that a fit may take; the two are equal where one is held."""
        index = jnp.array(list(self._held), int)
        fixed = jnp.array(list(self._held.values()), self.start.dtype)
        low, high = (jnp.asarray(edge, self.start.dtype) for edge in self.coordinates.reach())
        return low.at[index].set(fixed), high.at[index].set(fixed)

    def values(self, z: Vector) -> dict[str, Array]:
        """Physical values at the coordinates z."""
        return self.coordinates.values(z)

    def model(self, z: Vector, batch: int = 0) -> Experiment:
        """The experiment at the coordinates z."""
        return _experiment(self.detector, self.sources[batch], self.values(z))

    def predicted(self, z: Vector, batch: int = 0) -> Observables:
        """What the experiment predicts at z."""
        experiment = self.model(z, batch)
        return experiment(layout=experiment.layout())

    def value(self, z: Vector) -> float:
        """The loss."""
        return float(sum(self._of_each("computing the loss", _value, z)))

    def losses(self, points: Any) -> np.ndarray:
        """The loss at many points (n, k): each is laid out anew, in one compiled call for equal shapes."""
        return self._at_all(_value, points)[0]

    def normals(self, points: Any) -> list[Normal]:
        """`normal` at many points (n, k), as `losses`."""
        self._need_residuals()
        losses, gradients, matrices = self._at_all(normal_of, points)
        return [Normal(float(x), g, m) for x, g, m in zip(losses, gradients, matrices, strict=True)]

    def gradient(self, z: Vector) -> tuple[float, np.ndarray]:
        """(loss, its gradient by z), in reverse mode: for any loss and any number of parameters."""
        parts = self._of_each("computing the gradient", value_and_grad_of, z)
        return float(sum(value for value, _ in parts)), _summed([grad for _, grad in parts])

    def normal(self, z: Vector) -> Normal:
        """Loss, gradient and curvature: one forward-mode column a parameter. The last one is kept."""
        self._need_residuals()
        key = np.asarray(z).tobytes()
        if self._last_normal is not None and self._last_normal[0] == key:
            return self._last_normal[1]
        parts = self._of_each("computing derivatives", normal_of, z)
        loss, gradient, matrix = (_summed([part[i] for part in parts]) for i in range(3))
        self._last_normal = key, Normal(float(loss), gradient, matrix)
        self._last_parts = key, [np.asarray(part[2], np.float64) for part in parts]
        return self._last_normal[1]

    def informations(self, z: Vector) -> list[np.ndarray]:
        """The Fisher information of every batch of events, in coordinates (k, k)."""
        key = np.asarray(z).tobytes()
        if self._last_parts is None or self._last_parts[0] != key:
            self._last_normal = None
            self.normal(z)
        assert self._last_parts is not None
        return self._last_parts[1]

    def curvature(self, z: Vector) -> Callable[[np.ndarray], np.ndarray]:
        """The product v -> J^T J v at z, without the matrix: for many parameters."""
        self._need_residuals()
        batches = self.batches(z)
        return lambda v: _summed(
            [_product(*self._setup, z, batch, jnp.asarray(v, z.dtype)) for batch in batches]
        )

    def hessian(self, z: Vector) -> np.ndarray:
        """The full second derivative of the loss (k, k)."""
        return _summed([_hessian(*self._setup, z, batch) for batch in self.batches(z)])

    def residuals(self, z: Vector) -> np.ndarray:
        """All residuals of the loss at z."""
        self._need_residuals()
        return np.concatenate([np.asarray(residuals_of(*self._setup, z, batch)) for batch in self.batches(z)])

    def batches(self, z: Vector) -> list[Batch]:
        """Events laid out at z, aligned with what was observed; on the host. The last few are kept."""
        key = np.asarray(z).tobytes()
        if key not in self._stages:
            self._stages = dict(list(self._stages.items())[-1:])
            found = []
            for number in range(len(self.sources)):
                found.append(self._batch(z, number))
                self.watch("laying out events", number + 1, len(self.sources))
            self._stages[key] = found
        return self._stages[key]

    def _of_each(self, what: str, function: Callable[..., Any], z: Vector) -> list[Any]:
        """`function` of every batch at z; `watch` is told."""
        batches, parts = self.batches(z), []
        for number, batch in enumerate(batches):
            parts.append(jax.block_until_ready(function(*self._setup, z, batch)))
            self.watch(what, number + 1, len(batches))
        return parts

    def frozen(self, z: Vector) -> Callable[[Vector], Float[Array, ""]]:
        """The loss as a pure function, with the layout of z: to be differentiated or mapped near z."""
        batches = self.batches(z)
        return lambda other: jnp.sum(jnp.stack([_value(*self._setup, other, batch) for batch in batches]))

    @property
    def _setup(self) -> tuple[Any, Coordinates, AbstractLoss]:
        return self.detector, self.coordinates, self.loss

    def _batch(self, z: Vector, number: int) -> Batch:
        return self._laid_out(self.model(z, number), number)

    def _laid_out(self, experiment: Experiment, number: int) -> Batch:
        """The events of a batch, laid out for this experiment and aligned with what was observed."""
        layout = experiment.layout()
        like = _rows(experiment, layout)
        extra, observed = align(self.observed[number], like)
        if self.loss.sequential:
            layout = self.detector.given(layout, observed)
        return Batch(self.sources[number], layout, extra, observed)

    def _at_all(self, function: Any, points: Any) -> list[np.ndarray]:
        """The results of `function` of (*setup, z, batch), summed over batches; each has n rows."""
        points = jnp.atleast_2d(jnp.asarray(points, self.start.dtype))
        found: list[Any] = [None] * len(points)
        for number in range(len(self.sources)):
            alike: dict[Any, list[tuple[int, Batch]]] = {}
            for row, z in enumerate(points):
                batch = self._batch(z, number)
                alike.setdefault(_shapes(batch), []).append((row, batch))
            for group in alike.values():
                rows = [row for row, _ in group]
                blank = 4 ** int(np.ceil(np.log2(len(rows)) / 2)) - len(rows)  # so that few sizes compile
                stacked = _stacked([batch for _, batch in group] + blank * [group[0][1]])
                chosen = points[jnp.array(rows + blank * rows[:1])]
                real = jnp.arange(len(rows) + blank) < len(rows)
                parts = _mapped(function, self._setup, real, chosen, stacked)
                for i, row in enumerate(rows):
                    part = [np.asarray(leaf[i], np.float64) for leaf in jax.tree.leaves(parts)]
                    before = found[row] or [0.0] * len(part)
                    found[row] = [a + b for a, b in zip(before, part, strict=True)]
        return [np.stack(column) for column in zip(*found, strict=True)]

    def _need_residuals(self) -> None:
        if not isinstance(self.loss, AbstractResidualLoss):
            raise ValueError(
                f"{type(self.loss).__name__} has no residuals; use a method by gradient (adam, lbfgs)"
            )


def _shapes(batch: Batch) -> Any:
    """What of a batch the compiler sees: two that agree can be stacked."""
    leaves, structure = jax.tree.flatten(batch)
    return structure, tuple((np.shape(leaf), getattr(leaf, "dtype", type(leaf))) for leaf in leaves)


def _stacked(batches: list[Batch]) -> Batch:
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *batches)


@eqx.filter_jit
def _mapped(function: Any, setup: Any, real: Array, points: Array, batches: Batch) -> Any:
    """One after the other on a CPU, where side by side is slower; `TOGETHER` at once on other devices."""

    def one(item: tuple[Array, Vector, Batch]) -> Any:
        is_real, *where = item
        shapes = jax.eval_shape(lambda: function(*setup, *where))
        nothing = lambda: jax.tree.map(lambda like: jnp.zeros(like.shape, like.dtype), shapes)  # noqa: E731
        return jax.lax.cond(is_real, lambda: function(*setup, *where), nothing)

    width = None if jax.default_backend() == "cpu" else TOGETHER
    return jax.lax.map(one, (real, points, batches), batch_size=width)


def _experiment(detector: Any, source: Any, values: dict[str, Array]) -> Experiment:
    experiment = Experiment(detector, source)
    return free(experiment, list(values)).merge(values)


def predicted_of(detector: Any, coordinates: Any, z: Vector, batch: Batch) -> Observables:
    """What is predicted at z, on all rows of a batch."""
    experiment = _experiment(detector, batch.source, coordinates.values(z))
    return extended(experiment(layout=batch.layout), batch.extra)


@eqx.filter_jit
def _rows(experiment: Experiment, layout: Any) -> Observables:
    """The rows of a prediction; the compiler leaves out the simulation, of which nothing is used."""
    return emptied(experiment(layout=layout))


@eqx.filter_jit
def _value(detector: Any, coordinates: Any, loss: Any, z: Vector, batch: Batch) -> Array:
    return loss(predicted_of(detector, coordinates, z, batch), batch.observed)


@eqx.filter_jit
def value_and_grad_of(detector: Any, coordinates: Any, loss: Any, z: Vector, batch: Batch):
    """The loss and its gradient at z."""
    return jax.value_and_grad(lambda z: _value(detector, coordinates, loss, z, batch))(z)


@eqx.filter_jit
def residuals_of(detector: Any, coordinates: Any, loss: Any, z: Vector, batch: Batch) -> Array:
    """The residuals at z."""
    return loss.residuals(predicted_of(detector, coordinates, z, batch), batch.observed)


@eqx.filter_jit
def normal_of(detector: Any, coordinates: Any, loss: Any, z: Vector, batch: Batch):
    """Loss, J^T r, J^T J."""

    def both(z: Vector) -> tuple[Array, Array]:
        predicted = predicted_of(detector, coordinates, z, batch)
        return loss.residuals(predicted, batch.observed), loss(predicted, batch.observed)

    def column(direction: Vector) -> tuple[Array, Array, Array]:
        (r, value), (slope, _) = jax.jvp(both, (z,), (direction,))
        return r, value, slope

    r, value, columns = jax.vmap(column, out_axes=(None, None, 0))(jnp.eye(len(z), dtype=z.dtype))
    multiply = jnp.matmul
    precise = jax.lax.Precision.HIGHEST
    return value, multiply(columns, r, precision=precise), multiply(columns, columns.T, precision=precise)


@eqx.filter_jit
def _product(detector: Any, coordinates: Any, loss: Any, z: Vector, batch: Batch, v: Vector) -> Array:
    residuals = lambda z: residuals_of(detector, coordinates, loss, z, batch)  # noqa: E731
    _, slope = jax.jvp(residuals, (z,), (v,))
    return jax.vjp(residuals, z)[1](slope)[0]


@eqx.filter_jit
def _hessian(detector: Any, coordinates: Any, loss: Any, z: Vector, batch: Batch) -> Array:
    return jax.hessian(lambda z: _value(detector, coordinates, loss, z, batch))(z)


def _summed(parts: list[Any]) -> np.ndarray:
    return np.asarray(np.sum([np.asarray(part, np.float64) for part in parts], axis=0))


def _full_path(path: str) -> str:
    return path if path.startswith(("detector.", "source.")) else f"detector.{path}"
