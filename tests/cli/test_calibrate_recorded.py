"""`calibrate` with recorded read-out: what it needs is asked for in one line, and constants go back in."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from dptoolkit.config import from_yaml, source_text
from dptoolkit.detector import LArTPC
from tests.recordings import strip, write_recording

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
        ("none", ("--dedx", "median"), "expected one of restricted, mean"),
        ("none", ("--events", "4:5"), "select none of its 1 events"),
        ("none", ("--constants", "no.json"), "no such file; expected constants.json"),
        ("segments", (), "--toy-truth random, or --set"),
        ("none", ("--toy-truth", "random", "--t0", "0 us"), "--t0 and --constants are for recorded data"),
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


@pytest.mark.slow
def test_constants_of_a_detector_with_other_settings_and_another_recombination_are_recovered(
    cli: Callable, tmp_path: Path
) -> None:
    """Cosmic muons with delta rays, scattering, noise; simulated with the box model and other settings.

    The bias of the model: the charge within 5 %. The field is what it started from, 0.5 kV/cm: the drift
    speed has false minima, and a fit that begins 1 % off may stay there with errors that are too small.
    """
    other = tmp_path / "small-pixel.yaml"
    other.write_text(source_text("small-pixel").replace("type: Birks", "type: ModifiedBox"))
    events, full, bare = (tmp_path / name for name in ("events.h5", "full.h5", "readout.h5"))
    assert (
        cli("generate", "cosmics", "-n", "14", "-d", "small-pixel", "--seed", "1", "-o", events).exit_code
        == 0
    )
    changes = ("--set", "drift.lifetime=1 ms", "--set", "field.strength=0.48 kV/cm")
    assert cli("simulate", events, "-d", other, *changes, "--seed", "5", "-o", full).exit_code == 0
    strip(full, bare)
    words = ("calibrate", "-d", "small-pixel", "--free", "recombination.a,field.strength,drift.lifetime")
    result = cli(*words, "--data", bare, "-o", tmp_path / "cal")
    assert result.exit_code == 0, result.stderr
    found = json.loads((tmp_path / "cal/result.json").read_text())
    rows = {row["path"]: row for row in found["parameters"]}
    assert all(row["truth"] is None and row["pull"] is None for row in rows.values())
    truths = {
        "recombination.a": (box_over_birks(), 0.05),
        "field.strength": (0.48, 0.05),
        "drift.lifetime": (1e3, 0),
    }
    for path, (truth, bias) in truths.items():
        assert abs(rows[path]["estimate"] - truth) < 3 * rows[path]["error"] + bias * truth, path
    constants = json.loads((tmp_path / "cal/constants.json").read_text())
    assert constants["data"]["tracks"] == len(found["tracks"]) > 5 and np.shape(constants["covariance"]) == (
        3,
        3,
    )
    again = cli("simulate", events, "-d", "small-pixel", "--constants", tmp_path / "cal/constants.json",
                "--events", "0:1", "-o", tmp_path / "again.h5")  # fmt: skip
    assert again.exit_code == 0 and "constants: recombination.a" in again.stderr
    with h5py.File(tmp_path / "again.h5") as file:
        config = from_yaml(file["detector_config"].asstr()[()])  # type: ignore[union-attr]
    assert float(config.drift.lifetime) == pytest.approx(rows["drift.lifetime"]["estimate"])


def box_over_birks(dedx: float = 1.7, efield: float = 0.48) -> float:
    """The A with which Birks has the charge of the box model, at the dE/dx of most hits."""
    xi = 0.212 * dedx / (1.396 * efield)
    return float(np.log(0.93 + xi) / xi * (1 + 0.0486 * dedx / (1.396 * efield)))
