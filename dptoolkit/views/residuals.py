"""Channels of a calibration against their predictions, along the drift."""

import holoviews as hv
import numpy as np

from dptoolkit.views.elements import inked, quantity, styled
from dptoolkit.views.report import Section

BINS = 10
"""Of the drift distance."""
MEDIAN = "#d62728"
"""Colour of the medians."""


def residual_sections(
    distance: np.ndarray, charge: np.ndarray, time: np.ndarray, channels: str = "pads"
) -> list[Section]:
    """Sections of a report; a number a channel, which are called by this name.

    `distance`: drift distance [cm]; `charge`: measured over predicted; `time`: measured - predicted [us].
    """
    shown = f"{len(distance)} {channels}: a point each, and the median with its error in {BINS} bins."
    ratio, late = quantity("charge, data / model"), quantity("time, data - model", "us")
    return [
        Section(
            "Charge along the drift",
            f"{shown} A slope is a lifetime that does not fit. The spread is that of the energy loss, which "
            f"leans to large values: medians lie some per cent above what is typical.",
            figure=along_drift(distance, charge, ratio, 1.0, (0.4, 2.2)),
        ),
        Section(
            "Time along the drift",
            f"{shown} A slope is a drift velocity that does not fit.",
            figure=along_drift(distance, time, late, 0.0, (-2.0, 2.0)),
        ),
    ]


def along_drift(
    distance: np.ndarray, values: np.ndarray, what: hv.Dimension, expected: float, span: tuple[float, float]
) -> hv.Overlay:
    """Values against drift distance [cm], with medians; what lies outside `span` is drawn at its edge."""
    x = quantity("drift distance", "cm")
    middle, median, error = profile(distance, values)
    ink = inked(fill_color="accent", line_color="accent")
    parts = [
        styled(hv.Points((distance, np.clip(values, *span)), [x, what]), size=3, alpha=0.35, hooks=[ink]),
        styled(hv.HLine(expected), line_dash="dashed", line_width=1, color="gray"),
        styled(hv.ErrorBars((middle, median, error), x, [what, "error"]), line_color=MEDIAN),
        styled(hv.Points((middle, median), [x, what]), size=8, color=MEDIAN),
    ]
    return styled(hv.Overlay(parts), ylim=span, xlabel=x.pprint_label, ylabel=what.pprint_label)


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
