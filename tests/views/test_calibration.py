"""Elements of fits and of campaigns."""

import numpy as np

from dptoolkit.inference import Campaign, fit
from dptoolkit.views.calibration import convergence, correlation, parameter_path, residuals
from dptoolkit.views.campaign import pull_histograms
from dptoolkit.views.elements import draw
from tests.inference.decay import toy
from tests.inference.test_campaign import gaussian


def test_a_correlation_matrix_shows_every_number_the_first_at_the_top_left():
    matrix = np.array([[1.0, -0.7, np.nan], [-0.7, 1.0, 0.2], [np.nan, 0.2, 1.0]])
    found = correlation(["a", "b", "c"], matrix)
    assert found.HeatMap.I["a", "b"] == -0.7
    figure = draw(found)
    texts = [text for part in figure.renderers for text in part.data_source.data.get("text", ())]
    assert sorted(texts) == sorted(["+1.00"] * 3 + ["-0.70"] * 2 + ["+0.20"] * 2 + ["+0.00"] * 2)
    # Bokeh draws the first factor at the start of its axis
    assert list(figure.x_range.factors) == ["a", "b", "c"] and list(figure.y_range.factors) == ["c", "b", "a"]


def test_figures_of_a_fit_are_drawn_of_its_steps():
    problem = toy()
    result = fit(problem)
    steps = convergence(result).Curve.I.dimension_values("step")
    assert len(steps) == len(result.history)
    path = parameter_path([3.0, 2.0, 1.5], "lifetime [µs]", truth=1.4)
    np.testing.assert_array_equal(path.Curve.I.dimension_values("value"), [3.0, 2.0, 1.5])
    assert draw(path).yaxis[0].axis_label == "lifetime [µs]"
    counted = residuals(problem, result).Histogram.I.dimension_values("entries")
    values = problem.residuals(problem.start + result.history[-1].z)
    assert counted.sum() == np.count_nonzero(values)


def test_pulls_of_all_parameters_stand_side_by_side():
    campaign = Campaign([gaussian(seed) for seed in range(50)])
    layout = pull_histograms(campaign)
    assert [cell[1:] for cell in draw(layout).children] == [(0, i) for i in range(len(campaign.names))]
    first = next(iter(layout))
    assert first.Histogram.I.dimension_values("toys").sum() == 50
