"""`generate` on the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dptoolkit.io import read_segments


def test_a_sample_is_written_and_can_be_simulated(cli: Callable, tmp_path: Path):
    output = tmp_path / "michel.h5"
    done = cli("generate", "michel", "-n", 3, "-d", "small-wire", "--seed", 2, "-o", output)
    assert done.exit_code == 0, done.stderr
    assert "3 events" in done.stderr and done.stdout == ""
    assert read_segments(output).n_events == 3
    done = cli("simulate", output, "-d", "small-wire", "--events", "0:1", "-o", tmp_path / "readout.h5")
    assert done.exit_code == 0, done.stderr
    assert "positions as they are in the file" in done.stderr


@pytest.mark.slow
def test_events_from_which_everything_escapes_are_simulated_as_empty(cli: Callable, tmp_path: Path):
    output = tmp_path / "photons.h5"
    assert cli("generate", "photons", "-n", 5, "-d", "small-pixel", "-o", output).exit_code == 0
    done = cli("simulate", output, "-d", "small-pixel", "-o", tmp_path / "readout.h5")
    assert done.exit_code == 0, done.stderr
    assert "5 events, 191 segments" in done.stderr


@pytest.mark.parametrize(
    "words, message",
    [
        (["muonz", "-d", "small-wire", "-o", "OUT"], "cosmics"),
        (["muons", "-d", "small-wire"], "-o"),
        (["muons", "-d", "smal-wire", "-o", "OUT"], "small-wire"),
        (["muons", "-d", "small-wire", "-n", "0", "-o", "OUT"], "-n"),
        (["muons", "-d", "small-wire", "-n", "2", "--shards", "3", "-o", "OUT"], "shards"),
        (["muons", "-d", "small-wire", "-n", "2", "--shards", "2", "-o", "no/OUT"], "folder"),
    ],
)
def test_wrong_use_is_one_line_and_code_2(cli: Callable, tmp_path: Path, words: list[str], message: str):
    words = [str(tmp_path / word.replace("OUT", "x.h5")) if "OUT" in word else word for word in words]
    done = cli("generate", *words)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_kept_unless_forced(cli: Callable, tmp_path: Path):
    output = tmp_path / "muons.h5"
    words = ("generate", "muons", "-n", 1, "-d", "small-wire", "-o", output)
    assert cli(*words).exit_code == 0
    refused = cli(*words)
    assert refused.exit_code == 2 and "--force" in refused.stderr
    assert cli(*words, "--force").exit_code == 0


def test_a_scheduler_that_does_not_answer_is_named(cli: Callable, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("dptoolkit.farm.PATIENCE", "0.5 s")
    where = ("--scheduler", "tcp://127.0.0.1:9", "-o", tmp_path / "x.h5")
    done = cli("generate", "muons", "-n", 1, "-d", "small-wire", *where)
    assert done.exit_code == 2
    assert "tcp://127.0.0.1:9" in done.stderr and "--scheduler" in done.stderr
