"""Errors of the energies of segments: right for what they are said to be."""

import jax
import numpy as np
import pytest

from dptoolkit.detector import LArTPC
from dptoolkit.events import segments_from_arrays
from dptoolkit.reconstruction import Reconstructed, reconstruct_segments
from dptoolkit.reconstruction.distance import energy_nearest
from dptoolkit.reconstruction.segment_errors import inverse, neighbours
from dptoolkit.sources.cloud import SegmentCloud

SEEDS = 5
TOGETHER = 8
"""Segments of a sum: about 3 cm."""


def chain(n: int = 5) -> SegmentCloud:
    nodes = np.linspace([3.0, 0.0, 0.0], [3.0, 0.0, 0.4 * n], n + 1)
    return SegmentCloud.of(nodes, np.stack([np.arange(n), np.arange(1, n + 1)], axis=1), np.ones(n))


def test_the_inverse_is_one_and_nan_where_there_is_none() -> None:
    half = np.random.default_rng(0).normal(size=(6, 6)) * np.array([1e-3, 1, 1e3, 1, 1, 1])
    matrix = half.T @ half
    assert inverse(matrix) @ matrix == pytest.approx(np.eye(6), abs=1e-6)
    assert np.isnan(inverse(np.diag([1.0, -1.0]))).all()


def test_energies_alone_have_neighbours_within_the_distance_and_nodes_are_held() -> None:
    cloud = chain()
    near = neighbours(cloud, 0.5, nodes=False).toarray()
    first = 3 * len(cloud.seed)
    assert not near[:first].any() and not near[:, :first].any()
    assert near[first : first + 5, first : first + 5].sum() == 5 + 2 * 4
    assert not near[first + 5 :].any(), "padding takes no part"
    everything = neighbours(cloud, 0.5).toarray()
    assert (everything[first:, first:] == near[first:, first:]).all() and everything[:18, :18].any()


@pytest.mark.slow
def test_single_segments_and_sums_over_3_cm_have_pulls_of_width_one(small_wire: LArTPC) -> None:
    """A straight track with an even loss, which the model can describe; its sums are 3 in each of 5 samples.

    The 99 % interval of the width of 15 independent pulls is 0.55 to 1.48; single segments are more.
    """
    points = np.linspace([3.0, -2.0, -6.0], [8.0, 3.0, 5.0], 151)
    length = np.linalg.norm(points[-1] - points[0])
    truth = segments_from_arrays(points[:-1], points[1:], np.full(150, 2.1 * length / 150))
    along = (points[-1] - points[0]) / length
    single, summed = [], []
    for seed in range(SEEDS):
        readout = jax.tree.map(np.asarray, small_wire(truth, key=jax.random.key(seed)))
        found = reconstruct_segments(readout, small_wire)
        assert isinstance(found, Reconstructed) and found.converged, found
        middle = np.asarray((found.segments.start + found.segments.end) / 2)
        order = np.argsort(middle @ along)[1:-1]  # ends may grow and shrink
        off = (np.asarray(found.segments.de) - energy_nearest(found.segments, truth))[order]
        error, share = (found.columns[name][0][order] for name in ("de_error", "de_sum_variance"))
        single.append(off / error)
        for first in range(0, len(order) - TOGETHER + 1, TOGETHER):
            part = slice(first, first + TOGETHER)
            summed.append(off[part].sum() / np.sqrt(share[part].sum()))
    assert len(summed) >= 3 * SEEDS
    assert 0.6 < np.sqrt(np.mean(np.square(summed))) < 1.5
    assert 0.7 < np.sqrt(np.mean(np.concatenate(single) ** 2)) < 1.4
