"""The board of a challenge: a table of teams, and how far their estimates are from the truth."""

import html
from collections.abc import Sequence
from typing import Any

from bokeh.models import ColumnDataSource, HoverTool, Span, Whisker
from bokeh.plotting import figure

from dptoolkit.views import theme

STYLE = """<style>
table{border-collapse:collapse;width:100%;font-size:15px;font-variant-numeric:tabular-nums}
th{font-weight:400;color:var(--muted);text-align:left;padding:4px 8px}
td{padding:6px 8px;border-top:1px solid var(--line);white-space:nowrap;vertical-align:middle}
td.bits,th.bits{text-align:right;width:70px}td.wide{width:55%;white-space:normal;color:var(--muted)}
.rank{color:var(--muted);width:26px}.bar{display:inline-block;height:14px;border-radius:3px;vertical-align:middle}
</style>"""
SHOWN = 10
"""Teams whose estimates are drawn, the best first."""


def board_table(entries: Sequence[Any], n_hidden: int) -> str:
    """Rank, team, bits and a bar; why, where there is no score."""
    best = max((entry.score.total_bits for entry in entries if entry.score is not None), default=0.0)
    lines = ["<tr><th></th><th>team</th><th class=bits>bits</th><th>information gained</th></tr>"]
    for place, entry in enumerate(entries):
        team = f"<b>{html.escape(entry.team[:40])}</b>"
        if entry.score is None:
            why = html.escape(entry.wrong[:300])
            lines.append(
                f"<tr><td class=rank>–</td><td>{team}</td><td class=bits>–</td><td class=wide>{why}</td></tr>"
            )
            continue
        total = entry.score.total_bits
        width = max(0.0, 100 * total / best) if best > 0 else 0.0
        bar = f'<span class=bar style="width:{0.8 * width:.1f}%;background:{colour(place)}"></span>'
        few = "" if entry.reported == n_hidden else f" {entry.reported} of {n_hidden} reported"
        cells = f"<td class=bits>{total:.1f}</td><td class=wide>{bar}{few}</td>"
        lines.append(f"<tr><td class=rank>{place + 1}</td><td>{team}</td>{cells}</tr>")
    if not entries:
        lines.append("<tr><td colspan=4>nothing was handed in yet: put TEAM.json into submissions/</td></tr>")
    return f"{STYLE}<table>{''.join(lines)}</table>"


def colour(place: int) -> str:
    """That of a team by its place."""
    return theme.CATEGORIES[place % len(theme.CATEGORIES)]


class Deviations:
    """Estimates minus truth with their errors, in per cent of the range, a row a parameter."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)[::-1]
        columns = ("x", "y", "low", "high", "colour", "team", "pull")
        self._points = ColumnDataSource({name: [] for name in columns})
        self.figure = figure(
            y_range=(-0.6, len(self.names) - 0.4), x_axis_label="(estimate - truth) / range [%]",
            sizing_mode="stretch_both", min_height=180, toolbar_location=None, title="the truth is at zero",
        )  # fmt: skip
        self.figure.yaxis.ticker = list(range(len(self.names)))
        self.figure.yaxis.major_label_overrides = dict(enumerate(self.names))
        self.figure.add_layout(Span(location=0, dimension="height", line_dash="dashed", line_color="gray"))
        shown = {
            "source": self._points,
            "dimension": "width",
            "base": "y",
            "line_color": "colour",
            "line_width": 2,
        }
        self.figure.add_layout(Whisker(lower="low", upper="high", upper_head=None, lower_head=None, **shown))
        dots = self.figure.scatter("x", "y", size=8, color="colour", source=self._points)
        self.figure.add_tools(
            HoverTool(renderers=[dots], tooltips=[("team", "@team"), ("pull", "@pull{+0.0}")])
        )

    def update(self, entries: Sequence[Any], ranges: dict[str, float]) -> None:
        """Show the best teams; `ranges` are the widths in which truths were drawn, by path."""
        found: dict[str, list[Any]] = {name: [] for name in self._points.column_names}
        teams = [entry for entry in entries if entry.score is not None][:SHOWN]
        for place, entry in enumerate(teams):
            offset = 0.7 * (0.5 - (place + 0.5) / len(teams))
            for row in entry.score.parameters:
                if row.error is None:
                    continue
                x, half = (100 * value / ranges[row.path] for value in (row.estimate - row.truth, row.error))
                line = (
                    x,
                    self.names.index(row.path) + offset,
                    x - half,
                    x + half,
                    colour(place),
                    entry.team,
                    row.pull,
                )
                for name, value in zip(
                    ("x", "y", "low", "high", "colour", "team", "pull"), line, strict=True
                ):
                    found[name].append(value)
        self._points.data = found
