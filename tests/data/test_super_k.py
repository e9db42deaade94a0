"""Geant4 muons and electrons in water: their yields of light, and the walk from steps to a page."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from dptoolkit.config import load_detector
from dptoolkit.events import take
from dptoolkit.io import place, read_native, read_segments

PROMPT = 0.05
"""[us]: without the electrons of decays."""


@pytest.mark.data
@pytest.mark.parametrize("name, published", [("mu_500", 75e3), ("mu_1000", 181e3), ("e_200", 190 * 200.0)])
def test_light_yields_are_those_of_geant4(data: Path, name: str, published: float) -> None:
    detector, n = load_detector("super-k"), 12
    events, _ = place(read_segments(data / f"geant4/water_{name}.h5").select(slice(0, n)), detector.region)
    prompt = take(events.segments, np.asarray(events.segments.t0) < PROMPT)
    made = float(detector.photons(prompt, detector.layout(prompt))) / n
    assert made == pytest.approx(published, rel=0.02)


@pytest.mark.data
def test_a_geant4_muon_in_super_k_goes_from_steps_to_a_ring_on_a_page(data: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from dptoolkit.cli import app

    def cli(*words):
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == 0, result.stderr
        return result.stderr

    steps, output, summary = data / "geant4/water_mu_500.h5", tmp_path / "sk.h5", tmp_path / "s.json"
    words = ("simulate", steps, "--detector", "super-k", "--place", "0,0,0", "--events", "3:4")
    assert "direct light only" in cli(*words, "--seed", 1, "-o", output, "--summary", summary)
    sampled = json.loads(summary.read_text())
    cli(*words, "--expectation", "-o", tmp_path / "x.h5", "--summary", tmp_path / "x.json")
    expected = json.loads((tmp_path / "x.json").read_text())
    assert abs(sampled["pe"] - expected["pe"]) < 4 * np.sqrt(expected["pe"])
    assert sampled["photons_made"] == expected["photons_made"] and expected["segments_outside"] == 0
    assert 0.02 < expected["pe"] / expected["photons_made"] < 0.06
    assert expected["electrons_freed"] is None and expected["hits"] is None
    light = read_native(tmp_path / "x.h5").readout["pmt"]
    detector = load_detector("super-k")
    position = detector.tank.sensors.position[np.asarray(light.sensor)]
    angle = np.degrees(np.arccos(position[:, 2] / np.linalg.norm(position, axis=1)))
    bright = np.average(angle, weights=np.asarray(light.pe))
    assert 34 < bright < 48  # the ring of a muon along +z from the centre
    late = np.linalg.norm(position, axis=1) * 1.38 / 29.979
    core = np.asarray(light.pe) > 2
    assert np.median(np.abs(np.asarray(light.time_ns)[core] - late[core])) < 3
    with h5py.File(output) as file:
        assert file["readout/pmt"].attrs["kind"] == "SensorHits"
        assert {"kinetic_start", "kinetic_end"} <= set(file["segments"])
    cli("view", output, "-o", tmp_path / "sk.html")
    page = (tmp_path / "sk.html").read_text()
    assert "direct light, charge" in page and "<script src=" not in page


@pytest.mark.data
@pytest.mark.parametrize("name", ["wcte", "iwcd", "hyper-k"])
def test_a_geant4_electron_makes_a_ring_in_every_other_tank(data: Path, name: str) -> None:
    detector = load_detector(name)
    events, _ = place(read_segments(data / "geant4/water_e_200.h5").select(slice(0, 1)), detector.region)
    prompt = take(events.segments, np.asarray(events.segments.t0) < PROMPT)
    (light,) = detector(prompt).values()
    pe, position = np.asarray(light.pe), detector.tank.sensors.position
    coverage = len(pe) * np.pi * detector.sensor.radius**2 / _wall(detector.tank)
    made = float(detector.photons(prompt, detector.layout(prompt)))
    efficiency = float(detector.sensor.spectrum().max())
    assert 0.2 < pe.sum() / (made * coverage * efficiency) < 1.5
    start, end = np.asarray(prompt.start), np.asarray(prompt.end)
    towards = np.average(end - start, axis=0, weights=np.asarray(prompt.de))
    line = position - np.average(start, axis=0, weights=np.asarray(prompt.de))
    angle = np.degrees(np.arccos(line @ towards / np.linalg.norm(line, axis=1) / np.linalg.norm(towards)))
    assert 34 < np.average(angle, weights=pe) < 55


def _wall(tank) -> float:
    return 2 * np.pi * tank.radius * (tank.radius + tank.height)
