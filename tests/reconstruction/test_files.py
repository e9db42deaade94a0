"""Reconstructed events come back from a file as they went in."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dptoolkit.events import segments_from_arrays
from dptoolkit.io import InputError, NativeWriter, Run, read_segments
from dptoolkit.reconstruction import NotReconstructed, Reconstructed
from dptoolkit.reconstruction.files import batch_of, read_reconstruction


def fitted(number: int, n: int = 4) -> Reconstructed:
    rng = np.random.default_rng(number)
    points = np.cumsum(rng.normal(size=(n + 1, 3)), axis=0)
    root = rng.normal(size=(2, 2))
    return Reconstructed(
        number=number,
        segments=segments_from_arrays(points[:-1], points[1:], rng.uniform(0.1, 2, n)),
        names=("x", "momentum"),
        units=("cm", "MeV"),
        values=np.array([1.5, 300.0]),
        covariance=root @ root.T,
        columns={"de_error": (rng.uniform(0.1, 0.2, n), "MeV")},
        log_likelihoods={"muon": -12.5, "proton": -80.0},
        hypothesis="muon",
        loss=12.5,
        converged=number % 2 == 0,
        stopped="it was enough",
        seconds=1.25,
    )


EVENTS = (fitted(2), NotReconstructed(5, "fewer than 8 hits"), fitted(7, n=6))


def written(path: Path, events=EVENTS, complete: bool = True) -> Path:
    run = Run("", "small-wire", 0, False, {"what": "track"})
    try:
        with NativeWriter(path, run) as writer:
            for event in events:
                writer.append(batch_of(event, {}))
            if not complete:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    return path


def test_events_come_back_as_they_were(tmp_path: Path) -> None:
    found = read_reconstruction(written(tmp_path / "reco.h5")).events
    assert [event.number for event in found] == [2, 5, 7]
    assert found[1] == EVENTS[1]
    for one, two in ((EVENTS[0], found[0]), (EVENTS[2], found[2])):
        assert isinstance(one, Reconstructed) and isinstance(two, Reconstructed)
        for name in (
            "names",
            "units",
            "log_likelihoods",
            "hypothesis",
            "loss",
            "converged",
            "stopped",
            "seconds",
        ):
            assert getattr(two, name) == getattr(one, name), name
        assert two.values == pytest.approx(one.values) and two.covariance == pytest.approx(one.covariance)
        assert np.asarray(two.segments.de) == pytest.approx(np.asarray(one.segments.de))
        values, unit = two.columns["de_error"]
        assert unit == "MeV" and values == pytest.approx(one.columns["de_error"][0])


def test_an_event_without_a_result_can_come_first(tmp_path: Path) -> None:
    found = read_reconstruction(written(tmp_path / "reco.h5", (NotReconstructed(1, "no"), fitted(4)))).events
    assert isinstance(found[0], NotReconstructed) and isinstance(found[1], Reconstructed)
    assert found[1].columns["de_error"][0] == pytest.approx(fitted(4).columns["de_error"][0])


def test_any_reader_of_segments_reads_the_fitted_ones(tmp_path: Path) -> None:
    events = read_segments(written(tmp_path / "reco.h5"))
    assert events.event_numbers.tolist() == [2, 5, 7] and len(events) == 10


def test_an_interrupted_file_goes_on_after_its_last_event(tmp_path: Path) -> None:
    path, run = tmp_path / "reco.h5", Run("", "small-wire", 0, False, {"what": "track"})
    written(path, EVENTS[:2], complete=False)
    assert not path.exists()
    with NativeWriter(path, run, resume=True) as writer:
        assert writer.event_numbers.tolist() == [2, 5]
        writer.append(batch_of(EVENTS[2], {}))
    found = read_reconstruction(path).events
    assert [event.number for event in found] == [2, 5, 7]
    assert dataclasses.asdict(found[1]) == dataclasses.asdict(EVENTS[1])


def test_a_file_without_results_is_refused(tmp_path: Path) -> None:
    with NativeWriter(tmp_path / "plain.h5", Run()):
        pass
    with pytest.raises(InputError, match="reconstruction"):
        read_reconstruction(tmp_path / "plain.h5")
