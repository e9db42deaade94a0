"""The report of a recovered drift field: maps of its strength, its error, and of the tracks that show it."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import holoviews as hv
import numpy as np

from dptoolkit.field_map import FieldMap
from dptoolkit.inference.fit import FitResult
from dptoolkit.views.calibration import convergence
from dptoolkit.views.elements import in_theme, inked, legend_above, quantity, styled
from dptoolkit.views.report import Section, Table, report_page
from dptoolkit.views.theme import CATEGORIES, DIVERGING, SEQUENTIAL


def field_report(
    maps: Mapping[str, FieldMap],
    result: FitResult,
    rows: Sequence[Mapping[str, Any]],
    facts: Mapping[str, str],
) -> str:
    """A self-contained page; the first of `maps` is the result, the others are comparisons."""
    found = next(iter(maps.values()))
    state = "Converged" if result.converged else "NOT converged"
    where = "Averages over the height; the drift axis is horizontal."
    sections = [
        Section(
            "Error of the field",
            f"{state}: {result.stopped}. Mean absolute error of |E| on a lattice of all volumes, and in "
            "those of its cells through which at least three muons ran. Data are space points with stated "
            "errors, not waveforms; pulls are in units of errors as the fit states them, with its prior.",
            table=_errors(maps),
        ),
        Section("True field, and what was recovered", f"|E| [V/cm]. {where}", figure=strengths(found)),
        Section(
            "Error and coverage",
            f"Recovered minus true |E|, and how many muons ran through a cell. {where}",
            figure=errors(found),
        ),
        Section(
            "Error against coverage",
            "Mean absolute error of |E| in cells by their number of muons.",
            figure=by_coverage(maps),
        ),
        Section("Strength on the axis", "Errors are those of the fit.", table=_axis(rows)),
        Section(
            "Convergence",
            "How far the loss of the last pass lies above its last value.",
            figure=convergence(result),
        ),
    ]
    return report_page("Field calibration", sections, facts)


def strengths(found: FieldMap) -> hv.Layout:
    """True and recovered strength, side by side."""
    both = np.concatenate([found.true, found.found])
    limits = float(both.min()), float(both.max())
    parts = [
        _image(found, values, title, quantity("|E|", "V/cm"), limits, SEQUENTIAL)
        for title, values in (("true", found.true), ("recovered", found.found))
    ]
    return hv.Layout(parts).cols(2)


def errors(found: FieldMap) -> hv.Layout:
    """Error and number of tracks, side by side."""
    error = found.found - found.true
    most = max(float(np.abs(_averaged(found, error)[2]).max()), 1e-6)
    tracks = found.tracks.astype(float)
    return hv.Layout(
        [
            _image(found, error, "recovered - true", quantity("error", "V/cm"), (-most, most), DIVERGING),
            _image(
                found,
                tracks,
                "muons",
                quantity("muons in a cell"),
                (0.0, max(float(tracks.max()), 1.0)),
                SEQUENTIAL,
            ),
        ]
    ).cols(2)


def by_coverage(maps: Mapping[str, FieldMap]) -> hv.Overlay:
    """Error against the number of tracks of a cell; dashed: without correction."""
    x, y = quantity("muons in a cell"), quantity("error", "V/cm", "mean absolute error")
    first = next(iter(maps.values()))
    edges = np.unique(
        np.concatenate([[0, 1], np.quantile(first.tracks[first.tracks > 0], np.linspace(0, 1, 7)) + 1])
    )
    parts = []
    for (name, one), colour in zip(maps.items(), CATEGORIES, strict=False):
        parts.append(styled(_binned(one, one.found, edges, x, y, name), color=colour, line_width=2))
    without = _binned(first, np.full(len(first.true), first.nominal), edges, x, y, "no correction")
    parts.append(styled(without, line_dash="dashed", hooks=[inked(line_color="text")]))
    return styled(
        hv.Overlay(parts), logy=True, hooks=[legend_above], xlabel=x.pprint_label, ylabel=y.pprint_label
    )


def _binned(found: FieldMap, values: np.ndarray, edges: np.ndarray, x: Any, y: Any, name: str) -> hv.Curve:
    error = np.abs(values - found.true)
    middles, means = [], []
    for low, high in pairwise(edges):
        cells = (found.tracks >= low) & (found.tracks < high)
        if cells.any():
            middles.append(float(found.tracks[cells].mean()))
            means.append(float(error[cells].mean()))
    return hv.Curve((middles, means), x, y, label=name)


def _averaged(found: FieldMap, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(drift axis, axis across, means over the height) on one grid of all volumes."""
    volumes, n = found.lattice.volumes, found.lattice.cells
    drift = int(np.argmax(np.abs(volumes.drift[0])))
    side = int(np.argmax(np.abs(volumes.across[0])))
    means = values.reshape(len(volumes), n, n, n).mean(axis=2)
    points = found.lattice.points.reshape(len(volumes), n, n, n, 3)[:, :, 0]
    flat, value = points.reshape(-1, 3), means.ravel()
    xs, column = np.unique(np.round(flat[:, drift], 3), return_inverse=True)
    ys, row = np.unique(np.round(flat[:, side], 3), return_inverse=True)
    grid = np.full((len(ys), len(xs)), np.nan, np.float32)
    grid[row, column] = value
    return xs, ys, grid


def _image(
    found: FieldMap, values: np.ndarray, title: str, what: Any, limits: tuple[float, float], palette: Any
) -> hv.QuadMesh:
    volumes = found.lattice.volumes
    names = ["xyz"[int(np.argmax(np.abs(axes[0])))] for axes in (volumes.drift, volumes.across)]
    xs, ys, grid = _averaged(found, values)
    mesh = hv.QuadMesh((xs, ys, grid), [quantity(name, "cm") for name in names], [what])
    return styled(
        mesh,
        title=title,
        cmap=palette["light"],
        clim=limits,
        colorbar=True,
        clabel=what.pprint_label,
        hooks=[in_theme("color_mapper", palette=palette)],
    )


def _errors(maps: Mapping[str, FieldMap]) -> Table:
    header = (
        "",
        "whole volume [V/cm]",
        "of no correction",
        "where muons ran [V/cm]",
        "of no correction",
        "no correction [V/cm]",
        "width of the pull",
    )
    rows = []
    for name, one in maps.items():
        numbers = one.summary()
        parts = [(n["mean_absolute_error_V_per_cm"], n["ratio"]) for n in numbers.values()]
        cells = [text for error, ratio in parts for text in (f"{error:.3g}", f"{ratio:.1%}")]
        whole = numbers["whole"]
        rows.append(
            (name, *cells, f"{whole['without_correction_V_per_cm']:.3g}", f"{whole['pull_width']:.2f}")
        )
    return Table(header, rows)


def _axis(rows: Sequence[Mapping[str, Any]]) -> Table:
    header = ("place", "unit", "truth", "estimate", "error", "pull")
    return Table(
        header,
        [
            (
                str(row["path"]),
                str(row["unit"]),
                f"{row['truth']:.2f}",
                f"{row['estimate']:.2f}",
                f"{row['error']:.2f}",
                "" if row["pull"] is None else f"{row['pull']:+.2f}",
            )
            for row in rows
        ],
    )
