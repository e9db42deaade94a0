"""Calibration with recorded hits: which tracks are used, what they may do, what is free."""

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.detector import LArTPC
from dptoolkit.events import SensorHits
from dptoolkit.inference.straggling import StragglingHits
from dptoolkit.io.recorded import read_recorded
from dptoolkit.reconstruction.lines import FoundLine
from dptoolkit.recorded import RecordedCalibration, Track, control_sample, effective
from dptoolkit.recorded.pixels import PixelMedium
from dptoolkit.recorded.tracks import kinks_for, line_source, own_parameters
from dptoolkit.sources.line import CROSSING, MeanLoss
from tests.recordings import straight_hits, write_recording

LINES = [
    ((-10.0, 4.0, -8.0), (10.0, -6.0, 9.0)),
    ((3.0, 17.736, 2.0), (-4.0, -2.0, 5.0)),
    ((0.0, 0.0, 0.0), (4.0, 5.0, 6.0)),
]


@pytest.fixture
def recording(small_pixel: LArTPC, tmp_path: Path) -> Path:
    return write_recording(tmp_path / "readout.h5", small_pixel, LINES, t0=(0.0, 40.0, 0.0))


def test_tracks_are_found_and_others_counted(small_pixel: LArTPC, recording: Path) -> None:
    sample = control_sample(read_recorded(recording), small_pixel)
    assert [track.number for track in sample.tracks] == [10, 13]
    assert [track.line.stops for track in sample.tracks] == [False, True]
    assert sample.left_out == {"with a track with both ends inside the detector": 1}
    assert sample.note.startswith("2 tracks (1 cross, 1 stop)")


def test_recorded_light_beside_the_charge_is_no_obstacle(small_pixel: LArTPC, recording: Path) -> None:
    recorded = read_recorded(recording)
    dark = SensorHits(*(jnp.zeros(4) for _ in range(5)), *(jnp.zeros(4, jnp.int32),) * 2, jnp.ones(4, bool))
    both = dataclasses.replace(recorded, readout={**recorded.readout, "light": dark})
    assert control_sample(both, small_pixel).note == control_sample(recorded, small_pixel).note


def test_a_track_is_free_but_for_its_walls(small_pixel: LArTPC, recording: Path) -> None:
    crossing, stopping = control_sample(read_recorded(recording), small_pixel).tracks
    widths = own_parameters(crossing.line, 2).widths
    assert widths["start"].tolist() == [0, np.inf, np.inf] == widths["end"].tolist()
    assert own_parameters(stopping.line, 2).widths["end"].tolist() == [np.inf] * 3
    bends = [own_parameters(track.line, 2).widths["kinks"][:, 0] for track in (crossing, stopping)]
    assert bends[1][-1] > bends[1][0] > bends[0][0] > 0, "one that stops scatters more and more"
    assert kinks_for([crossing, stopping]) == 1
    sources = [line_source(track, 1, MeanLoss()) for track in (crossing, stopping)]
    assert [float(source.beyond) for source in sources] == [CROSSING, 0.0]
    assert float(sources[1]().de.sum()) > 40 and float(sources[1].t0) == 40.0


@pytest.mark.parametrize(
    ("start", "end", "path"),
    [
        ((1.0, 17.736, 2.1), (4.0, -17.736, 2.1), 0.4434 * np.hypot(3, 35.472) / 35.472),
        ((-10.0, 1.1, 1.1), (10.0, 1.1, 1.1), 20.0),
        ((0.0, 17.736, 17.736), (0.0, -17.736, -17.736), 0.4434 * np.sqrt(2)),
    ],
)
def test_a_pad_sees_the_path_between_its_edges(
    start: tuple[float, ...], end: tuple[float, ...], path: float, small_pixel: LArTPC
) -> None:
    """Of tracks along the columns, along the drift, and from corner to corner of every pad."""
    line = FoundLine(np.array(start), np.array(end), np.zeros((2, 3), bool), 80)
    track = Track(0, line, 0.0, {"pixels": straight_hits(small_pixel, start, end)})
    assert PixelMedium().thickness(track, small_pixel, StragglingHits()) == pytest.approx(path, rel=0.01)


def test_one_number_of_recombination_is_free_but_neither_drift_speed_nor_d_l(
    small_pixel: LArTPC, recording: Path
) -> None:
    free = effective(small_pixel)
    assert [path for path in free if path.startswith("recombination")] == ["recombination.a"]
    assert "drift.lifetime" in free and not any(path.startswith(("field", "diffusion")) for path in free)
    problem = RecordedCalibration(small_pixel).problem(
        control_sample(read_recorded(recording), small_pixel).tracks
    )
    assert list(problem.paths) == [f"detector.{path}" for path in free]
