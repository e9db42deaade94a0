"""Tables of a running fit as HTML, in the colours of the page."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from dptoolkit.inference.landscape import Axis
from dptoolkit.views.landscape import axis_label, symbol
from dptoolkit.views.live import METHOD_COLOURS, parameter_colour

STYLE = """<style>
table{border-collapse:collapse;width:100%;font-size:13px;font-variant-numeric:tabular-nums}
th{font-weight:400;color:var(--muted);text-align:right;padding:1px 4px}
td{text-align:right;padding:1px 4px;white-space:nowrap}
th:first-child,td:first-child{text-align:left;white-space:normal}
tr.first td{border-top:1px solid var(--line);padding-top:4px}
small{color:var(--muted)}.dot{display:inline-block;width:9px;height:9px;border-radius:5px;margin-right:5px}
.bar{display:inline-block;width:14px;height:3px;vertical-align:middle;margin-right:6px}
.held{opacity:.55}</style>"""


def parameter_table(rows: Sequence[Any], methods: Sequence[str]) -> str:
    """Truth, start, value, error and pull of every parameter, a line for every method."""
    lines = []
    for place, row in enumerate(rows):
        digits = decimals(row.error, row.truth)
        name = html.escape(axis_label(Axis(row.name, row.symbol, row.unit, np.zeros(1))))
        error = "held" if row.held else f"±&thinsp;{number(row.error, digits)}"
        kind = ' class="first held"' if row.held else ' class="first"'
        lines.append(
            f'<tr{kind}><td><span class="bar" style="background:{parameter_colour(place)}"></span>{name}</td>'
            f"<td>{number(row.truth, digits)}</td><td>{error}</td><td></td></tr>"
        )
        for i, value in enumerate(row.values):
            pull = "" if row.held or not np.isfinite(row.pulls[i]) else f"{row.pulls[i]:+.1f}"
            lines.append(
                f"<tr><td>{dot(i)}<small>{html.escape(methods[i])}</small></td>"
                f"<td><b>{number(value, digits)}</b></td>"
                f"<td><small>{number(row.start, digits)}</small></td><td>{pull}</td></tr>"
            )
    head = "<tr><th>parameter [unit]</th><th>truth, value</th><th>error, start</th><th>pull</th></tr>"
    return f"{STYLE}<table>{head}{''.join(lines)}</table>"


def fisher_table(known: Any) -> str:
    """Errors with the others free and held, and eigenvalues of the information with what they mix."""
    now, before = known.information, known.before
    held = np.abs(now.slopes) / np.sqrt(np.diag(now.matrix))
    head = "<th>standard error</th><th>others held</th>" + ("<th>without the 2nd</th>" if before else "")
    lines = [f"<tr><th>parameter</th>{head}</tr>"]
    for i, name in enumerate(known.names):
        cells = [now.errors[i], held[i]] + ([before.errors[i]] if before else [])
        shown = "".join(f"<td>{'∞' if np.isinf(value) else f'{value:.2g}'}</td>" for value in cells)
        lines.append(f"<tr><td>{html.escape(name)}</td>{shown}</tr>")
    lines.append("<tr class='first'><td>eigenvalue of the information</td><td colspan=3>mixes</td></tr>")
    for value, vector in zip(now.eigenvalues, now.eigenvectors.T, strict=True):
        mixed = " ".join(
            f"{vector[i]:+.2f}&thinsp;{html.escape(known.names[i].rsplit('.', 1)[-1])}"
            for i in np.argsort(-np.abs(vector)) if abs(vector[i]) > 0.1
        )  # fmt: skip
        width = max(100 * value / len(known.names), 0.5)
        bar = f'<span class="bar" style="width:{width:.1f}px;background:var(--accent)"></span>'
        size = f"{value:.2g}" if value > 1e-6 else "0"
        lines.append(f"<tr><td>{bar}{size}</td><td colspan=3>{mixed}</td></tr>")
    return f"{STYLE}<table>{''.join(lines)}</table>"


def budget_table(what: str, budget: Any, symbols: Sequence[str]) -> str:
    """Errors from each class of events alone, in units of those from all, and which to collect next."""
    names = [html.escape(symbol(text)) for text in symbols]
    lines = [f"<tr><th>{html.escape(what)}</th><th>events</th>{''.join(f'<th>{x}</th>' for x in names)}</tr>"]
    best = budget.collect_next
    for label, count, alone in zip(budget.labels, budget.batches, budget.alone, strict=True):
        cells = []
        for name, error, all_of_them in zip(budget.names, alone, budget.errors, strict=True):
            ratio = f"{error / all_of_them:.1f}" if np.isfinite(error) else "∞"
            cells.append(f"<td>{f'<b>{ratio}</b>' if best.get(name) == label else ratio}</td>")
        lines.append(f"<tr><td>{html.escape(label)}</td><td>{count}</td>{''.join(cells)}</tr>")
    return f"{STYLE}<table>{''.join(lines)}</table>"


def status_line(frames: dict[str, Any]) -> str:
    """What every method does, in a line."""
    parts = []
    for i, (name, frame) in enumerate(frames.items()):
        step = f" step {frame.last.step}" if frame.last is not None else ""
        said = frame.status if frame.status != "done" else ("converged" if frame.converged else "ended")
        more = f": {html.escape(frame.activity)}" if frame.activity not in ("", frame.status) else ""
        parts.append(f"<span>{dot(i)}<b>{html.escape(name)}</b>{step} {said}{more}</span>")
    return f"{STYLE}{' &emsp; '.join(parts)}"


def dot(i: int) -> str:
    """A spot in the colour of method `i`."""
    return f'<span class="dot" style="background:{METHOD_COLOURS[i % len(METHOD_COLOURS)]}"></span>'


def decimals(error: float, value: float) -> int:
    """Digits after the point that show two of the error, or five of the value where there is none."""
    known = np.isfinite(error) and error > 0
    size = float(error) if known else abs(float(value)) * 1e-3
    return int(1 - np.floor(np.log10(size))) if size > 0 else 3


def number(value: float, digits: int) -> str:
    """A number with so many digits after the point; large and small ones with a power of ten."""
    if not np.isfinite(value):
        return "∞" if np.isinf(value) else "–"
    if digits > 7:
        return f"{value:.{max(digits + int(np.floor(np.log10(abs(value) or 1))), 1)}e}"
    return f"{value:.{max(digits, 0)}f}"
