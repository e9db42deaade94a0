"""Figures of landscapes: what they say is what was computed."""

import holoviews as hv
import numpy as np
import pytest

from dptoolkit.inference import SquaredDifference, fit, landscape, profile, whitened
from dptoolkit.inference.landscape import Axis
from dptoolkit.views.elements import draw
from dptoolkit.views.export import save_png
from dptoolkit.views.landscape import axis_label, descent_path, landscape_map, landscape_scan, profile_curve
from dptoolkit.views.theme import apply
from tests.inference.decay import TRUTH, toy
from tests.views.test_export import needs_browser

NAMES = ("height", "lifetime")


@pytest.fixture(scope="module")
def fitted():
    problem = toy()
    return problem, fit(problem)


def labels(plot) -> list[str]:
    return [item.label.value for item in plot.legend[0].items]


def test_axes_carry_name_symbol_and_unit():
    make = lambda name, symbol, unit: axis_label(Axis(name, symbol, unit, np.zeros(1)))  # noqa: E731
    assert make("drift.lifetime", "tau_e", "us") == "lifetime τₑ [µs]"
    assert make("diffusion.longitudinal", "D_L", "cm2/us") == "longitudinal Dʟ [cm²/µs]"
    assert make("recombination.a", "A", "1") == "recombination A"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_map_names_truth_estimate_errors_and_every_method(theme, fitted):
    problem, result = fitted
    found = landscape(problem, NAMES, at=result.estimate, n=5)
    ways = {name: fit(problem, method=name, max_steps=5) for name in ("gauss-newton", "adam")}
    plot = draw(landscape_map(found, descents=ways, truth=TRUTH, estimate=result.estimate))
    apply(plot, theme)
    assert labels(plot) == ["1σ and 2σ", "gauss-newton", "adam", "estimate", "truth"]
    assert plot.yaxis[0].axis_label == "lifetime [µs]"


def test_a_descent_goes_over_the_map_step_by_step(fitted):
    problem, result = fitted
    found = landscape(problem, NAMES, at=result.estimate, n=5)
    way = descent_path(found, result, "gauss-newton")
    curve = next(part for part in way if isinstance(part, hv.Curve))
    steps = np.column_stack([curve.dimension_values(i) for i in (0, 1)])
    np.testing.assert_array_equal(steps, found.descent(result))
    assert curve.vdims[0].unit == "µs"


def test_a_whitened_map_is_square(fitted):
    problem, result = fitted
    plot = draw(landscape_map(whitened(problem, NAMES, at=result.estimate, n=5)))
    assert plot.frame_width == plot.frame_height
    assert (plot.x_range.start, plot.x_range.end) == (plot.y_range.start, plot.y_range.end)


def test_a_map_of_a_loss_without_errors_has_no_ellipse(fitted):
    problem, result = fitted
    found = landscape(problem.with_loss(SquaredDifference()), NAMES, at=result.estimate, n=5)
    plot = draw(landscape_map(found))
    assert not any(legend.items for legend in plot.legend)


def test_a_profile_quotes_its_interval(fitted):
    problem, result = fitted
    found = profile(problem, "lifetime", at=result.estimate, n=7)
    title = draw(profile_curve(found, truth=TRUTH["lifetime"])).title.text
    low, high = found.interval()
    # data without noise: the estimate is the truth
    assert title.startswith("lifetime = 11.0") and f"+{high - 11:.2f}  −{11 - low:.2f} µs" in title


@pytest.mark.browser
@needs_browser
def test_a_scan_is_drawn(fitted, tmp_path):
    problem, result = fitted
    scan = landscape(problem, ["height"], at=result.estimate, n=7)
    plot = landscape_scan(scan, truth=TRUTH, estimate=result.estimate)
    assert {"loss", "Fisher", "truth", "estimate"} == set(labels(draw(plot)))
    assert save_png(plot, tmp_path / "scan.png", width=640, height=400).stat().st_size > 10_000
