"""Recorded hits of fluctuating muons give the charge scale, whatever made them."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from dptoolkit.charge.recombination import ModifiedBox
from dptoolkit.detector import LArTPC
from dptoolkit.events import segments_from_arrays
from dptoolkit.inference.fit import fit
from dptoolkit.io.recorded import Recorded
from dptoolkit.params import replace
from dptoolkit.recorded import RecordedCalibration, control_sample
from dptoolkit.sources import transport
from dptoolkit.sources.generator import generate

SCALE = "recombination.a"
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
def test_hits_without_truth_give_the_charge_of_a_muon_within_5_per_cent(
    small_pixel: LArTPC, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made by another law of recombination; the rest is known, but for the tracks, which are fitted along.

    A fluctuation is made where it happens: muons take steps of 0.5 mm here. Spread evenly over a step of 4 mm
    it would not be Landau's in a pad.
    """
    monkeypatch.setattr(transport, "LONGEST", np.minimum(transport.LONGEST, 0.05))
    known = replace(small_pixel, SETTINGS)
    maker = dataclasses.replace(known, recombination=ModifiedBox())
    tracks = control_sample(recorded(maker, 10, 2), known).tracks
    assert len(tracks) >= 5
    result = fit(RecordedCalibration(known, [SCALE]).problem(tracks))
    assert result.converged
    fitted = replace(known, {SCALE: result.estimate[f"detector.{SCALE}"]})
    assert scale_at_typical(fitted) / scale_at_typical(maker) == pytest.approx(1, abs=0.05)
