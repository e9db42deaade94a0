"""Campaigns: their statistics are right, and rows depend on nothing but the seed."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from dptoolkit.inference import Campaign, ToyFit, fit, run_toys
from dptoolkit.inference.coordinates import pull_of
from tests.inference.decay import TRUTH, toy


def decayed(seed: int) -> ToyFit:
    """A toy of the decay problem."""
    problem = toy(jax.random.key(seed))
    return ToyFit.of(problem, fit(problem), TRUTH, seed)


def gaussian(seed: int, width: float = 1.0) -> ToyFit:
    """What a fit with errors too small by `width` would give."""
    found = np.random.default_rng(seed).normal(size=2) * width
    columns = {"truth": (1.0, 2.0), "start": (0.0, 0.0), "error": (0.1, 0.3), "pull": tuple(found.tolist())}
    estimate = (1.0 + 0.1 * found[0], 2.0 + 0.3 * found[1])
    return ToyFit(seed, True, 3, 0.5, "it, said", ("a", "b[0]"), ("us", "1"), estimate=estimate, **columns)


def test_unit_gaussian_pulls_have_mean_zero_width_one_and_the_coverage_of_a_gaussian():
    lines = Campaign([gaussian(seed) for seed in range(2000)]).summary()
    assert [line.path for line in lines] == ["a", "b[0]"]
    for line in lines:
        assert line.mean_error == pytest.approx(1 / np.sqrt(2000), rel=0.1)
        assert line.width_error == pytest.approx(1 / np.sqrt(4000), rel=0.1)
        assert abs(line.mean) < 4 * line.mean_error and abs(line.width - 1) < 4 * line.width_error
        assert abs(line.within_1 - 0.6827) < 4 * line.within_1_error
        assert abs(line.within_2 - 0.9545) < 4 * line.within_2_error
    assert [line.rms_percent for line in lines] == pytest.approx([10.0, 15.0], rel=4 / np.sqrt(4000))
    assert all(3 * line.rms_percent < line.largest_percent < 5 * line.rms_percent for line in lines)


def test_errors_that_are_too_small_are_seen():
    (line, _) = Campaign([gaussian(seed, width=2.0) for seed in range(400)]).summary()
    assert line.width - 1 > 10 * line.width_error and line.within_1 < 0.6827 - 5 * line.within_1_error


def test_fits_that_did_not_converge_are_kept_and_left_out_of_the_pulls():
    rows = [gaussian(seed) for seed in range(5)]
    found = Campaign([*rows, replace(rows[0], seed=5, converged=False, estimate=(99.0, 99.0))])
    assert len(found.rows) == 6 and found.summary()[0].toys == 5 and np.abs(found.pulls).max() < 5


def test_what_data_do_not_determine_has_no_pull():
    """An infinite error makes (estimate - truth) / error zero: such a toy would count as a perfect one."""
    rows = [gaussian(seed) for seed in range(5)]
    unknown = pull_of("linear", 1.1, 1.0, np.inf)
    found = Campaign([*rows, replace(rows[0], seed=5, error=(np.inf, 0.3), pull=(unknown, 0.5))])
    assert np.isnan(found.pulls[5, 0]) and [line.toys for line in found.summary()] == [5, 6]


def test_pulls_are_taken_in_the_scale_that_is_fitted():
    """A lifetime whose inverse is measured as 0.5 +- 0.1 for a truth of 0.4 misses by one error."""
    assert pull_of("inverse", 1 / 0.5, 1 / 0.4, 0.1 / 0.5**2) == pytest.approx(-1)
    assert pull_of("log", np.exp(0.7), np.exp(0.4), 0.1 * np.exp(0.7)) == pytest.approx(3)
    assert pull_of("linear", 0.7, 0.4, 0.1) == pytest.approx(3)


def test_the_table_comes_back_from_its_file_to_the_last_digit():
    found = Campaign([gaussian(seed) for seed in range(3)])
    assert Campaign.from_csv(found.csv()) == found
    assert (
        found.csv().splitlines()[0].startswith("seed,converged,steps,loss,stopped,truth a [us],start a [us]")
    )


def test_toys_of_a_fit_have_the_truth_they_were_made_with(tmp_path: Path):
    found = run_toys(decayed, range(3), tmp_path / "toys.csv")
    assert found.names == ("height", "lifetime") and found.rows[0].units == ("1", "us")
    assert [row.truth for row in found.rows] == [(5.0, 11.0)] * 3
    assert np.abs(found.pulls).max() < 5 and len({row.estimate for row in found.rows}) == 3


def test_one_element_of_an_array_has_a_pull():
    problem = toy(jax.random.key(1), free=("slope[1]", "lifetime"))
    row = ToyFit.of(problem, fit(problem), {"slope[1]": 0.0, "lifetime": TRUTH["lifetime"]}, 1)
    assert row.names == ("slope[1]", "lifetime") and np.isfinite(row.pull).all()


def test_an_interrupted_campaign_goes_on_after_its_last_toy(tmp_path: Path):
    path, asked = tmp_path / "toys.csv", []

    def job(seed: int) -> ToyFit:
        asked.append(seed)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return gaussian(seed)

    with pytest.raises(KeyboardInterrupt):
        run_toys(job, range(4), path)
    assert [row.seed for row in Campaign.from_csv(path.read_text()).rows] == [0, 1]
    found = run_toys(job, range(4), path)
    assert asked == [0, 1, 2, 2, 3]
    assert found == Campaign([gaussian(seed) for seed in range(4)]) and not list(tmp_path.glob("*.partial"))


def test_more_toys_are_added_to_a_finished_campaign(tmp_path: Path):
    run_toys(gaussian, range(2), tmp_path / "toys.csv")
    assert len(run_toys(gaussian, range(5), tmp_path / "toys.csv").rows) == 5


@pytest.mark.slow
def test_two_processes_make_the_same_rows(tmp_path: Path):
    alone = run_toys(decayed, range(4), tmp_path / "one.csv")
    both = run_toys(decayed, range(4), tmp_path / "two.csv", jobs=2)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes() and alone == both


def test_an_interrupted_fit_is_no_row():
    problem = toy()

    def stop(snapshot):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ToyFit.of(problem, fit(problem, callback=stop), TRUTH, 0)
    with pytest.raises(ValueError, match="lifetime"):
        ToyFit.of(problem, fit(problem), {"height": 5.0}, 0)
