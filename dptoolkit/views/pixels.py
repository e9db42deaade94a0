"""Pixel planes: hits on the anode in their true size, the two drift views, and charge against time.

`across` and `up` run along the columns and the rows; what they are called, and where, says the grid.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from bokeh.events import Tap
from bokeh.models import ColumnDataSource, CustomJS, HoverTool, LinearColorMapper, Range1d
from bokeh.plotting import figure

from dptoolkit.events import Hits
from dptoolkit.views.theme import SEQUENTIAL, themed, token
from dptoolkit.views.wires import TOOLS, add_marks, color_bar, finish

SHOWN = 0.05
"""Hits of an expectation that are less probable than this are left out; the others fade with it."""

TAP_JS = """
document.dispatchEvent(new CustomEvent("dptoolkit:readout", {detail: {plane, group, x: cb_obj.x, y: cb_obj.y,
  width: Math.abs(x_range.end - x_range.start), height: Math.abs(y_range.end - y_range.start)}}));
"""
COLORS = {"charge": ("kiloelectrons", "ke⁻"), "time": ("time", "µs")}


@dataclass(frozen=True)
class PixelGrid:
    """Where the centres of columns and rows are [cm]; by default in the frame of a drift volume."""

    pitch: float
    n_columns: int
    n_rows: int
    names: tuple[str, str] = ("across", "up")
    middle: tuple[float, float] = (0.0, 0.0)
    sign: tuple[float, float] = (1.0, 1.0)
    """-1 where the coordinate falls as the column or row grows."""

    def across(self, column: np.ndarray) -> np.ndarray:
        """Centre of a column."""
        return self.middle[0] + self.sign[0] * (column - (self.n_columns - 1) / 2) * self.pitch

    def up(self, row: np.ndarray) -> np.ndarray:
        """Centre of a row."""
        return self.middle[1] + self.sign[1] * (row - (self.n_rows - 1) / 2) * self.pitch


def hit_columns(hits: Hits, grid: PixelGrid, volume: int, event: int = 0) -> dict[str, np.ndarray]:
    """Hits of a volume as columns: across, up [cm], time [us], kiloelectrons, probability, column, row."""
    pixels = np.asarray(hits.valid) & (np.asarray(hits.event) == event) & (np.asarray(hits.volume) == volume)
    probability = np.asarray(hits.probability) * pixels[:, None]
    pixel, number = np.nonzero(probability > SHOWN)
    order = np.argsort(np.asarray(hits.charge)[pixel, number], kind="stable")
    pixel, number = pixel[order], number[order]
    column, row = np.asarray(hits.column)[pixel], np.asarray(hits.row)[pixel]
    return {
        "across": grid.across(column).astype(np.float32),
        "up": grid.up(row).astype(np.float32),
        "time": np.asarray(hits.time, np.float32)[pixel, number],
        "kiloelectrons": (np.asarray(hits.charge)[pixel, number] / 1000).astype(np.float32),
        "probability": probability[pixel, number].astype(np.float32),
        "column": column.astype(np.int32),
        "row": row.astype(np.int32),
    }


def hit_source(hits: Hits, grid: PixelGrid, volume: int, event: int = 0) -> ColumnDataSource:
    """The hits as a source that several figures share: what is selected in one shows in all."""
    return ColumnDataSource(hit_columns(hits, grid, volume, event))


def pixel_plane(
    source: ColumnDataSource, grid: PixelGrid, volume: int, *, name: str = "pixels",
    color: Literal["charge", "time"] = "charge",
) -> figure:  # fmt: skip
    """The anode; a hit is as large as its pixel."""
    x, y = grid.names
    plot = _figure(f"{name}, {y} against {x}", f"{x} [cm]", f"{y} [cm]", source, ("across", "up"))
    plot.match_aspect = True
    size = {"width": grid.pitch, "height": grid.pitch}
    return _with_hits(plot, source, ("across", "up"), size, color, f"{name}:front", volume)


def pixel_drift_view(
    source: ColumnDataSource, grid: PixelGrid, volume: int, *, name: str = "pixels",
    axis: Literal["across", "up"] = "across", time_height: float = 1.0,
    color: Literal["charge", "time"] = "charge",
) -> figure:  # fmt: skip
    """Arrival time against position; `time_height` [us] is the height of a hit."""
    x = grid.names[0 if axis == "across" else 1]
    plot = _figure(f"{name}, time against {x}", f"{x} [cm]", "time [µs]", source, (axis, "time"))
    size = {"width": grid.pitch, "height": time_height}
    return _with_hits(plot, source, (axis, "time"), size, color, f"{name}:{axis}", volume)


def charge_against_time(source: ColumnDataSource, name: str = "pixels") -> figure:
    """Charge of the hits against their time."""
    plot = _figure(
        f"{name}, charge against time", "time [µs]", "charge [ke⁻]", source, ("time", "kiloelectrons")
    )
    dots = plot.scatter("time", "kiloelectrons", source=source, size=4, alpha=0.55, line_width=0)
    themed(dots.glyph, fill_color=token("accent"))
    plot.add_tools(_hover())
    return finish(plot)


def _figure(
    title: str, x_label: str, y_label: str, source: ColumnDataSource, axes: tuple[str, str]
) -> figure:
    x_range, y_range = (_range(source.data[axis]) for axis in axes)
    return figure(
        title=title, x_axis_label=x_label, y_axis_label=y_label, x_range=x_range, y_range=y_range,
        tools=TOOLS, active_scroll="wheel_zoom", sizing_mode="stretch_both", min_height=150,
    )  # fmt: skip


def _with_hits(
    plot: figure, source: ColumnDataSource, axes: tuple[str, str], size: dict[str, float], color: str,
    name: str, volume: int,
) -> figure:  # fmt: skip
    column, unit = COLORS[color]
    values = np.asarray(source.data[column], float)
    low, high = (0.0, 1.0) if len(values) == 0 else (float(values.min()), float(np.quantile(values, 0.98)))
    visible = {theme: colors[40:] for theme, colors in SEQUENTIAL.items()}
    mapper = LinearColorMapper(low=0.0 if color == "charge" else low, high=max(high, low + 1e-6))
    themed(mapper, palette=visible)
    rectangles = plot.rect(
        *axes, **size, source=source, line_width=0, fill_alpha="probability",
        fill_color={"field": column, "transform": mapper},
    )  # fmt: skip
    plot.add_layout(color_bar(mapper, 1.0, unit), "right")
    hover = _hover()
    hover.renderers = [rectangles]
    plot.add_tools(hover)
    add_marks(plot, name, volume)
    ranges = {"x_range": plot.x_range, "y_range": plot.y_range}
    plot.js_on_event(Tap, CustomJS(args={"plane": name, "group": volume, **ranges}, code=TAP_JS))
    return finish(plot)


def _hover() -> HoverTool:
    return HoverTool(
        tooltips=[
            ("pixel", "column @column, row @row"),
            ("time", "@time{0.0} µs"),
            ("charge", "@kiloelectrons{0.00} ke⁻"),
            ("probability", "@probability{0.00}"),
        ]
    )


def _range(values: np.ndarray) -> Range1d:
    if len(values) == 0:
        return Range1d(0, 1)
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low) + 0.5
    return Range1d(low - margin, high + margin)
