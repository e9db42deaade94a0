"""Hits of a calibration against their predictions, along the drift."""

from typing import Any

import numpy as np
from bokeh.layouts import row
from bokeh.models import Span, Whisker
from bokeh.models.sources import ColumnDataSource
from bokeh.plotting import figure

from dptoolkit.views.report import Section

BINS = 10
"""Of the drift distance."""


def residual_sections(distance: np.ndarray, charge: np.ndarray, time: np.ndarray) -> list[Section]:
    """A section for a report; a number a hit.

    `distance`: drift distance [cm]; `charge`: measured over predicted; `time`: measured - predicted [us].
    """
    text = (
        f"{len(distance)} hits: a point each, and the median with its error in {BINS} bins. A slope of the "
        "charge is a lifetime that does not fit, one of the time a velocity; the spread of the charge is "
        "that of the energy loss."
    )
    plots = row(
        along_drift(distance, charge, "charge, data / model", 1.0, (0.4, 2.2)),
        along_drift(distance, time, "time, data - model [us]", 0.0, (-2.0, 2.0)),
        sizing_mode="stretch_both",
    )
    return [Section("Data and model along the drift", text, figure=plots)]


def along_drift(
    distance: np.ndarray, values: np.ndarray, label: str, expected: float, span: tuple[float, float]
) -> Any:
    """Values against drift distance [cm], with medians; what lies outside `span` is drawn at its edge."""
    plot = figure(
        x_axis_label="drift distance [cm]", y_axis_label=label, y_range=span, sizing_mode="stretch_both"
    )
    plot.scatter(distance, np.clip(values, *span), size=3, alpha=0.35)
    middle, median, error = profile(distance, values)
    source = ColumnDataSource({"x": middle, "y": median, "low": median - error, "high": median + error})
    plot.scatter("x", "y", source=source, size=8, color="#d62728")
    plot.add_layout(Whisker(base="x", lower="low", upper="high", source=source, line_color="#d62728"))
    plot.add_layout(Span(location=expected, dimension="width", line_dash="dashed", line_color="gray"))
    return plot


def profile(distance: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(middle [cm], median, its error) in bins that hold at least three values."""
    if len(distance) == 0:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    edges = np.linspace(distance.min(), distance.max() + 1e-9, BINS + 1)
    which = np.digitize(distance, edges) - 1
    rows = []
    for number in range(BINS):
        here = values[which == number]
        if len(here) >= 3:
            low, middle, high = np.quantile(here, [0.16, 0.5, 0.84])
            # the median of a Gaussian is known to 1.25 sigma / sqrt(n)
            rows.append(
                (
                    (edges[number] + edges[number + 1]) / 2,
                    middle,
                    1.25 * (high - low) / 2 / np.sqrt(len(here)),
                )
            )
    return tuple(np.array(rows).reshape(-1, 3).T)  # type: ignore[return-value]
