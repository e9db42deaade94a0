"""Wire and pixel figures of a page: what HoloViews draws, and the links between them in JavaScript.

Tapping a plane tells the three-dimensional view (event `dptoolkit:readout` of the document), which fills
the marks of every plane; on a wire plane it moves a cursor too, and the cursor draws the waveform.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import holoviews as hv
from bokeh.events import Tap
from bokeh.models import ColumnDataSource, CustomJS, CustomJSHover, CustomJSTickFormatter, Range1d, Span
from bokeh.plotting import figure

from dptoolkit.events import Hits, Waveforms
from dptoolkit.views.assemble import Window, sixteen_bits, strongest_channel
from dptoolkit.views.elements import rendered
from dptoolkit.views.pixels import PixelGrid, charge_points, pixel_points
from dptoolkit.views.theme import themed, token
from dptoolkit.views.wires import waveform_curve, wire_image

TAP_JS = """
if (cursor) cursor.location = Math.round(cb_obj.x);
document.dispatchEvent(new CustomEvent("dptoolkit:readout", {detail: {
  plane, group, x: cb_obj.x, y: cb_obj.y,
  width: Math.abs(plot.x_range.end - plot.x_range.start),
  height: Math.abs(plot.y_range.end - plot.y_range.start)}}));
"""

WAVEFORM_JS = """
const image = source.data.image[0];
const columns = image.shape[1], rows = image.shape[0];
const bin = Math.floor((cursor.location - edge) / per_bin);
if (bin < 0 || bin >= columns) return;
const time = new Float64Array(rows), signal = new Float64Array(rows);
let low = 0, high = 0;
for (let row = 0; row < rows; row++) {
  time[row] = time0 + row * time_step;
  signal[row] = image[row * columns + bin] * unit_step;
  low = Math.min(low, signal[row]);
  high = Math.max(high, signal[row]);
}
for (const other of others) other.visible = false;
cursor.visible = true;
wave.data = {time, signal};
const margin = 0.08 * (high - low) || 1;
y_range.setv({start: low - margin, end: high + margin});
title.text = `plane ${plane}, channel ${cursor.location}`;
"""


@dataclass(frozen=True)
class Plane:
    """What of a wire plane is shown; `place` tells planes of one name apart."""

    name: str
    waveforms: Waveforms
    group: int
    event: int
    window: Window
    place: str = ""

    @property
    def title(self) -> str:
        """Name and place."""
        return f"{self.name}, {self.place}" if self.place else self.name


@dataclass(frozen=True)
class WireFigure:
    """A wire plane on a page; `cursor` marks the chosen channel."""

    plane: Plane
    element: hv.Image
    figure: figure
    source: ColumnDataSource
    unit_step: float
    """Signal of 1 in the image of `source`."""
    cursor: Span


def wire_figure(plane: Plane, limit: float | None = None) -> WireFigure:
    """The image of a plane, sent to the browser as 16-bit numbers, with its cursor, marks and taps."""
    element = wire_image(
        plane.waveforms, plane.group, plane.event, name=plane.title, window=plane.window, limit=limit
    )
    plot = rendered(element)
    drawn = plot.state
    drawn.name = f"plane-{plane.name}-{plane.group}"
    step = _compact(plot, element, plane.waveforms.unit)
    middle = float(element.dimension_values("channel", expanded=False)[0])
    cursor = Span(location=middle, dimension="height", line_dash="dashed", visible=False)
    drawn.add_layout(themed(cursor, line_color=token("accent")))
    _add_marks(drawn, plane.name, plane.group)
    _on_tap(drawn, plane.name, plane.group, cursor)
    return WireFigure(plane, element, drawn, plot.handles["source"], step, cursor)


def wire_figures(planes: Sequence[Plane], limit: float | None = None) -> list[figure]:
    """All planes over one time axis, and the waveform of the channel last tapped in one of them.

    The first waveform is that of the strongest channel of the last plane.
    """
    made = [wire_figure(plane, limit) for plane in planes]
    ranges = [part.figure.y_range for part in made]
    common = Range1d(min(r.start for r in ranges), max(r.end for r in ranges))
    for part in made:
        part.figure.y_range = common
    return [*(part.figure for part in made), _waveform_figure(made)]


def pixel_figures(hits: Hits, volume: int, event: int, grid: PixelGrid) -> list[figure]:
    """The anode, time against its two axes, and charge against time; what is selected in one shows in all."""
    plots = []
    for view in ("front", "across", "up"):
        plot = rendered(pixel_points(hits, volume, event, grid=grid, view=view))
        _add_marks(plot.state, f"{grid.name}:{view}", volume)
        _on_tap(plot.state, f"{grid.name}:{view}", volume)
        plots.append(plot)
    plots.append(rendered(charge_points(hits, volume, event, grid=grid)))
    source = plots[0].handles["source"]
    for plot in plots:
        plot.handles["glyph_renderer"].data_source = source
    return [plot.state for plot in plots]


def _compact(plot: Any, element: hv.Image, unit: str) -> float:
    """Replace the image by 16-bit numbers; the step between them."""
    numbers, step = sixteen_bits(element.dimension_values(2, flat=False))
    source, mapper, bar = (plot.handles[name] for name in ("source", "color_mapper", "colorbar"))
    source.data = {**source.data, "image": [numbers]}
    mapper.update(low=mapper.low / step, high=mapper.high / step)
    bar.formatter = CustomJSTickFormatter(
        code=f"return parseFloat((tick * {step}).toPrecision(3)).toString()"
    )
    hover = plot.handles["hover"]
    hover.tooltips = [*hover.tooltips[:-1], (unit, "@image{custom}")]
    hover.formatters = {"@image": CustomJSHover(code=f"return (value * {step}).toPrecision(4)")}
    return step


def _waveform_figure(planes: Sequence[WireFigure]) -> figure:
    last, plane = planes[-1], planes[-1].plane
    channel = strongest_channel(plane.waveforms, plane.group, plane.event)
    curve = waveform_curve(
        plane.waveforms, plane.group, channel, plane.event, name=plane.title, window=plane.window
    )
    plot = rendered(curve)
    drawn = plot.state
    drawn.update(name="waveform", x_range=last.figure.y_range)
    for part in planes:
        others = [other.cursor for other in planes if other is not part]
        part.cursor.js_on_change("location", _draw_waveform(part, plot.handles["source"], drawn, others))
    last.cursor.update(location=float(channel), visible=True)
    return drawn


def _draw_waveform(part: WireFigure, wave: ColumnDataSource, plot: figure, others: list[Span]) -> CustomJS:
    left, bottom, right, top = part.element.bounds.lbrt()
    n_channel, n_time = (len(part.element.dimension_values(i, expanded=False)) for i in (0, 1))
    step = (top - bottom) / n_time
    numbers = {
        "edge": left,
        "per_bin": (right - left) / n_channel,
        "time0": bottom + step / 2,
        "time_step": step,
        "unit_step": part.unit_step,
        "plane": part.plane.title,
    }
    models = {
        "source": part.source,
        "cursor": part.cursor,
        "wave": wave,
        "others": others,
        "y_range": plot.y_range,
        "title": plot.title,
    }
    return CustomJS(args=models | numbers, code=WAVEFORM_JS)


def _add_marks(plot: figure, plane: str, group: int) -> None:
    """An empty set of circles, filled where selected segments are expected; see `views.link`."""
    source = ColumnDataSource({"x": [], "y": []}, tags=[f"marks:{plane}/{group}"])
    circles = plot.scatter("x", "y", source=source, size=11, fill_alpha=0, line_width=2, level="overlay")
    themed(circles.glyph, line_color=token("mark"))


def _on_tap(plot: figure, plane: str, group: int, cursor: Span | None = None) -> None:
    args = {"cursor": cursor, "plane": plane, "group": group, "plot": plot}
    plot.js_on_event(Tap, CustomJS(args=args, code=TAP_JS))
