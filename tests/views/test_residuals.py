"""Data over model along the drift: medians with their errors."""

import numpy as np
import pytest

from dptoolkit.views.report import report_page
from dptoolkit.views.residuals import BINS, profile, residual_sections


def test_medians_follow_the_drift_within_their_errors() -> None:
    rng = np.random.default_rng(0)
    distance = rng.uniform(0, 20, 4000)
    values = 1 + 0.01 * distance + 0.1 * rng.normal(size=4000)
    middle, median, error = profile(distance, values)
    assert len(middle) == BINS and np.abs((median - 1 - 0.01 * middle) / error).max() < 4
    assert error.mean() == pytest.approx(1.25 * 0.1 / np.sqrt(400), rel=0.15)


@pytest.mark.parametrize("n", [0, 2, 300])
def test_a_page_is_made_of_any_number_of_pads(n: int) -> None:
    rng = np.random.default_rng(1)
    sections = residual_sections(rng.uniform(0, 20, n), rng.normal(1, 0.1, n), rng.normal(0, 0.3, n))
    page = report_page("Calibration", sections)
    assert f"{n} pads" in page and "drift distance" in page
