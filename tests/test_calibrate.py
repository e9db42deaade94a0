"""Stages of a fit, and classes of events for an information budget."""

import numpy as np
import pytest

from dptoolkit.benchmarking import straight_tracks
from dptoolkit.calibrate import Calibration, Toy, calibrate, classes_of, stages_of
from dptoolkit.detector import LArTPC
from dptoolkit.events import bucket, pad, segments_from_arrays
from dptoolkit.inference.calibration import calibrated, random_truth
from dptoolkit.inference.fit import FitResult, graduated
from dptoolkit.inference.losses import CensoredHits, ColouredChi2, HitLikelihood, MultiScale
from dptoolkit.inference.problem import Problem


def test_batches_are_classed_by_angle_and_distance_of_half_of_their_energy(small_pixel: LArTPC):
    volumes = small_pixel.volumes
    drift, up = volumes.drift[0], volumes.up[0]
    middle = 0.6 * volumes.low[0] + 0.4 * volumes.high[0]
    along = segments_from_arrays(middle[None], (middle + 0.3 * drift)[None], np.array([0.6]))
    across = segments_from_arrays(middle[None], (middle + 0.3 * up)[None], np.array([0.6]))
    found = classes_of([along, across], small_pixel)
    assert found["angle to the drift"] == ["0 to 35 degrees", "60 to 90 degrees"]
    assert len(set(found["drift distance"])) == 1 and found["drift distance"][0].endswith(" cm")


@pytest.mark.slow
def test_noisy_hits_are_fitted_by_a_loss_that_pulls_from_afar_before_their_likelihood_finds_the_truth(
    small_pixel: LArTPC,
) -> None:
    toy, problem = noisy_toy(small_pixel, 11)
    stages = stages_of(problem)
    assert [type(stage.loss) for stage in stages] == [CensoredHits, HitLikelihood]
    assert_truth_within_errors(toy, problem, graduated(stages))


@pytest.mark.slow
def test_noisy_waveforms_are_fitted_from_coarse_to_fine_and_give_the_truth(small_wire: LArTPC) -> None:
    toy, problem = noisy_toy(small_wire, 12)
    losses = [type(stage.loss) for stage in stages_of(problem)]
    assert losses == [MultiScale] * (len(losses) - 1) + [ColouredChi2] and len(losses) > 1
    assert_truth_within_errors(toy, problem, calibrate(problem))


def noisy_toy(detector: LArTPC, seed: int) -> tuple[Toy, Problem]:
    """Four tracks with noise and a random truth of all that is calibrated."""
    segments = straight_tracks(detector, n_tracks=4, n_steps=20)
    segments = pad(segments, bucket(len(segments)))
    paths = calibrated(detector)
    toy = Toy(detector, random_truth(detector, paths, seed), noise=True, seed=seed)
    return toy, Calibration(detector, paths, noise=True).problem([segments], [toy.observe(segments, 0)])


def assert_truth_within_errors(toy: Toy, problem: Problem, found: FitResult) -> None:
    assert found.converged and found.uncertainty is not None, found.stopped
    truth = np.array([toy.truth[path.removeprefix("detector.")] for path in problem.paths])
    estimate = np.array([found.estimate[path] for path in problem.paths])
    assert np.abs((estimate - truth) / found.uncertainty.errors).max() < 4
