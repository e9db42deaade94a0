"""`challenge`: what takes part cannot read the truth, can find it, and is scored."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from dptoolkit.challenge import new_challenge
from dptoolkit.challenge_folder import truth_file_of
from dptoolkit.config import load_detector, to_yaml
from dptoolkit.inference.calibration import calibrated
from dptoolkit.scoring import read_envelope
from tests.challenges import write_challenge, write_submission
from tests.cli.makers import datasets

EVENTS = 3


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Two challenges with the same seed and one with another, of three muons."""
    folder = tmp_path_factory.mktemp("challenges")
    seeds = {"one": 7, "same": 7, "other": 8}
    for name, seed in seeds.items():
        new_challenge(folder / name, seed=seed, n_events=EVENTS)
    one, same, other = (folder / name for name in seeds)
    return one, same, other


def attributes(path: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    with h5py.File(path, "r") as file:
        found.update({f"/{name}": value for name, value in file.attrs.items()})
        file.visititems(
            lambda name, item: found.update({f"{name}/{k}": v for k, v in item.attrs.items()}) or None
        )
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in found.items()}


def test_only_what_was_recorded_tells_two_challenges_apart(made: tuple[Path, Path, Path]) -> None:
    """Whatever else is in the folder is the same for another seed and truth, so it says nothing of them."""
    one, _, other = made
    first, second = (datasets(folder / "control_sample.h5") for folder in (one, other))
    differ = {
        name
        for name in first.keys() | second.keys()
        if not np.array_equal(first.get(name, np.nan), second.get(name, np.nan))
    }
    assert differ and all(name.startswith("readout/pixels/") for name in differ)
    assert attributes(one / "control_sample.h5") == attributes(other / "control_sample.h5")
    for name in ("README.md", "challenge.json"):
        assert (one / name).read_text() == (other / name).read_text()


def test_the_truth_and_the_seed_are_beside_the_folder_and_not_in_it(made: tuple[Path, Path, Path]) -> None:
    one = made[0]
    envelope = read_envelope(truth_file_of(one))
    assert envelope.seed == 7 and [row.path for row in envelope.parameters] == calibrated(
        load_detector("small-pixel")
    )
    assert all(row.low < row.truth < row.high for row in envelope.parameters)
    assert truth_file_of(one).stat().st_mode & 0o077 == 0, "others on this machine cannot read it"
    assert sorted(path.name for path in one.iterdir()) == [
        "README.md",
        "challenge.json",
        "control_sample.h5",
        "submissions",
    ]
    with h5py.File(one / "control_sample.h5") as file:
        assert "seed" not in file.attrs and "truth" not in file and json.loads(file.attrs["summary"]) == {}
        assert file["detector_config"].asstr()[()] == to_yaml(load_detector("small-pixel"))
        hits = file["readout/pixels"]
        pixel = np.stack([hits[name][()] for name in ("event", "column", "row")], axis=1)
        _, which = np.unique(pixel, axis=0, return_inverse=True)
        recorded = np.bincount(which.ravel(), hits["charge"][()])[which.ravel()]
        assert hits["total"][()] == pytest.approx(recorded, rel=1e-5), "nothing below the threshold is told"


def test_the_same_seed_makes_the_same_challenge(made: tuple[Path, Path, Path]) -> None:
    one, same, _ = made
    first, second = (datasets(folder / "control_sample.h5") for folder in (one, same))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    truths = [read_envelope(truth_file_of(folder)).parameters for folder in (one, same)]
    assert truths[0] == truths[1]


def test_a_challenge_is_not_replaced_without_force_and_submissions_never(
    cli: Callable, tmp_path: Path
) -> None:
    words = ("challenge", "new", "-n", "1", "-o", tmp_path / "c")
    assert cli(*words, "--seed", "1").exit_code == 0
    mine = write_submission(tmp_path / "c/submissions/owls.json", 2000.0, 10.0)
    before = truth_file_of(tmp_path / "c").read_text()
    again = cli(*words, "--seed", "2")
    assert again.exit_code == 2 and "--force" in again.stderr
    assert truth_file_of(tmp_path / "c").read_text() == before
    assert cli(*words, "--seed", "2", "--force").exit_code == 0 and mine.exists()
    assert truth_file_of(tmp_path / "c").read_text() != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "c.truth.json"]


@pytest.mark.slow
def test_whoever_takes_part_finds_the_truth_with_calibrate(cli: Callable, tmp_path: Path) -> None:
    folder, mine = tmp_path / "challenge", tmp_path / "mine"
    assert cli("challenge", "new", "--seed", "7", "-o", folder).exit_code == 0
    sample = folder / "control_sample.h5"
    fitted = cli("calibrate", "-d", "small-pixel", "--data", sample, "--known-segments", "-o", mine)
    assert fitted.exit_code == 0, fitted.stderr
    rows = json.loads((mine / "result.json").read_text())["parameters"]
    assert all(row["truth"] is None and row["pull"] is None for row in rows)
    scored = cli("challenge", "score", folder, mine / "result.json", "--json")
    assert scored.exit_code == 0, scored.stderr
    found = json.loads(scored.stdout)
    assert found["schema"] == "dptoolkit.score/1" and found["version"]
    assert all(abs(row["pull"]) < 4 for row in found["parameters"]), found
    assert found["total_bits"] > 12


def test_a_score_is_a_table_or_json(cli: Callable, tmp_path: Path) -> None:
    folder = write_challenge(tmp_path / "challenge")
    mine = write_submission(tmp_path / "mine.json", 2100.0, 100.0)
    shown = cli("challenge", "score", folder, mine)
    assert shown.exit_code == 0 and "drift.lifetime" in shown.stdout and "+1.00" in shown.stdout
    found = json.loads(cli("challenge", "score", folder, mine, "--json").stdout)
    assert f"total: {found['total_bits']:.2f} bits" in shown.stdout
    moved = truth_file_of(folder).rename(tmp_path / "kept.json")
    assert cli("challenge", "score", folder, mine).exit_code == 2
    assert cli("challenge", "score", folder, mine, "--truth", moved).stdout == shown.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("new",), "missing -o"),
        (("new", "-o", "no/c"), "does not exist"),
        (("new", "-o", "mine.json"), "is a file"),
        (("new", "-o", "full"), "holds other files"),
        (("new", "-o", "c", "-d", "super-k"), "expected a LArTPC"),
        (("new", "-o", "c", "-n", "0"), "-n"),
        (("score", "challenge", "none.json"), "No such file"),
        (("score", "challenge", "bad.json"), "is no JSON"),
        (("score", "full", "mine.json"), "full.truth.json: no such file"),
        (("score", "full", "mine.json", "--truth", "challenge.truth.json"), "holds no control_sample.h5"),
        (
            ("score", "challenge", "mine.json", "--truth", "mine.json"),
            "expected 'dptoolkit.challenge-truth/1'",
        ),
    ],
)
def test_misuse_is_told_in_one_line(
    words: tuple[str, ...], message: str, cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_challenge(Path("challenge"))
    write_submission(Path("mine.json"), 2100.0, 100.0)
    Path("bad.json").write_text("{")
    Path("full").mkdir()
    Path("full/file").touch()
    result = cli("challenge", *words)
    assert result.exit_code == 2 and message in result.stderr and result.stderr.count("\n") == 1
    assert not Path("c").exists() and not Path("c.truth.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--toy-truth", "random"), "--known-segments is for recorded data; this is a toy"),
        (("--t0", "0 us"), "--t0 is not needed"),
        (("-d", "small-wire"), "give the --detector that recorded it"),
        (("--events", "7:9"), "select none of its 3 events"),
        (("--free", "drift.speed"), "drift.speed"),
    ],
)
def test_known_segments_are_for_what_this_detector_recorded(
    words: tuple[str, ...], message: str, made: tuple[Path, Path, Path], cli: Callable, tmp_path: Path
) -> None:
    sample = made[0] / "control_sample.h5"
    detector = () if "-d" in words else ("-d", "small-pixel")
    output = tmp_path / "cal"
    result = cli("calibrate", *detector, "--data", sample, "--known-segments", "-o", output, *words)
    assert result.exit_code == 2 and message in result.stderr
    assert not output.exists()
