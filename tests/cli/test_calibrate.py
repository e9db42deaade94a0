"""`calibrate`: toys whose truth comes back, and misuse."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dptoolkit.cli.describe import parse_assignments
from dptoolkit.cli.options import paths

FREE = "recombination.a,field.strength"


@pytest.mark.slow
def test_a_toy_without_noise_gives_its_truth_back_and_the_results_are_written(
    muons: Path, cli: Callable, tmp_path: Path
) -> None:
    """Two parameters from hits of three short muons, within 0.1 %; resumed when done, it stays the same."""
    output = tmp_path / "cal"
    words = ("calibrate", "-d", "small-pixel", "--data", muons, "--toy-truth", "random", "--free", FREE)
    result = cli(*words, "--seed", "3", "-o", output)
    assert result.exit_code == 0, result.stderr
    found = json.loads((output / "result.json").read_text())
    assert found["schema"].startswith("dptoolkit.calibration") and found["converged"] and found["steps"] < 12
    assert [row["path"] for row in found["parameters"]] == FREE.split(",")
    for row in found["parameters"]:
        assert abs(row["start"] / row["truth"] - 1) > 1e-3, "the fit must not start from the truth"
        assert row["estimate"] == pytest.approx(row["truth"], rel=1e-3)
        assert row["error"] > 0 and row["pull"] is None
    assert "<html" in (output / "report.html").read_text() and found["unidentifiable"] == []

    again = cli(*words, "--seed", "3", "-o", output)
    assert again.exit_code == 2 and "--resume" in again.stderr
    resumed = cli(*words, "--seed", "3", "-o", output, "--resume")
    assert resumed.exit_code == 0
    assert json.loads((output / "result.json").read_text())["parameters"] == found["parameters"]
    other = cli(*words, "--seed", "4", "-o", output, "--resume")
    assert other.exit_code == 2 and "another fit" in other.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--toy-truth", "random"), "missing -o"),
        (("-o", "OUT"), "--toy-truth random, --set PATH=VALUE, or --toy-detector"),
        (("-o", "OUT", "--toy-truth", "mine"), "expected random"),
        (("-o", "OUT", "--set", "drift.lifetim=1 ms"), "drift.lifetim"),
        (("-o", "OUT", "--toy-truth", "random", "--free", "drift.speed"), "drift.speed"),
        (("-o", "OUT", "--toy-truth", "random", "--prior", "quanta.w_ion=23 eV"), "'VALUE +- ERROR'"),
        (("-o", "OUT", "--toy-truth", "random", "--prior", "quanta.w_ion=23 eV +- 1 eV"), "is not free"),
        (("-o", "OUT", "--toy-truth", "random", "--prior", "drift.lifetime=2 ms +- 1 eV"), "error '1 eV'"),
        (("-o", "OUT", "--toy-truth", "random", "--prior", "drift.lifetime=2 ms +- 0 ms"), "a positive us"),
        (("-o", "OUT", "--toy-truth", "random", "--method", "newton"), "method 'newton' is unknown"),
        (("-o", "OUT", "--toy-truth", "random", "--loss", "chi3"), "loss 'chi3' is unknown"),
        (
            ("-o", "OUT", "--toy-truth", "random", "--loss", "Transport"),
            "Transport has none; expected",
        ),
        (
            ("-o", "OUT", "--toy-detector", "small-wire"),
            "are not those of small-pixel",
        ),
    ],
)
def test_misuse_says_what_was_expected(
    words: tuple[str, ...], message: str, muons: Path, cli: Callable, tmp_path: Path
) -> None:
    words = tuple(str(tmp_path / "cal") if word == "OUT" else word for word in words)
    result = cli("calibrate", "-d", "small-pixel", "--data", muons, *words)
    assert result.exit_code == 2 and message in result.stderr
    assert "simulating" not in result.stderr, "refused before anything is computed"
    assert not (tmp_path / "cal").exists(), "and without a trace"


@pytest.mark.parametrize("wrong", ["detector", "data"])
def test_wrong_inputs_leave_no_folder_and_with_force_remove_nothing(
    wrong: str, muons: Path, cli: Callable, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.h5"
    empty.touch()
    inputs = {"--detector": "small-pixel", "--data": muons}
    inputs |= {"--detector": "small-pixle"} if wrong == "detector" else {"--data": empty}
    words = [word for pair in inputs.items() for word in pair]
    output = tmp_path / "cal"
    assert cli("calibrate", *words, "--toy-truth", "random", "-o", output).exit_code == 2
    assert not output.exists()
    output.mkdir()
    (output / "checkpoint.0.npz").write_bytes(b"of an earlier fit")
    assert cli("calibrate", *words, "--toy-truth", "random", "-o", output, "--force").exit_code == 2
    assert (output / "checkpoint.0.npz").read_bytes() == b"of an earlier fit"


def test_paths_with_and_without_the_prefix_of_the_detector_are_the_same() -> None:
    """The truth of a toy was looked up by one and made with the other."""
    assert paths("detector.drift.lifetime, field.strength") == ["drift.lifetime", "field.strength"]
    assert parse_assignments(["detector.drift.lifetime=1 ms"]) == {"drift.lifetime": "1 ms"}
    with pytest.raises(ValueError, match="is given twice"):
        parse_assignments(["detector.drift.lifetime=1 ms", "drift.lifetime=2 ms"])
