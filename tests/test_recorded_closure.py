"""Recorded hits of fluctuating muons give the charge scale, whatever made them."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from dptoolkit.charge.recombination import ModifiedBox
from dptoolkit.detector import LArTPC
from dptoolkit.events import segments_from_arrays
from dptoolkit.inference.experiment import Experiment
from dptoolkit.inference.fit import fit
from dptoolkit.inference.problem import Problem
from dptoolkit.io.recorded import Recorded
from dptoolkit.params import replace
from dptoolkit.recorded import SCALE_CROSSING, RecordedCalibration, control_sample
from dptoolkit.sources import transport
from dptoolkit.sources.generator import generate

FREE = ["recombination.a", "drift.lifetime"]
SETTINGS = {"drift.lifetime": 600.0, "diffusion.transverse": 1.2e-5, "diffusion.longitudinal": 6e-6}
TYPICAL = 1.73
"""Of a crossing muon in 4 mm [MeV/cm]."""


def recorded(maker: LArTPC, n: int, seed: int) -> Recorded:
    """Cosmic muons in this detector, stripped of all but hits and times."""
    columns = generate("cosmics", maker.volumes, np.arange(n), seed).segments
    segments = segments_from_arrays(columns.pop("start"), columns.pop("end"), columns.pop("de"), **columns)
    readout = maker(segments, key=jax.random.key(seed))
    return Recorded(readout, np.arange(n), np.zeros(n), maker.name, Path("recorded.h5"), "")


def scale_at_typical(detector: LArTPC) -> float:
    """Electrons that escape from a crossing muon, over those freed."""
    dedx = np.full(1, TYPICAL)
    return float(detector.recombination(*(jax.numpy.asarray(x) for x in (dedx, 0.5 + 0 * dedx, 0 * dedx)))[0])


@pytest.mark.slow
@pytest.mark.parametrize("model", ["birks", "box"])
def test_hits_without_truth_give_the_charge_of_a_muon_and_the_lifetime(
    model: str, small_pixel: LArTPC, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By other settings, and another law of recombination; tracks stay where they were found.

    A fluctuation is made where it happens: muons take steps of 0.5 mm here. Spread evenly over a step of 4 mm
    it would not be Landau's in a pad.
    """
    monkeypatch.setattr(transport, "LONGEST", np.minimum(transport.LONGEST, 0.05))
    maker = replace(small_pixel, SETTINGS)
    if model == "box":
        maker = dataclasses.replace(maker, recombination=ModifiedBox())
    else:
        maker = replace(maker, {"recombination.a": 0.72})
    tracks = control_sample(recorded(maker, 8, 2), small_pixel).tracks
    assert len(tracks) >= 4
    found = RecordedCalibration(small_pixel, FREE).problem(tracks)
    experiments = [Experiment(small_pixel, source) for source in found.sources]
    result = fit(Problem(experiments, FREE, found.loss, found.observed))
    assert result.converged
    a, lifetime = (float(result.estimate[f"detector.{path}"]) for path in FREE)
    fitted = scale_at_typical(replace(small_pixel, {"recombination.a": a}))
    ratio, error = fitted / scale_at_typical(maker), float(result.error["detector.recombination.a"]) / a
    assert error < 0.04, "enough to tell 10 %"
    assert abs(ratio - 1) < 2.5 * np.hypot(error, SCALE_CROSSING / np.sqrt(len(tracks)))
    pull = (1 / lifetime - 1 / 600.0) * lifetime**2 / float(result.error["detector.drift.lifetime"])
    assert abs(pull) < 3
