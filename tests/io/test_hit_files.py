"""Hits of other programs: which layouts are read, and where the pads are."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from dptoolkit.detector import LArTPC
from dptoolkit.events import Hits
from dptoolkit.io.errors import InputError
from dptoolkit.io.recorded import holds_readout
from dptoolkit.recorded.placed import read_recording

PITCH = 0.4434


def write_flow(path: Path, place: np.ndarray, ticks: np.ndarray, charge: np.ndarray, stop: list[int]) -> Path:
    """Hits in the layout of ndlar_flow; event i ends before hit stop[i]."""
    table = np.zeros(len(place), [(name, "f8") for name in ("x", "y", "z", "t_drift", "Q")])
    for name, column in zip(table.dtype.names, (*place.T, ticks, charge), strict=True):
        table[name] = column
    spans = np.array(list(zip([0, *stop[:-1]], stop, strict=True)), [("start", "i8"), ("stop", "i8")])
    with h5py.File(path, "w") as file:
        file["charge/calib_prompt_hits/data"] = table
        file["charge/events/ref/charge/calib_prompt_hits/ref_region"] = spans
    return path


def pad_place(detector: LArTPC, column: int, row: int, x: float = 0.0) -> list[float]:
    """The middle of a pad of the first volume, at this x."""
    plane = detector.planes[0]
    place = (
        np.array([[column], [row]]) - (np.array([[plane.n_columns], [plane.n_rows]]) - 1) / 2
    ) * plane.pitch
    point = detector.volumes.to_global(*place, np.ones(1), np.zeros(1, int))[0]
    return [x, float(point[1]), float(point[2])]


def test_hits_of_flow_become_rows_of_pads_in_the_order_of_time(small_pixel: LArTPC, tmp_path: Path) -> None:
    place = np.array([pad_place(small_pixel, *pad) for pad in ((3, 4), (3, 4), (5, 6), (3, 4))])
    path = write_flow(tmp_path / "flow.h5", place, [30.0, 20.0, 10.0, 40.0], [8.0, 7.0, 6.0, 5.0], [3, 4])
    assert holds_readout(path)
    recorded = read_recording(path, small_pixel)
    hits = recorded.readout["pixels"]
    assert isinstance(hits, Hits)
    assert np.stack([hits.event, hits.column, hits.row], axis=1).tolist() == [[0, 3, 4], [0, 5, 6], [1, 3, 4]]
    assert np.asarray(hits.charge).tolist() == [[7000, 8000], [6000, 0], [5000, 0]]
    assert np.asarray(hits.time) == pytest.approx(np.array([[2, 3], [1, 0], [4, 0]]))
    assert np.asarray(hits.probability).tolist() == [[1, 1], [1, 0], [1, 0]]
    assert recorded.t0.tolist() == [0, 0] and recorded.event_numbers.tolist() == [0, 1]
    assert read_recording(path, small_pixel, "1:").event_numbers.tolist() == [1]


def test_hits_between_pads_are_of_another_geometry(small_pixel: LArTPC, tmp_path: Path) -> None:
    place = np.add([pad_place(small_pixel, 3, 4)], [0.0, 0.0, PITCH / 2])
    path = write_flow(tmp_path / "flow.h5", place, [30.0], [8.0], [1])
    with pytest.raises(InputError, match="1 of 1 hits are not on a pad of small-pixel"):
        read_recording(path, small_pixel)


def test_a_detector_with_wires_is_refused(small_wire: LArTPC, small_pixel: LArTPC, tmp_path: Path) -> None:
    path = write_flow(tmp_path / "flow.h5", np.array([pad_place(small_pixel, 3, 4)]), [30.0], [8.0], [1])
    with pytest.raises(InputError, match="small-wire is not read out"):
        read_recording(path, small_wire)


def test_a_file_without_its_events_says_so(small_pixel: LArTPC, tmp_path: Path) -> None:
    path = write_flow(tmp_path / "flow.h5", np.array([pad_place(small_pixel, 3, 4)]), [30.0], [8.0], [1])
    with h5py.File(path, "r+") as file:
        del file["charge/events"]
    with pytest.raises(InputError, match="which hits are of which event"):
        read_recording(path, small_pixel)


@pytest.mark.data
def test_hits_of_larnd_sim_jax_lie_on_module0s_pads_where_its_segments_are(data: Path, named) -> None:
    """Drift distances from times agree with those of the file within 3 mm; segments say which volume."""
    detector = named("module0")
    path = data / "reference" / "module0_muons_0_hits.h5"
    recorded = read_recording(path, detector)
    hits = recorded.readout["pixels"]
    event = int(np.flatnonzero(recorded.event_numbers == 63)[0])
    rows = np.flatnonzero(np.asarray(hits.event) == event)
    happened = np.asarray(hits.probability)[rows] > 0.5
    assert happened.sum() == 106
    speed = float(detector.drift.speed(detector.field.nominal()))
    distance = np.asarray(hits.time, float)[rows][happened] * speed
    with h5py.File(path) as file:
        x = file["batch_1/event_63/pix_z"][:]
    anode = np.abs(np.asarray(detector.volumes.anode)[:, 0]).max()
    assert np.abs(np.sort(distance) - np.sort(anode - np.abs(x))).max() < 0.3
    with h5py.File(data / "segments" / "module0_muons_0.h5") as file:
        truth = file["segments"][:]
    inside = truth[truth["eventID"] == 63]
    volume = np.asarray(hits.volume)[rows]
    side = np.asarray(detector.volumes.anode)[volume, 0]
    assert (np.sign(side) == np.sign(inside["x_start"].mean())).all()
