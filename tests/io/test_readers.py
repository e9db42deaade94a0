"""Every format gives the same kind of segments."""

import h5py
import numpy as np
import pytest

from dptoolkit.io import events_slice, read_segments
from dptoolkit.io.readers import known_readers
from tests.io.makers import write_dataset, write_pstep


def test_edepsim_units_order_and_numbers(tmp_path, larndsim_rows):
    events = read_segments(write_dataset(tmp_path / "e.h5", "segments", larndsim_rows))
    assert (events.format, events.drift_axis, events.n_events) == ("edep-sim", "x", 3)
    np.testing.assert_array_equal(events.event_numbers, [3, 7, 12])
    np.testing.assert_array_equal(events.columns["event"], [0, 1, 1, 2])
    np.testing.assert_array_equal(events.columns["de"], np.float32([4.0, 2.0, 0.1, 8.0]))
    np.testing.assert_array_equal(events.columns["t0"], [2, 1, 3, 4])
    assert events.columns["start"].dtype == np.float64


def test_dx_is_the_files_where_positive_else_the_distance(tmp_path, larndsim_rows):
    events = read_segments(write_dataset(tmp_path / "e.h5", "segments", larndsim_rows))
    np.testing.assert_array_equal(events.columns["dx"], [2.0, 1.0, 0.25, 1.5])


def test_a_deposit_at_a_point_keeps_dx_zero_and_a_finite_dedx(tmp_path, larndsim_rows):
    larndsim_rows["x_end"][2] = 0.0
    segments = read_segments(write_dataset(tmp_path / "e.h5", "segments", larndsim_rows)).segments
    assert float(segments.dx[2]) == 0.0
    assert np.isfinite(np.asarray(segments.dedx)).all()


@pytest.mark.parametrize("suffix", ["h5", "npz"])
def test_geant4_steps_are_converted_from_mm_and_ns(tmp_path, steps_rows, suffix):
    path = tmp_path / f"s.{suffix}"
    if suffix == "h5":
        write_dataset(path, "steps", steps_rows, length_unit="mm", time_unit="ns", energy_unit="MeV")
    else:
        np.savez(path, steps=steps_rows)
    events = read_segments(path)
    assert events.format == "geant4-steps"
    np.testing.assert_array_equal(events.event_numbers, [0, 4])
    np.testing.assert_allclose(events.columns["end"][:, 2], [1, 2, 0.5])
    np.testing.assert_allclose(events.columns["dx"], [1, 1, 0.5])
    np.testing.assert_allclose(events.columns["t0"], [0, 1e-3, 2e-3])


def test_unit_attributes_of_geant4_steps_are_obeyed(tmp_path, steps_rows):
    path = write_dataset(
        tmp_path / "s.h5", "steps", steps_rows, length_unit="m", time_unit="us", energy_unit="keV"
    )
    events = read_segments(path)
    np.testing.assert_allclose(events.columns["end"][:, 2], [1000, 2000, 500])
    np.testing.assert_allclose(events.columns["t0"], [0, 1, 2])
    np.testing.assert_allclose(events.columns["de"], [2e-4, 3e-4, 4e-4], rtol=1e-6)


def test_pstep_positions_are_the_middle_of_the_step(tmp_path, pstep_rows):
    events = read_segments(write_pstep(tmp_path / "p.h5", [pstep_rows, pstep_rows[:1]], [9, 4]))
    assert events.format == "geant4-pstep"
    np.testing.assert_array_equal(events.event_numbers, [4, 9])
    np.testing.assert_allclose(events.columns["start"][1:, 0], [0, 1], atol=1e-6)
    np.testing.assert_allclose(events.columns["end"][1:, 0], [1, 2], atol=1e-6)
    np.testing.assert_array_equal(events.columns["pdg"], [13, 13, 0])
    np.testing.assert_array_equal(events.columns["track"], [0, 0, -1])


def test_every_format_is_found_without_a_list():
    assert set(known_readers()) == {"dptoolkit", "edep-sim", "geant4-pstep", "geant4-steps"}


def test_selection_is_half_open_over_sorted_event_numbers(tmp_path, larndsim_rows):
    events = read_segments(write_dataset(tmp_path / "e.h5", "segments", larndsim_rows))
    chosen = events.select("1:3")
    np.testing.assert_array_equal(chosen.event_numbers, [7, 12])
    np.testing.assert_array_equal(chosen.columns["event"], [0, 0, 1])
    np.testing.assert_array_equal(chosen.columns["de"], events.columns["de"][1:])
    np.testing.assert_array_equal(chosen.bounds, events.bounds)
    np.testing.assert_array_equal(events.select("2:99").event_numbers, [12])
    assert events_slice(":4") == slice(None, 4)
    assert events_slice("2:") == slice(2, None)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "n", "n_events", "energy"),
    [
        ("segments/module0_muons_0.h5", 168, 26, None),
        ("segments/module0_mixed_mu_pi_p.h5", 73789, 100, 113666.7),
        ("segments/module0_cosmics.h5", 1095, 25, 1632.64),
        ("segments/geant4_lar_muon.h5", 5335, 1, 140.957),
        ("geant4/lar_e_300.h5", 69268, 30, 8357.2),
        ("geant4/lar_mu_300.h5", None, None, None),
        ("geant4/water_mu_300.h5", None, 60, None),
    ],
)
def test_reference_files_are_read(data, name, n, n_events, energy):
    events = read_segments(data / name)
    assert n in (None, len(events))
    assert n_events in (None, events.n_events)
    assert energy is None or events.columns["de"].sum() == pytest.approx(energy, rel=1e-5)
    assert len(events.segments) == len(events)


@pytest.mark.data
def test_the_geant4_muon_is_one_unbroken_line_from_its_vertex(data):
    path = data / "segments/geant4_lar_muon.h5"
    events = read_segments(path)
    muon = events.columns["track"] == 0
    start, end = events.columns["start"][muon], events.columns["end"][muon]
    with h5py.File(path) as file:
        vertex = file["vertex/geant4"][0]
    np.testing.assert_allclose(start[0], [0.1 * float(vertex[axis][0]) for axis in "xyz"], atol=1e-5)
    gap = np.linalg.norm(start[1:] - end[:-1], axis=1)
    assert np.percentile(gap, 99) < 1e-4  # [cm]; steps are 0.01 cm long
    assert len(events.particles["track"]) == 92


@pytest.mark.data
def test_step_lengths_agree_with_the_file_in_edepsim(data):
    columns = read_segments(data / "segments/module0_mixed_mu_pi_p.h5").columns
    distance = np.linalg.norm(columns["end"] - columns["start"], axis=1)
    assert np.median(np.abs(distance / columns["dx"] - 1)) < 1e-3
