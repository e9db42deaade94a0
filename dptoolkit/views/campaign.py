"""The page of a campaign: pulls of every parameter beside the unit Gaussian, and their numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from bokeh.layouts import gridplot
from bokeh.models import Label
from bokeh.plotting import figure

from dptoolkit.inference.campaign import Campaign, Pulls
from dptoolkit.views.report import Section, Table, report_page
from dptoolkit.views.theme import themed, token

BIN = 0.5
"""[standard deviations]"""
COLUMNS = 3


def campaign_report(campaign: Campaign, facts: Mapping[str, str]) -> str:
    """A self-contained page."""
    n, good = len(campaign.rows), len(campaign.converged)
    lost = "" if n == good else f" {n - good} did not converge and are left out."
    text = f"{n} toys, each fitted alone. Right errors give pulls of mean 0 and width 1.{lost}"
    sections = [Section("Pulls", text, table=_table(campaign.summary()))]
    for first in range(0, len(campaign.names), COLUMNS):
        part = slice(first, first + COLUMNS)
        title = "Distributions" if first == 0 else ""
        words = "(estimate − truth) / error, with a unit Gaussian of as many toys." if first == 0 else ""
        sections.append(Section(title, words, figure=pull_histograms(campaign, part)))
    return report_page("Campaign", sections, facts)


def pull_histograms(campaign: Campaign, part: slice = slice(None)) -> Any:
    """Side by side, for the parameters in `part`."""
    chosen = list(zip(campaign.summary(), campaign.pulls.T, strict=True))[part]
    plots = [_histogram(pulls, column[np.isfinite(column)]) for pulls, column in chosen]
    empty = [None] * (COLUMNS - len(plots))
    return gridplot([[*plots, *empty]], sizing_mode="stretch_both", toolbar_location=None)


def _histogram(pulls: Pulls, values: np.ndarray) -> Any:
    edges = np.arange(-5, 5 + BIN / 2, BIN)
    counts, _ = np.histogram(np.clip(values, -4.99, 4.99), edges)
    fine = np.linspace(-5, 5, 201)
    expected = len(values) * BIN * np.exp(-(fine**2) / 2) / np.sqrt(2 * np.pi)
    top = 1.3 * max(counts.max(initial=0), expected.max(), 1.0)
    plot = figure(
        title=pulls.path,
        x_axis_label="pull",
        y_axis_label="toys",
        x_range=(-5, 5),
        y_range=(0, top),
        tools="",
    )
    bars = plot.quad(edges[:-1], edges[1:], counts, 0, fill_alpha=0.35, line_width=1)
    themed(bars.glyph, fill_color=token("accent"), line_color=token("surface"))
    themed(plot.line(fine, expected, line_width=2.5).glyph, line_color=token("mark"))
    x, bars_error = edges[:-1] + BIN / 2, np.sqrt(counts)
    seen = counts > 0
    lines = plot.segment(
        x[seen], (counts - bars_error)[seen], x[seen], (counts + bars_error)[seen], line_width=1.5
    )
    themed(lines.glyph, line_color=token("text"))
    themed(
        plot.scatter(x[seen], counts[seen], size=6).glyph, fill_color=token("text"), line_color=token("text")
    )
    for row, words in enumerate(
        (f"mean {_with_error(pulls.mean, pulls.mean_error, '+')}",
         f"width {_with_error(pulls.width, pulls.width_error)}")
    ):  # fmt: skip
        note = Label(x=-4.8, y=top * (0.93 - 0.085 * row), text=words, text_font_size="12px",
                     text_baseline="middle")  # fmt: skip
        plot.add_layout(themed(note, text_color=token("text")))
    plot.grid.visible = False
    for axis in plot.axis:
        axis.axis_label_text_font_style, axis.minor_tick_line_color = "normal", None
    return plot


def _table(summary: list[Pulls]) -> Table:
    header = ("parameter", "toys", "mean", "width", "truth within 1 error", "within 2")
    return Table(
        header,
        [
            (
                line.path,
                str(line.toys),
                _with_error(line.mean, line.mean_error, "+"),
                _with_error(line.width, line.width_error),
                f"{line.within_1:.1%} (68.3 ± {100 * line.within_1_error:.1f} expected)",
                f"{line.within_2:.1%} (95.4 ± {100 * line.within_2_error:.1f})",
            )
            for line in summary
        ],
    )


def _with_error(value: float, error: float, sign: str = "") -> str:
    return f"{value:{sign}.2f} ± {error:.2f}"
