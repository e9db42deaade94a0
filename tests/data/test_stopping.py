"""Energy loss in the samples of other programs against the tables of stopping power and range, within 2 %."""

from pathlib import Path

import h5py
import numpy as np
import pytest

pytestmark = pytest.mark.data
DENSITY = 1.396


def table(file: Path, *columns: str) -> np.ndarray:
    """(T [MeV], dE/dx [MeV/cm], range [cm]) by columns, from g/cm2."""
    lines = [line.split() for line in file.read_text().splitlines() if line.strip()]
    picked = [lines[0].index(column) for column in columns]
    rows = np.array([[float(line[k]) for k in picked] for line in lines[1:]])
    return (rows[np.argsort(rows[:, 0])] * [1, DENSITY, 1 / DENSITY]).T


@pytest.fixture(scope="module")
def muon(data: Path) -> np.ndarray:
    return table(data / "stopping" / "muE_liquid_argon.table", "T", "dE/dx", "CSDARange")


def test_the_stopping_muon_deposits_the_energy_of_its_range(data: Path, muon):
    """31.3 cm of path and 100.0 MeV with its delta electrons; the table says 102.0 MeV."""
    with h5py.File(data / "segments" / "geant4_lar_muon.h5") as file:
        steps = file["pstep/lar_vol"][0]
    track = steps[steps["pdg"] == 13]
    deltas = steps[(steps["pdg"] == 11) & (steps["t"] < track["t"].max())]
    path = np.sum(track["dx"], dtype=float) / 10
    deposited = np.sum(track["de"], dtype=float) + np.sum(deltas["de"], dtype=float)
    assert deposited == pytest.approx(np.interp(path, muon[2], muon[0]), rel=0.02)


@pytest.mark.parametrize("low, high", [(20, 50), (50, 100), (100, 200), (200, 290)])
def test_muons_lose_energy_as_fast_as_the_table_says(data: Path, muon, low, high):
    """Mean dE/dx of 300 MeV muons of Geant4 (deltas included) in a range of kinetic energy."""
    with h5py.File(data / "geant4" / "lar_mu_300.h5") as file:
        steps = file["steps"][:]
    steps = steps[np.abs(steps["pdg"]) == 13]
    kinetic = (steps["ek0"] + steps["ek1"]) / 2
    steps, kinetic = steps[(kinetic > low) & (kinetic < high)], kinetic[(kinetic > low) & (kinetic < high)]
    length = np.sqrt(sum((steps[f"{axis}1"] - steps[f"{axis}0"]) ** 2 for axis in "xyz")) / 10
    expected = np.sum(np.interp(kinetic, muon[0], muon[1]) * length)
    assert np.sum(steps["ek0"] - steps["ek1"]) == pytest.approx(expected, rel=0.02)


def test_protons_that_stop_have_the_path_of_the_table(data: Path):
    """Above 20 MeV, by the energy they deposit. A nuclear interaction ends a path early or hides energy, so
    only the peak within 10 % is compared; half of all protons are in it.
    """
    proton = table(data / "stopping" / "nist_pstar_argon.txt", "KE", "Stopping_power", "Range")
    with h5py.File(data / "segments" / "module0_mixed_mu_pi_p.h5") as file:
        rows = file["segments"][:]
    rows = rows[rows["pdgId"] == 2212]
    _, track = np.unique(np.stack([rows["eventID"], rows["trackID"]], axis=1), axis=0, return_inverse=True)
    energy, path = np.bincount(track.ravel(), rows["dE"]), np.bincount(track.ravel(), rows["dx"])
    ratio = path[energy > 20] / np.interp(energy[energy > 20], proton[0], proton[2])
    stopped = ratio[np.abs(ratio - 1) < 0.1]
    assert len(stopped) > 0.5 * len(ratio)
    assert np.mean(stopped) == pytest.approx(1, abs=0.02)
