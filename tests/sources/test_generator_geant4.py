"""The generator against Geant4 (electromagnetic physics); its files hold 30 to 40 events each."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.sources.makers import shot

pytestmark = pytest.mark.data
EARLY = 0.03
"""[us]: before a muon decays."""


def steps(file: Path) -> tuple[dict[str, np.ndarray], int]:
    """Steps of a Geant4 file in our units, and the number of events."""
    with h5py.File(file) as contents:
        rows = contents["steps"][:]
        n = int(contents.attrs["events"])
    places = {
        name: np.stack([rows[f"{axis}{k}"] for axis in "xyz"], axis=1) / 10
        for name, k in (("start", 0), ("end", 1))
    }
    columns = {name: rows[name].astype(float) for name in ("de", "ek0", "ek1")}
    labels = {name: rows[name].astype(int) for name in ("event", "track", "pdg")}
    return {**places, **columns, **labels, "t0": rows["t0"] / 1000}, n


def born_electrons(rows: dict[str, np.ndarray], before: float = np.inf) -> np.ndarray:
    """Kinetic energy of each electron at its first step."""
    chosen = (np.abs(rows["pdg"]) == 11) & (rows["t0"] < before)
    _, first = np.unique(rows["event"][chosen] * 10**6 + rows["track"][chosen], return_index=True)
    return rows["ek0"][chosen][first]


@pytest.fixture(scope="module")
def muon(data: Path) -> tuple[dict[str, np.ndarray], int]:
    return steps(data / "geant4" / "lar_mu_300.h5")


@pytest.fixture(scope="module")
def electron(data: Path) -> tuple[dict[str, np.ndarray], int]:
    return steps(data / "geant4" / "lar_e_300.h5")


def last_points(rows: dict[str, np.ndarray]) -> np.ndarray:
    own = np.flatnonzero(rows["track"] == 1)
    last = own[np.flatnonzero(np.diff(rows["event"][own], append=-1))]
    return rows["end"][last]


def test_muons_of_300_mev_go_as_far_and_as_wide(muon):
    rows, n = muon
    own = rows["track"] == 1
    path = np.linalg.norm(rows["end"] - rows["start"], axis=1)[own].sum() / n
    ours, _ = shot(13, 300.0, 100)
    assert ours["dx"][ours["track"] == 1].sum() / 100 == pytest.approx(path, rel=0.01)
    there, here = last_points(rows), last_points(ours)
    assert here[:, 2].mean() == pytest.approx(there[:, 2].mean(), rel=0.015)
    spread = [np.sqrt(np.mean(points[:, :2] ** 2)) for points in (here, there)]
    assert spread[0] == pytest.approx(spread[1], rel=0.2)


@pytest.mark.parametrize("cut, tolerance", [(0.5, 0.05), (1.0, 0.1), (3.0, 0.3)])
def test_muons_make_as_many_delta_rays(muon, cut: float, tolerance: float):
    rows, n = muon
    there = (born_electrons(rows, EARLY) > cut).sum() / n
    _, born = shot(13, 300.0, 100)
    early = (born.pdg == 11) & (born.time < EARLY)
    assert (born.energy[early] > cut).sum() / 100 == pytest.approx(there, rel=tolerance)


def test_muons_deposit_as_much_with_the_same_fluctuations(muon):
    """In slabs of 3 cm up to 60 cm, delta rays included: median and half widths."""

    def slabs(rows: dict[str, np.ndarray], n: int) -> np.ndarray:
        share = (np.arange(8)[:, None] + 0.5) / 8  # a step may lie in two slabs
        depth = ((1 - share) * rows["start"][:, 2] + share * rows["end"][:, 2]) / 3
        chosen = (rows["t0"] < EARLY) & (depth > 0) & (depth < 20)
        cell = (rows["event"] * 20 + depth.astype(int))[chosen]
        return np.bincount(cell, np.broadcast_to(rows["de"] / 8, depth.shape)[chosen], 20 * n)

    low, middle, high = np.percentile(slabs(*muon), [16, 50, 84])
    our_low, our_middle, our_high = np.percentile(slabs(shot(13, 300.0, 100)[0], 100), [16, 50, 84])
    assert our_middle == pytest.approx(middle, rel=0.015)
    assert our_middle - our_low == pytest.approx(middle - low, rel=0.2)
    assert our_high - our_middle == pytest.approx(high - middle, rel=0.2)


def test_a_muon_of_the_detector_simulation_ends_where_ours_do(data: Path):
    """One muon of 31.3 cm: ours of the same deposit (100 MeV with delta rays) are as long within 4 %."""
    with h5py.File(data / "segments" / "geant4_lar_muon.h5") as file:
        rows = file["pstep/lar_vol"][0]
    track = rows[rows["pdg"] == 13]
    path = np.sum(track["dx"], dtype=float) / 10
    deltas = rows[(rows["pdg"] == 11) & (rows["t"] < track["t"].max())]
    energy = float(np.sum(track["de"], dtype=float) + np.sum(deltas["de"], dtype=float))
    ours, _ = shot(13, round(energy, 1), 60)
    assert ours["dx"][ours["track"] == 1].sum() / 60 == pytest.approx(path, rel=0.04)


def test_electron_showers_are_as_long_wide_and_rich(electron):
    """Energy by depth and radius, and electrons above 1 MeV, for 300 MeV."""
    rows, n = electron
    ours, born = shot(11, 300.0, 60)

    def shape(rows: dict[str, np.ndarray]) -> tuple[float, float]:
        middle = (rows["start"] + rows["end"]) / 2
        radius = np.hypot(middle[:, 0], middle[:, 1])
        order = np.argsort(radius)
        half = np.searchsorted(np.cumsum(rows["de"][order]), rows["de"].sum() / 2)
        return float(np.average(middle[:, 2], weights=rows["de"])), float(radius[order][half])

    (depth, width), (there_depth, there_width) = shape(ours), shape(rows)
    assert depth == pytest.approx(there_depth, rel=0.12)
    assert width == pytest.approx(there_width, rel=0.2)
    above = (born.energy[np.abs(born.pdg) == 11] > 1.0).sum() / 60
    assert above == pytest.approx((born_electrons(rows) > 1.0).sum() / n, rel=0.1)
