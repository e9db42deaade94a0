"""`reconstruct` and `evaluate`: from a file to tracks and their resolutions, and misuse."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dptoolkit.events import segments_from_arrays
from dptoolkit.io import Run, read_segments, write_native
from dptoolkit.io.native import Batch
from dptoolkit.reconstruction.files import read_reconstruction
from dptoolkit.reconstruction.result import NotReconstructed, Reconstructed
from dptoolkit.sources.line import Line

STOPPING = {"start": (12.0, 20.0, -22.0), "end": (-6.0, -8.0, 14.0)}


def write_stopping_muon(path: Path) -> Path:
    """Event 4 is a muon that stops, drawn without fluctuations; event 9 has next to nothing."""
    line = Line(**STOPPING, n_segments=400)()
    columns = [np.asarray(part, float) for part in (line.start, line.end, line.de)]
    start, end, de = (np.concatenate([part, part[:2]]) for part in columns)
    event = np.concatenate([np.zeros(len(columns[2]), int), [1, 1]])
    segments = segments_from_arrays(start, end, de, event=event, track=1, pdg=13)
    write_native(path, Batch(np.array([4, 9]), segments), Run(detector_name="small-wire"))
    return path


@pytest.mark.slow
def test_a_stopping_muon_is_reconstructed_and_evaluated(cli: Callable, tmp_path: Path) -> None:
    """Vertex, direction and range of a muon without fluctuations; an event without a track says why."""
    muon, output = write_stopping_muon(tmp_path / "muon.h5"), tmp_path / "tracks.h5"
    result = cli("reconstruct", muon, "-d", "small-wire", "--what", "track", "--seed", "1", "-o", output)
    assert result.exit_code in (0, 3), result.stderr
    assert "event 9: not reconstructed" in result.stderr
    found = read_reconstruction(output)
    track, nothing = found.events
    assert isinstance(track, Reconstructed) and isinstance(nothing, NotReconstructed)
    values = dict(zip(track.names, track.values, strict=True))
    assert [values[name] for name in "xyz"] == pytest.approx(STOPPING["start"], abs=0.3)
    assert [values[f"{name}_end"] for name in "xyz"] == pytest.approx(STOPPING["end"], abs=0.4)
    assert (np.diag(track.covariance) > 0).all() and track.seconds > 0
    assert read_segments(output).event_numbers.tolist() == [4, 9]

    report = cli("evaluate", output, "--truth", muon, "--json")
    assert report.exit_code == 0, report.stderr
    told = json.loads(report.stdout)
    assert told["schema"].startswith("dptoolkit.evaluation") and told["events"] == 2
    assert told["efficiency"]["fraction"] == 0.5
    assert told["vertex_cm"]["median"] < 0.4 and told["distance_mm"]["median"] < 2.0
    assert told["direction_deg"]["median"] < 1.5
    page = tmp_path / "page.html"
    assert cli("evaluate", output, "--truth", muon, "--html", page).exit_code == 0
    assert "<html" in page.read_text()
    again = cli("reconstruct", muon, "-d", "small-wire", "--what", "track", "-o", output)
    assert again.exit_code == 2 and "--force" in again.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-o", "OUT"), "missing --what"),
        (("--what", "track"), "missing -o"),
        (("--what", "tracks", "-o", "OUT"), "expected one of track"),
        (("--what", "rings", "-o", "OUT"), "not available"),
        (("--what", "track", "-o", "OUT", "--hypotheses", "mu,e"), "expected some of mu, pi, K, p"),
        (("--what", "segments", "-o", "OUT", "--hypotheses", "mu"), "--what track"),
        (("--what", "track", "-o", "OUT", "--jobs", "2"), "one process"),
        (("--what", "track", "-o", "nowhere/OUT"), "does not exist"),
    ],
)
def test_misuse_says_what_was_expected(
    words: tuple[str, ...], message: str, muons: Path, cli: Callable, tmp_path: Path
) -> None:
    target = tmp_path / "out.h5"
    words = tuple(str(target) if word == "OUT" else word for word in words)
    result = cli("reconstruct", muons, "-d", "small-wire", *words)
    assert result.exit_code == 2 and message in result.stderr, result.stderr
    assert result.stderr.count("\n") == 1 and not target.exists()


def test_a_detector_whose_wires_are_wrapped_is_refused(cli: Callable, muons: Path, tmp_path: Path) -> None:
    words = ("-d", "dune-fd-hd", "--what", "track", "-o", tmp_path / "out.h5")
    result = cli("reconstruct", muons, *words)
    assert result.exit_code == 2 and "wrapped" in result.stderr


def test_evaluate_wants_a_truth_and_a_reconstruction(cli: Callable, muons: Path) -> None:
    assert "missing --truth" in cli("evaluate", muons).stderr
    result = cli("evaluate", muons, "--truth", muons)
    assert result.exit_code == 2 and "native" in result.stderr
