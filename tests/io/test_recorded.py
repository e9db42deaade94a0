"""Recorded read-out: hits and times, and nothing that only a simulation knows."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from dptoolkit.detector import LArTPC
from dptoolkit.io.errors import InputError
from dptoolkit.io.recorded import holds_readout, read_recorded
from tests.recordings import write_recording

LINES = [((-10.0, 4.0, -8.0), (10.0, -6.0, 9.0)), ((3.0, 17.7, 2.0), (-4.0, -17.7, 5.0))]


@pytest.fixture(scope="module")
def recording(small_pixel: LArTPC, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recorded") / "readout.h5"
    return write_recording(path, small_pixel, LINES, t0=(3.0, 5.0))


def test_hits_and_times_come_back(recording: Path) -> None:
    recorded = read_recorded(recording)
    assert recorded.event_numbers.tolist() == [10, 13] and recorded.t0.tolist() == [3.0, 5.0]
    assert recorded.detector_name == "small-pixel" and len(recorded.digest) == 64
    second = read_recorded(recording, "1:2")
    assert second.event_numbers.tolist() == [13] and second.t0.tolist() == [5.0]
    assert (np.asarray(second.readout["pixels"].event) == 0).all()
    assert read_recorded(recording).at(1.0).t0.tolist() == [1.0, 1.0]


def test_the_truth_is_never_read(recording: Path, tmp_path: Path) -> None:
    """With segments, particles and parameters damaged or gone the same is read."""
    bare = tmp_path / "bare.h5"
    bare.write_bytes(recording.read_bytes())
    with h5py.File(bare, "r+") as file:
        del file["segments"], file["particles"], file["detector_config"]
        for name in ("x", "y", "z"):
            del file[f"interactions/{name}"]
        file["interactions"].attrs["x"] = "gone"
    one, other = read_recorded(recording), read_recorded(bare)
    assert one.t0.tolist() == other.t0.tolist()
    assert np.array_equal(one.readout["pixels"].time, other.readout["pixels"].time)


def test_an_event_with_no_or_several_times_has_none(recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "several.h5"
    path.write_bytes(recording.read_bytes())
    with h5py.File(path, "r+") as file:
        file["interactions/event"][...] = [1, 1]
    assert np.isnan(read_recorded(path).t0).all()


def test_what_holds_readout_is_recognised(recording: Path, muons_file: Path) -> None:
    assert holds_readout(recording) and not holds_readout(muons_file)


@pytest.fixture
def muons_file(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "segments.h5", "w") as file:
        file["segments"] = np.zeros(3)
    return tmp_path / "segments.h5"


@pytest.mark.parametrize(("change", "message"), [("expectation", "expected signals"), ("empty", "is empty")])
def test_what_is_no_recording_says_why(recording: Path, tmp_path: Path, change: str, message: str) -> None:
    path = tmp_path / "wrong.h5"
    path.write_bytes(recording.read_bytes())
    with h5py.File(path, "r+") as file:
        if change == "expectation":
            file.attrs["expectation"] = True
        else:
            group = file["readout/pixels"]
            group["event_offsets"][...] = 0
            for name in group:
                if name != "event_offsets":
                    group[name].resize(0, axis=0)
    with pytest.raises(InputError, match=message):
        read_recorded(path)
