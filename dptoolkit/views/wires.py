"""Wire planes: channel against time, and the waveform of a chosen channel.

Tapping an image moves its cursor; the cursor draws the waveform, in the browser.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from bokeh.events import Tap
from bokeh.models import (
    BasicTicker,
    ColorBar,
    ColumnDataSource,
    CustomJS,
    CustomJSHover,
    CustomJSTickFormatter,
    HoverTool,
    LinearColorMapper,
    Range1d,
    Span,
)
from bokeh.plotting import figure

from dptoolkit.events import Waveforms
from dptoolkit.views.assemble import Image, Window, embedded
from dptoolkit.views.theme import DIVERGING, SEQUENTIAL, themed, token

TOOLS = "pan,box_zoom,wheel_zoom,reset,save"
BIPOLAR = 0.3
"""A plane whose lowest sample is below this share of its highest, negated, shows induction."""

TAP_JS = """
cursor.location = Math.floor(cb_obj.x) + 0.5;
document.dispatchEvent(new CustomEvent("dptoolkit:readout", {detail: {
  plane, group, x: cb_obj.x, y: cb_obj.y,
  width: Math.abs(plot.x_range.end - plot.x_range.start),
  height: Math.abs(plot.y_range.end - plot.y_range.start)}}));
"""

WAVEFORM_JS = """
const image = source.data.image[0];
const columns = image.shape[1], rows = image.shape[0];
const bin = Math.floor((cursor.location - channel0) / per_bin);
if (bin < 0 || bin >= columns) return;
const time = new Float64Array(rows), signal = new Float64Array(rows);
let low = 0, high = 0;
for (let row = 0; row < rows; row++) {
  time[row] = time0 + (row + 0.5) * time_step;
  signal[row] = image[row * columns + bin] * unit_step;
  low = Math.min(low, signal[row]);
  high = Math.max(high, signal[row]);
}
for (const other of others) other.visible = false;
cursor.visible = true;
wave.data = {time, signal};
const margin = 0.08 * (high - low) || 1;
y_range.setv({start: low - margin, end: high + margin});
title.text = `plane ${plane}, channel ${Math.floor(cursor.location)}`;
"""


@dataclass(frozen=True)
class WirePlaneFigure:
    """A wire plane of one drift volume; `cursor` marks the chosen channel."""

    figure: figure
    image: Image
    source: ColumnDataSource
    cursor: Span
    name: str
    tick_period: float
    unit: str

    @property
    def strongest_channel(self) -> int:
        """Channel with the largest sample."""
        column = np.abs(self.image.values.astype(np.int32)).max(axis=0).argmax()
        return int(self.image.channel0 + column * self.image.channels_per_bin)


def wire_plane(
    waveforms: Waveforms,
    group: int,
    event: int = 0,
    *,
    name: str = "",
    window: Window | None = None,
    limit: float | None = None,
) -> WirePlaneFigure:
    """Signals of one plane and volume; colours saturate at `limit`, by default that of the strong signals."""
    image = embedded(waveforms, group, event, window)
    n_time, n_channel = image.values.shape
    channel1 = image.channel0 + n_channel * image.channels_per_bin
    time0 = image.tick0 * waveforms.tick_period
    time1 = time0 + n_time * image.ticks_per_bin * waveforms.tick_period
    plot = figure(
        title=f"plane {name}",
        x_axis_label="channel",
        y_axis_label="time [µs]",
        x_range=Range1d(image.channel0, channel1),
        y_range=Range1d(time0, time1),
        tools=TOOLS,
        active_scroll="wheel_zoom",
        sizing_mode="stretch_both",
        min_height=150,
        name=f"plane-{name}-{group}",
    )
    source = ColumnDataSource(
        {
            "image": [image.values],
            "x": [image.channel0],
            "y": [time0],
            "dw": [channel1 - image.channel0],
            "dh": [time1 - time0],
        }
    )
    mapper = color_mapper(image, limit)
    renderer = plot.image("image", "x", "y", "dw", "dh", source=source, color_mapper=mapper)
    plot.add_layout(color_bar(mapper, image.unit_step, waveforms.unit), "right")
    value = CustomJSHover(code=f"return (value * {image.unit_step}).toPrecision(4)")
    plot.add_tools(
        HoverTool(
            renderers=[renderer],
            tooltips=[("channel", "$x{0}"), ("time", "$y{0.0} µs"), (waveforms.unit, "@image{custom}")],
            formatters={"@image": value},
        )
    )
    cursor = Span(location=image.channel0, dimension="height", line_dash="dashed", visible=False)
    plot.add_layout(themed(cursor, line_color=token("accent")))
    add_marks(plot, name, group)
    plot.js_on_event(
        Tap,
        CustomJS(
            args={
                "cursor": cursor,
                "plane": name,
                "group": group,
                "plot": plot,
            },
            code=TAP_JS,
        ),
    )
    return WirePlaneFigure(finish(plot), image, source, cursor, name, waveforms.tick_period, waveforms.unit)


def share_time(planes: Sequence[WirePlaneFigure]) -> None:
    """Give all planes one time axis, so that they move together."""
    ranges = [plane.figure.y_range for plane in planes]
    common = Range1d(min(r.start for r in ranges), max(r.end for r in ranges))
    for plane in planes:
        plane.figure.y_range = common


def waveform_figure(planes: Sequence[WirePlaneFigure]) -> figure:
    """The waveform of the channel last tapped in one of `planes`; first the strongest of the last plane."""
    last = planes[-1]
    channel = last.strongest_channel
    column = (channel - last.image.channel0) // last.image.channels_per_bin
    signal = last.image.values[:, column] * last.image.unit_step
    margin = 0.08 * (max(signal.max(), 0) - min(signal.min(), 0)) or 1.0
    source = ColumnDataSource({"time": _times(last), "signal": signal})
    plot = figure(
        title=f"plane {last.name}, channel {channel}",
        x_axis_label="time [µs]",
        y_axis_label=f"signal [{last.unit}]",
        x_range=last.figure.y_range,
        y_range=Range1d(float(min(signal.min(), 0)) - margin, float(max(signal.max(), 0)) + margin),
        tools=TOOLS,
        active_scroll="wheel_zoom",
        sizing_mode="stretch_both",
        min_height=150,
        name="waveform",
    )
    line = plot.step("time", "signal", source=source, mode="center", line_width=1.5)
    themed(line.glyph, line_color=token("accent"))
    plot.add_tools(
        HoverTool(tooltips=[("time", "@time{0.0} µs"), (last.unit, "@signal{0.00}")], mode="vline")
    )
    for plane in planes:
        others = [other.cursor for other in planes if other is not plane]
        plane.cursor.js_on_change("location", _draw_waveform(plane, source, plot, others))
    last.cursor.update(location=channel + 0.5, visible=True)
    return finish(plot)


def color_mapper(image: Image, limit: float | None = None) -> LinearColorMapper:
    """Symmetric and diverging for signals of both signs, else sequential from zero."""
    values = image.values[image.values != 0].astype(float)
    high, low = values.max(initial=0.0), values.min(initial=0.0)
    strong = np.abs(values[np.abs(values) > 0.02 * max(high, -low)])
    top = limit / image.unit_step if limit else float(np.quantile(strong, 0.98)) if len(strong) else 1.0
    if -low > BIPOLAR * high:
        return themed(LinearColorMapper(low=-top, high=top, palette=DIVERGING["light"]), palette=DIVERGING)
    return themed(LinearColorMapper(low=0, high=top, palette=SEQUENTIAL["light"]), palette=SEQUENTIAL)


def color_bar(mapper: LinearColorMapper, step: float, unit: str) -> ColorBar:
    """A slim colour bar whose numbers are in `unit`."""
    formatter = CustomJSTickFormatter(code=f"return parseFloat((tick * {step}).toPrecision(3)).toString()")
    return ColorBar(
        color_mapper=mapper, width=8, padding=2, formatter=formatter, title=unit,
        ticker=BasicTicker(desired_num_ticks=5), title_text_font_style="normal",
    )  # fmt: skip


def add_marks(plot: figure, plane: str, group: int) -> None:
    """An empty set of circles, filled where selected segments are expected; see `views.link`."""
    source = ColumnDataSource({"x": [], "y": []}, tags=[f"marks:{plane}/{group}"])
    circles = plot.scatter("x", "y", source=source, size=11, fill_alpha=0, line_width=2, level="overlay")
    themed(circles.glyph, line_color=token("mark"))


def finish(plot: figure) -> figure:
    """The small things that all figures share."""
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.grid.grid_line_alpha = 0.5
    plot.axis.minor_tick_line_color = None
    plot.axis.axis_label_text_font_style = "normal"
    plot.axis.axis_label_standoff = 3
    plot.title.text_font_size = "13px"
    return plot


def _times(plane: WirePlaneFigure) -> np.ndarray:
    bins = np.arange(plane.image.values.shape[0]) + 0.5
    return (plane.image.tick0 + bins * plane.image.ticks_per_bin) * plane.tick_period


def _draw_waveform(
    plane: WirePlaneFigure, wave: ColumnDataSource, plot: figure, others: list[Span]
) -> CustomJS:
    image = plane.image
    numbers = {
        "channel0": image.channel0,
        "per_bin": image.channels_per_bin,
        "time0": image.tick0 * plane.tick_period,
        "time_step": image.ticks_per_bin * plane.tick_period,
        "unit_step": image.unit_step,
        "plane": plane.name,
    }
    models = {
        "source": plane.source,
        "cursor": plane.cursor,
        "wave": wave,
        "others": others,
        "y_range": plot.y_range,
        "title": plot.title,
    }
    return CustomJS(args=models | numbers, code=WAVEFORM_JS)
