"""Landscapes: a scan, a profile with its interval, a map with errors and the ways of fits.

Heights are shown as sqrt(2 (loss - least)): for a likelihood these are standard deviations.
"""

import re
from collections.abc import Mapping
from typing import Any

import holoviews as hv
import numpy as np
from contourpy import contour_generator
from scipy.interpolate import PchipInterpolator, RegularGridInterpolator

from dptoolkit.inference.fit import FitResult
from dptoolkit.inference.landscape import Axis, Landscape
from dptoolkit.inference.profile import Profile
from dptoolkit.views.elements import Quantity, in_theme, inked, legend_above, quantity, styled
from dptoolkit.views.theme import CATEGORIES, SEQUENTIAL

FINE = 240
"""Pixels along an axis of a map: values between the points of the grid are interpolated."""
STEEP = 30.0
"""Maps that are higher have logarithmic colours [standard deviations]."""
SQUARE = 480
"""Side of a whitened map [pixels]: a circle is drawn round."""
MANY = 60
"""Steps of a fit that are drawn as points."""
COLOURS = {theme: colours[:190] for theme, colours in SEQUENTIAL.items()}
"""Without the far end, so that ways and marks are seen everywhere."""

_GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "epsilon": "ε", "theta": "θ", "lambda": "λ", "mu": "μ",
    "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ", "omega": "ω",
}  # fmt: skip
_BELOW = dict(zip("aehijklmnoprstuvxLT0123456789", "ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓʟᴛ₀₁₂₃₄₅₆₇₈₉", strict=True))


def landscape_scan(scan: Landscape, *, truth: Any = None, estimate: Any = None) -> hv.Overlay:
    """Loss along one parameter; `truth` and `estimate` are values by path or coordinates."""
    (axis,) = scan.axes
    x, rise = _dimension(axis), quantity("loss above the least")
    parts = [*_smooth_curve(axis.values, scan.above, x, rise, "loss")]
    tops = [float(np.nanmax(scan.above))]
    if scan.conditional is not None:
        middle = scan.place(scan.centre)[0]
        parabola = 0.5 * (axis.values - middle) ** 2 / scan.conditional[0, 0] + np.interp(
            middle, axis.values, scan.above
        )
        parts.append(_dashed(axis.values, parabola, x, rise, "Fisher"))
        tops.append(float(parabola.max()))
    for name, point, colour in (("truth", truth, "mark"), ("estimate", estimate, "accent")):
        if point is not None:
            parts.append(_upright(scan.place(point)[0], (0.0, max(tops)), x, rise, name, colour))
    return _overlay(parts, xlim=_around(axis), xlabel=axis_label(axis), ylabel=rise.label)


def profile_curve(found: Profile, *, scan: Landscape | None = None, truth: float | None = None) -> hv.Overlay:
    """A profile, its intervals of one and two standard deviations, the parabola of the Fisher error.

    A `scan` of the same parameter, the others held, is drawn for comparison.
    """
    values, top = found.axis.values, max(4.6, 1.1 * float(found.above.max()))
    ends = (-0.03 * top, top)
    x, rise = _dimension(found.axis), quantity("loss above the least")
    parts = _intervals(found, ends, x, rise)
    fine = np.linspace(values[0], values[-1], 200)
    parabola = 0.5 * ((fine - found.estimate) / found.error) ** 2
    parts.append(_dashed(fine, parabola, x, rise, "Fisher error"))
    if scan is not None:
        held = hv.Curve((scan.axes[0].values, scan.above), x, rise, label="others held")
        parts.append(styled(held, line_width=1.5, color=CATEGORIES[1]))
    parts += _smooth_curve(values, found.above, x, rise, "profile")
    parts.append(_upright(found.estimate, ends, x, rise, "estimate", "accent"))
    if truth is not None:
        parts.append(_upright(truth, ends, x, rise, "truth", "mark"))
    labels = {"xlabel": axis_label(found.axis), "ylabel": rise.label}
    limits = {"ylim": ends, "xlim": _around(found.axis)}
    return _overlay(parts, title=_quoted(found), **labels, **limits)


def landscape_map(
    found: Landscape,
    *,
    descents: Mapping[str, FitResult] | None = None,
    truth: Any = None,
    estimate: Any = None,
) -> hv.Overlay:
    """A map of two parameters with truth, estimate, ellipses of the covariance and ways of fits by name.

    The dashed ellipses are the covariance with all parameters free; where others are held, thin dotted
    ones show that of the map itself. Their shadows on an axis are 1 and 2 standard errors.
    """
    x, y = found.axes
    parts = [height_image(found), height_contours(found), *_ellipses(found, estimate)]
    for (name, result), colour in zip((descents or {}).items(), CATEGORIES[1:], strict=False):
        parts.append(descent_path(found, result, name, colour))
    if estimate is not None:
        inks = {"line_color": "accent", "fill_color": "surface"}
        parts.append(_mark(found, estimate, "estimate", {"marker": "circle_cross", "size": 13}, inks))
    if truth is not None:
        inks = {"line_color": "surface", "fill_color": "mark"}
        parts.append(_mark(found, truth, "truth", {"marker": "diamond", "size": 16}, inks))
    size = (
        {}
        if found.root is None
        else {"width": None, "height": None, "frame_width": SQUARE, "frame_height": SQUARE}
    )
    labels = {"xlabel": axis_label(x), "ylabel": axis_label(y)}
    return _overlay(parts, xlim=_ends(x), ylim=_ends(y), **labels, **size)


def height_image(found: Landscape) -> hv.Image:
    """sqrt(2 (loss - least)) of a map of two parameters."""
    height = _interpolated(found)
    top = float(height.max())
    (x0, x1), (y0, y1) = (_ends(axis) for axis in found.axes)
    word = "√(2 Δloss)" if found.conditional is None else "√(2 Δloss), standard deviations"
    steep = top > STEEP
    x, y = (np.linspace(*_ends(axis), FINE) for axis in found.axes)
    half_x, half_y = (x[1] - x[0]) / 2, (y[1] - y[0]) / 2
    return styled(
        hv.Image(
            (x, y, height.T.astype(np.float32)), [_dimension(axis) for axis in found.axes],
            [quantity(word)],
            bounds=(x0 - half_x, y0 - half_y, x1 + half_x, y1 + half_y),
        ),
        cmap=COLOURS["light"],
        logz=steep,
        clim=(1.0 if steep else 0.0, top),
        colorbar=True,
        clabel=word,
        colorbar_opts={"width": 14, "title_text_font_size": "13px", "major_tick_line_color": "#ffffff"},
        hooks=[in_theme("color_mapper", palette=COLOURS)],
    )  # fmt: skip


def height_contours(found: Landscape) -> hv.Overlay:
    """Lines of equal sqrt(2 (loss - least)) at whole standard deviations."""
    height = _interpolated(found)
    top = float(height.max())
    every = [1.0, 3.0, *(c * 10.0**k for k in range(1, 8) for c in (1, 3))]
    levels = [level for level in every if level < top] if top > STEEP else list(np.arange(1.0, top))
    x, y = (np.linspace(*_ends(axis), FINE) for axis in found.axes)
    lines, half = contour_generator(x, y, height.T), np.sqrt(top) if top > STEEP else 0.6 * top
    kdims = [_dimension(axis) for axis in found.axes]
    drawn = []
    for ink, chosen in (
        ("text", [level for level in levels if level < half]),
        ("surface", [level for level in levels if level >= half]),
    ):
        paths = [part for level in chosen for part in lines.lines(level)]
        style = {"line_width": 0.8, "line_alpha": 0.45, "hooks": [inked(line_color=ink)]}
        drawn.append(styled(hv.Path(paths, kdims), **style))
    return hv.Overlay(drawn)


def descent_path(found: Landscape, result: FitResult, name: str, colour: str = CATEGORIES[1]) -> hv.Overlay:
    """The way of a fit over a map, with a halo so that it is seen on every colour."""
    points = found.descent(result)
    kdims = [_dimension(axis) for axis in found.axes]
    way = hv.Curve(points, kdims[0], kdims[1], label=name)
    halo = styled(way.clone(), line_width=5, line_alpha=0.7, hooks=[inked(line_color="surface")])
    parts = [halo, styled(way.clone(), line_width=2.2, color=colour)]
    if len(points) <= MANY:
        dots = hv.Points(points, kdims, label=name)
        parts.append(styled(dots, size=7, fill_color=colour, hooks=[inked(line_color="surface")]))
    return hv.Overlay(parts)


def axis_label(axis: Axis) -> str:
    """Name, symbol and unit, as in `lifetime τₑ [µs]`."""
    name = axis.name.rsplit(".", 1)[-1].replace("_", " ") if not axis.name.startswith("whitened") else ""
    if not name:
        return f"{axis.symbol.replace('w1', 'w₁').replace('w2', 'w₂')}, {axis.name} [standard deviations]"
    unit = "" if axis.unit == "1" else f" [{_unit(axis.unit)}]"
    if name.lower() == axis.symbol.lower():  # the component says more: `recombination A`
        name = axis.name.rpartition(".")[0].rsplit(".", 1)[-1]
    return f"{name} {symbol(axis.symbol)}".strip() + unit


def symbol(text: str) -> str:
    """The symbol of a parameter as people write it: `τₑ` of `tau_e`."""
    base, _, below = text.partition("_")
    base = _GREEK.get(base, base)
    if not below:
        return base
    drawn = "".join(_BELOW.get(letter, "") for letter in below)
    return base + (drawn if len(drawn) == len(below) else f"_{below}")


def _unit(text: str) -> str:
    text = re.sub(r"(?<=[a-z])2", "²", re.sub(r"(?<=[a-z])3", "³", text))
    return re.sub(r"\bus\b", "µs", text)


def _dimension(axis: Axis) -> Quantity:
    label = axis_label(axis).partition(" [")[0]
    return quantity(axis.name, "" if axis.unit == "1" else _unit(axis.unit), label)


def _overlay(parts: list[Any], **options: Any) -> hv.Overlay:
    flat = [piece for part in parts for piece in (part if isinstance(part, hv.Overlay) else [part])]
    return styled(
        hv.Overlay(flat), hooks=[legend_above], fontsize={"labels": "15px", "ticks": "12px"}, **options
    )


def _smooth_curve(
    values: np.ndarray, losses: np.ndarray, x: Quantity, y: Quantity, name: str
) -> list[hv.Curve | hv.Points]:
    """A smooth line through points, and the points."""
    fine = np.linspace(values[0], values[-1], FINE)
    line = hv.Curve((fine, PchipInterpolator(values, losses)(fine)), x, y, label=name)
    dots = hv.Points((values, losses), [x, y], label=name)
    tips = [("value", "$x{0.[0000]}"), ("rise", "$y{0.000}")]
    ink = inked(fill_color="accent", line_color="surface")
    return [
        styled(line, line_width=2.5, hooks=[inked(line_color="accent")]),
        styled(dots, size=7, tools=["hover"], hover_tooltips=tips, hooks=[ink]),
    ]


def _dashed(values: np.ndarray, losses: np.ndarray, x: Quantity, y: Quantity, name: str) -> hv.Curve:
    line = hv.Curve((values, losses), x, y, label=name)
    return styled(line, line_dash="dashed", line_width=1.5, hooks=[inked(line_color="muted")])


def _upright(
    at: float, ends: tuple[float, float], x: Quantity, y: Quantity, name: str, colour: str
) -> hv.Curve:
    line = hv.Curve(([at, at], list(ends)), x, y, label=name)
    return styled(line, line_width=1.8, hooks=[inked(line_color=colour)])


def _intervals(found: Profile, ends: tuple[float, float], x: Quantity, y: Quantity) -> list[Any]:
    """Bands of 2 and 1 standard deviations, and the levels that they come from."""
    values, parts = found.axis.values, []
    for sigmas, alpha in ((2.0, 0.10), (1.0, 0.16)):
        low, high = (float(np.clip(end, values[0], values[-1])) for end in found.interval(sigmas))
        band = hv.Rectangles([(low, ends[0], high, ends[1])], [x, y, "x1", "y1"])
        fill = {"line_color": None, "fill_alpha": alpha, "hooks": [inked(fill_color="accent")]}
        level = hv.Curve(([values[0], values[-1]], [sigmas**2 / 2] * 2), x, y)
        dots = {"line_dash": "dotted", "line_width": 1, "hooks": [inked(line_color="muted")]}
        parts += [styled(band, **fill), styled(level, **dots)]
    return parts


def _quoted(found: Profile) -> str:
    """The estimate with the ends of its interval."""
    low, high = found.interval()
    unit = "" if found.axis.unit == "1" else f" {_unit(found.axis.unit)}"
    below, above = _rounded(found.estimate - low, high - found.estimate)
    name = axis_label(found.axis).partition(" [")[0]
    return f"{name} = {_significant(found.estimate, below)}  +{above}  −{below}{unit}"


def _mark(found: Landscape, point: Any, name: str, style: dict[str, Any], inks: dict[str, str]) -> hv.Points:
    at = found.place(point)
    dot = hv.Points([(at[0], at[1])], [_dimension(axis) for axis in found.axes], label=name)
    return styled(dot, line_width=1.5, fill_alpha=0.9, hooks=[inked(**inks)], **style)


def _interpolated(found: Landscape) -> np.ndarray:
    """sqrt(2 (loss - least)) on a fine grid; highest where the loss is not finite."""
    above = found.above
    above = np.where(np.isfinite(above), above, above[np.isfinite(above)].max())
    method: Any = "cubic" if min(above.shape) > 3 else "linear"
    fine = np.meshgrid(*(np.linspace(*_ends(axis), FINE) for axis in found.axes), indexing="ij")
    smooth = RegularGridInterpolator([axis.values for axis in found.axes], above, method=method)
    return np.sqrt(2 * np.maximum(smooth(np.stack(fine, axis=-1)), 0.0))


def _ellipses(found: Landscape, estimate: Any) -> list[hv.Curve]:
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
    drawn = []
    for name, covariance, dash, width in kinds:
        if covariance is None:
            continue
        root = np.linalg.cholesky(covariance)
        label = "1σ and 2σ" if len(kinds) == 1 else f"1σ and 2σ, {name}"
        kdim, vdim = (_dimension(axis) for axis in found.axes)
        for sigmas in (1, 2):
            x, y = middle[:, None] + sigmas * root @ around
            line = hv.Curve((x, y), kdim, vdim, label=label)
            drawn.append(styled(line, line_dash=dash, line_width=width, hooks=[inked(line_color="accent")]))
    return drawn


def _around(axis: Axis) -> tuple[float, float]:
    """The ends with a margin, so that points at the ends are seen whole."""
    low, high = _ends(axis)
    return low - 0.04 * (high - low), high + 0.04 * (high - low)


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
