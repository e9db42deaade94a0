"""Figures of a calibration as it runs, in raw Bokeh: pulls, residuals, how far there is to go."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import BoxAnnotation, ColumnDataSource, FactorRange, Range1d, Span, Whisker

from dptoolkit.inference.fit import by_stage
from dptoolkit.views.calibration import budget_section, calibration_report
from dptoolkit.views.live import parameter_colour, plain_figure, set_changed, steps_end
from dptoolkit.views.theme import themed, token

FARTHEST = 6.0
"""Pulls beyond this are drawn at the edge."""
LEAST_FALL, MOST_FALL = 1e-4, 1e8
"""Ends of the axis of what the loss is still expected to fall."""


class Pulls:
    """Distance of every parameter from its truth in standard errors, with a band of one."""

    def __init__(self) -> None:
        self.figure = plain_figure(
            "distance from the truth", "(value - truth) / standard error", "",
            x_range=Range1d(-FARTHEST, FARTHEST), y_range=FactorRange(),
        )  # fmt: skip
        band = BoxAnnotation(left=-1, right=1, fill_alpha=0.15, line_color=None)
        self.figure.add_layout(themed(band, fill_color=token("accent")))
        zero = Span(location=0, dimension="height", line_dash="dashed", line_width=1)
        self.figure.add_layout(themed(zero, line_color=token("mark")))
        self.source = ColumnDataSource({"name": [], "pull": [], "low": [], "high": [], "color": []})
        bars = Whisker(
            base="name", upper="high", lower="low", source=self.source, dimension="width", line_color="color",
            upper_head=None, lower_head=None, line_width=2,
        )  # fmt: skip
        self.figure.add_layout(bars)
        self.figure.scatter("pull", "name", source=self.source, size=9, color="color")

    def update(self, names: Sequence[str], pulls: Sequence[float]) -> None:
        """Show these pulls; nan is not drawn."""
        if list(self.figure.y_range.factors) != list(names)[::-1]:
            self.figure.y_range.factors = list(names)[::-1]
        drawn = np.clip(np.asarray(pulls, float), -FARTHEST, FARTHEST)
        self.source.data = {
            "name": list(names), "pull": drawn, "low": drawn - 1, "high": drawn + 1,
            "color": [parameter_colour(i) for i in range(len(names))],
        }  # fmt: skip


class ResidualCounts:
    """How often each difference of data and model occurs, with what noise alone would do."""

    def __init__(self, edges: np.ndarray):
        self.edges = edges
        self.figure = plain_figure(
            "differences of model and data", "(model - data) / standard deviation", "entries",
            x_range=Range1d(edges[0], edges[-1]), y_range=Range1d(0, 1),
        )  # fmt: skip
        self.bars = ColumnDataSource({"left": [], "right": [], "top": []})
        self.curve = ColumnDataSource({"x": [], "y": []})
        quads = self.figure.quad("left", "right", "top", bottom=0, source=self.bars, fill_alpha=0.5)
        themed(quads.glyph, fill_color=token("accent"), line_color=token("surface"))
        line = self.figure.line("x", "y", source=self.curve, line_width=2)
        themed(line.glyph, line_color=token("muted"))

    def update(self, counts: np.ndarray) -> None:
        """Show the entries of the bins, and a unit Gaussian with as many."""
        middle = (self.edges[1:] + self.edges[:-1]) / 2
        expected = counts.sum() * np.diff(self.edges) * np.exp(-(middle**2) / 2) / np.sqrt(2 * np.pi)
        self.bars.data = {"left": self.edges[:-1], "right": self.edges[1:], "top": counts}
        self.curve.data = {"x": middle, "y": expected}
        set_changed(self.figure.y_range, start=0, end=1.1 * max(counts.max(), expected.max(), 1.0))


class StillToFall:
    """By how much the method expects the loss to fall still, by step; its stages beside each other."""

    def __init__(self) -> None:
        self.figure = plain_figure(
            "how far the minimum is", "step", "loss still to fall",
            y_axis_type="log", y_range=Range1d(LEAST_FALL, 1e4),
        )  # fmt: skip
        one = Span(location=0.5, dimension="width", line_dash="dashed", line_width=1)
        self.figure.add_layout(themed(one, line_color=token("muted")))
        self.source = ColumnDataSource({"x": [], "y": []})
        for draw in (self.figure.line, self.figure.scatter):
            themed(draw("x", "y", source=self.source).glyph, line_color=token("accent"))

    def update(self, history: Sequence[Any]) -> None:
        """Show the points of a fit."""
        left = [float(np.clip(snapshot.expected_decrease, LEAST_FALL, MOST_FALL)) for snapshot in history]
        steps, falls = by_stage(history, left)
        self.source.data = {"x": steps, "y": falls}
        known = [fall for fall in falls if np.isfinite(fall)]
        set_changed(self.figure.y_range, start=LEAST_FALL / 2, end=10 * max([1.0, *known]))
        set_changed(self.figure.x_range, start=-0.5, end=steps_end([steps]))


def report_of(model: Any) -> str:
    """A self-contained page of the present point of a calibration; takes seconds."""
    prepared, result = model.prepared, model.result()
    if prepared is None or result is None:
        raise ValueError("there is no fit yet: wait for its first point")
    sections = [budget_section(what, budget) for what, budget in model.frame.seen.budgets]
    return calibration_report(prepared.problem, result, model.table(), model.facts(), sections)
