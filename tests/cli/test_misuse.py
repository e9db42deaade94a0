"""Wrong use: exit code 2, and one line that says what was wrong and what was expected."""

from collections.abc import Callable
from pathlib import Path

import pytest

MISUSES = {
    "no such command": (["simulat"], "Did you mean 'simulate'"),
    "no file": (["simulate"], "Missing argument 'FILE'"),
    "no detector": (["simulate", "MUONS", "-o", "new.h5"], "--detector"),
    "no output": (["simulate", "MUONS", "-d", "small-wire"], "-o OUT.h5"),
    "unknown option": (["simulate", "MUONS", "--detectr", "sbnd"], "--detector"),
    "file does not exist": (["simulate", "MUONX", "-d", "small-wire", "-o", "new.h5"], "no such file"),
    "file is a folder": (["simulate", ".", "-d", "small-wire", "-o", "new.h5"], "is a folder"),
    "file is empty": (["simulate", "empty.h5", "-d", "small-wire", "-o", "new.h5"], "empty (0 bytes)"),
    "file is text": (["simulate", "text.h5", "-d", "small-wire", "-o", "new.h5"], "neither HDF5 nor npz"),
    "unknown detector": (["simulate", "MUONS", "-d", "smal-wire", "-o", "new.h5"], "did you mean small-wire"),
    "unknown detector to describe": (["describe", "lhc"], "expected one of"),
    "no such YAML": (["describe", "mine.yaml"], "does not exist"),
    "bad YAML": (["describe", "bad.yaml"], "volumes"),
    "set without value": (["SIMULATE", "--set", "drift.lifetime"], "expected PATH=VALUE"),
    "set twice": (["SIMULATE", "--set", "drift.lifetime=1 ms", "--set", "drift.lifetime=2 ms"], "twice"),
    "set unknown parameter": (["SIMULATE", "--set", "drift.lifetme=3 ms"], "drift.lifetime"),
    "set out of bounds": (["SIMULATE", "--set", "drift.lifetime=-3 ms"], "expected a value between 50 and"),
    "set wrong unit": (["SIMULATE", "--set", "drift.lifetime=3 kV"], "cannot convert"),
    "set no number": (["SIMULATE", "--set", "drift.lifetime=long"], "expected a number"),
    "seed of an expectation": (["SIMULATE", "--seed", "1", "--expectation"], "exclude each other"),
    "negative seed": (["SIMULATE", "--seed", "-1"], "--seed"),
    "seed is text": (["SIMULATE", "--seed", "one"], "--seed"),
    "events are no range": (["SIMULATE", "--events", "5-7"], "half-open range A:B"),
    "events beyond the file": (["SIMULATE", "--events", "10:20"], "none of its 3 events"),
    "place is unknown": (["SIMULATE", "--place", "centre"], "expected auto, file, random"),
    "no processes": (["SIMULATE", "--jobs", "0"], "--jobs"),
    "output exists": (["simulate", "MUONS", "-d", "small-wire", "-o", "text.h5"], "--force"),
    "output is a folder": (["simulate", "MUONS", "-d", "small-wire", "-o", "."], "is a folder"),
    "output folder is missing": (
        ["simulate", "MUONS", "-d", "small-wire", "-o", "no/new.h5"],
        "does not exist",
    ),
    "output is the input": (
        ["simulate", "MUONS", "-d", "small-wire", "-o", "MUONS", "--force"],
        "is the input",
    ),
    "summary exists": (["SIMULATE", "--summary", "text.h5"], "--force"),
    "summary is the output": (["SIMULATE", "--summary", "new.h5"], "also the input or the output"),
    "event beyond the file": (["view", "MUONS", "--event", "3", "-o", "new.html"], "expected 0 to 2"),
    "view without output": (["view", "MUONS"], "--output"),
    "unknown benchmark": (["bench", "beer"], "charge"),
    "unknown app": (["serve", "espresso"], "espresso"),
    "port out of range": (["serve", "--port", "70000"], "--port"),
}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_is_told_in_one_line(
    name: str, cli: Callable, muons: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.h5").touch()
    Path("text.h5").write_text("not HDF5")
    Path("bad.yaml").write_text("name: bad\n")
    words, message = MISUSES[name]
    if words[0] == "SIMULATE":
        words = ["simulate", "MUONS", "-d", "small-wire", "-o", "new.h5", *words[1:]]
    result = cli(*(str(muons) if word == "MUONS" else word for word in words))
    assert result.exit_code == 2, result.stderr
    assert message in result.stderr
    assert result.stderr.count("\n") == 1 and "Traceback" not in result.stderr
    assert result.stdout == ""
    assert not Path("new.h5").exists() and not Path("new.h5.partial").exists()
    assert Path("text.h5").read_text() == "not HDF5"


@pytest.mark.parametrize("where", ["before", "after"])
def test_debug_shows_the_traceback(where: str, cli: Callable) -> None:
    words = ["--debug", "describe", "lhc"] if where == "before" else ["describe", "lhc", "--debug"]
    result = cli(*words)
    assert result.exit_code == 2 and "Traceback" in result.stderr and "no detector 'lhc'" in result.stderr


def test_an_unexpected_error_is_an_internal_one(cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("dptoolkit.config.load_detector", fail)
    result = cli("describe", "small-wire")
    assert result.exit_code == 1 and result.stderr.count("\n") == 1
    assert "internal error: ZeroDivisionError: planted" in result.stderr and "--debug" in result.stderr


def test_a_value_error_of_another_library_is_an_internal_one(
    cli: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dptoolkit.config.load_detector", lambda name: int("seven"))
    assert cli("describe", "small-wire").exit_code == 1
