"""The page of a campaign: pulls of every parameter beside the unit Gaussian, and their numbers."""

from collections.abc import Mapping

import holoviews as hv
import numpy as np

from dptoolkit.inference.campaign import Campaign, Pulls
from dptoolkit.views.elements import inked, quantity, styled, without_grid
from dptoolkit.views.report import Section, Table, report_page

BIN = 0.5
"""[standard deviations]"""
COLUMNS = 3
PULL = (
    "(estimate − truth) / error in the scale that is fitted, 1 / x for a lifetime, "
    "with a unit Gaussian of as many toys."
)


def campaign_report(campaign: Campaign, facts: Mapping[str, str], noise: bool = True) -> str:
    """A self-contained page; `noise`: whether the data have any."""
    n, good = len(campaign.rows), len(campaign.converged)
    lost = "" if n == good else f" {n - good} did not converge and are left out."
    meant = "Right errors give pulls of mean 0 and width 1."
    if not noise:
        meant = (
            "The data have no noise: errors are those of a nominal one, and estimates should miss by nothing."
        )
    text = f"{n} toys, each fitted alone. {meant}{lost}"
    sections = [Section("Pulls", text, table=_table(campaign.summary()))]
    for first in range(0, len(campaign.names), COLUMNS):
        part = slice(first, first + COLUMNS)
        title = "Distributions" if first == 0 else ""
        words = PULL if first == 0 else ""
        sections.append(Section(title, words, figure=pull_histograms(campaign, part)))
    return report_page("Campaign", sections, facts)


def pull_histograms(campaign: Campaign, part: slice = slice(None)) -> hv.Layout:
    """Side by side, for the parameters in `part`."""
    chosen = list(zip(campaign.summary(), campaign.pulls.T, strict=True))[part]
    return hv.Layout([pull_histogram(pulls, column[np.isfinite(column)]) for pulls, column in chosen]).cols(
        COLUMNS
    )


def pull_histogram(pulls: Pulls, values: np.ndarray) -> hv.Overlay:
    """Pulls of a parameter with their statistical errors, and the unit Gaussian of as many toys."""
    x, toys = quantity("pull"), quantity("toys")
    edges = np.arange(-5, 5 + BIN / 2, BIN)
    counts, _ = np.histogram(np.clip(values, -4.99, 4.99), edges)
    fine = np.linspace(-5, 5, 201)
    expected = len(values) * BIN * np.exp(-(fine**2) / 2) / np.sqrt(2 * np.pi)
    top = 1.3 * max(counts.max(initial=0), expected.max(), 1.0)
    seen = counts > 0
    middle, height = (edges[:-1] + BIN / 2)[seen], counts[seen]
    bars = hv.Histogram((edges, counts), kdims=[x], vdims=[toys])
    errors = hv.Segments(
        (middle, height - np.sqrt(height), middle, height + np.sqrt(height)), [x, toys, "x1", "y1"]
    )
    words = (
        f"mean {_with_error(pulls.mean, pulls.mean_error, '+')}",
        f"width {_with_error(pulls.width, pulls.width_error)}",
    )
    notes = hv.Labels(
        [(-4.8, top * (0.93 - 0.085 * row), text) for row, text in enumerate(words)], [x, toys], "text"
    )
    parts = [
        styled(bars, fill_alpha=0.35, hooks=[inked(fill_color="accent", line_color="surface")]),
        styled(hv.Curve((fine, expected), x, toys), line_width=2.5, hooks=[inked(line_color="mark")]),
        styled(errors, line_width=1.5, hooks=[inked(line_color="text")]),
        styled(
            hv.Points((middle, height), [x, toys]),
            size=6,
            hooks=[inked(fill_color="text", line_color="text")],
        ),
        styled(notes, text_align="left", text_font_size="12px", hooks=[inked(text_color="text")]),
    ]
    return styled(
        hv.Overlay(parts), title=pulls.path, xlim=(-5, 5), ylim=(0, top), xlabel="pull", ylabel="toys",
        hooks=[without_grid], default_tools=[], active_tools=[], toolbar=None,
    )  # fmt: skip


def _table(summary: list[Pulls]) -> Table:
    header = (
        "parameter", "toys", "mean", "width", "truth within 1 error", "within 2", "rms miss", "largest"
    )  # fmt: skip
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
                f"{line.rms_percent:.2g} %",
                f"{line.largest_percent:.2g} %",
            )
            for line in summary
        ],
    )


def _with_error(value: float, error: float, sign: str = "") -> str:
    return f"{value:{sign}.2f} ± {error:.2f}"
