"""The report of a calibration: what was found, how well it is known, how the fit got there."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.models import BasicTicker, ColorBar, ColumnDataSource, LinearColorMapper, Span
from bokeh.palettes import RdBu11
from bokeh.plotting import figure

from dptoolkit.inference.calibration import Row
from dptoolkit.inference.fit import FitResult
from dptoolkit.inference.problem import Problem
from dptoolkit.views.report import Section, Table, report_page

DARK = 0.6
"""Correlations beyond this have a dark cell, and light text."""


def calibration_report(
    problem: Problem,
    result: FitResult,
    rows: Sequence[Row],
    facts: Mapping[str, str],
    more: Sequence[Section] = (),
) -> str:
    """A self-contained page; `more` sections come last."""
    sections = [
        Section("Parameters", _verdict(result), table=_parameters(rows)),
        Section(
            "Convergence",
            "How far the loss lies above its last value; a line for each stage of the fit.",
            figure=convergence(result),
        ),
    ]
    if result.uncertainty is not None:
        text = f"Least determined, each parameter in its own standard error: {result.uncertainty.weakest}."
        names = [row.path for row in rows]
        sections += [
            Section("Correlation of the estimates", text, figure=correlation(names, result.correlation)),
            Section(
                "Fisher information",
                "Eigenvalues of the information without units; near 0 is what the data do not feel.",
                table=_eigenvalues(result),
            ),
            Section(
                "Differences of data and model",
                "At the estimate, in standard deviations, with a unit Gaussian for comparison.",
                figure=residuals(problem, result),
            ),
        ]
    return report_page("Calibration", [*sections, *more], facts)


def convergence(result: FitResult) -> Any:
    """Loss above its last value, by step."""
    stages = sorted({snapshot.stage for snapshot in result.history})
    plot = figure(
        x_axis_label="step", y_axis_label="loss above the last", y_axis_type="log", sizing_mode="stretch_both"
    )
    for stage in stages:
        points = [snapshot for snapshot in result.history if snapshot.stage == stage]
        losses = np.array([snapshot.loss for snapshot in points])
        above = np.maximum(losses - losses[-1], 1e-6 * max(abs(losses[-1]), 1.0))
        step = [snapshot.step for snapshot in points]
        plot.line(step, above, line_width=2)
        plot.scatter(step, above, size=7)
    return plot


def correlation(names: Sequence[str], matrix: np.ndarray) -> Any:
    """Correlation matrix with its numbers."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(len(names)), np.arange(len(names))))
    values = np.nan_to_num(matrix).ravel()
    source = ColumnDataSource(
        {
            "x": [names[i] for i in x],
            "y": [names[i] for i in y],
            "value": values,
            "text": [f"{v:+.2f}" for v in matrix.ravel()],
            "ink": ["white" if abs(v) > DARK else "black" for v in values],
        }
    )
    mapper = LinearColorMapper(palette=RdBu11, low=-1, high=1)
    plot = figure(
        x_range=list(names),
        y_range=list(reversed(names)),
        sizing_mode="stretch_both",
        tooltips=[("", "@x, @y"), ("correlation", "@text")],
        toolbar_location=None,
    )
    plot.rect(
        "x", "y", 1, 1, source=source, fill_color={"field": "value", "transform": mapper}, line_color=None
    )
    plot.text(
        "x",
        "y",
        "text",
        text_color="ink",
        source=source,
        text_align="center",
        text_baseline="middle",
        text_font_size="11px",
    )
    plot.add_layout(ColorBar(color_mapper=mapper, ticker=BasicTicker(), title="correlation"), "right")
    plot.xaxis.major_label_orientation = 0.5
    return plot


def residuals(problem: Problem, result: FitResult) -> Any:
    """Distribution of the residuals that are not zero."""
    values = problem.residuals(problem.start + result.history[-1].z)
    values = values[values != 0]
    edges = np.linspace(-6, 6, 61)
    counts, _ = np.histogram(np.clip(values, -5.99, 5.99), edges)
    plot = figure(
        x_axis_label="(model - data) / standard deviation", y_axis_label="entries", sizing_mode="stretch_both"
    )
    plot.quad(left=edges[:-1], right=edges[1:], top=counts, bottom=0, fill_alpha=0.5)
    middle = (edges[1:] + edges[:-1]) / 2
    plot.line(
        middle, len(values) * 0.2 * np.exp(-(middle**2) / 2) / np.sqrt(2 * np.pi), line_width=2, color="gray"
    )
    plot.add_layout(Span(location=0, dimension="height", line_dash="dashed", line_color="gray"))
    return plot


def _verdict(result: FitResult) -> str:
    state = "Converged" if result.converged else "NOT converged"
    text = f"{state} after {result.steps} steps: {result.stopped}."
    if result.uncertainty is not None and result.uncertainty.unidentifiable:
        text += " Not determined by the data: " + "; ".join(result.uncertainty.unidentifiable) + "."
    return text


def _parameters(rows: Sequence[Row]) -> Table:
    header = ("parameter", "unit", "start", "estimate", "error", "truth", "estimate / truth - 1", "pull")
    return Table(
        header,
        [
            (
                row.path,
                row.unit,
                f"{row.start:.5g}",
                f"{row.estimate:.6g}",
                f"{row.error:.2g}",
                "" if row.truth is None else f"{row.truth:.6g}",
                "" if not row.truth else f"{row.estimate / row.truth - 1:+.3%}",
                "" if row.pull is None else f"{row.pull:+.2f}",
            )
            for row in rows
        ],
    )


def _eigenvalues(result: FitResult) -> Table:
    known = result.uncertainty
    assert known is not None
    directions = []
    for value, vector in zip(known.eigenvalues, known.eigenvectors.T, strict=True):
        order = [i for i in np.argsort(-np.abs(vector)) if abs(vector[i]) > 0.1]
        mixed = " ".join(f"{vector[i]:+.2f} {known.names[i].removeprefix('detector.')}" for i in order)
        directions.append((f"{value:.3g}", mixed))
    return Table(("eigenvalue", "direction"), directions)
