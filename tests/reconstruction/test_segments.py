"""All segments of an event from nothing but its read-out."""

from collections.abc import Callable

import jax
import numpy as np
import pytest

from dptoolkit.detector import LArTPC
from dptoolkit.events import Segments, pad, segments_from_arrays
from dptoolkit.reconstruction import NotReconstructed, Reconstructed
from dptoolkit.reconstruction.distance import distances
from dptoolkit.reconstruction.segments import energy_of, find_segments, reconstruct_segments
from dptoolkit.reconstruction.skeleton import Skeleton

Recorded = tuple[dict, Segments]


def muon(start: list[float], end: list[float], n: int = 150, bend: float = 0.5) -> Segments:
    """An arc with a sagitta of `bend` [cm], 2.1 MeV/cm with fluctuations of a fifth a millimetre."""
    rng = np.random.default_rng(5)
    part = np.linspace(0, 1, n + 1)[:, None]
    points = np.array(start) + part * (np.array(end) - np.array(start))
    points[:, 1] += bend * 4 * (part * (1 - part))[:, 0]
    length = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return segments_from_arrays(points[:-1], points[1:], 2.1 * length * rng.uniform(0.8, 1.2, n))


def recorded(detector: LArTPC, segments: Segments, seed: int = 1) -> dict:
    return jax.tree.map(np.asarray, detector(segments, key=jax.random.key(seed)))


@pytest.fixture(scope="module")
def on_wires(named: Callable[[str], LArTPC]) -> Recorded:
    segments = muon([3.0, -2.0, -6.0], [8.0, 3.0, 5.0])
    return recorded(named("small-wire"), segments), segments


@pytest.fixture(scope="module")
def on_pads(named: Callable[[str], LArTPC]) -> Recorded:
    segments = muon([-3.0, -2.0, -6.0], [4.0, 3.0, 5.0])
    return recorded(named("small-pixel"), segments), segments


def test_a_track_on_wires_is_found_before_any_fit(small_wire: LArTPC, on_wires: Recorded) -> None:
    readout, truth = on_wires
    compared = distances(find_segments(readout, small_wire).segments, truth, small_wire)
    assert abs(compared.charge_fraction) < 0.15
    assert compared.median < 3 and compared.covered > 0.9  # a wire pitch


def test_a_track_on_pads_is_found_before_any_fit(small_pixel: LArTPC, on_pads: Recorded) -> None:
    readout, truth = on_pads
    compared = distances(find_segments(readout, small_pixel).segments, truth, small_pixel)
    assert abs(compared.charge_fraction) < 0.15  # charge below the threshold is missing
    assert compared.median < 4.4 and compared.covered > 0.9  # a pad


@pytest.mark.slow
def test_the_fit_on_wires_has_all_charge_within_a_percent_and_a_millimetre(
    small_wire: LArTPC, on_wires: Recorded
) -> None:
    readout, truth = on_wires
    found = reconstruct_segments(readout, small_wire, number=3)
    assert isinstance(found, Reconstructed) and found.number == 3
    compared = distances(found.segments, truth, small_wire)
    assert abs(compared.charge_fraction) < 0.01
    assert compared.median < 1 and compared.coverage_median < 1
    assert {"de_error", "de_sum_variance"} == set(found.columns)
    assert (found.columns["de_error"][0] > 0).all() and found.columns["de_sum_variance"][0].sum() > 0


@pytest.mark.slow
def test_the_fit_on_pads_is_nearer_than_a_fifth_of_a_pad_and_finds_what_no_pad_reported(
    small_pixel: LArTPC, on_pads: Recorded
) -> None:
    readout, truth = on_pads
    seed = distances(find_segments(readout, small_pixel).segments, truth, small_pixel)
    found = reconstruct_segments(readout, small_pixel)
    assert isinstance(found, Reconstructed)
    compared = distances(found.segments, truth, small_pixel)
    assert abs(compared.charge_fraction) < 0.02 and abs(compared.charge_fraction) < abs(seed.charge_fraction)
    assert compared.median < 0.9 and compared.median < seed.median


def test_the_energy_of_a_segment_frees_the_charge_that_was_found(small_wire: LArTPC) -> None:
    nodes = np.array([[3.0, 0, 0], [3.5, 0.2, 0.3], [4.0, 0.1, 0.9]])
    charge = np.array([4e4, 9e4])
    energy = energy_of(Skeleton(nodes, np.array([[0, 1], [1, 2]]), charge), small_wire)
    made = pad(segments_from_arrays(nodes[:-1], nodes[1:], energy, track=np.arange(2)), 256)
    freed, _ = small_wire.freed(made, small_wire.cut(made))
    assert np.asarray(freed)[:2] == pytest.approx(charge, rel=1e-3)


def test_silence_has_no_segments_and_says_why(small_pixel: LArTPC) -> None:
    faint = segments_from_arrays(np.array([[0.0, 0, 0]]), np.array([[0.01, 0, 0]]), np.array([0.01]))
    found = reconstruct_segments(recorded(small_pixel, faint), small_pixel, number=9)
    assert isinstance(found, NotReconstructed)
    assert found.number == 9 and "electrons" in found.reason
