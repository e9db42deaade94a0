"""`calibrate` with recorded read-out: what it needs is asked for in one line, and constants go back in."""

from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from dptoolkit.detector import LArTPC
from tests.recordings import write_recording

CROSSING = ((-10.0, 4.0, -8.0), (10.0, -6.0, 9.0))
INSIDE = ((0.0, 0.0, 0.0), (4.0, 5.0, 6.0))


def test_without_a_time_it_says_how_to_give_one(small_pixel: LArTPC, cli: Callable, tmp_path: Path) -> None:
    path = write_recording(tmp_path / "r.h5", small_pixel, [CROSSING])
    result = cli("calibrate", "-d", "small-pixel", "--data", path, "-o", tmp_path / "cal")
    assert result.exit_code == 2 and "no event has a t0" in result.stderr and "--t0 '0 us'" in result.stderr
    assert result.stderr.count("\n") == 1 and not (tmp_path / "cal").exists()
    wrong = cli("calibrate", "-d", "small-pixel", "--data", path, "-o", tmp_path / "cal", "--t0", "3 cm")
    assert wrong.exit_code == 2 and "--t0 '3 cm'" in wrong.stderr


def test_without_a_track_it_says_what_there_was(small_pixel: LArTPC, cli: Callable, tmp_path: Path) -> None:
    path = write_recording(tmp_path / "r.h5", small_pixel, [INSIDE, INSIDE], t0=(0.0, 0.0))
    result = cli("calibrate", "-d", "small-pixel", "--data", path, "-o", tmp_path / "cal")
    assert result.exit_code == 2 and "no event has a usable track" in result.stderr
    assert "2 with a track with both ends inside" in result.stderr and not (tmp_path / "cal").exists()


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        ("name", (), "was recorded by 'module0'; expected 'small-pixel'"),
        ("plane", (), "has the planes others; expected those of small-pixel: pixels"),
        ("pixel", (), "do not exist in small-pixel"),
        ("empty", (), "its read-out is empty"),
        ("none", ("--free", "drift.lifetim"), "drift.lifetim"),
        ("none", ("--dedx", "median"), "expected one of typical, mean"),
        ("none", ("--events", "4:5"), "select none of its 1 events"),
        ("none", ("--constants", "no.json"), "no such file; expected constants.json"),
        ("segments", (), "--toy-truth random, --set PATH=VALUE, or --toy-detector NAME"),
        ("none", ("--toy-truth", "random", "--t0", "0 us"), "--t0 is for recorded data; this is a toy"),
        ("none", ("--place", "random"), "--place is for toys; this is recorded data"),
        ("none", ("--known-segments", "--t0", "0 us"), "--t0 is not needed with --known-segments"),
        ("none", ("--tracker", "1 mm"), "--tracker is for --field"),
    ],
)
def test_misuse_says_what_was_expected(
    change: str, words: tuple[str, ...], message: str, small_pixel: LArTPC, cli: Callable, tmp_path: Path
) -> None:
    path = write_recording(tmp_path / "r.h5", small_pixel, [CROSSING], t0=(0.0,))
    with h5py.File(path, "r+") as file:
        if change == "name":
            file.attrs["detector_name"] = "module0"
        elif change == "plane":
            file.move("readout/pixels", "readout/others")
        elif change == "pixel":
            file["readout/pixels/column"][:3] = 999
        elif change == "segments":
            del file["readout"]
        elif change == "empty":
            group = file["readout/pixels"]
            group["event_offsets"][...] = 0
            for name in set(group) - {"event_offsets"}:
                group[name].resize(0, axis=0)
    result = cli("calibrate", "-d", "small-pixel", "--data", path, "-o", tmp_path / "cal", *words)
    assert result.exit_code == 2 and message in result.stderr, result.stderr
    assert not (tmp_path / "cal").exists(), "refused before anything is computed, and without a trace"
