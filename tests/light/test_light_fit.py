"""What fits tracks in argon fits light: the same `Problem`, with photoelectrons as data."""

import equinox as eqx
import jax
import numpy as np
import pytest

from dptoolkit.inference import Experiment, PoissonLikelihood, Problem, SegmentSource, fit
from dptoolkit.light.medium import Clear
from dptoolkit.params import replace
from tests.light.makers import small_tank, track
from tests.tracks import together

PATHS = ["detector.sensor.collection", "detector.medium.attenuation_length", "detector.medium.n"]
TRUTH = {"sensor.collection": 0.93, "medium.attenuation_length": 1300.0, "medium.n": 1.338}


@pytest.fixture(scope="module")
def tank():
    return small_tank(medium=Clear(n=1.33, attenuation_length=2000.0), radiation_length=36.0, step=20.0)


@pytest.fixture(scope="module")
def tracks():
    """Six muons, near the wall they shine at and far from it."""
    rng, parts = np.random.default_rng(4), None
    for event in range(6):
        towards = rng.normal(size=3)
        start = tuple(-300.0 * towards / np.linalg.norm(towards) * (event % 2))
        one = track(120.0, 6, energy=500.0, start=start, towards=tuple(towards), event=event)
        parts = one if parts is None else together(parts, one)
    return parts


def problem(tank, tracks, observed):
    return Problem([Experiment(tank, SegmentSource(tracks))], PATHS, PoissonLikelihood(), [observed])


def test_without_noise_water_and_sensors_are_recovered(tank, tracks):
    """To where the loss may still fall by 1e-3: 0.045 standard deviations."""
    result = fit(problem(tank, tracks, replace(tank, TRUTH)(tracks)))
    assert result.converged and result.steps <= 10, result.stopped
    for path, value in TRUTH.items():
        missed = result.estimate[f"detector.{path}"] - value
        assert abs(missed) < 0.05 * result.error[f"detector.{path}"], path


def test_pulls_of_drawn_photoelectrons_have_mean_0_and_width_1(tank, tracks):
    """24 toys of 3 parameters: the mean of 72 pulls within 3.5 / sqrt(72), their width within 3.5 / 12."""
    made, pulls = replace(tank, TRUTH), []
    for seed in range(24):
        toy = problem(tank, tracks, made(tracks, key=jax.random.key(seed)))
        result = fit(toy)
        assert result.converged, result.stopped
        error = result.error
        pulls.append([(result.estimate[p] - TRUTH[p.removeprefix("detector.")]) / error[p] for p in PATHS])
    pulls = np.array(pulls)
    assert abs(pulls.mean()) < 3.5 / np.sqrt(pulls.size)
    assert np.sqrt(np.mean(pulls**2)) == pytest.approx(1, abs=3.5 / np.sqrt(2 * pulls.size))


def test_the_times_of_photoelectrons_do_not_disturb_the_counts(tank, tracks):
    readout = tank(tracks)
    late = {"pmt": eqx.tree_at(lambda hits: hits.time_ns, readout["pmt"], readout["pmt"].time_ns + 50.0)}
    one, other = (problem(tank, tracks, data) for data in (readout, late))
    assert one.value(one.start + 0.1) == other.value(other.start + 0.1) > 1
