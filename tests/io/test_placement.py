"""Placement in a detector, as the command line promises it."""

from pathlib import Path

import numpy as np
import pytest

from dptoolkit.geometry import Volumes
from dptoolkit.io import EventFile, count_outside, place, read_segments
from dptoolkit.io.placement import outside_notes

AT = {"here": (0, 0, 0), "high": (0, 100, 0), "far": (500, 0, -300)}


def make_events(start, end, **more) -> EventFile:
    start, end = np.atleast_2d(np.asarray(start, float)), np.atleast_2d(np.asarray(end, float))
    n = len(start)
    columns = {"start": start, "end": end, "de": np.ones(n), "dx": np.linalg.norm(end - start, axis=1)}
    columns |= {"t0": np.zeros(n), "track": np.zeros(n, int), "pdg": np.full(n, 13)}
    return EventFile.build(columns, np.arange(n) * 3, path=Path("made"), format="made", **more)


@pytest.mark.parametrize("where", AT)
def test_auto_moves_only_what_does_not_lie_inside(module0, where):
    events = make_events(np.add([[-5, -5, -5]], AT[where]), np.add([[15, 5, 5]], AT[where]))
    placed, note = place(events, module0, "auto")
    if where == "here":
        assert placed is events
        assert "not moved" in note
    else:
        np.testing.assert_allclose(np.mean(placed.bounds, axis=0), 0, atol=1e-9)
        assert "shifted by" in note


def test_auto_is_one_shift_for_all_events_and_any_slice(module0):
    events = make_events([[0, 100, 0], [5, 120, 0]], [[1, 101, 0], [5, 130, 0]])
    whole, _ = place(events, module0)
    part, _ = place(events.select("1:2"), module0)
    np.testing.assert_array_equal(part.columns["start"], whole.select("1:2").columns["start"])
    shift = whole.columns["start"] - events.columns["start"]
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape))


def test_auto_says_when_the_file_is_larger_than_the_detector(module0):
    _, note = place(make_events([[0, 0, 0]], [[0, 0, 500]]), module0)
    assert "larger than the detector" in note


def test_auto_uses_one_of_two_distant_cryostats():
    icarus = Volumes.from_boxes(
        [[-285, 0, 0], [-137, 0, 0], [137, 0, 0], [285, 0, 0]],
        [148, 316, 1790],
        ["-x", "+x", "-x", "+x"],
    )
    muon = make_events([[-97, 0, -51]], [[-55, 56, -14]])
    placed, note = place(muon, icarus)
    assert "first of 2 separate active volumes" in note
    assert count_outside(placed.segments, icarus) == (0, 0.0)
    crossing = make_events([[-300, 0, 0]], [[300, 0, 0]])
    assert place(crossing, icarus)[0] is crossing


def test_file_takes_positions_as_they_are(module0):
    events = make_events([[900, 0, 0]], [[901, 0, 0]])
    assert place(events, module0, "file")[0] is events


def test_explicit_places_the_origin_of_the_file(module0):
    placed, _ = place(make_events([[0, 0, 0]], [[1, 2, 3]]), module0, "1,-2,3.5")
    np.testing.assert_array_equal(placed.columns["start"], [[1, -2, 3.5]])
    np.testing.assert_array_equal(placed.columns["end"], [[2, 0, 6.5]])


@pytest.mark.parametrize(("axis", "end"), [("x", [1, 2, 3]), ("y", [2, 3, 1]), ("z", [3, 1, 2])])
def test_the_named_axis_becomes_the_drift_axis_by_a_rotation(module0, axis, end):
    events = make_events(np.zeros((1, 3)), [[1, 2, 3]])
    placed, note = place(events, module0, f"0,0,0,{axis}")
    np.testing.assert_array_equal(placed.columns["end"], [end])
    np.testing.assert_array_equal(placed.bounds[1], end)
    assert f"file axis {axis} along the drift" in note
    unit = make_events(np.zeros((3, 3)), np.eye(3))
    assert np.linalg.det(place(unit, module0, f"0,0,0,{axis}")[0].columns["end"]) == pytest.approx(1)


def test_random_is_rigid_inside_and_the_same_for_any_slice(module0):
    rng = np.random.default_rng(0)
    events = make_events(rng.normal(size=(50, 3)), rng.normal(size=(50, 3)))
    placed, _ = place(events, module0, "random", seed=3)
    part, _ = place(events.select("10:20"), module0, "random", seed=3)
    np.testing.assert_array_equal(part.columns["end"], placed.select("10:20").columns["end"])
    assert (module0.locate(placed.columns["start"]) >= 0).all()
    step = np.linalg.norm(placed.columns["end"] - placed.columns["start"], axis=1)
    np.testing.assert_allclose(step, events.columns["dx"])
    other, _ = place(events, module0, "random", seed=4)
    assert not np.isclose(other.columns["start"], placed.columns["start"]).any()


def test_random_directions_are_isotropic_and_positions_uniform(module0):
    n = 2000
    placed, _ = place(make_events(np.zeros((n, 3)), np.tile([0, 0, 1.0], (n, 1))), module0, "random")
    direction = placed.columns["end"] - placed.columns["start"]
    np.testing.assert_allclose(direction.mean(axis=0), 0, atol=5 / np.sqrt(3 * n))
    np.testing.assert_allclose((direction**2).mean(axis=0), 1 / 3, atol=5 * 0.3 / np.sqrt(n))
    spread = placed.columns["start"].std(axis=0) / np.array([60.8, 124, 62])
    np.testing.assert_allclose(spread, 1 / np.sqrt(12), rtol=0.07)


def test_outside_counts_segments_and_energy(module0):
    events = make_events([[0, 0, 0], [0, 90, 0], [1, 0, 0], [0, 0, 50]], [[1, 0, 0]] + [[1, 90, 50]] * 3)
    n, fraction = count_outside(events.segments, module0)
    assert (n, fraction) == (2, pytest.approx(0.5))


@pytest.mark.data
@pytest.mark.parametrize("name", ["module0_mixed_mu_pi_p.h5", "module0_cosmics.h5"])
def test_mixed_and_cosmic_samples_are_raised_into_module0(data, module0, name):
    events = read_segments(data / "segments" / name)
    placed, note = place(events, module0)
    by = (placed.columns["start"] - events.columns["start"])[0]
    np.testing.assert_allclose(by, [0, 21.82, 0], atol=0.07)
    assert "21.82" in note
    assert count_outside(placed.segments, module0)[1] < 0.01
    assert count_outside(events.segments, module0)[1] > 0.05


@pytest.mark.data
@pytest.mark.parametrize("index", range(10))
def test_muons_of_module0_stay_where_they_are(data, module0, index):
    events = read_segments(data / f"segments/module0_muons_{index}.h5")
    placed, note = place(events, module0)
    assert placed is events
    assert "not moved" in note


@pytest.mark.data
@pytest.mark.parametrize("name", ["segments/geant4_lar_muon.h5", "geant4/lar_e_300.h5"])
def test_geant4_files_are_moved_into_a_detector(data, name):
    sbnd = Volumes.from_boxes([[-101, 0, 250], [101, 0, 250]], [202, 400, 500], ["-x", "+x"])
    events = read_segments(data / name)
    placed, note = place(events, sbnd)
    assert "shifted by" in note
    assert count_outside(placed.segments, sbnd)[0] == 0


@pytest.mark.parametrize("how", ["auto", "random", "1,2,3"])
def test_what_lies_outside_is_advised_another_placement_than_the_one_it_has(module0, how):
    events = make_events([[500, 0, 0]], [[501, 0, 0]])
    count, advice = outside_notes(events.segments, module0, "module0", how)
    assert "1 of 1 segments" in count and "100%" in advice
    assert f"--place {how}" not in advice and "--place X,Y,Z" in advice
    assert outside_notes(make_events([[5, 0, 0]], [[6, 0, 0]]).segments, module0, "module0", how) == []
