"""A problem whose sources have parameters of their own, such as the place of a track in each event.

The parameters n_e of event e enter its block of the normal matrix only,

    sum_e [[A_e, B_e], [B_e^T, C_e]],

so they are eliminated event by event (Schur complement, the arrowhead of bundle adjustment: B. Triggs et al.,
LNCS 1883 (2000) 298): with C_e n_e = -h_e - B_e^T z the rest is a problem in z alone with

    gradient  sum_e g_e - B_e C_e^-1 h_e,    matrix  sum_e A_e - B_e C_e^-1 B_e^T.

Its inverse is the covariance of z with the sources' uncertainty in it. At every z the n_e are fitted anew.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dptoolkit.inference.alignment import Observables
from dptoolkit.inference.coordinates import Coordinates
from dptoolkit.inference.evaluation import Vector, experiment_at, normal_of, predicted_of, value_and_grad_of
from dptoolkit.inference.experiment import Batch, Experiment
from dptoolkit.inference.losses import AbstractLoss
from dptoolkit.inference.problem import Normal, Problem
from dptoolkit.params import free

TOLERANCE = 0.2
"""An event is fitted when its loss is expected to fall by less; what is left is corrected to first order."""
TRIES = 6
"""Most evaluations of an event at one z."""
CLOSER = 0.7
"""A step after which the loss is expected to fall by so much less is a good one, whatever the loss."""
LONGEST = 5.0
"""No coordinate of a source moves further in one step, in its `steps`."""
FLAT = 1e-9
"""Eigenvalues of C_e below, relative to the largest, are directions that the event does not feel."""


@dataclass(frozen=True)
class Own:
    """The parameters of a source that are fitted along with the detector's."""

    widths: Mapping[str, np.ndarray]
    """By path in the source: width of the Gaussian prior around the present value; inf: none, 0: held."""
    steps: Mapping[str, np.ndarray]
    """What a coordinate of 1 stands for: about the precision that is expected."""

    def __post_init__(self) -> None:
        for path, width in self.widths.items():
            if path not in self.steps or not (np.asarray(self.steps[path]) > 0).all():
                raise ValueError(f"{path}: expected a positive step for it")
            if np.isnan(width).any() or (np.asarray(width) < 0).any():
                raise ValueError(f"{path}: width {width}: expected zero (held) or more")


class JointCoordinates(eqx.Module):
    """Coordinates of the detector followed by those of one source: its values are start + step n."""

    shared: Coordinates
    start: dict[str, Array]
    step: dict[str, Array]
    paths: tuple[str, ...] = eqx.field(static=True)

    def values(self, z: Vector) -> dict[str, Array]:
        """Physical values by path."""
        first = len(self.shared)
        found = self.shared.values(z[:first])
        for path in self.paths:
            start = self.start[path]
            n = z[first : first + start.size].reshape(start.shape)
            found[path] = start + self.step[path] * n
            first += start.size
        return found


@dataclass(frozen=True)
class Block:
    """An event at z with its own coordinates n: its quadratic model in both, the prior included."""

    z: np.ndarray
    n: np.ndarray
    normal: Normal
    expected: float
    """How much the loss falls if n takes its best value in that model."""
    best: np.ndarray
    """The change of n that does it."""
    inverse: np.ndarray
    """C^-1; zero for what is held or not felt."""
    batch: Batch

    @property
    def cross(self) -> np.ndarray:
        """B."""
        k = len(self.z)
        return self.normal.matrix[:k, k:]

    def reduced(self) -> Normal:
        """The model with n eliminated."""
        k, cross = len(self.z), self.cross
        matrix = self.normal.matrix[:k, :k] - cross @ self.inverse @ cross.T
        gradient = self.normal.gradient[:k] + cross @ self.best
        return Normal(self.normal.loss - self.expected, gradient, matrix)

    def guess(self, z: np.ndarray) -> np.ndarray:
        """The best n at another z, in this model."""
        return self.n + self.best - self.inverse @ (self.cross.T @ (z - self.z))


class ProfiledProblem(Problem):
    """A `Problem` in the parameters of the detector; those of the sources are fitted at every point.

    `own` has an entry for every experiment, all with the same paths.
    """

    def __init__(
        self,
        experiments: Sequence[Experiment],
        free_paths: Sequence[str],
        loss: AbstractLoss,
        observed: Sequence[Observables],
        own: Sequence[Own],
    ):
        if any(path.startswith("source.") for path in free_paths):
            raise ValueError("free_paths: expected parameters of the detector; those of sources are in own")
        if len(own) != len(experiments) or not own:
            raise ValueError(
                f"own: expected an entry for each of {len(experiments)} experiments, got {len(own)}"
            )
        super().__init__(experiments, free_paths, loss, observed)
        paths = tuple(own[0].widths)
        if any(tuple(one.widths) != paths for one in own):
            raise ValueError("own: expected the same paths for every experiment")
        self.own = list(own)
        self._blocks: list[Block | None] = [None] * len(own)

    @property
    def identity(self) -> str:
        widths = [[np.asarray(width).tolist() for width in one.widths.values()] for one in self.own]
        own = repr((list(self.own[0].widths), widths)).encode()
        return super().identity + hashlib.sha256(own).hexdigest()[:8]

    def with_loss(self, loss: AbstractLoss) -> "ProfiledProblem":
        other: Any = super().with_loss(loss)
        other._blocks = [None for _ in self.own]
        return other

    def part(self, n: int) -> "ProfiledProblem":
        other: Any = super().part(n)
        other.own, other._blocks = self.own[:n], self._blocks[:n]
        return other

    def holding(self, held: Mapping[int, float]) -> "ProfiledProblem":
        other: Any = super().holding(held)
        other._blocks = list(self._blocks)
        return other

    def saved(self) -> dict[str, np.ndarray]:
        found = {}
        for number, block in enumerate(self._blocks):
            if block is not None:
                found |= {f"own{number}": block.n, f"own{number}_at": block.z}
        return found

    def recall(self, stored: Mapping[str, np.ndarray]) -> None:
        for number in range(len(self.own)):
            if f"own{number}" in stored:
                z = jnp.asarray(stored[f"own{number}_at"], self.start.dtype)
                self._blocks[number] = self._block(z, stored[f"own{number}"], number)

    def unfitted(self, z: Vector) -> list[int]:
        """Numbers of the events whose source is not at its best at z: the loss would still fall."""
        return [i for i in range(len(self.own)) if self.block(z, i).expected >= TOLERANCE]

    def _computed(self, z: Vector) -> list[Normal]:
        """With the sources at their best."""
        found = []
        for number in range(len(self.own)):
            found.append(self.block(z, number).reduced())
            self.watch("fitting sources", number + 1, len(self.own))
        return found

    def value(self, z: Vector) -> float:
        return self.normal(z).loss

    def gradient(self, z: Vector) -> tuple[float, np.ndarray]:
        """(loss, its gradient by z): with the sources at their best it is the partial one."""
        total, slopes = 0.0, np.zeros(len(self.coordinates))
        for number in range(len(self.own)):
            block = self.block(z, number)
            joint = self._joint(number)
            zn = self._together(z, block.n)
            value, slope = value_and_grad_of(self.detector, joint, self.loss, zn, block.batch)
            total += float(value) + self._prior(number, block.n)[0]
            slopes += np.asarray(slope, float)[: len(slopes)]
        slopes[list(self.held)] = 0.0
        return total, slopes

    def losses(self, points: Any) -> np.ndarray:
        return np.array([self.value(jnp.asarray(z, self.start.dtype)) for z in np.atleast_2d(points)])

    def normals(self, points: Any) -> list[Normal]:
        return [self.normal(jnp.asarray(z, self.start.dtype)) for z in np.atleast_2d(points)]

    def curvature(self, z: Vector) -> Callable[[np.ndarray], np.ndarray]:
        matrix, held = self.normal(z).matrix.copy(), list(self.held)
        matrix[held], matrix[:, held] = 0.0, 0.0
        return lambda v: matrix @ v

    def hessian(self, z: Vector) -> np.ndarray:
        raise ValueError("hessian: not known with the sources at their best; use the curvature of `normal`")

    def frozen(self, z: Vector) -> Callable[[Vector], Array]:
        raise ValueError("frozen: with the sources at their best the loss is no pure function; use `value`")

    def residuals(self, z: Vector) -> np.ndarray:
        self._need_residuals()
        loss: Any = self.loss
        pairs = [self.compared(z, number) for number in range(len(self.own))]
        return np.concatenate([np.asarray(loss.residuals(*pair)) for pair in pairs])

    def compared(self, z: Vector, number: int) -> tuple[Observables, Observables]:
        """(prediction, data) of an event on the same rows, as the loss sees them."""
        block = self.block(z, number)
        zn = self._together(z, block.n)
        return _predicted(self.detector, self._joint(number), zn, block.batch), block.batch.observed

    def batches(self, z: Vector) -> list[Batch]:
        return [self.block(z, number).batch for number in range(len(self.own))]

    def model(self, z: Vector, batch: int = 0) -> Experiment:
        """The experiment at z with the source at its best."""
        return self._experiment(z, self.block(z, batch).n, batch)

    def own_values(self, z: Vector, batch: int) -> dict[str, np.ndarray]:
        """Best values of the parameters of a source at z, by path."""
        joint, block = self._joint(batch), self.block(z, batch)
        values = joint.values(self._together(z, block.n + block.best))
        return {path: np.asarray(values[path]) for path in joint.paths}

    def own_errors(self, z: Vector, batch: int) -> dict[str, np.ndarray]:
        """Their standard errors with the detector as it is at z; 0 for what is held."""
        joint, first, found = self._joint(batch), 0, {}
        errors = np.sqrt(np.maximum(np.diag(self.block(z, batch).inverse), 0.0))
        for path in joint.paths:
            step = np.asarray(joint.step[path])
            found[path], first = (
                errors[first : first + step.size].reshape(step.shape) * step,
                first + step.size,
            )
        return found

    def block(self, z: Vector, number: int) -> Block:
        """An event at z, its source at its best; the last one is kept and is where the next begins."""
        last, here = self._blocks[number], np.asarray(z, float)
        if last is not None and np.array_equal(last.z, here):
            return last
        n = np.zeros(self._size(number)) if last is None else last.guess(here)
        found = self._fitted(self._block(z, n, number), number)
        self._blocks[number] = found
        return found

    def _fitted(self, block: Block, number: int) -> Block:
        damping = 0.0
        z = jnp.asarray(block.z, self.start.dtype)
        for _ in range(TRIES):
            if block.expected < TOLERANCE:
                break
            move = np.clip(
                _solved(block.normal, len(block.z), damping, self._kept(number))[1], -LONGEST, LONGEST
            )
            trial = self._block(z, block.n + move, number)
            if _better(trial, block):
                block, damping = trial, 0.1 * damping
            else:
                damping = max(10 * damping, 1e-2)
        return block

    def _block(self, z: Vector, n: np.ndarray, number: int) -> Block:
        batch = self._laid_out(self._experiment(z, n, number), number)
        joint = self._joint(number)
        found = normal_of(self.detector, joint, self.loss, self._together(z, n), batch)
        loss, gradient, matrix = (np.array(part, np.float64) for part in found)
        k = len(np.asarray(z))
        value, slope, curvature = self._prior(number, n)
        gradient[k:] += slope
        matrix[k:, k:] += np.diag(curvature)
        normal = Normal(float(loss) + value, gradient, matrix)
        inverse, best = _solved(normal, k, 0.0, self._kept(number))
        expected = float(-0.5 * gradient[k:] @ best)
        return Block(np.asarray(z, float), n, normal, expected, best, inverse, batch)

    def _prior(self, number: int, n: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Half the square of n over its widths, slope and curvature."""
        widths = self._widths(number)
        weight = np.where(widths > 0, 1 / np.where(widths > 0, widths, 1.0) ** 2, 0.0)
        return float(0.5 * np.sum(weight * n**2)), weight * n, weight

    def _widths(self, number: int) -> np.ndarray:
        """Widths of the priors in coordinates."""
        one = self.own[number]
        shapes = [start.shape for start in self._joint(number).start.values()]
        parts = [
            np.broadcast_to(np.asarray(width, float) / np.asarray(one.steps[path], float), shape).ravel()
            for (path, width), shape in zip(one.widths.items(), shapes, strict=True)
        ]
        return np.concatenate(parts)

    def _kept(self, number: int) -> np.ndarray:
        """Which coordinates of the source may move."""
        return self._widths(number) > 0

    def _size(self, number: int) -> int:
        return sum(start.size for start in self._joint(number).start.values())

    def _joint(self, number: int) -> JointCoordinates:
        one = self.own[number]
        full = {path: f"source.{path}" for path in one.widths}
        values = free(Experiment(self.detector, self.sources[number]), list(full.values())).values
        real = self.start.dtype
        start = {name: jnp.asarray(values[name], real) for name in full.values()}
        step = {
            name: jnp.broadcast_to(jnp.asarray(one.steps[path], real), start[name].shape)
            for path, name in full.items()
        }
        return JointCoordinates(self.coordinates, start, step, tuple(full.values()))

    def _together(self, z: Vector, n: np.ndarray) -> Array:
        return jnp.concatenate([z, jnp.asarray(n, z.dtype)])

    def _experiment(self, z: Vector, n: np.ndarray, number: int) -> Experiment:
        values = self._joint(number).values(self._together(z, n))
        return experiment_at(self.detector, self.sources[number], values)


@eqx.filter_jit
def _predicted(detector: Any, coordinates: Any, z: Vector, batch: Batch) -> Observables:
    return predicted_of(detector, coordinates, z, batch)


def _solved(normal: Normal, k: int, damping: float, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(C^-1, -C^-1 h) of the coordinates that are kept; zero along directions that are not felt."""
    size = len(normal.gradient) - k
    inverse, best = np.zeros((size, size)), np.zeros(size)
    matrix = normal.matrix[k:, k:][np.ix_(kept, kept)]
    if not len(matrix):
        return inverse, best
    scale = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    value, vectors = np.linalg.eigh(matrix / np.outer(scale, scale) + damping * np.eye(len(scale)))
    felt = value > FLAT * value.max()
    part = (vectors[:, felt] / value[felt]) @ vectors[:, felt].T / np.outer(scale, scale)
    inverse[np.ix_(kept, kept)] = part
    best[kept] = -part @ normal.gradient[k:][kept]
    return inverse, best


def _better(reached: Block, before: Block) -> bool:
    """Whether the loss fell, or J^T r did: weights that are held in r move too, and the loss with them."""
    if not np.isfinite(reached.normal.loss):
        return False
    return reached.normal.loss < before.normal.loss or reached.expected < CLOSER * before.expected
