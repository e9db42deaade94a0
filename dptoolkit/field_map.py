"""A recovered field on a lattice beside the true one: errors where muons ran, and everywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dptoolkit.detector import LArTPC
from dptoolkit.field_calibration import Recovered, field_at, inverse, seen_by
from dptoolkit.geometry import Volumes
from dptoolkit.inference.evaluation import Vector, experiment_at

CELLS = 12
"""Of the lattice, along each axis of a volume."""
COVERED = 3
"""Tracks through a cell that count as covering it."""
REFERENCE = (0.05, 0.5, 0.95)
"""Distances from the anode over the drift length of the points of reference, on the axis of a volume."""


@dataclass(frozen=True)
class Lattice:
    """The middles of equal cells of all volumes, by (across, up, along the drift from the anode)."""

    volumes: Volumes
    cells: int = CELLS

    @cached_property
    def points(self) -> np.ndarray:
        """Middles of the cells [cm], an array of one row each."""
        share = (np.arange(self.cells) + 0.5) / self.cells
        u, v, w = (part.ravel() for part in np.meshgrid(share - 0.5, share - 0.5, share, indexing="ij"))
        parts = []
        for number in range(len(self.volumes)):
            size = self._size(number)
            which = np.full(len(u), number)
            parts.append(self.volumes.to_global(u * size[0], v * size[1], w * size[2], which))
        return np.concatenate(parts)

    @cached_property
    def volume(self) -> np.ndarray:
        """Of every point."""
        return np.repeat(np.arange(len(self.volumes)), self.cells**3)

    def tracks(self, paths: Sequence[np.ndarray], volume: Sequence[np.ndarray]) -> np.ndarray:
        """How many tracks have a point in every cell."""
        count = np.zeros(len(self.volume), int)
        for points, there in zip(paths, volume, strict=True):
            count[np.unique(self._cell(points, there))] += 1
        return count

    def _size(self, number: int) -> np.ndarray:
        extent = self.volumes.high[number] - self.volumes.low[number]
        axes = (self.volumes.across[number], self.volumes.up[number], self.volumes.drift[number])
        return np.array([abs(extent @ axis) for axis in axes])

    def _cell(self, points: np.ndarray, volume: np.ndarray) -> np.ndarray:
        offset = points - self.volumes.anode[volume]
        axes = (self.volumes.across, self.volumes.up, -self.volumes.drift)
        local = np.stack([np.sum(offset * axis[volume], axis=1) for axis in axes], axis=1)
        size = np.stack([self._size(number) for number in range(len(self.volumes))])[volume]
        share = local / size + np.array([0.5, 0.5, 0.0])
        index = np.clip((share * self.cells).astype(int), 0, self.cells - 1)
        n = self.cells
        return ((volume * n + index[:, 0]) * n + index[:, 1]) * n + index[:, 2]


@dataclass(frozen=True)
class FieldMap:
    """Strengths on a lattice [V/cm]; `sigma` are the errors that the fit states."""

    lattice: Lattice
    true: np.ndarray
    nominal: float
    found: np.ndarray
    sigma: np.ndarray
    tracks: np.ndarray

    @property
    def covered(self) -> np.ndarray:
        """Cells through which muons ran."""
        return self.tracks >= COVERED

    def summary(self) -> dict[str, Any]:
        """Mean absolute errors of |E| [V/cm], those of no correction, and their ratios."""
        numbers: dict[str, Any] = {}
        for name, cells in (("whole", np.ones(len(self.true), bool)), ("covered", self.covered)):
            error = float(np.mean(np.abs(self.found - self.true)[cells])) if cells.any() else np.nan
            without = float(np.mean(np.abs(self.nominal - self.true)[cells])) if cells.any() else np.nan
            numbers[name] = {
                "cells": int(cells.sum()),
                "mean_absolute_error_V_per_cm": error,
                "without_correction_V_per_cm": without,
                "ratio": error / without if without else np.nan,
                "pull_width": float(np.sqrt(np.mean(((self.found - self.true) / self.sigma)[cells] ** 2))),
            }
        return numbers


def field_map(
    recovered: Recovered,
    truth: LArTPC,
    lattice: Lattice,
    paths: tuple[Sequence[np.ndarray], Sequence[np.ndarray]],
) -> FieldMap:
    """The map of a recovered field; `paths` are points of the tracks and their volumes."""
    true = strength(field_at(seen_by(truth.field, truth), lattice.points, lattice.volume))
    found = strength(field_at(recovered.detector, lattice.points, lattice.volume))
    sigma = 1e3 * strength_errors(recovered, lattice.points, lattice.volume)
    nominal = 1e3 * float(truth.field.nominal())
    return FieldMap(lattice, 1e3 * true, nominal, 1e3 * found, sigma, lattice.tracks(*paths))


def reference_points(recovered: Recovered, truth: Any) -> tuple[list[dict[str, Any]], list[list[float]]]:
    """|E| on the axis of every volume, found and true, with errors and their correlation."""
    volumes = truth.volumes
    share, volume = np.tile(REFERENCE, len(volumes)), np.repeat(np.arange(len(volumes)), len(REFERENCE))
    extent = np.abs(np.sum((volumes.high - volumes.low) * volumes.drift, axis=1))[volume]
    points = volumes.to_global(np.zeros(len(share)), np.zeros(len(share)), share * extent, volume)
    true = 1e3 * strength(field_at(seen_by(truth.field, truth), points, volume))
    estimate = 1e3 * strength(field_at(recovered.detector, points, volume))
    slopes = 1e3 * strength_slopes(recovered, points, volume)
    matrix = slopes @ covariance(recovered) @ slopes.T
    error = np.sqrt(np.diag(matrix))
    rows = [
        {
            "path": f"|E| {volumes.names[v]} at {100 * s:.0f} % of the drift",
            "unit": "V/cm",
            "truth": float(t),
            "start": 1e3 * float(truth.field.nominal()),
            "estimate": float(e),
            "error": float(d),
            "pull": float((e - t) / d) if d > 0 else None,
        }
        for v, s, t, e, d in zip(volume, share, true, estimate, error, strict=True)
    ]
    return rows, (matrix / np.outer(error, error)).tolist()


def strength(field: np.ndarray) -> np.ndarray:
    """|E| of vectors (n, 3)."""
    return np.sqrt(np.sum(field**2, axis=1))


def strength_errors(recovered: Recovered, points: np.ndarray, volume: np.ndarray) -> np.ndarray:
    """Standard errors of |E| [kV/cm] at points (n, 3), prior included."""
    slopes = strength_slopes(recovered, points, volume)
    return np.sqrt(np.maximum(np.sum((slopes @ covariance(recovered)) * slopes, axis=1), 0.0))


def covariance(recovered: Recovered) -> np.ndarray:
    """Of the coordinates of the fit; nothing along directions that no datum and no field feels."""
    known = recovered.results[-1].uncertainty
    return inverse(np.zeros((0, 0)) if known is None else known.matrix)


def strength_slopes(recovered: Recovered, points: np.ndarray, volume: np.ndarray) -> np.ndarray:
    """D |E| / d coordinates (n, k) [kV/cm]."""
    problem = recovered.problem
    z = jnp.asarray(recovered.results[-1].history[-1].z, problem.start.dtype)
    where = jnp.asarray(points, z.dtype), jnp.asarray(volume, jnp.int32)
    return np.asarray(_slopes(problem.detector, problem.coordinates, z, problem.sources[0], where), float)


@eqx.filter_jit
def _slopes(
    detector: Any, coordinates: Any, z: Vector, source: Any, where: tuple[Array, Array]
) -> Float[Array, "n k"]:
    def one(z: Vector, point: Array, volume: Array) -> Array:
        model: Any = experiment_at(detector, source, coordinates.values(z)).detector
        field = model.field.local(point[None], volume[None], model.volumes)
        return jnp.sqrt(jnp.sum(field**2))

    return jax.lax.map(lambda item: jax.grad(one)(z, *item), where, batch_size=256)
