"""The report of a calibration: what was found, how well it is known, how the fit got there."""

from collections.abc import Mapping, Sequence

import holoviews as hv
import numpy as np
from bokeh.palettes import RdBu11

from dptoolkit.inference.calibration import Row
from dptoolkit.inference.fit import FitResult
from dptoolkit.inference.information import Budget
from dptoolkit.inference.problem import Problem
from dptoolkit.views.elements import inked, quantity, styled, without_grid
from dptoolkit.views.report import Section, Table, report_page
from dptoolkit.views.theme import CATEGORIES

COMPARED = 32
"""Batches of events whose residuals are shown: all those of many events need much memory."""
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
                "At the estimate, in standard deviations, with a unit Gaussian" + _of_how_many(problem) + ".",
                figure=residuals(problem, result),
            ),
        ]
    return report_page("Calibration", [*sections, *more], facts)


def _of_how_many(problem: Problem) -> str:
    n = len(problem.sources)
    return f"; of the first {COMPARED} of {n} batches of events" if n > COMPARED else ""


def budget_section(what: str, budget: Budget) -> Section:
    """How much larger the errors are from a class of events alone, and without it; what to collect next."""

    def factor(row: np.ndarray) -> list[str]:
        known = np.isfinite(budget.errors)
        ratio = np.divide(row, budget.errors, out=np.full(len(row), np.inf), where=known)
        return [f"{x:.2f}" if np.isfinite(x) else "undetermined" for x in ratio]

    columns = (what, "batches", "events", *(name.removeprefix("detector.") for name in budget.names))
    rows = []
    for number, label in enumerate(budget.labels):
        rows.append((label, str(budget.batches[number]), "alone", *factor(budget.alone[number])))
        rows.append(("", "", "all others", *factor(budget.without[number])))
    best = ", ".join(
        f"{name.removeprefix('detector.')}: {label}" for name, label in budget.collect_next.items()
    )
    text = f"Errors in units of those from all events. One more batch helps most, {best}."
    return Section(f"Information by {what}", text, table=Table(columns, rows))


def convergence(result: FitResult) -> hv.Overlay:
    """Loss above its last value, by step; a line for each stage of the fit."""
    parts = []
    step, above = quantity("step"), quantity("above", label="loss above the last")
    for stage in sorted({snapshot.stage for snapshot in result.history}):
        points = [snapshot for snapshot in result.history if snapshot.stage == stage]
        losses = np.array([snapshot.loss for snapshot in points])
        heights = np.maximum(losses - losses[-1], 1e-6 * max(abs(losses[-1]), 1.0))
        steps, colour = [snapshot.step for snapshot in points], CATEGORIES[stage % len(CATEGORIES)]
        parts.append(styled(hv.Curve((steps, heights), step, above), line_width=2, color=colour))
        parts.append(styled(hv.Points((steps, heights), [step, above]), size=7, color=colour))
    limits = _whole(max(snapshot.step for snapshot in result.history))
    return styled(hv.Overlay(parts), logy=True, xlim=limits, xlabel=step.label, ylabel=above.label)


def parameter_path(values: Sequence[float], label: str, truth: float | None = None) -> hv.Overlay:
    """A parameter by step of its fit; `label` is its name with its unit."""
    steps, kdim, vdim = np.arange(len(values)), quantity("step"), quantity("value", label=label)
    line = styled(hv.Curve((steps, values), kdim, vdim), line_width=2, hooks=[inked(line_color="accent")])
    ink = inked(fill_color="accent", line_color="accent")
    parts = [line, styled(hv.Points((steps, values), [kdim, vdim]), size=8, hooks=[ink])]
    if truth is not None:
        parts.append(styled(hv.HLine(truth), line_dash="dashed", line_width=1.5, color="gray"))
    return styled(
        hv.Overlay(parts),
        xlim=_whole(len(values) - 1),
        xticks=list(map(int, steps)),
        xlabel="step",
        ylabel=label,
    )


def correlation(names: Sequence[str], matrix: np.ndarray) -> hv.Overlay:
    """Correlation matrix with its numbers, the first parameter at the top left."""
    values = np.nan_to_num(matrix)
    cells = [(x, y, values[i, j]) for i, y in enumerate(names) for j, x in enumerate(names)]
    kdims, vdim = [quantity("x", label="parameter"), quantity("y", label="and")], quantity("correlation")
    heat = styled(
        hv.HeatMap(cells, kdims, vdim),
        cmap=list(RdBu11),
        clim=(-1, 1),
        colorbar=True,
        clabel="correlation",
        colorbar_opts={"major_tick_line_color": "#ffffff"},
        tools=["hover"],
        hover_tooltips=[("", "@x, @y"), ("correlation", "@correlation{+0.00}")],
    )
    numbers = [
        styled(
            hv.Labels([(x, y, f"{v:+.2f}") for x, y, v in cells if (abs(v) > DARK) == dark], kdims, "text"),
            text_color="white" if dark else "black",
            text_font_size="11px",
        )
        for dark in (True, False)
        if any((abs(v) > DARK) == dark for _, _, v in cells)
    ]
    axes = {"xlabel": "", "ylabel": "", "xrotation": 30, "invert_yaxis": True}
    return styled(hv.Overlay([heat, *numbers]), toolbar=None, hooks=[without_grid], **axes)


def residuals(problem: Problem, result: FitResult) -> hv.Overlay:
    """Residuals that are not zero in the first `COMPARED` batches, with a unit Gaussian."""
    some = problem.part(min(COMPARED, len(problem.sources)))
    values = some.residuals(problem.start + result.history[-1].z)
    values = values[values != 0]
    edges = np.linspace(-6, 6, 61)
    counts, _ = np.histogram(np.clip(values, -5.99, 5.99), edges)
    x = quantity("residual", label="(model - data) / standard deviation")
    entries = quantity("entries")
    middle = (edges[1:] + edges[:-1]) / 2
    expected = len(values) * 0.2 * np.exp(-(middle**2) / 2) / np.sqrt(2 * np.pi)
    ink = inked(fill_color="accent", line_color="surface")
    parts = [
        styled(hv.Histogram((edges, counts), kdims=[x], vdims=[entries]), fill_alpha=0.5, hooks=[ink]),
        styled(hv.Curve((middle, expected), x, entries), line_width=2, color="gray"),
        styled(hv.VLine(0), line_dash="dashed", line_width=1, color="gray"),
    ]
    return styled(hv.Overlay(parts), xlabel=x.label, ylabel=entries.label)


def _whole(last: int) -> tuple[float, float]:
    """Ends of an axis that shows the points of steps 0 to `last` whole."""
    return -0.04 * max(last, 1), 1.04 * max(last, 1)


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
