"""Figures of a fit as it runs, in raw Bokeh: each has one writer of its data and axes with explicit ends.

They show what they are given by `update`; nothing here knows how a fit runs.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import ColorBar, ColumnDataSource, LinearColorMapper, Range1d, Span
from bokeh.plotting import figure

from dptoolkit.views.theme import CATEGORIES, DIVERGING, SEQUENTIAL, themed, token

METHOD_COLOURS = (CATEGORIES[1], CATEGORIES[0])
"""Of the first and the second method."""
LEAST_RISE, MOST_RISE = 1e-2, 1e8
"""Ends of the axis of losses above the minimum."""
FIRST_STEPS = 20
"""The axis of steps begins with so many, and grows by half when they are reached."""
RESIDUAL = 0.25
"""Colours of a residual saturate at this part of those of the data."""


def plain_figure(title: str, x: str, y: str, **options: Any) -> figure:
    """A figure that fills its place, without a toolbar, with ranges of its own."""
    ranges = {"x_range": Range1d(0, 1), "y_range": Range1d(0, 1)}
    drawn = figure(
        title=title, toolbar_location=None, tools="", sizing_mode="stretch_both", min_border=4,
        **{**ranges, **options},
    )  # fmt: skip
    drawn.xaxis.axis_label, drawn.yaxis.axis_label = x, y
    drawn.axis.axis_label_text_font_style = "normal"
    drawn.axis.axis_label_standoff = 3
    drawn.axis.minor_tick_line_color = None
    drawn.title.text_font_size = "13px"
    drawn.grid.grid_line_alpha = 0.5
    return drawn


class PlaneImages:
    """Data, prediction and their difference in one plane, channel against time, side by side."""

    def __init__(self) -> None:
        ends = {"x_range": Range1d(0, 1), "y_range": Range1d(0, 1)}
        self.ranges = tuple(ends.values())
        self.source = ColumnDataSource(_no_image())
        self.mappers, self.figures = [], []
        for name, palette in (("data", SEQUENTIAL), ("prediction", SEQUENTIAL), ("residual", DIVERGING)):
            drawn = plain_figure(name, "channel", "time [µs]" if name == "data" else "", **ends)
            drawn.grid.visible = False
            drawn.xaxis.ticker.desired_num_ticks = 4
            mapper = themed(LinearColorMapper(palette=palette["light"], low=0, high=1), palette=palette)
            drawn.image(name, "x", "y", "dw", "dh", source=self.source, color_mapper=mapper)
            bar = ColorBar(
                color_mapper=mapper, width=8, padding=2, label_standoff=4, title_text_font_style="normal"
            )
            drawn.add_layout(bar, "right")
            self.mappers.append(mapper)
            self.figures.append(drawn)
        self.figures[2].title.text = "prediction − data"

    def update(self, seen: Any) -> None:
        """Show data and prediction of a point."""
        window, period = seen.window, seen.tick_period
        left, bottom = window.channel0 - 0.5, (window.tick0 - 0.5) * period
        rows, columns = seen.data.shape
        top = max(float(np.abs(seen.data).max()), 1e-9)
        low = -top if float(seen.data.min()) < -0.3 * top else 0.0
        limits = [(low, top), (low, top), (-RESIDUAL * top, RESIDUAL * top)]
        for drawn, mapper, (least, most) in zip(self.figures, self.mappers, limits, strict=True):
            set_changed(mapper, low=least, high=most)
            drawn.right[0].title = seen.unit
        set_changed(self.ranges[0], start=left, end=left + columns)
        set_changed(self.ranges[1], start=bottom, end=bottom + rows * period)
        self.source.data = {
            "data": [seen.data], "prediction": [seen.predicted], "residual": [seen.predicted - seen.data],
            "x": [left], "y": [bottom], "dw": [columns], "dh": [rows * period],
        }  # fmt: skip


class WaveformRace:
    """The data of one channel, and what each method predicts there."""

    def __init__(self) -> None:
        self.figure = plain_figure("", "time [µs]", "signal")
        self.data = ColumnDataSource({"x": [], "y": []})
        self.predicted = ColumnDataSource({"x": [], "y": [], "color": [], "dash": []})
        dots = self.figure.scatter("x", "y", source=self.data, size=4, legend_label="data")
        themed(dots.glyph, fill_color=token("muted"), line_color=token("muted"))
        self.figure.multi_line(
            "x", "y", source=self.predicted, line_color="color", line_dash="dash", line_width=2
        )
        self.figure.legend.visible = False

    def update(self, points: Sequence[Any]) -> None:
        """Show the point of every method; None has none to show."""
        marks = [
            (one, colour, dash)
            for one, colour, dash in zip(points, METHOD_COLOURS, ("solid", "dashed"), strict=False)
            if one is not None
        ]
        seen = [one for one, _, _ in marks]
        first = seen[0]
        column = first.channel - first.window.channel0
        time = (first.window.tick0 + np.arange(len(first.data))) * first.tick_period
        curves = [(one, (one.window.tick0 + np.arange(len(one.data))) * one.tick_period) for one in seen]
        signals = [one.predicted[:, one.channel - one.window.channel0] for one, _ in curves]
        self.data.data = {"x": time, "y": first.data[:, column]}
        self.predicted.data = {
            "x": [times for _, times in curves],
            "y": signals,
            "color": [colour for _, colour, _ in marks],
            "dash": [dash for _, _, dash in marks],
        }
        low, high = float(first.data[:, column].min()), float(first.data[:, column].max())
        margin = 0.15 * (high - low) or 1.0  # a prediction inside it moves no axis
        highest = max(high + margin, *(float(values.max()) for values in signals))
        lowest = min(low - margin, *(float(values.min()) for values in signals))
        set_changed(self.figure.x_range, start=time[0], end=time[-1])
        set_changed(self.figure.y_range, start=lowest, end=highest)
        self.figure.title.text = f"channel {first.channel}: data (dots) and predictions"
        self.figure.yaxis.axis_label = f"signal [{first.unit}]"


class LossRace:
    """How far each loss lies above its minimum, by step."""

    def __init__(self) -> None:
        self.figure = plain_figure(
            "loss above the minimum", "step", "Δ loss", y_axis_type="log", y_range=Range1d(LEAST_RISE, 1e4)
        )
        one = Span(location=0.5, dimension="width", line_dash="dashed", line_width=1)
        self.figure.add_layout(themed(one, line_color=token("muted")))
        self.sources = []
        for colour in METHOD_COLOURS:
            source = ColumnDataSource({"x": [], "y": []})
            self.figure.line("x", "y", source=source, line_color=colour, line_width=2)
            self.figure.scatter("x", "y", source=source, fill_color=colour, line_color=None, size=5)
            self.sources.append(source)

    def update(self, curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        """Show (steps, losses above the minimum) of every method."""
        most = LEAST_RISE * 100
        for source, (steps, heights) in zip(self.sources, [*curves, *[_EMPTY] * 2], strict=False):
            heights = np.where(np.isnan(heights), np.nan, np.clip(heights, LEAST_RISE, MOST_RISE))
            source.data = {"x": steps, "y": heights}
            most = max(most, *heights[np.isfinite(heights)], 0)
        set_changed(self.figure.y_range, start=LEAST_RISE / 2, end=10.0 ** np.ceil(np.log10(2 * most)))
        set_changed(self.figure.x_range, start=-0.5, end=steps_end([steps for steps, _ in curves]))


class ParameterWays:
    """Every parameter by step, as a part of the range of its values; 0 is the truth."""

    def __init__(self) -> None:
        self.figure = plain_figure(
            "distance from the truth", "step", "part of the range", y_range=Range1d(-0.7, 0.7)
        )
        zero = Span(location=0, dimension="width", line_dash="dashed", line_width=1)
        self.figure.add_layout(themed(zero, line_color=token("mark")))
        self.source = ColumnDataSource({"x": [], "y": [], "color": [], "dash": []})
        self.figure.multi_line(
            "x", "y", source=self.source, line_color="color", line_dash="dash", line_width=2
        )

    def update(self, ways: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        """Show (steps, distances (steps, k)) of every method."""
        columns: dict[str, list[Any]] = {"x": [], "y": [], "color": [], "dash": []}
        largest = 0.1
        for (steps, distances), dash in zip(ways, ("solid", "dashed"), strict=False):
            for i in range(distances.shape[1] if len(steps) else 0):
                largest = max(largest, float(np.abs(distances[:, i]).max()))
                colour = parameter_colour(i)
                for name, value in zip(columns, (steps, distances[:, i], colour, dash), strict=True):
                    columns[name].append(value)
        self.source.data = columns
        reach = np.ceil(10 * 1.05 * largest) / 10
        set_changed(self.figure.y_range, start=-reach, end=reach)
        set_changed(self.figure.x_range, start=-0.5, end=steps_end([steps for steps, _ in ways]))


def parameter_colour(i: int) -> str:
    """The colour of parameter `i`."""
    return CATEGORIES[(i + 2) % len(CATEGORIES)]


_EMPTY = (np.zeros(0), np.zeros(0))


def _no_image() -> dict[str, list[Any]]:
    blank = np.zeros((1, 1), np.float32)
    names = ("x", "y", "dw", "dh")
    return {"data": [blank], "prediction": [blank], "residual": [blank], **{name: [0] for name in names}}


def steps_end(steps: Sequence[np.ndarray]) -> float:
    """End of an axis that need not change with every step."""
    last = max((float(np.nanmax(one)) for one in steps if len(one)), default=0.0)
    end = float(FIRST_STEPS)
    while end < last:
        end = float(np.ceil(1.5 * end))
    return end + 0.5


def set_changed(model: Any, **values: Any) -> None:
    """Set what differs: an assignment of the same number would be sent again."""
    changed = {name: float(value) for name, value in values.items() if getattr(model, name) != float(value)}
    if changed:
        model.update(**changed)
