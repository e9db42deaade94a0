"""Drift volumes and their frames."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import yaml

from dptoolkit.geometry import Volumes, axis_vector

BOXES = {
    "sbnd": "sbnd_v2-6",
    "icarus": "icarus_v4",
    "2x2": "2x2_mr6-5",
    "ndlar": "nd-lar_mp5-1",
    "dune-fd-hd": "dunehd10kt-1x2x6",
    "protodune-sp": "protodune-sp_v7",
}


@pytest.fixture
def pair() -> Volumes:
    return Volumes.from_boxes(np.array([[-15, 0, 1], [15, 0, 1]]), np.array([30, 120, 60]), ["-x", "+x"])


def test_axes_of_facing_anodes_are_turned_not_mirrored(pair):
    """Both have z and y; z grows with `across` on one and falls on the other."""
    (z, middle, left), (y, _, up) = pair.anode_axes(0)
    assert (z, middle, y, up) == ("z", 1.0, "y", 1.0)
    assert pair.anode_axes(1)[0] == ("z", 1.0, -left)


def test_local_and_global_are_inverse(pair):
    rng = np.random.default_rng(0)
    volume = rng.integers(0, 2, 50)
    points = rng.uniform(pair.low[volume], pair.high[volume])
    across, up, distance = (np.asarray(c) for c in pair.to_local(jnp.asarray(points), jnp.asarray(volume)))
    np.testing.assert_allclose(pair.to_global(across, up, distance, volume), points, atol=1e-12)
    assert np.all((distance >= 0) & (distance <= pair.drift_length))
    assert np.all(np.abs(across) <= pair.face[0] / 2) and np.all(np.abs(up) <= pair.face[1] / 2)


@pytest.mark.parametrize("drift", ["+x", "-x", "+z", "-z"])
def test_every_frame_is_right_handed_and_orthonormal(drift):
    volumes = Volumes.from_boxes(np.zeros((1, 3)), np.array([1, 2, 3]), [drift])
    frame = np.stack([volumes.across[0], volumes.up[0], volumes.drift[0]])
    np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-15)
    np.testing.assert_allclose(np.cross(volumes.drift[0], volumes.up[0]), volumes.across[0])


def test_volumes_that_face_each_other_are_turned_not_mirrored(pair):
    np.testing.assert_allclose(pair.across[0], -pair.across[1])
    np.testing.assert_allclose(pair.up[0], pair.up[1])


def test_the_anode_is_where_the_drift_ends(pair):
    np.testing.assert_allclose(pair.anode[:, 0], [-30, 30])
    assert (pair.drift_length, pair.face) == (30, (60, 120))


def test_points_are_located_and_outside_is_minus_one(pair):
    points = np.array([[-5, 0, 0], [5, 0, 0], [0, 0, 0], [31, 0, 0], [5, 61, 0]], float)
    np.testing.assert_array_equal(pair.locate(points), [0, 1, 0, -1, -1])


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"drift": ["-x"]}, "2 centers need as many drift directions, got 1"),
        ({"drift": ["-x", "+y"]}, "must be perpendicular to up"),
        ({"drift": ["-x", "+w"]}, r"axis '\+w': expected one of x, y, z"),
        ({"size": np.array([30, -1, 60])}, "size must be three positive lengths"),
        ({"size": np.array([[30, 120, 60], [30, 120, 61]])}, "anode face of the same size"),
    ],
)
def test_impossible_volumes_are_refused(kwargs, message):
    given = {
        "centers": np.array([[-15, 0, 0], [15, 0, 0]]),
        "size": np.array([30, 120, 60]),
        "drift": ["-x", "+x"],
    }
    with pytest.raises(ValueError, match=message):
        Volumes.from_boxes(**(given | kwargs))


def test_axes_have_a_sign():
    np.testing.assert_array_equal(axis_vector("-z"), [0, 0, -1])
    np.testing.assert_array_equal(axis_vector("y"), [0, 1, 0])


@pytest.mark.data
@pytest.mark.parametrize("name", BOXES)
def test_the_drift_volumes_tile_the_published_boxes(name: str, data: Path, named):
    """Every volume lies in a box of SPINE, none overlap, and together they fill the boxes (to 0.01 mm)."""
    published = yaml.safe_load((data / "geometry" / f"{BOXES[name]}_geometry.yaml").read_text())["tpc"]
    centers = np.array(published["positions"])
    half = np.broadcast_to(np.array(published["dimensions"]) / 2, centers.shape)
    volumes = named(name).volumes
    protrusion = np.maximum(centers - half - volumes.low[:, None], volumes.high[:, None] - centers - half)
    assert protrusion.max(axis=2).min(axis=1).max() < 1e-3
    filled, there = np.prod(volumes.high - volumes.low, axis=1).sum(), np.prod(2 * half, axis=1).sum()
    assert filled == pytest.approx(there, rel=1e-6)
    overlap = np.minimum(volumes.high, volumes.high[:, None]) - np.maximum(volumes.low, volumes.low[:, None])
    overlap[np.arange(len(volumes)), np.arange(len(volumes))] = 0
    assert overlap.min(axis=2).max() < 1e-3


@pytest.mark.data
def test_module_0_has_the_drift_length_of_larndsim(data: Path, named):
    published = yaml.safe_load((data / "geometry" / "module0.yaml").read_text())
    volumes = named("module0").volumes
    assert volumes.drift_length == pytest.approx(published["drift_length"])
    assert volumes.face == pytest.approx((2 * 70 * 0.4434, 4 * 70 * 0.4434))
