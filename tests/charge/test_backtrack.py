import jax
import numpy as np
import pytest

from dptoolkit.charge.backtrack import hit_shares
from dptoolkit.config import load_detector
from dptoolkit.detector import arrive
from dptoolkit.events import bucket, pad, segments_from_arrays


@pytest.fixture(scope="module")
def crossing():
    """Two tracks at different heights and depths, three centimetres apart."""
    along = np.linspace(-6, 6, 41)
    points = [np.stack([np.full(41, x), np.full(41, y), along], axis=1) for x, y in ((2.0, -3.0), (5.0, 3.0))]
    segments = segments_from_arrays(
        np.concatenate([track[:-1] for track in points]),
        np.concatenate([track[1:] for track in points]),
        np.full(80, 2.1 * 0.3),
        track=np.repeat([1, 2], 40),
    )
    segments = pad(segments, bucket(len(segments)))
    detector = load_detector("small-pixel")
    layout = detector.layout(segments)
    hits = detector(segments, key=jax.random.key(2), layout=layout)["pixels"]
    electrons = jax.tree.map(np.asarray, arrive(detector, segments, layout.deposits))
    return (
        detector.planes[0],
        hits,
        hit_shares(detector.planes[0], hits, electrons, layout.deposits),
        segments,
    )


def test_the_shares_of_every_hit_sum_to_one(crossing):
    _, hits, (place, _, share), _ = crossing
    number = place[:, 0] * hits.time.shape[1] + place[:, 1]
    distinct, inverse = np.unique(number, return_inverse=True)
    assert len(distinct) == int(np.sum(np.asarray(hits.probability) >= 0.5)) > 20
    np.testing.assert_allclose(np.bincount(inverse, share), 1.0, rtol=1e-9)


def test_a_hit_is_traced_to_the_segments_that_pass_over_its_pad(crossing):
    plane, hits, (place, segment, share), segments = crossing
    large = share > 0.3
    row = np.asarray(hits.row)[place[large, 0]]
    height = (row - (plane.n_rows - 1) / 2) * plane.pitch
    middle = np.asarray(segments.start + segments.end)[segment[large]] / 2
    assert np.abs(height - middle[:, 1]).max() < 1.5 * plane.pitch
    column = np.asarray(hits.column)[place[large, 0]]
    # the volume drifts to -x with y up: columns run along -x cross y = -z
    across = (column - (plane.n_columns - 1) / 2) * plane.pitch
    assert np.abs(across + middle[:, 2]).max() < 1.5 * plane.pitch
