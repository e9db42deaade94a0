"""Resolutions and efficiencies of fits that are wrong by known amounts."""

from pathlib import Path

import numpy as np
import pytest

from dptoolkit.detector import LArTPC
from dptoolkit.events import segments_from_arrays, take
from dptoolkit.io import Run, write_native
from dptoolkit.io.event_file import EventFile
from dptoolkit.io.native import Batch
from dptoolkit.io.native_reader import NativeFile
from dptoolkit.reconstruction import NotReconstructed, Reconstructed
from dptoolkit.reconstruction.evaluation import distance, entries_of, evaluate, interval, true_track
from dptoolkit.reconstruction.files import Reconstruction

ENERGY, MASS = 300.0, 105.6583755
STEPS = 100
DIRECTION = np.array([0.0, 0.6, 0.8])


def truth(n: int = 3) -> EventFile:
    """Straight muons of 50 cm along `DIRECTION` from the origin, and an electron at their end."""
    along = np.linspace(0, 50, STEPS + 1)[:, None] * DIRECTION
    energy = np.linspace(ENERGY, 0, STEPS + 1)
    electron = along[-1] + np.linspace(0, 5, 11)[:, None] * np.array([1.0, 0, 0])
    start = np.concatenate([along[:-1], electron[:-1]])
    end = np.concatenate([along[1:], electron[1:]])
    of_electron = np.arange(STEPS + 10) >= STEPS
    columns = {
        "start": np.tile(start, (n, 1)), "end": np.tile(end, (n, 1)),
        "de": np.tile(np.where(of_electron, 1.0, ENERGY / STEPS), n),
        "dx": np.full(n * (STEPS + 10), 0.5),
        "t0": np.tile(np.where(of_electron, 1.0, 1e-5 * np.arange(STEPS + 10)), n),
        "track": np.tile(1 + of_electron, n), "pdg": np.tile(np.where(of_electron, 11, 13), n),
        "kinetic": np.tile(np.stack([np.append(energy[:-1], np.full(10, 5.0)),
                                     np.append(energy[1:], np.full(10, 5.0))], axis=1), (n, 1)),
    }  # fmt: skip
    return EventFile.build(columns, np.repeat(np.arange(n), STEPS + 10), path=Path("truth"), format="test")


def fit(number: int, shift: np.ndarray, momentum: float, hypothesis: str = "muon") -> Reconstructed:
    points = shift + np.linspace(0, 50, 51)[:, None] * DIRECTION
    names = ("x", "y", "z", "theta", "phi", "momentum")
    theta, phi = np.pi / 2, np.arctan2(0.6, 0.8)
    return Reconstructed(
        number, segments_from_arrays(points[:-1], points[1:], np.full(50, 0.95 * ENERGY / 50)),
        names, ("cm",) * 3 + ("rad",) * 2 + ("MeV",), np.array([*shift, theta, phi, momentum]),
        np.diag([0.1, 0.1, 0.1, 0.01, 0.01, 10.0]) ** 2,
        log_likelihoods={"muon": -1.0, "proton": -2.0}, hypothesis=hypothesis, seconds=2.0,
    )  # fmt: skip


def report(*events) -> dict:
    native = NativeFile(truth(), {}, {}, Run(), {}, 1, "")
    return evaluate(Reconstruction(native, events), truth())


P = float(np.sqrt(ENERGY * (ENERGY + 2 * MASS)))


def test_the_true_particle_is_the_one_that_lost_most() -> None:
    found = true_track(truth(1))
    assert found.species == "muon" and found.momentum == pytest.approx(P)
    assert found.start == pytest.approx(np.zeros(3)) and found.direction == pytest.approx(DIRECTION)
    assert found.energy == pytest.approx(ENERGY)


def test_known_errors_come_out_as_they_are() -> None:
    off = np.array([0.3, 0.0, 0.0])
    found = report(fit(0, off, 1.1 * P), fit(1, -off, 0.9 * P), fit(2, off, 1.05 * P))
    assert found["vertex_cm"]["median"] == pytest.approx(0.3)
    assert found["vertex_cm"]["pull_width"] == pytest.approx(3 / np.sqrt(3))
    assert found["direction_deg"]["mean"] == pytest.approx(0, abs=1e-4)
    momentum = found["momentum_fraction"]
    assert momentum["median"] == pytest.approx(0.1) and momentum["bias"] == pytest.approx(0.05 / 3)
    assert momentum["error"] == pytest.approx(np.std([0.1, 0.1, 0.05], ddof=1) / np.sqrt(3))
    assert found["charge_fraction"]["bias"] == pytest.approx(-0.05)
    assert found["distance_mm"]["median"] == pytest.approx(3.0, rel=0.01)
    assert found["seconds_per_event"] == pytest.approx(2.0) and found["events"] == 3


def test_distance_is_to_the_nearest_charge_of_any_particle() -> None:
    """Half of the fitted energy on the truth, the other half 2 cm off: the median is on it or 2 cm."""
    on, beside = np.array([[0, 0.6, 0.8]]) * 10, np.array([[2.0, 6, 8]])
    segments = segments_from_arrays(
        np.concatenate([on, beside]), np.concatenate([on, beside]) + 1e-3, np.array([3.0, 1.0])
    )
    event = Reconstructed(0, segments)
    assert distance(event, truth(1)) < 0.02


def test_segments_are_judged_where_the_detector_is_sensitive(small_wire: LArTPC) -> None:
    """The track leaves at 37.5 of its 50 cm: all that can be found is found, a quarter of it is not there."""
    inside = take(truth(1).segments, np.arange(75))
    found = entries_of(Reconstructed(0, inside), truth(1), small_wire)
    assert found["charge_fraction"].size < 1e-5 and found["missed_fraction"].size < 1e-3
    assert found["distance_mm"].size < 0.1
    everywhere = entries_of(Reconstructed(0, inside), truth(1))
    assert everywhere["charge_fraction"].signed == pytest.approx(225 / 310 - 1)


def test_what_is_missing_and_what_is_mistaken_is_counted() -> None:
    none = np.zeros(3)
    found = report(fit(0, none, P), fit(1, none, P, "proton"), NotReconstructed(2, "why not"))
    assert found["efficiency"]["fraction"] == pytest.approx(2 / 3)
    assert found["misid_fraction"]["muon"]["fraction"] == pytest.approx(0.5)


def test_intervals_are_those_of_a_binomial() -> None:
    """Clopper and Pearson: of none in n the upper end is 1 - 0.1585^(1/n); of 5 in 10 both ends cover."""
    none, half = interval(0, 20), interval(5, 10)
    assert none["low"] == 0 and none["high"] == pytest.approx(1 - 0.1585 ** (1 / 20), rel=1e-3)
    assert half["low"] < 0.5 - 0.15 and half["high"] > 0.5 + 0.15


def test_a_native_truth_of_the_detector_stays_where_it_is(tmp_path: Path) -> None:
    from dptoolkit.reconstruction.evaluation import placed_truth

    path = tmp_path / "truth.h5"
    write_native(path, Batch.of(truth()), Run(detector_name="small-wire"))
    native = NativeFile(truth(), {}, {}, Run(detector_name="small-wire"), {}, 1, "")
    events, note = placed_truth(path, Reconstruction(native, []))
    assert events.columns["start"] == pytest.approx(truth().columns["start"]) and "as they are" in note
