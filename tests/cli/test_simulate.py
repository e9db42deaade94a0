"""`simulate`: the same numbers every time, in slices and after an interruption."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import dptoolkit
from dptoolkit import simulation
from tests.cli.makers import NUMBERS, assert_same, datasets, write_muons

SUMMARY = (
    "segments", "segments_outside", "energy_MeV", "electrons_freed", "photons_made", "electrons_at_anode",
    "electrons_collected", "mean_hit_time_us", "hits", "pe", "sensors_hit", "seconds", "compile_seconds",
)  # fmt: skip


def command(muons: Path, output: Path, *more: str) -> list[str]:
    return ["simulate", str(muons), "--detector", "small-wire", "-o", str(output), *more]


@pytest.fixture(scope="module")
def sample(muons: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All three events, with seed 5."""
    from typer.testing import CliRunner

    from dptoolkit.cli import app

    path = tmp_path_factory.mktemp("sample") / "sample.h5"
    result = CliRunner().invoke(app, command(muons, path, "--seed", "5"))
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    return path


def test_the_same_seed_gives_identical_datasets(
    sample: Path, muons: Path, cli: Callable, tmp_path: Path
) -> None:
    again = tmp_path / "again.h5"
    assert cli(*command(muons, again, "--seed", "5")).exit_code == 0
    assert_same(sample, again)
    assert not list(tmp_path.glob("*.partial"))


def test_another_seed_gives_other_noise(sample: Path, muons: Path, cli: Callable, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    assert cli(*command(muons, other, "--seed", "6")).exit_code == 0
    name = "readout/Y/samples"
    assert not np.array_equal(datasets(sample)[name], datasets(other)[name])


def test_a_slice_gives_the_numbers_of_the_full_run(
    sample: Path, muons: Path, cli: Callable, tmp_path: Path
) -> None:
    part = tmp_path / "part.h5"
    assert cli(*command(muons, part, "--seed", "5", "--events", "1:3")).exit_code == 0
    with h5py.File(sample) as full, h5py.File(part) as sliced:
        assert list(sliced["events/number"]) == list(NUMBERS[1:])
        for plane in ("U", "V", "Y"):
            first = full[f"readout/{plane}/event_offsets"][1]
            for column in ("samples", "channel", "tick"):
                expected = full[f"readout/{plane}/{column}"][first:]
                assert np.array_equal(expected, sliced[f"readout/{plane}/{column}"]), (plane, column)


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(
    sample: Path, muons: Path, cli: Callable, tmp_path: Path
) -> None:
    path = tmp_path / "parallel.h5"
    result = cli(*command(muons, path, "--seed", "5", "--jobs", "2"))
    assert result.exit_code == 0, result.stderr
    assert_same(sample, path)


def test_an_interrupted_run_is_continued_by_the_same_command(
    sample: Path, muons: Path, cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, summary = tmp_path / "out.h5", tmp_path / "s.json"
    simulate_event = simulation.simulate_event

    def interrupted(detector, event, seed):
        if event.event_numbers[0] == NUMBERS[2]:
            raise KeyboardInterrupt
        return simulate_event(detector, event, seed)

    with monkeypatch.context() as patch:
        patch.setattr(simulation, "simulate_event", interrupted)
        result = cli(*command(muons, path, "--seed", "5"))
    assert result.exit_code == 130 and "interrupted" in result.stderr and "out.h5.partial" in result.stderr
    assert not path.exists() and path.with_name("out.h5.partial").exists()
    assert cli(*command(muons, path, "--seed", "6")).exit_code == 2  # another run

    result = cli(*command(muons, path, "--seed", "5", "--summary", str(summary)))
    assert result.exit_code == 0 and "continued" in result.stderr
    assert_same(sample, path)
    assert json.loads(summary.read_text())["segments"] == 30
    with h5py.File(sample) as one, h5py.File(path) as two:
        assert one.attrs["summary"] == two.attrs["summary"]


def test_a_failure_leaves_neither_output_nor_summary(
    muons: Path, cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(detector, event, seed):
        raise RuntimeError("planted")

    monkeypatch.setattr(simulation, "simulate_event", fail)
    result = cli(*command(muons, tmp_path / "out.h5", "--summary", str(tmp_path / "s.json")))
    assert result.exit_code == 1 and "planted" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_summary_of_wires_has_every_key_and_conserves_charge(
    muons: Path, cli: Callable, tmp_path: Path
) -> None:
    path = tmp_path / "s.json"
    result = cli(*command(muons, tmp_path / "out.h5", "--expectation", "--summary", str(path)))
    assert result.exit_code == 0, result.stderr
    summary = json.loads(path.read_text())
    assert summary["schema"] == "dptoolkit.summary/1" and summary["version"] == dptoolkit.__version__
    assert set(SUMMARY) <= set(summary)
    assert summary["segments"] == 30 and summary["segments_outside"] == 0
    assert summary["energy_MeV"] == pytest.approx(25.5)
    assert summary["electrons_collected"] == pytest.approx(summary["electrons_at_anode"], rel=1e-3)
    assert summary["electrons_at_anode"] < summary["electrons_freed"]
    assert all(summary[key] is None for key in ("mean_hit_time_us", "hits", "pe", "sensors_hit"))
    with h5py.File(tmp_path / "out.h5") as file:
        assert "seed" not in file.attrs and file.attrs["expectation"]


def test_a_set_parameter_acts_and_is_stored(muons: Path, cli: Callable, tmp_path: Path) -> None:
    totals = []
    for lifetime in ("0.1 ms", "100 ms"):
        path, summary = tmp_path / f"{lifetime}.h5", tmp_path / f"{lifetime}.json"
        more = ("--expectation", "--events", "0:1", "--set", f"detector.drift.lifetime={lifetime}")
        assert cli(*command(muons, path, *more, "--summary", str(summary))).exit_code == 0
        totals.append(json.loads(summary.read_text())["electrons_at_anode"])
        with h5py.File(path) as file:
            assert "drift.lifetime" in file["detector_config"].asstr()[()]
    assert totals[0] < 0.8 * totals[1]


def test_energy_outside_is_told_loudly(muons: Path, cli: Callable, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    more = ("--place", "500,0,0", "--events", "0:1", "--expectation", "--summary", str(path))
    result = cli(*command(muons, tmp_path / "out.h5", *more))
    assert result.exit_code == 0
    assert "WARNING" in result.stderr and "100%" in result.stderr
    assert json.loads(path.read_text())["segments_outside"] == 10


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_without_half_a_file(number: int, code: int, tmp_path: Path) -> None:
    muons = write_muons(tmp_path / "many.h5", tuple(range(3000)), steps=3)
    output = tmp_path / "out.h5"
    run = subprocess.Popen(
        [sys.executable, "-m", "dptoolkit", *command(muons, output, "--expectation")],
        stderr=subprocess.PIPE,
        text=True,
    )
    partial, deadline = output.with_name("out.h5.partial"), time.monotonic() + 200
    while not partial.exists() and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.1)
    time.sleep(1.0)
    run.send_signal(number)
    _, stderr = run.communicate(timeout=120)
    assert run.returncode == code, stderr
    assert "Traceback" not in stderr and not output.exists()


@pytest.mark.slow
def test_the_summary_of_pixels_counts_hits_and_their_mean_time(
    muons: Path, cli: Callable, tmp_path: Path
) -> None:
    output, path = tmp_path / "out.h5", tmp_path / "s.json"
    words = ("simulate", muons, "-d", "small-pixel", "--seed", "1", "--events", "0:1", "-o", output)
    result = cli(*words, "--summary", path)
    assert result.exit_code == 0, result.stderr
    summary = json.loads(path.read_text())
    assert summary["hits"] > 5 and 0 < summary["mean_hit_time_us"] < 250
    assert summary["electrons_collected"] == pytest.approx(summary["electrons_at_anode"], rel=0.01)
    with h5py.File(output) as file:
        (plane,) = file["readout"].values()
        assert summary["hits"] == len(plane["event"])


@pytest.mark.data
@pytest.mark.slow
def test_the_geant4_muon_is_moved_into_sbnd_and_conserves_charge(
    data: Path, cli: Callable, tmp_path: Path
) -> None:
    output, path = tmp_path / "muon.h5", tmp_path / "s.json"
    muon = data / "segments/geant4_lar_muon.h5"
    more = ("--place", "auto", "--expectation", "--summary", path, "-o", output)
    result = cli("simulate", muon, "--detector", "sbnd", *more)
    assert result.exit_code == 0 and "shifted by" in result.stderr
    summary = json.loads(path.read_text())
    assert summary["segments"] == 5335 and summary["segments_outside"] == 0
    assert summary["electrons_collected"] == pytest.approx(summary["electrons_at_anode"], rel=1e-3)
    assert cli("view", output, "-o", tmp_path / "muon.html").exit_code == 0
    icarus = cli("simulate", output, "--detector", "icarus", "--set", "drift.lifetime=-3 ms")
    assert icarus.exit_code == 2 and "drift.lifetime" in icarus.stderr
