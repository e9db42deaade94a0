"""Figures of a running calibration: what they show is what they were given."""

from types import SimpleNamespace

import numpy as np
import pytest

from dptoolkit.inference.information import Budget
from dptoolkit.views.live_calibration import FARTHEST, LEAST_FALL, Pulls, ResidualCounts, StillToFall
from dptoolkit.views.tables import budget_table


def point(step, stage, left):
    return SimpleNamespace(step=step, stage=stage, expected_decrease=left)


def test_pulls_far_away_lie_at_the_edge_with_bars_of_one_standard_error():
    drawn = Pulls()
    drawn.update(["a", "k", "tau"], [0.5, -40.0, np.nan])
    pulls = drawn.source.data["pull"]
    assert list(pulls[:2]) == [0.5, -FARTHEST] and np.isnan(pulls[2])
    assert list(drawn.source.data["high"][:2]) == [1.5, 1 - FARTHEST]
    assert list(drawn.figure.y_range.factors) == ["tau", "k", "a"], "the first is at the top"


def test_the_gaussian_beside_the_residuals_has_as_many_entries():
    edges = np.linspace(-5, 5, 41)
    drawn = ResidualCounts(edges)
    counts, _ = np.histogram(np.random.default_rng(1).normal(size=10_000), edges)
    drawn.update(counts)
    assert drawn.curve.data["y"].sum() == pytest.approx(counts.sum(), rel=1e-3)
    assert np.abs(drawn.curve.data["y"] - counts).max() < 5 * np.sqrt(counts.max())
    assert drawn.figure.y_range.end > counts.max()


def test_stages_are_apart_and_what_is_not_known_is_not_drawn():
    drawn = StillToFall()
    drawn.update([point(0, 0, 1e5), point(1, 1, 20.0), point(2, 1, 1e-9), point(3, 1, np.nan)])
    falls = drawn.source.data["y"]
    assert np.isnan(falls[1]) and falls[2] == 20.0 and falls[3] == LEAST_FALL and np.isnan(falls[4])
    assert drawn.figure.y_range.end > 1e5


def test_the_budget_marks_the_class_that_helps_most():
    budget = Budget(
        names=("detector.drift.lifetime",), errors=np.array([2.0]), labels=("steep", "flat"), batches=(1, 3),
        alone=np.array([[6.0], [np.inf]]), without=np.array([[np.inf], [6.0]]),
        after_one_more=np.array([[1.5], [1.9]]),
    )  # fmt: skip
    table = budget_table("angle", budget, ["tau_e"])
    assert "<b>3.0</b>" in table and "<td>∞</td>" in table and "τₑ" in table
