"""What the commands print, and how the program behaves in a shell."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import dptoolkit
from dptoolkit import cache
from dptoolkit.config import detector_names, load_detector
from dptoolkit.params import infos

COMMANDS = (
    "demo",
    "detectors",
    "describe",
    "simulate",
    "campaign",
    "view",
    "serve",
    "lab",
    "bench",
    "doctor",
)


def program(*words: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "dptoolkit", *words], capture_output=True, text=True, timeout=120, **more
    )


def test_help_starts_quickly_and_without_jax() -> None:
    start = os.times()
    result = program("--help")
    end = os.times()
    assert result.returncode == 0 and all(name in result.stdout for name in COMMANDS)
    assert (end.children_user - start.children_user) + (end.children_system - start.children_system) < 1.0
    loaded = "import sys, dptoolkit.cli; sys.exit('jax' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_debug(name: str, cli: Callable) -> None:
    result = cli(name, "--help")
    assert result.exit_code == 0 and "--debug" in result.stdout


def test_the_version_is_that_of_the_package(cli: Callable) -> None:
    assert cli("--version").stdout == f"dptoolkit {dptoolkit.__version__}\n"


def test_the_list_of_detectors_agrees_with_the_detectors(cli: Callable) -> None:
    listed = json.loads(cli("detectors", "--json").stdout)
    assert listed["schema"] == "dptoolkit.detectors/1" and listed["version"]
    assert [row["name"] for row in listed["detectors"]] == detector_names()
    row = next(row for row in listed["detectors"] if row["name"] == "small-wire")
    detector = load_detector("small-wire")
    assert row["volumes"] == len(detector.volumes) and row["readout"] == "wires U V Y"
    assert row["channels"] == sum(plane.n_channels for plane in detector.planes)
    assert "small-wire" in cli("detectors").stdout


def test_describe_shows_every_parameter(cli: Callable) -> None:
    described = json.loads(cli("describe", "small-wire", "--json").stdout)
    assert described["schema"] == "dptoolkit.parameters/1"
    known = infos(load_detector("small-wire"))
    assert [row["path"] for row in described["parameters"]] == list(known)
    row = next(row for row in described["parameters"] if row["path"] == "drift.lifetime")
    assert row["value"] == 3000 and row["unit"] == "us" and row["bounds"] == [50, 1e6]
    assert "larnd-sim" in row["reference"]
    table = cli("describe", "small-wire").stdout
    assert all(path in table for path in known)


def test_describe_reads_a_file_of_ones_own(cli: Callable, tmp_path: Path) -> None:
    from dptoolkit.config import source_text

    own = tmp_path / "own.yaml"
    own.write_text(source_text("small-wire").replace("lifetime: 3 ms", "lifetime: 4 ms"))
    described = json.loads(cli("describe", str(own), "--json").stdout)
    assert 4000 in [row["value"] for row in described["parameters"]]


def test_doctor_finds_charge_conserved_and_gradients_right(cli: Callable) -> None:
    result = cli("doctor", "--json")
    assert result.exit_code == 0, result.stdout
    found = json.loads(result.stdout)
    assert found["schema"] == "dptoolkit.doctor/1" and found["ok"] and len(found["checks"]) == 2
    assert found["devices"] and found["packages"]["jax"]


def test_doctor_loads_neither_a_detector_nor_what_draws() -> None:
    code = "import sys, dptoolkit.cli.diagnosis as d; d.diagnose(None); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert not {"bokeh", "dptoolkit.detector", "dptoolkit.config"} & set(done.stdout.split())


def test_view_writes_a_page_of_segments(muons: Path, cli: Callable, tmp_path: Path) -> None:
    page = tmp_path / "event.html"
    assert cli("view", str(muons), "--event", "1", "-o", str(page)).exit_code == 0
    assert page.read_text().startswith("<!doctype html>")
    assert cli("view", str(muons), "-o", str(page)).exit_code == 2
    assert cli("view", str(muons), "-o", str(page), "--force").exit_code == 0


def test_a_closed_pipe_is_no_error_message() -> None:
    script = f"{sys.executable} -m dptoolkit describe small-wire --json | true; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode in (0, 141) and result.stderr == ""


def test_the_cache_can_be_moved_and_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPTOOLKIT_CACHE", str(tmp_path))
    assert cache.cache_folder() == tmp_path / "xla"
    monkeypatch.setenv("DPTOOLKIT_NO_CACHE", "1")
    assert cache.cache_folder() is None


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = os.environ | {"DPTOOLKIT_CACHE": str(tmp_path / "file")}
    result = program("describe", "small-wire", "--json", env=environment)
    assert result.returncode == 0 and result.stderr == ""


def test_bench_writes_a_row_a_case_and_says_which_it_skipped(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "def run(name):\n"
        "    measured = dict(case='muon', cpu_s=0.05, wall_s=0.04, floor=0.02, ratio=2.5)\n"
        "    return [measured, dict(case='spill', skipped='no file spill.h5')]\n"
    )
    (tmp_path / "bench_charge.py").write_text(script)
    (tmp_path / "bench_field.py").write_text(script.replace("muon", "network"))
    (tmp_path / "bench_inference.py").write_text(script.replace("muon", "fit"))
    (tmp_path / "bench_light.py").write_text(script.replace("muon", "ring"))
    monkeypatch.setattr("dptoolkit.cli.check._pin", lambda: None)
    monkeypatch.setattr("dptoolkit.shipped.shipped_folder", lambda name: tmp_path)
    answer = cli("bench", "charge", "--json")
    (row,) = json.loads(answer.stdout)["results"]
    assert "spill is skipped: no file spill.h5" in answer.stderr
    assert row["case"] == "muon" and row["ratio"] == 2.5 and row["peak_mb"] is None
    everything = cli("bench").stdout
    assert all(case in everything for case in ("muon", "fit", "ring"))


@pytest.mark.slow
def test_the_demo_recovers_the_lifetime_and_prints_its_report(cli: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    result = cli("demo", "-o", folder)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{folder / 'report.html'}\n"
    assert "Fit of drift.lifetime" in (folder / "report.html").read_text()
    assert cli("demo", "-o", folder).exit_code == 2


def test_a_demo_that_does_not_converge_writes_its_report_and_says_so(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dptoolkit.cli.demo._run", lambda seed: ("<p>far away</p>", False))
    result = cli("demo", "-o", tmp_path)
    assert result.exit_code == 3 and "did not converge" in result.stderr
    assert (tmp_path / "report.html").read_text() == "<p>far away</p>"
