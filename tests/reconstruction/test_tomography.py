"""Points in space from the charge on wires: candidates, ghosts, and how charge is shared."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import KDTree

from dptoolkit.charge.wires import WirePlane
from dptoolkit.detector import LArTPC
from dptoolkit.events import segments_from_arrays
from dptoolkit.reconstruction.deconvolution import ChargeImage, charge_image, unit_response
from dptoolkit.reconstruction.distance import quantile
from dptoolkit.reconstruction.tomography import TICKS, Candidates, find_candidates, shared_charge

SPEED = 0.16
"""Drift of the images made here [cm/us]."""


def track(theta: float, phi: float, length: float = 40.0) -> np.ndarray:
    """Places along a line that scatters, 60 000 electrons a cm, around x = 20 cm (n, 3)."""
    rng = np.random.default_rng(0)
    n = 8000
    step = length / n
    along = np.array([np.cos(theta), np.sin(theta) * np.sin(phi), np.sin(theta) * np.cos(phi)])
    side = np.linalg.svd(along[None])[2][1:]
    angles = np.cumsum(rng.normal(size=(n, 2)) * 0.03 * np.sqrt(step), axis=0)
    places = np.cumsum((along + angles @ side) * step, axis=0)
    return places - places.mean(axis=0) + np.array([20.0, 0.0, 0.0])


def images(places: np.ndarray, planes: list[WirePlane], charge: float, noise: float) -> list[ChargeImage]:
    """The charge on every plane, blurred by diffusion, with noise."""
    rng, found = np.random.default_rng(1), []
    for plane in planes:
        spread = np.repeat(places, 8, axis=0) + rng.normal(size=(8 * len(places), 3)) * np.array(
            [0.1, 0.1, 0.1]
        )
        wire = np.rint(np.asarray(plane.wire_at(spread[:, 2], spread[:, 1]))).astype(int)
        tick = np.rint(spread[:, 0] / SPEED / plane.tick_period + rng.normal(size=len(spread))).astype(int)
        first, start = wire.min() - 5, tick.min() - 20
        image = np.zeros((np.ptp(wire) + 10, np.ptp(tick) + 40))
        np.add.at(image, (wire - first, tick - start), charge / 8)
        image += noise * rng.normal(size=image.shape)
        everywhere = np.ones(image.shape, bool)
        made = ChargeImage(image, int(first), int(start), everywhere, np.zeros(len(image), bool))
        found.append(made.binned(TICKS))
    return found


def found_points(candidates: Candidates, period: float) -> np.ndarray:
    late = (candidates.slice + 0.5 - 0.5 / TICKS) * TICKS * period
    return np.stack([late * SPEED, candidates.up, candidates.across], axis=1)


@pytest.mark.parametrize(
    ("theta", "phi", "what"),
    [
        (1.2, 0.6, "leaning"),
        (np.pi / 2, 0.0, "in the plane of the wires, across the collecting ones"),
        (0.3, 0.6, "along the drift"),
    ],
)
def test_a_track_is_found_with_its_charge_and_without_ghosts(
    small_wire: LArTPC, theta: float, phi: float, what: str
) -> None:
    planes = list(small_wire.planes)
    places = track(theta, phi)
    charge = 60000 * 40 / len(places)
    seen = images(places, planes, charge, 150.0)
    candidates = find_candidates(seen, planes, small_wire.volumes.face)
    points = found_points(candidates, planes[0].tick_period)
    shared = shared_charge(candidates, seen, points)
    away = KDTree(places).query(points)[0]
    assert shared.sum() == pytest.approx(charge * len(places), rel=0.1), what
    assert quantile(away, shared, 0.5) < planes[0].pitch, what
    assert shared[away > 0.6].sum() < 0.05 * shared.sum(), what
    missed = KDTree(points[shared > 0]).query(places)[0]
    assert np.quantile(missed, 0.95) < 0.3, what


def test_where_one_plane_is_dead_the_other_two_must_do(small_wire: LArTPC) -> None:
    planes = list(small_wire.planes)
    places = track(1.2, 0.6)
    seen = images(places, planes, 60000 * 40 / len(places), 150.0)
    dead = np.arange(len(seen[1].charge)) // (len(seen[1].charge) // 6) == 2
    left = np.where(dead[:, None], 0.0, seen[1].charge)
    seen[1] = ChargeImage(left, seen[1].first_wire, seen[1].first_tick, seen[1].read, dead)
    candidates = find_candidates(seen, planes, small_wire.volumes.face)
    points = found_points(candidates, planes[0].tick_period)
    shared = shared_charge(candidates, seen, points)
    missed = KDTree(points[shared > 300]).query(places)[0]
    assert np.quantile(missed, 0.9) < 0.4


def test_no_charge_makes_no_candidates(small_wire: LArTPC) -> None:
    empty = [
        ChargeImage(np.zeros((10, 10)), 0, 0, np.ones((10, 10), bool), np.zeros(10, bool))
        for _ in small_wire.planes
    ]
    found = find_candidates(empty, list(small_wire.planes), small_wire.volumes.face)
    assert len(found.slice) == 0


def test_the_unit_response_of_the_collecting_plane_has_the_charge_of_one_electron(small_wire: LArTPC) -> None:
    plane = small_wire.planes[2]
    kernel, _ = unit_response(plane)
    area = float(np.sum(np.asarray(plane.electronics.impulse(jnp.arange(0.0, 60.0, 0.01)))) * 0.01)
    counts = area / plane.tick_period * float(plane.digitiser.counts_per_mv)
    assert kernel.sum() == pytest.approx(counts, rel=0.02)
    induced, _ = unit_response(small_wire.planes[0])
    assert abs(induced.sum()) < 0.02 * kernel.sum()


def test_waveforms_of_a_track_give_its_charge_back(small_wire: LArTPC) -> None:
    points = np.linspace([5.0, 1.0, -9.0], [8.0, 4.0, 9.0], 61)
    segments = segments_from_arrays(points[:-1], points[1:], np.full(60, 0.7))
    readout = small_wire(segments)
    layout = small_wire.layout(segments)
    arrived = float(small_wire.electrons_at_anode(segments, layout.deposits).n.sum())
    for plane in small_wire.planes:
        image = charge_image(readout[plane.name], plane, 0)
        assert image is not None
        assert image.charge[image.charge > 0].sum() == pytest.approx(arrived, rel=0.15), plane.name
    assert charge_image(readout["Y"], small_wire.planes[2], 1) is None
