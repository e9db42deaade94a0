"""A problem: an experiment, which of its leaves are free, a loss and what was observed.

Nothing here knows what a detector is beyond `Detector`: fits, errors, landscapes and dashboards are
written against `Problem`.
"""

import copy
import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dptoolkit.inference.alignment import Observables, align, extended
from dptoolkit.inference.coordinates import Coordinates
from dptoolkit.inference.devices import of_all, of_each
from dptoolkit.inference.evaluation import (
    Vector,
    experiment_at,
    hessian_of,
    normal_of,
    prior_product_of,
    product_of,
    residuals_of,
    rows_of,
    value_and_grad_of,
    value_of,
)
from dptoolkit.inference.experiment import Batch, Experiment
from dptoolkit.inference.losses import AbstractLoss, AbstractResidualLoss
from dptoolkit.params import free, infos

EDGE_WITHIN = 1e-6
"""A coordinate so near to the edge of its range is at it."""
LAID_OUT = 64
"""Batches of events that are laid out before their derivatives are computed."""
MOST_KEPT = 2**31
"""Bytes of events laid out at the last two points; if they need more, they are laid out anew each time."""

Watch = Callable[[str, int, int], Any]
"""Told what is done to the batches of events, how many are done, and of how many."""


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
        self._stages: dict[bytes, dict[int, Batch]] = {}
        self._last: dict[bytes, list[Normal]] = {}

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
    def held(self) -> dict[int, float]:
        """Coordinates that are held, by number, with their values."""
        return dict(self._held)

    @property
    def identity(self) -> str:
        """A digest of data, loss, detector, start and settings: two problems that share it are the same."""
        parts = self.detector, self.loss, self.sources, self.observed
        words = self.paths, sorted(self._held.items()), list(settings(parts))
        digest = hashlib.sha256(repr(words).encode())
        for leaf in jax.tree.leaves(eqx.filter(parts, eqx.is_array_like)):
            array = np.ascontiguousarray(np.asarray(leaf))
            digest.update(repr((array.shape, array.dtype)).encode() + array.tobytes())
        return digest.hexdigest()[:16]

    def with_loss(self, loss: AbstractLoss) -> "Problem":
        """The same problem judged by another loss; layouts are shared."""
        other = copy.copy(self)
        other.loss, other._last = loss, {}
        if loss.sequential != self.loss.sequential:
            other._stages = {}
        return other

    def part(self, n: int) -> "Problem":
        """The same problem with the first `n` batches of events only."""
        other = copy.copy(self)
        other.sources, other.observed = self.sources[:n], self.observed[:n]
        other._stages, other._last = {}, {}
        return other

    def holding(self, held: Mapping[int, float]) -> "Problem":
        """The same problem with some coordinates (by number) held at a value; compiled code is shared.

        A fit has to start at these values. Gauss-Newton is held by `reach`, the others by a gradient of zero.
        """
        other = copy.copy(self)
        other._held = {**self._held, **held}
        return other

    def reach(self) -> tuple[Vector, Vector]:
        """Least and greatest coordinates that a fit may take; the two are equal where one is held."""
        index = jnp.array(list(self._held), int)
        fixed = jnp.array(list(self._held.values()), self.start.dtype)
        low, high = (jnp.asarray(edge, self.start.dtype) for edge in self.coordinates.reach())
        return low.at[index].set(fixed), high.at[index].set(fixed)

    def at_edge(self, z: Vector) -> list[str]:
        """Names of the parameters that a fit left at the edge of their bounds; what is held is none."""
        low, high = (np.asarray(edge, float) for edge in self.reach())
        here = np.asarray(z, float)
        edge = (here <= low + EDGE_WITHIN) | (here >= high - EDGE_WITHIN)
        return [name for i, name in enumerate(self.names) if edge[i] and i not in self._held]

    def saved(self) -> dict[str, np.ndarray]:
        """What a checkpoint must hold of the problem, for a fit that goes on as if never stopped."""
        return {}

    def recall(self, stored: Mapping[str, np.ndarray]) -> None:
        """Take up what was `saved`."""

    def values(self, z: Vector) -> dict[str, Array]:
        """Physical values at the coordinates z."""
        return self.coordinates.values(z)

    def model(self, z: Vector, batch: int = 0) -> Experiment:
        """The experiment at the coordinates z."""
        return experiment_at(self.detector, self.sources[batch], self.values(z))

    def predicted(self, z: Vector, batch: int = 0) -> Observables:
        """What the experiment predicts at z."""
        experiment = self.model(z, batch)
        return experiment(layout=experiment.layout())

    def compared(self, z: Vector, number: int) -> tuple[Observables, Observables]:
        """(prediction, data) of a batch of events on the same rows, as the loss sees them."""
        batch = self._batch_at(z, number)
        predicted = self.model(z, number)(layout=batch.layout)
        return extended(predicted, batch.extra), batch.observed

    def value(self, z: Vector) -> float:
        """The loss."""
        return float(sum(self._of_each("computing the loss", value_of, z)))

    def losses(self, points: Any) -> np.ndarray:
        """The loss at many points (n, k): each is laid out anew, in one compiled call for equal shapes."""
        return self._at_all(value_of, points)[0]

    def normals(self, points: Any) -> list[Normal]:
        """`normal` at many points (n, k), as `losses`."""
        self._need_residuals()
        losses, gradients, matrices = self._at_all(normal_of, points)
        return [Normal(float(x), g, m) for x, g, m in zip(losses, gradients, matrices, strict=True)]

    def gradient(self, z: Vector) -> tuple[float, np.ndarray]:
        """(loss, its gradient by z), in reverse mode: for any loss and any number of parameters."""
        parts = self._of_each("computing the gradient", value_and_grad_of, z)
        gradient = _summed([grad for _, grad in parts])
        gradient[list(self._held)] = 0.0
        return float(sum(value for value, _ in parts)), gradient

    def normal(self, z: Vector) -> Normal:
        """Loss, gradient and curvature: one forward-mode column a parameter. The last two are kept."""
        parts = self.normal_by_batch(z)
        gradient, matrix = (
            _summed([getattr(part, name) for part in parts]) for name in ("gradient", "matrix")
        )
        return Normal(sum(part.loss for part in parts), gradient, matrix)

    def informations(self, z: Vector) -> list[np.ndarray]:
        """The Fisher information of every batch of events, in coordinates (k, k)."""
        return [part.matrix for part in self.normal_by_batch(z)]

    def normal_by_batch(self, z: Vector) -> list[Normal]:
        """`normal` of every batch of events; those of the last two points are kept: a trial and its start."""
        self._need_residuals()
        key = np.asarray(z).tobytes()
        if key not in self._last:
            self._last = dict([*list(self._last.items())[-1:], (key, self._computed(z))])
        return self._last[key]

    def _computed(self, z: Vector) -> list[Normal]:
        found = []
        for loss, gradient, matrix in self._of_each("computing derivatives", normal_of, z):
            found.append(Normal(float(loss), np.asarray(gradient, float), np.asarray(matrix, float)))
        return found

    def curvature(self, z: Vector) -> Callable[[np.ndarray], np.ndarray]:
        """The product v -> J^T J v at z, without the matrix: for many parameters."""
        self._need_residuals()
        return self._product(product_of, z)

    def prior_curvature(self, z: Vector) -> Callable[[np.ndarray], np.ndarray]:
        """The part of `curvature` that the loss's prior has: it takes no simulation."""
        return self._product(prior_product_of, z)

    def _product(self, function: Callable[..., Any], z: Vector) -> Callable[[np.ndarray], np.ndarray]:
        """V -> `function` at the point (z, v), summed over batches; nothing along held coordinates."""
        moving = np.ones(len(z))
        moving[list(self._held)] = 0.0

        def product(v: np.ndarray) -> np.ndarray:
            point = z, jnp.asarray(moving * v, z.dtype)
            return moving * _summed(self._of_each("multiplying", function, z, point))

        return product

    def hessian(self, z: Vector) -> np.ndarray:
        """The full second derivative of the loss (k, k)."""
        return _summed(self._of_each("computing second derivatives", hessian_of, z))

    def residuals(self, z: Vector) -> np.ndarray:
        """All residuals of the loss at z."""
        self._need_residuals()
        return np.concatenate([np.asarray(r) for r in self._of_each("comparing", residuals_of, z)])

    def batches(self, z: Vector) -> list[Batch]:
        """Events laid out at z, aligned with what was observed; on the host."""
        return [self._batch_at(z, number) for number in range(len(self.sources))]

    def _batch_at(self, z: Vector, number: int) -> Batch:
        """One of `batches`; those of the last two points are kept unless they need too much memory."""
        key = np.asarray(z).tobytes()
        if key not in self._stages:
            self._stages = dict([*list(self._stages.items())[-1:], (key, {})])
        kept = self._stages[key]
        if number in kept:
            return kept[number]
        batch = self._batch(z, number)
        self.watch("laying out events", number + 1, len(self.sources))
        if 2 * len(self.sources) * _bytes_of((batch.layout, batch.extra, batch.observed)) < MOST_KEPT:
            kept[number] = batch
        return batch

    def _of_each(self, what: str, function: Callable[..., Any], z: Vector, point: Any = None) -> list[Any]:
        """`function` of every batch laid out at z, at z or another `point`; `watch` is told."""
        n = len(self.sources)
        parts: list[Any] = [None] * n
        for first in range(0, n, LAID_OUT):
            numbers = range(first, min(first + LAID_OUT, n))
            items = [(z if point is None else point, self._batch_at(z, number)) for number in numbers]
            for done, (number, part) in enumerate(of_each(function, self._setup, items), start=first + 1):
                parts[first + number] = part
                self.watch(what, done, n)
        return parts

    def frozen(self, z: Vector) -> Callable[[Vector], Float[Array, ""]]:
        """The loss as a pure function, with the layout of z: to be differentiated or mapped near z."""
        batches = self.batches(z)
        return lambda other: jnp.sum(jnp.stack([value_of(*self._setup, other, batch) for batch in batches]))

    @property
    def _setup(self) -> tuple[Any, Coordinates, AbstractLoss]:
        return self.detector, self.coordinates, self.loss

    def _batch(self, z: Vector, number: int) -> Batch:
        return self._laid_out(self.model(z, number), number)

    def _laid_out(self, experiment: Experiment, number: int) -> Batch:
        """The events of a batch, laid out for this experiment and aligned with what was observed."""
        layout = experiment.layout()
        like = rows_of(experiment, layout)
        extra, observed = align(self.observed[number], like)
        if self.loss.sequential:
            layout = self.detector.given(layout, observed)
        share = jnp.asarray(1 / len(self.sources), self.start.dtype)
        return Batch(self.sources[number], layout, extra, observed, share)

    def _at_all(self, function: Any, points: Any) -> list[np.ndarray]:
        """The results of `function` of (*setup, z, batch), summed over batches; each has n rows."""
        points = jnp.atleast_2d(jnp.asarray(points, self.start.dtype))
        total: list[Any] = []
        for number in range(len(self.sources)):
            parts = of_all(function, self._setup, [(z, self._batch(z, number)) for z in points])
            rows = [[np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(part)] for part in parts]
            columns = [np.stack(column) for column in zip(*rows, strict=True)]
            total = [a + b for a, b in zip(total, columns, strict=True)] if total else columns
        return total

    def _need_residuals(self) -> None:
        if not isinstance(self.loss, AbstractResidualLoss):
            raise ValueError(
                f"{type(self.loss).__name__} has no residuals; use a method by gradient (adam, lbfgs)"
            )


def settings(part: Any, name: str = "") -> Iterator[str]:
    """NAME=VALUE of the static fields of all modules in `part` that are numbers or words, and their types."""
    if isinstance(part, eqx.Module):
        yield f"{name}: {type(part).__name__}"
        for one in dataclasses.fields(part):
            value, own = getattr(part, one.name, None), f"{name}.{one.name}"
            if one.metadata.get("static") and isinstance(value, bool | int | float | str | tuple | None):
                yield f"{own}={value!r}"
            else:
                yield from settings(value, own)
    elif isinstance(part, Mapping):
        for key, value in part.items():
            yield from settings(value, f"{name}[{key!r}]")
    elif isinstance(part, list | tuple):
        for number, value in enumerate(part):
            yield from settings(value, f"{name}[{number}]")


def _bytes_of(tree: Any) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree) if hasattr(leaf, "nbytes"))


def _summed(parts: list[Any]) -> np.ndarray:
    return np.asarray(np.sum([np.asarray(part, np.float64) for part in parts], axis=0))


def _full_path(path: str) -> str:
    return path if path.startswith(("detector.", "source.")) else f"detector.{path}"
