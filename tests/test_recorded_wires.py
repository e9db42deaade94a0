"""Muons recorded by wire planes: how they are found, and what they say of the detector."""

import dataclasses
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest

from dptoolkit.detector import LArTPC
from dptoolkit.events import Segments, segments_from_arrays, take
from dptoolkit.io.errors import InputError
from dptoolkit.io.recorded import Recorded
from dptoolkit.recorded import ControlSample, RecordedCalibration, control_sample, residuals_of
from dptoolkit.sources.generator import generate

N, SEED = 12, 1


def cosmics(maker: LArTPC, n: int = N, seed: int = SEED) -> Segments:
    columns = generate("cosmics", maker.volumes, np.arange(n), seed).segments
    return segments_from_arrays(columns.pop("start"), columns.pop("end"), columns.pop("de"), **columns)


def recorded(maker: LArTPC, segments: Segments, seed: int = SEED) -> Recorded:
    """What is read out, and times of 0."""
    n = int(segments.event.max()) + 1
    readout = maker(segments, key=jax.random.key(seed))
    return Recorded(readout, np.arange(n), np.zeros(n), maker.name, Path("recorded.h5"), "")


@pytest.fixture(scope="module")
def events(small_wire: LArTPC) -> Segments:
    return cosmics(small_wire)


@pytest.fixture(scope="module")
def sample(small_wire: LArTPC, events: Segments) -> ControlSample:
    return control_sample(recorded(small_wire, events), small_wire)


def test_ends_of_crossing_muons_are_found_within_a_pitch_in_the_median_and_others_are_counted(
    small_wire: LArTPC, events: Segments, sample: ControlSample
) -> None:
    assert 4 <= len(sample.tracks) == N - sum(sample.left_out.values())
    away = []
    for track in sample.tracks:
        muon = take(events, (np.asarray(events.event) == track.number) & (np.abs(events.pdg) == 13))
        inside = take(muon, small_wire.volumes.locate(np.asarray(muon.start + muon.end) / 2) >= 0)
        assert not track.line.stops
        away.append(np.linalg.norm(track.line.start - np.asarray(inside.start)[0]))
        away.append(np.linalg.norm(track.line.end - np.asarray(inside.end)[-1]))
    assert np.median(away) < 0.3 and np.max(away) < 3.0, away


def test_the_model_that_made_them_predicts_charges_and_times_of_its_wires(
    small_wire: LArTPC, sample: ControlSample
) -> None:
    """One track: medians of the charge lie above what is typical by less than 10 %."""
    problem = RecordedCalibration(small_wire, ["recombination.alpha"]).problem(sample.tracks[:1])
    found = residuals_of(problem, problem.start, sample.tracks[:1])
    assert len(found.charge) > 10
    assert np.median(found.charge) == pytest.approx(1.03, abs=0.07)
    assert np.abs(np.median(found.time)) < 0.5


def test_waveforms_of_another_detector_are_refused(small_wire: LArTPC, events: Segments) -> None:
    data = recorded(small_wire, take(events, np.asarray(events.event) < 1))
    other = {
        name: eqx.tree_at(lambda w: w.channel, part, part.channel + 10_000)
        for name, part in data.readout.items()
    }
    with pytest.raises(InputError, match="has none"):
        control_sample(dataclasses.replace(data, readout=other), small_wire)
