"""How well the data determine the parameters: Fisher information, covariance, correlated directions.

With residuals of variance 1 the information matrix is F = J^T J and its inverse the covariance. F is
judged without units, as C = F_ij / sqrt(F_ii F_jj): an eigenvalue near 0 is a direction that no residual
feels. It is named and its parameters get infinite errors; nothing is added to make F regular.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dptoolkit.inference.evaluation import Vector
from dptoolkit.inference.losses import AbstractResidualLoss
from dptoolkit.inference.problem import Problem

SINGULAR = 1e-6
"""Eigenvalues of C below this are taken for zero: single precision tells no more."""
TAKES_PART = 0.1
"""A parameter belongs to a direction if its component is larger."""


@dataclass(frozen=True)
class Uncertainty:
    """Errors and correlations of the free parameters, from a matrix of second derivatives of the loss."""

    names: tuple[str, ...]
    """Of the coordinates."""
    matrix: np.ndarray
    """Information in coordinates (k, k)."""
    slopes: np.ndarray
    """d value / d coordinate (k)."""
    paths: dict[str, tuple[int, ...]]
    """Shape of every free parameter."""
    held: tuple[int, ...] = ()
    """Coordinates that are taken as known: they have no error, and those of the others do not hold theirs."""

    @property
    def _moving(self) -> np.ndarray:
        return np.setdiff1d(np.arange(len(self.names)), np.array(self.held, int))

    @property
    def _scale(self) -> np.ndarray:
        """Of the coordinates that are not held."""
        size = np.diag(self.matrix)[self._moving]
        return np.sqrt(np.where(size > 0, size, 1.0))

    def _directions(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues and eigenvectors of C, of the coordinates that are not held."""
        part = self.matrix[np.ix_(self._moving, self._moving)]
        return np.linalg.eigh(part / np.outer(self._scale, self._scale))

    def _felt(self, size: np.ndarray) -> np.ndarray:
        return size > SINGULAR * max(size.max(initial=0.0), 1e-300)

    @property
    def eigenvalues(self) -> np.ndarray:
        """Of C, ascending; they add up to the number of parameters."""
        return self._directions()[0]

    @property
    def eigenvectors(self) -> np.ndarray:
        """Of C, in columns: the mixture of parameters (each in its own standard error) to an eigenvalue."""
        return self._directions()[1]

    @property
    def covariance_z(self) -> np.ndarray:
        """Covariance of the coordinates; infinite variance where the data say nothing, 0 of what is held.

        A direction that no residual feels has at least the variance of the least that is felt. A parameter of
        which that is more than all others give takes part in it, however little it seems to turn there.
        """
        size, vectors = self._directions()
        seen = self._felt(size)
        part = (vectors[:, seen] / size[seen]) @ vectors[:, seen].T
        least = SINGULAR * max(size.max(initial=0.0), 1e-300)
        unseen = np.sum(vectors[:, ~seen] ** 2, axis=1) / least > np.diag(part)
        part = part / np.outer(self._scale, self._scale)
        part[unseen, unseen] = np.inf
        covariance = np.zeros_like(self.matrix)
        covariance[np.ix_(self._moving, self._moving)] = part
        return covariance

    @property
    def covariance(self) -> np.ndarray:
        """In physical units."""
        return self.covariance_z * np.outer(self.slopes, self.slopes)

    @property
    def errors(self) -> np.ndarray:
        """Standard errors in physical units (k); nan of what is held."""
        found = np.sqrt(np.diag(self.covariance_z)) * np.abs(self.slopes)
        found[list(self.held)] = np.nan
        return found

    @property
    def error(self) -> dict[str, Any]:
        """Standard errors by path."""
        found, first = {}, 0
        for path, shape in self.paths.items():
            size = int(np.prod(shape))
            part = self.errors[first : first + size].reshape(shape)
            found[path], first = (float(part) if part.ndim == 0 else part), first + size
        return found

    @property
    def correlation(self) -> np.ndarray:
        """Of the estimates; nan for what is held or not determined."""
        covariance = self.covariance
        sigma = np.sqrt(np.diag(covariance))
        known = np.isfinite(sigma) & (sigma > 0)
        found = np.full_like(covariance, np.nan)
        both = np.ix_(known, known)
        found[both] = covariance[both] / np.outer(sigma[known], sigma[known])
        return found

    @property
    def unidentifiable(self) -> list[str]:
        """Directions along which the loss does not change, in relative changes of the parameters, named."""
        size, vectors = self._directions()
        return [_named(self._moving_names, vectors[:, i]) for i in np.flatnonzero(~self._felt(size))]

    @property
    def weakest(self) -> str:
        """The least determined direction, in words; empty if every parameter is held."""
        return _named(self._moving_names, self._directions()[1][:, 0]) if len(self._moving) else ""

    @property
    def _moving_names(self) -> tuple[str, ...]:
        return tuple(self.names[i] for i in self._moving)


def uncertainty(problem: Problem, z: Vector) -> Uncertainty | None:
    """From the Fisher information at z; None for a loss without residuals."""
    if not isinstance(problem.loss, AbstractResidualLoss):
        return None
    return from_information(problem, z, problem.normal(z).matrix)


def from_hessian(problem: Problem, z: Vector) -> Uncertainty:
    """From the full second derivative of the loss at z: what the data at hand say, not their mean."""
    return from_information(problem, z, problem.hessian(z))


def from_information(problem: Problem, z: Vector, matrix: np.ndarray) -> Uncertainty:
    """From a known information matrix in coordinates."""
    shapes = {path: tuple(problem.coordinates.start[path].shape) for path in problem.paths}
    slopes = np.asarray(problem.coordinates.slopes(z), float)
    return Uncertainty(problem.names, np.asarray(matrix, float), slopes, shapes, tuple(problem.held))


def _named(names: tuple[str, ...], vector: np.ndarray) -> str:
    order = [i for i in np.argsort(-np.abs(vector)) if abs(vector[i]) > TAKES_PART]
    return " ".join(f"{vector[i]:+.2f} {names[i].removeprefix('detector.')}" for i in order)
