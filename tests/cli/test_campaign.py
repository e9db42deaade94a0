"""`campaign`: toys in, pulls out; resumed and extended."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dptoolkit.campaign import Recipe
from dptoolkit.config import source_text
from dptoolkit.inference import Campaign

FREE = "recombination.a,field.strength"


@pytest.mark.slow
def test_a_small_campaign_is_written_resumed_and_extended(muons: Path, cli: Callable, tmp_path: Path) -> None:
    output = tmp_path / "pulls"
    words = ("campaign", "-d", "small-pixel", "--data", muons, "--free", FREE, "-o", output)
    result = cli(*words, "--toys", 1)
    assert result.exit_code == 0, result.stderr
    found = json.loads((output / "campaign.json").read_text())
    assert found["schema"].startswith("dptoolkit.campaign") and found["toys"] == 1
    assert [line["path"] for line in found["parameters"]] == FREE.split(",")
    rows = Campaign.from_csv((output / "toys.csv").read_text()).rows
    assert [row.seed for row in rows] == [0]
    assert all(row.start != row.truth for row in rows), "no fit starts from the truth"
    assert "<html" in (output / "report.html").read_text()

    again = cli(*words, "--toys", 1)
    assert again.exit_code == 2 and "--resume" in again.stderr
    other = cli(*words, "--toys", 1, "--resume", "--seed", 1)
    assert other.exit_code == 2 and "another campaign (seed 0, expected 1)" in other.stderr
    more = cli(*words, "--toys", 2, "--resume")
    assert more.exit_code == 0, more.stderr
    both = Campaign.from_csv((output / "toys.csv").read_text()).rows
    assert both[:1] == rows and both[1].seed == 1 and both[1].truth != both[0].truth
    assert json.loads((output / "campaign.json").read_text())["toys"] == 2


@pytest.mark.slow
def test_without_noise_the_truth_is_met_and_the_miss_is_told(
    muons: Path, cli: Callable, tmp_path: Path
) -> None:
    output = tmp_path / "quiet"
    words = ("campaign", "-d", "small-pixel", "--data", muons, "--free", FREE, "-o", output)
    result = cli(*words, "--toys", 1, "--no-noise")
    assert result.exit_code == 0, result.stderr
    found = json.loads((output / "campaign.json").read_text())
    assert not found["settings"]["noise"]
    for line in found["parameters"]:
        assert line["largest_percent"] < 0.1, line
    noisy = cli(*words, "--toys", 2, "--resume")
    assert noisy.exit_code == 2 and "another campaign (noise False, expected True)" in noisy.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "missing -o"),
        (("-o", "OUT", "--set", "drift.lifetim=1 ms"), "drift.lifetim"),
        (("-o", "OUT", "--method", "newton"), "newton"),
        (("-o", "OUT", "--loss", "mine"), "mine"),
        (("-o", "OUT", "--free", "drift.speed"), "drift.speed"),
    ],
)
def test_misuse_says_what_was_expected(
    words: tuple[str, ...], message: str, muons: Path, cli: Callable, tmp_path: Path
) -> None:
    words = tuple(str(tmp_path / "pulls") if word == "OUT" else word for word in words)
    result = cli("campaign", "-d", "small-pixel", "--data", muons, *words)
    assert result.exit_code == 2 and message in result.stderr
    assert not (tmp_path / "pulls").exists()


@pytest.mark.parametrize("command", ["campaign", "calibrate"])
def test_events_of_which_nothing_is_in_the_detector_are_an_error_before_any_fit(
    command: str, muons: Path, cli: Callable, tmp_path: Path
) -> None:
    more = () if command == "campaign" else ("--toy-truth", "random")
    where = ("--place", "1000,0,0", "-o", tmp_path / "x")
    result = cli(command, "-d", "small-pixel", "--data", muons, *where, *more)
    assert result.exit_code == 2 and "all energy of events : lies outside" in result.stderr
    assert not (tmp_path / "x").exists()


def test_random_places_are_those_of_the_seed(muons: Path) -> None:
    recipe = Recipe(source_text("small-pixel"), str(muons), ("drift.lifetime",), place="random", seed=7)
    assert "seed 7" in recipe.notes[0]
    assert recipe.settings()["seed"] == 7
