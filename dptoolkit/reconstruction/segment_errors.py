"""Errors of segments that were fitted without a model of a track.

A node that slides along its line and takes energy with it changes nothing that is seen, and no sum that
anybody asks for. What is measured is the energy between two nodes *where these were found*. So its covariance
is the inverse of the curvature of all energies with the nodes held,

    C = (J^T J)^-1 over the energies,

of data and prior. Neighbours are anticorrelated, as charge between them is not resolved. Hence two numbers:
the error sqrt(C_ii) of a segment by itself, and sum_j C_ij, which adds up to the variance of the sum of many
neighbours (one of them may be negative: a short segment beside a long one). The fluctuations of recombination
are not in them, nor that charge is not spread evenly over a segment.
"""

from typing import cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array
from scipy.spatial import KDTree

from dptoolkit.inference.evaluation import Vector
from dptoolkit.inference.local import local_curvature
from dptoolkit.inference.problem import Problem
from dptoolkit.sources.cloud import SegmentCloud, lengths_of

Columns = dict[str, tuple[Float[np.ndarray, " n"], str]]


def energy_errors(problem: Problem, z: Vector, distance: float) -> Columns:
    """`de_error` [MeV] and `de_sum_variance` [MeV2] of every segment; nan where they are not determined.

    Segments within `distance` [cm] may act on the same data.
    """
    cloud = cast(SegmentCloud, problem.model(jnp.asarray(z)).source)
    used = len(cloud.seed) * 3 + np.flatnonzero(cloud.valid)
    matrix = local_curvature(problem, z, neighbours(cloud, distance, nodes=False))
    length = np.asarray(lengths_of(cloud.steps), float)[np.asarray(cloud.valid)]
    slopes = np.asarray(problem.coordinates.slopes(z), float)[used] * length
    covariance = inverse(matrix[used][:, used].toarray()) * np.outer(slopes, slopes)
    return {
        "de_error": (np.sqrt(np.diag(covariance)), "MeV"),
        "de_sum_variance": (covariance.sum(axis=1), "MeV2"),
    }


def inverse(matrix: Float[np.ndarray, "k k"]) -> Float[np.ndarray, "k k"]:
    """The inverse of a positive matrix; nan where it is not one."""
    scale = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    try:
        root = np.linalg.inv(np.linalg.cholesky(matrix / np.outer(scale, scale)))
    except np.linalg.LinAlgError:
        return np.full(matrix.shape, np.nan)
    return root.T @ root / np.outer(scale, scale)


def neighbours(cloud: SegmentCloud, distance: float, nodes: bool = True) -> csr_array:
    """Which coordinates of a fit may act on the same data: of nodes and edges within `distance` [cm].

    Without `nodes`: of energies alone.
    """
    at = np.asarray(cloud.nodes, float)
    valid = np.asarray(cloud.valid)
    places = np.concatenate([np.repeat(at, 3, axis=0), (at[cloud.first] + at[cloud.last]) / 2])
    used = np.isin(np.arange(len(at)), [cloud.first[valid], cloud.last[valid]]) & nodes
    rows = np.flatnonzero(np.concatenate([np.repeat(used, 3), valid]))
    pairs = KDTree(places[rows]).query_pairs(distance, output_type="ndarray")
    own = np.arange(len(rows))
    one = np.concatenate([pairs[:, 0], pairs[:, 1], own])
    two = np.concatenate([pairs[:, 1], pairs[:, 0], own])
    return csr_array((np.ones(len(one)), (rows[one], rows[two])), shape=(len(places),) * 2)
