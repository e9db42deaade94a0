"""Optical detectors on the command line: the same numbers in slices, and errors that say what is missing."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from dptoolkit.io import Batch, write_native
from tests.light.makers import track

TANK = """name: bucket
type: OpticalDetector
tank: {type: Cylinder, radius: 5 m, height: 6 m, spacing: 1 m, columns: 12, rows: 4, top: 9, bottom: 9}
medium: {type: Water}
sensor: {radius: 25.4 cm}
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(a detector, three events of one muon each)."""
    from tests.tracks import together

    folder = tmp_path_factory.mktemp("light")
    (folder / "bucket.yaml").write_text(TANK)
    parts = [track(20.0, 10, energy=400.0 + 50 * k, event=k, t0=3.0 * k) for k in range(3)]
    write_native(folder / "muons.h5", Batch(np.array([2, 5, 9]), together(together(*parts[:2]), parts[2])))
    return folder / "bucket.yaml", folder / "muons.h5"


def test_a_slice_has_the_numbers_of_the_whole_and_the_summary_its_sums(
    files: tuple[Path, Path], cli: Callable, tmp_path: Path
) -> None:
    bucket, muons = files
    words = ("simulate", muons, "-d", bucket, "--seed", 4, "--place", "random")
    whole = cli(*words, "-o", tmp_path / "all.h5", "--summary", tmp_path / "s.json")
    assert whole.exit_code == 0, whole.stderr
    assert cli(*words, "-o", tmp_path / "one.h5", "--events", "2:3").exit_code == 0
    summary = json.loads((tmp_path / "s.json").read_text())
    with h5py.File(tmp_path / "all.h5") as full, h5py.File(tmp_path / "one.h5") as part:
        first = full["readout/pmt/event_offsets"][2]
        for column in ("sensor", "pe", "charge", "time_ns"):
            np.testing.assert_array_equal(
                full[f"readout/pmt/{column}"][first:], part[f"readout/pmt/{column}"][()]
            )
        assert summary["pe"] == full["readout/pmt/pe"][()].sum() > 50
        assert summary["sensors_hit"] == len(full["readout/pmt/pe"])
        assert full["readout/pmt/pe"].attrs["unit"] == "photoelectron"
    assert summary["photons_made"] > summary["pe"] and summary["electrons_at_anode"] is None


def test_steps_without_energies_and_tasks_for_tpcs_are_refused_in_a_line(
    files: tuple[Path, Path], muons: Path, cli: Callable, tmp_path: Path
) -> None:
    bucket, light = files
    bare = cli("simulate", muons, "-d", bucket, "-o", tmp_path / "x.h5")
    assert bare.exit_code == 2 and "no kinetic energies" in bare.stderr and "Traceback" not in bare.stderr
    calibrate = cli("calibrate", "-d", bucket, "--data", light, "--toy-truth", "random", "-o", tmp_path / "c")
    assert calibrate.exit_code == 2 and "expected a LArTPC" in calibrate.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_lists_know_super_k(cli: Callable) -> None:
    rows = json.loads(cli("detectors", "--json").stdout)["detectors"]
    (row,) = (row for row in rows if row["name"] == "super-k")
    assert (row["kind"], row["readout"], row["channels"]) == ("OpticalDetector", "photosensors", 11129)
    described = json.loads(cli("describe", "super-k", "--json").stdout)["parameters"]
    assert {"medium.absorption_scale", "sensor.transit_spread_ns"} <= {row["path"] for row in described}
    assert all(row["reference"] for row in described)


def test_one_file_of_segments_gives_charge_and_light_in_a_file_and_on_a_page(
    muons: Path, cli: Callable, tmp_path: Path
) -> None:
    from dptoolkit.config import source_text
    from tests.light.test_argon import LIGHT

    (tmp_path / "lit.yaml").write_text(source_text("small-pixel") + LIGHT)
    words = ("simulate", muons, "-d", tmp_path / "lit.yaml", "--place", "auto", "--events", "0:1")
    made = cli(*words, "--seed", 2, "-o", tmp_path / "out.h5", "--summary", tmp_path / "s.json")
    assert made.exit_code == 0, made.stderr
    summary = json.loads((tmp_path / "s.json").read_text())
    with h5py.File(tmp_path / "out.h5") as file:
        assert {"pixels", "light"} <= set(file["readout"])
        assert file["readout/light"].attrs["kind"] == "SensorHits"
        assert summary["pe"] == file["readout/light/pe"][()].sum() > 0
    assert summary["hits"] > 0 and summary["photons_made"] > summary["pe"]
    assert cli("view", tmp_path / "out.h5", "-o", tmp_path / "page.html").exit_code == 0
    page = (tmp_path / "page.html").read_text()
    assert "light, charge" in page and "side by side [m]" in page
