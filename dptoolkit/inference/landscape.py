"""Landscapes: the loss along one free parameter or over two, with the others held where they are.

Whitened, w = F^(1/2) (z - z_hat): in these directions a loss of Gaussian shape is |w|^2 / 2, so a
correlated valley becomes a round bowl and w counts standard deviations (with the other parameters held).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from dptoolkit.inference.coordinates import STEP, Coordinates
from dptoolkit.inference.fit import FitResult, coordinates_of
from dptoolkit.inference.problem import Problem
from dptoolkit.inference.uncertainty import SINGULAR, Uncertainty, uncertainty
from dptoolkit.workers import Progress

CHUNK = 16
"""Points between two calls of `progress`."""
REACH = 3.0
"""Half the width of a map, in standard errors."""


@dataclass(frozen=True)
class Axis:
    """A parameter, or a whitened direction, and where the loss was computed along it."""

    name: str
    symbol: str
    unit: str
    values: np.ndarray


@dataclass(frozen=True)
class Landscape:
    """Losses on a grid of one or two axes, and what is needed to draw fits on it."""

    axes: tuple[Axis, ...]
    losses: np.ndarray
    """(n) or (n, m); not finite where the loss is not."""
    centre: np.ndarray
    """Coordinates (k) of the point where the other parameters are held."""
    index: tuple[int, ...]
    """Which coordinates vary."""
    coordinates: Coordinates
    root: np.ndarray | None = None
    """F^(1/2) of the coordinates that vary, on a whitened map."""
    covariance: np.ndarray | None = None
    """Of the axes, all parameters free; None where it is infinite or unknown."""
    conditional: np.ndarray | None = None
    """Of the axes, the other parameters held: its ellipses are the contours of a parabolic valley."""

    @property
    def above(self) -> np.ndarray:
        """Losses above the least on the grid."""
        return self.losses - np.nanmin(np.where(np.isfinite(self.losses), self.losses, np.nan))

    @property
    def lowest(self) -> np.ndarray:
        """Place of the least loss on the grid (d)."""
        flat = int(np.argmin(np.where(np.isfinite(self.losses), self.losses, np.inf)))
        at = np.unravel_index(flat, self.losses.shape)
        return np.array([axis.values[i] for axis, i in zip(self.axes, at, strict=True)])

    @property
    def names(self) -> tuple[str, ...]:
        """Of the coordinates that vary."""
        return tuple(self.coordinates.names[i] for i in self.index)

    def place(self, point: Any) -> np.ndarray:
        """Where a point lies on the axes (d): its coordinates, or some of its values by path."""
        if isinstance(point, Mapping):
            values = self.coordinates.values(jnp.asarray(self.centre))
            full = {path if path in values else f"detector.{path}": value for path, value in point.items()}
            point = self.coordinates.of({**values, **{path: full[path] for path in full if path in values}})
        z = np.asarray(point, float)
        if self.root is not None:
            return self.root @ (z - self.centre)[list(self.index)]
        return np.asarray(self.coordinates.flat(self.coordinates.values(jnp.asarray(z))))[list(self.index)]

    def descent(self, result: FitResult) -> np.ndarray:
        """The way of a fit, projected on the axes (steps + 1, d)."""
        return np.stack([self.place(snapshot.z) for snapshot in result.history])


def landscape(
    problem: Problem,
    names: Sequence[str],
    *,
    at: Any = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    n: int = 41,
    progress: Progress = lambda done, total: None,
) -> Landscape:
    """The loss along one name or over two, on `n` values each, the others as they are `at` a point.

    `at` is a start as for `fit`, an estimate for example. Without `ranges` by name an axis reaches
    3 standard errors to both sides, or over the typical values where the data say nothing.
    """
    centre, index, known = _centre(problem, names, at)
    chosen = {coordinate_number(problem, name): limits for name, limits in (ranges or {}).items()}
    limits = [chosen.get(i) or _limits(problem, centre, i, known) for i in index]
    axes = [axis_of(problem, i, np.linspace(*ends, n)) for i, ends in zip(index, limits, strict=True)]
    columns = [_coordinate(problem, centre, i, axis.values) for i, axis in zip(index, axes, strict=True)]
    grid = _grid(centre, index, columns)
    slopes = np.asarray(problem.coordinates.slopes(jnp.asarray(centre, problem.start.dtype)), float)[index]
    both = [None if c is None else c * np.outer(slopes, slopes) for c in _spread(known, index)]
    return Landscape(
        tuple(axes),
        _losses(problem, grid, progress).reshape([n] * len(index)),
        centre,
        tuple(index),
        problem.coordinates,
        covariance=both[0],
        conditional=both[1],
    )


def whitened(
    problem: Problem,
    names: Sequence[str],
    *,
    at: Any = None,
    reach: float = REACH,
    n: int = 41,
    progress: Progress = lambda done, total: None,
) -> Landscape:
    """The map of two names in w = F^(1/2) (z - z_hat), to `reach` standard deviations; `at` is z_hat."""
    centre, index, known = _centre(problem, names, at)
    covariance, conditional = _spread(known, index)
    if conditional is None:
        raise ValueError(f"{', '.join(names)}: the data do not determine them, so there is no whitening")
    size, vectors = np.linalg.eigh(conditional)
    root = (vectors / np.sqrt(size)) @ vectors.T
    values = np.linspace(-reach, reach, n)
    short = [problem.names[i].removeprefix("detector.") for i in index]
    axes = tuple(
        Axis(f"whitened {name}", f"w{k + 1}", "standard deviations", values) for k, name in enumerate(short)
    )
    w = np.stack(np.meshgrid(*[values] * len(index), indexing="ij"), axis=-1).reshape(-1, len(index))
    grid = np.tile(centre, (len(w), 1))
    grid[:, index] += w @ np.linalg.inv(root).T
    return Landscape(
        axes,
        _losses(problem, grid, progress).reshape([n] * len(index)),
        centre,
        tuple(index),
        problem.coordinates,
        root,
        None if covariance is None else root @ covariance @ root.T,
        np.eye(len(index)),
    )


def _losses(problem: Problem, grid: np.ndarray, progress: Progress) -> np.ndarray:
    parts = []
    for first in range(0, len(grid), CHUNK):
        parts.append(problem.losses(grid[first : first + CHUNK]))
        progress(min(first + CHUNK, len(grid)), len(grid))
    return np.concatenate(parts)


def _grid(centre: np.ndarray, index: list[int], columns: list[np.ndarray]) -> np.ndarray:
    """Points (n m, k): all combinations of the columns, the rest as in `centre`."""
    mesh = np.meshgrid(*columns, indexing="ij")
    grid = np.tile(centre, (mesh[0].size, 1))
    for i, values in zip(index, mesh, strict=True):
        grid[:, i] = values.ravel()
    return grid


def _centre(
    problem: Problem, names: Sequence[str], at: Any
) -> tuple[np.ndarray, list[int], Uncertainty | None]:
    """Coordinates of the centre, which of them vary, and how well the data determine them there."""
    centre, index = np.asarray(coordinates_of(problem, at), float), _index(problem, names)
    return centre, index, uncertainty(problem, jnp.asarray(centre, problem.start.dtype))


def coordinate_number(problem: Problem, name: str) -> int:
    """Which coordinate a name is, with or without its prefix."""
    for i, known in enumerate(problem.names):
        if name in (known, known.removeprefix("detector.")):
            return i
    raise ValueError(f"{name!r} is not free; free are {', '.join(problem.names)}")


def _index(problem: Problem, names: Sequence[str]) -> list[int]:
    index = [coordinate_number(problem, name) for name in names]
    if len(index) not in (1, 2) or len(set(index)) < len(index):
        raise ValueError(f"names = {list(names)}: expected one free parameter, or two different ones")
    return index


def axis_of(problem: Problem, i: int, values: np.ndarray) -> Axis:
    """Coordinate `i` of a problem at physical `values`, with its symbol and unit."""
    name = problem.names[i]
    info = problem.infos[next(path for path in problem.paths if name == path or name.startswith(f"{path}["))]
    return Axis(name.removeprefix("detector."), info.symbol, info.unit, values)


def _coordinate(problem: Problem, centre: np.ndarray, i: int, values: np.ndarray) -> np.ndarray:
    """Coordinate `i` of physical values."""
    coordinates, found = problem.coordinates, []
    here = coordinates.values(jnp.asarray(centre, problem.start.dtype))
    for value in values:
        flat, first, full = np.array(coordinates.flat(here)), 0, {}
        flat[i] = value
        for path, part in here.items():
            full[path], first = flat[first : first + part.size].reshape(part.shape), first + part.size
        found.append(float(coordinates.of(full)[i]))
    return np.array(found)


def _limits(problem: Problem, centre: np.ndarray, i: int, known: Uncertainty | None) -> tuple[float, float]:
    """Values to both sides of the centre, inside the reach of a fit."""
    points = [centre, *(np.where(np.arange(len(centre)) == i, edge, centre) for edge in problem.reach())]
    middle, *ends = (float(problem.coordinates.flat(problem.values(jnp.asarray(z)))[i]) for z in points)
    half = np.inf if known is None else REACH * float(known.errors[i])
    if not np.isfinite(half):
        slope = float(problem.coordinates.slopes(jnp.asarray(centre, problem.start.dtype))[i])
        half = abs(slope) / STEP / 2
    return max(min(ends), middle - half), min(max(ends), middle + half)


def _spread(known: Uncertainty | None, index: list[int]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Covariance of these coordinates, (all free, the others held); None what does not exist."""
    if known is None:
        return None, None
    block = known.matrix[np.ix_(index, index)]
    scale = np.sqrt(np.diag(block))
    regular = (scale > 0).all() and np.linalg.eigvalsh(block / np.outer(scale, scale))[0] > SINGULAR
    covariance = known.covariance_z[np.ix_(index, index)]
    return covariance if np.isfinite(covariance).all() else None, np.linalg.inv(block) if regular else None
