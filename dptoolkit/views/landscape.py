"""Figures of landscapes: a scan, a profile with its interval, a map with errors and the ways of fits.

Heights are shown as sqrt(2 (loss - least)): for a likelihood these are standard deviations.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from bokeh.models import BasicTicker, ColorBar, HoverTool, LinearColorMapper, LogColorMapper, LogTicker, Span
from bokeh.plotting import figure
from contourpy import contour_generator
from scipy.interpolate import PchipInterpolator, RegularGridInterpolator

from dptoolkit.inference.fit import FitResult
from dptoolkit.inference.landscape import Axis, Landscape
from dptoolkit.inference.profile import Profile
from dptoolkit.views.theme import CATEGORIES, SEQUENTIAL, themed, token

TOOLS = "pan,box_zoom,wheel_zoom,reset,save"
FINE = 240
"""Pixels along an axis of a map: values between the points of the grid are interpolated."""
STEEP = 30.0
"""Maps that are higher have logarithmic colours [standard deviations]."""
SQUARE = 480
"""Side of a whitened map [pixels]: a circle is drawn round."""
COLOURS = {theme: colours[:190] for theme, colours in SEQUENTIAL.items()}
"""Without the far end, so that ways and marks are seen everywhere."""

_GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "epsilon": "ε", "theta": "θ", "lambda": "λ", "mu": "μ",
    "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ", "omega": "ω",
}  # fmt: skip
_BELOW = dict(zip("aehijklmnoprstuvxLT0123456789", "ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓʟᴛ₀₁₂₃₄₅₆₇₈₉", strict=True))


def scan_figure(scan: Landscape, *, truth: Any = None, estimate: Any = None) -> Any:
    """Loss along one parameter; `truth` and `estimate` are values by path or coordinates."""
    (axis,) = scan.axes
    plot = _plane(axis_label(axis), "loss above the least")
    _curve(plot, axis.values, scan.above)
    if scan.conditional is not None:
        middle = scan.place(scan.centre)[0]
        parabola = 0.5 * (axis.values - middle) ** 2 / scan.conditional[0, 0] + np.interp(
            middle, axis.values, scan.above
        )
        line = plot.line(axis.values, parabola, line_dash="dashed", line_width=1.5, legend_label="Fisher")
        themed(line.glyph, line_color=token("muted"))
    for name, point, colour in (("truth", truth, "mark"), ("estimate", estimate, "accent")):
        if point is not None:
            _upright(plot, scan.place(point)[0], name, colour)
    return _finished(plot)


def profile_figure(found: Profile, *, scan: Landscape | None = None, truth: float | None = None) -> Any:
    """A profile, its intervals of one and two standard deviations, the parabola of the Fisher error.

    A `scan` of the same parameter, the others held, is drawn for comparison.
    """
    x = found.axis.values
    top = max(4.6, 1.1 * float(found.above.max()))
    plot = _plane(f"{axis_label(found.axis)}", "loss above the least", y_range=(-0.03 * top, top))
    for sigmas, alpha in ((2.0, 0.10), (1.0, 0.16)):
        low, high = (float(np.clip(end, x[0], x[-1])) for end in found.interval(sigmas))
        band = plot.quad(low, high, top, -0.03 * top, line_color=None, fill_alpha=alpha)
        themed(band.glyph, fill_color=token("accent"))
        level = Span(location=sigmas**2 / 2, dimension="width", line_dash="dotted", line_width=1)
        plot.add_layout(themed(level, line_color=token("muted")))
    fine = np.linspace(x[0], x[-1], 200)
    parabola = 0.5 * ((fine - found.estimate) / found.error) ** 2
    line = plot.line(fine, parabola, line_dash="dashed", line_width=1.5, legend_label="Fisher error")
    themed(line.glyph, line_color=token("muted"))
    if scan is not None:
        plot.line(
            scan.axes[0].values,
            scan.above,
            line_width=1.5,
            color=CATEGORIES[1],
            legend_label="others held",
        )
    _curve(plot, x, found.above, "profile")
    _upright(plot, found.estimate, "estimate", "accent")
    if truth is not None:
        _upright(plot, truth, "truth", "mark")
    low, high = found.interval()
    unit = "" if found.axis.unit == "1" else f" {_unit(found.axis.unit)}"
    below, above = _rounded(found.estimate - low, high - found.estimate)
    name = axis_label(found.axis).partition(" [")[0]
    plot.title.text = f"{name} = {_significant(found.estimate, below)}  +{above}  −{below}{unit}"
    return _finished(plot)


def map_figure(
    found: Landscape,
    *,
    descents: Mapping[str, FitResult] | None = None,
    truth: Any = None,
    estimate: Any = None,
) -> Any:
    """A map of two parameters with truth, estimate, ellipses of the covariance and ways of fits by name.

    The dashed ellipses are the covariance with all parameters free; where others are held, thin dotted
    ones show that of the map itself. Their shadows on an axis are 1 and 2 standard errors.
    """
    x, y = found.axes
    size = {} if found.root is None else {"sizing_mode": None, "frame_width": SQUARE, "frame_height": SQUARE}
    plot = _plane(axis_label(x), axis_label(y), x_range=_ends(x), y_range=_ends(y), **size)
    _heights(plot, found)
    _ellipses(plot, found, estimate)
    for (name, result), colour in zip((descents or {}).items(), CATEGORIES[1:], strict=False):
        _way(plot, found.descent(result), name, colour)
    for name, point, marker, size, colour in (
        ("estimate", estimate, "circle_cross", 13, "accent"),
        ("truth", truth, "diamond", 16, "mark"),
    ):
        if point is None:
            continue
        at = found.place(point)
        mark = plot.scatter(
            [at[0]], [at[1]], marker=marker, size=size, line_width=1.5, fill_alpha=0.9, legend_label=name
        )
        surface, ink = token("surface"), token(colour)
        themed(
            mark.glyph,
            fill_color=ink if marker == "diamond" else surface,
            line_color=surface if marker == "diamond" else ink,
        )
    plot.grid.visible = False
    return _finished(plot)


def axis_label(axis: Axis) -> str:
    """Name, symbol and unit, as in `lifetime τₑ [µs]`."""
    name = axis.name.rsplit(".", 1)[-1].replace("_", " ") if not axis.name.startswith("whitened") else ""
    if not name:
        return f"{axis.symbol.replace('w1', 'w₁').replace('w2', 'w₂')}, {axis.name} [standard deviations]"
    unit = "" if axis.unit == "1" else f" [{_unit(axis.unit)}]"
    if name.lower() == axis.symbol.lower():  # the component says more: `recombination A`
        name = axis.name.rpartition(".")[0].rsplit(".", 1)[-1]
    return f"{name} {_symbol(axis.symbol)}".strip() + unit


def _symbol(text: str) -> str:
    base, _, below = text.partition("_")
    base = _GREEK.get(base, base)
    if not below:
        return base
    drawn = "".join(_BELOW.get(letter, "") for letter in below)
    return base + (drawn if len(drawn) == len(below) else f"_{below}")


def _unit(text: str) -> str:
    text = re.sub(r"(?<=[a-z])2", "²", re.sub(r"(?<=[a-z])3", "³", text))
    return re.sub(r"\bus\b", "µs", text)


def _plane(x: str, y: str, **options: Any) -> Any:
    fill = {"sizing_mode": "stretch_both", "min_height": 260}
    return figure(
        x_axis_label=x, y_axis_label=y, tools=TOOLS, active_scroll="wheel_zoom", **{**fill, **options}
    )


def _finished(plot: Any) -> Any:
    for axis in plot.axis:
        axis.axis_label_text_font_size, axis.major_label_text_font_size = "15px", "12px"
        axis.axis_label_text_font_style, axis.minor_tick_line_color = "normal", None
    plot.toolbar.logo = None
    if plot.legend:
        legend = plot.legend[0]
        legend.click_policy, legend.label_text_font_size = "hide", "13px"
        legend.orientation, legend.spacing, legend.border_line_color = "horizontal", 14, None
        legend.location = "left"
        plot.add_layout(legend, "above")
    return plot


def _curve(plot: Any, x: np.ndarray, y: np.ndarray, name: str = "loss") -> None:
    """Points and a smooth line through them."""
    fine = np.linspace(x[0], x[-1], FINE)
    line = plot.line(fine, PchipInterpolator(x, y)(fine), line_width=2.5, legend_label=name)
    themed(line.glyph, line_color=token("accent"))
    dots = plot.scatter(x, y, size=7, legend_label=name)
    themed(dots.glyph, fill_color=token("accent"), line_color=token("surface"))
    plot.add_tools(HoverTool(renderers=[dots], tooltips=[("value", "@x{0.[0000]}"), ("rise", "@y{0.000}")]))


def _upright(plot: Any, x: float, name: str, colour: str) -> None:
    low, high = (plot.y_range.start, plot.y_range.end) if plot.y_range.start is not None else (0.0, np.nan)
    if not np.isfinite(high) or high is None:
        high = max(float(np.nanmax(r.data_source.data["y"])) for r in plot.renderers)
    line = plot.line([x, x], [low, high], line_width=1.8, legend_label=name)
    themed(line.glyph, line_color=token(colour))


def _heights(plot: Any, found: Landscape) -> None:
    """Colours, and contours at whole standard deviations."""
    height = _interpolated(found)
    top = float(height.max())
    if top > STEEP:
        mapper: Any = LogColorMapper(low=1, high=top)
        levels = [1.0, 3.0, *(c * 10.0**k for k in range(1, 8) for c in (1, 3))]
    else:
        mapper = LinearColorMapper(low=0, high=top)
        levels = list(np.arange(1.0, top))
    themed(mapper, palette=COLOURS)
    (x0, x1), (y0, y1) = (_ends(axis) for axis in found.axes)
    plot.image([height.T], x=x0, y=y0, dw=x1 - x0, dh=y1 - y0, color_mapper=mapper)
    x, y = (np.linspace(*_ends(axis), FINE) for axis in found.axes)
    lines = contour_generator(x, y, height.T)
    for level in levels:
        parts = lines.lines(level)
        drawn = plot.multi_line(
            [part[:, 0] for part in parts], [part[:, 1] for part in parts], line_width=0.8, line_alpha=0.45
        )
        low = level < (np.sqrt(top) if top > STEEP else 0.6 * top)
        themed(drawn.glyph, line_color=token("text" if low else "surface"))
    title = "√(2 Δloss)" if found.conditional is None else "√(2 Δloss), standard deviations"
    ticker = LogTicker() if top > STEEP else BasicTicker()
    plot.add_layout(ColorBar(color_mapper=mapper, ticker=ticker, title=title, width=14), "right")


def _interpolated(found: Landscape) -> np.ndarray:
    """sqrt(2 (loss - least)) on a fine grid; highest where the loss is not finite."""
    above = found.above
    above = np.where(np.isfinite(above), above, above[np.isfinite(above)].max())
    method: Any = "cubic" if min(above.shape) > 3 else "linear"
    fine = np.meshgrid(*(np.linspace(*_ends(axis), FINE) for axis in found.axes), indexing="ij")
    smooth = RegularGridInterpolator([axis.values for axis in found.axes], above, method=method)
    return np.sqrt(2 * np.maximum(smooth(np.stack(fine, axis=-1)), 0.0))


def _ellipses(plot: Any, found: Landscape, estimate: Any) -> None:
    middle = found.place(found.centre if estimate is None else estimate)
    angle = np.linspace(0, 2 * np.pi, 181)
    around = np.stack([np.cos(angle), np.sin(angle)])
    kinds = [
        ("others free", found.covariance, "dashed", 2.2),
        ("others held", found.conditional, "dotted", 1.6),
    ]
    free, held = found.covariance, found.conditional
    if free is not None and held is not None and np.allclose(free, held, rtol=1e-3):
        kinds = kinds[:1]
    for name, covariance, dash, width in kinds:
        if covariance is None:
            continue
        root = np.linalg.cholesky(covariance)
        label = "1σ and 2σ" if len(kinds) == 1 else f"1σ and 2σ, {name}"
        for sigmas in (1, 2):
            x, y = middle[:, None] + sigmas * root @ around
            line = plot.line(x, y, line_dash=dash, line_width=width, legend_label=label)
            themed(line.glyph, line_color=token("accent"))


def _way(plot: Any, points: np.ndarray, name: str, colour: str) -> None:
    """The way of a fit, with a halo so that it is seen on every colour."""
    x, y = points[:, 0], points[:, 1]
    halo = plot.line(x, y, line_width=5, line_alpha=0.7, legend_label=name)
    themed(halo.glyph, line_color=token("surface"))
    plot.line(x, y, line_width=2.2, color=colour, legend_label=name)
    if len(points) <= 60:
        dots = plot.scatter(x, y, size=7, fill_color=colour, legend_label=name)
        themed(dots.glyph, line_color=token("surface"))


def _ends(axis: Axis) -> tuple[float, float]:
    return float(axis.values[0]), float(axis.values[-1])


def _significant(value: float, error: str) -> str:
    """A value with as many digits as its error."""
    return (
        f"{value:.{len(error.partition('.')[2])}f}"
        if "e" not in error and "∞" not in error
        else f"{value:.5g}"
    )


def _rounded(*errors: float) -> list[str]:
    """Errors with two significant digits, equally many after the point."""
    known = [error for error in errors if np.isfinite(error)]
    if not known:
        return ["∞" for _ in errors]
    digits = max(0, 1 - int(np.floor(np.log10(min(known)))))
    if digits > 6:
        return [f"{error:.2g}" for error in errors]
    return [f"{error:.{digits}f}" if np.isfinite(error) else "∞" for error in errors]
