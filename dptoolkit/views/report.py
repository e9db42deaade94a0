"""Self-contained HTML pages: an event display, and reports made of sections. No request leaves the page."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bokeh.embed import components
from bokeh.models import LayoutDOM
from holoviews.core import Dimensioned

from dptoolkit.views.elements import draw
from dptoolkit.views.event import EventView, readout_layout, summary
from dptoolkit.views.export import bokeh_script, filling
from dptoolkit.views.segments3d import scene_fragment
from dptoolkit.views.theme import THEME_JS, css

STYLE = """
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);
  font:14px/1.45 system-ui,-apple-system,"Segoe UI",sans-serif}
header{display:flex;align-items:center;gap:4px 22px;flex-wrap:wrap;padding:7px 14px;background:var(--surface);
  border-bottom:1px solid var(--line)}
h1{font-size:17px;margin:0;letter-spacing:-.01em}
header span{color:var(--muted)}header b{color:var(--text);font-weight:600;margin-left:5px}
header button{margin-left:auto;font:inherit;color:var(--text);background:none;border:1px solid var(--line);
  border-radius:6px;padding:2px 11px;cursor:pointer}
.card{background:var(--surface);border:1px solid var(--line);border-radius:8px;overflow:hidden;min-width:0}
.event{display:grid;grid-template-columns:minmax(330px,38%) minmax(0,1fr);gap:9px;padding:9px;
  height:calc(100vh - 46px);min-height:560px}
.event .left{display:grid;grid-template-rows:minmax(0,1fr) auto;gap:9px;min-height:0}
.event .planes{padding:4px;min-height:0}
.event.alone{grid-template-columns:1fr}
.inside .event{height:640px;padding:0}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{text-align:left;font-weight:600;color:var(--muted)}
td,th{padding:3px 10px;border-top:1px solid var(--line)}tr:first-child>*{border-top:0}
.numbers{max-height:34vh;overflow:auto;font-size:13px}
.numbers td{padding:1px 10px}.numbers td:nth-child(2){text-align:right;font-weight:600}
.numbers td:nth-child(3){color:var(--muted);width:5.5em;padding-left:0}
main.report{max-width:1240px;margin:0 auto;padding:10px 14px 40px}
.report h2{font-size:18px;margin:26px 0 8px}
.report p{max-width:75ch}.report .card{padding:6px}.report .plot{height:380px}
.report .event .card{padding:0}.report .event .planes{padding:4px}
@media(max-width:900px){.event{grid-template-columns:1fr;height:auto}
  .event .left{grid-template-rows:420px auto}
  .event .planes{height:640px}}
@media print{header button{display:none}}
"""


@dataclass(frozen=True)
class Table:
    """A table of text."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A part of a report: text (plain), and any of figure (an element), table and event below it."""

    title: str
    text: str = ""
    figure: Dimensioned | None = None
    table: Table | None = None
    event: EventView | None = None


def event_page(view: EventView, facts: Mapping[str, str], title: str = "Event display") -> str:
    """The display of one event; `facts` are shown in the header: detector, file, event, seed, ..."""
    models: dict[str, LayoutDOM] = {}
    body = _event(view, "event", models)
    return _page(title, facts, f"<main>{body}</main>", models)


def report_page(title: str, sections: Sequence[Section], facts: Mapping[str, str] | None = None) -> str:
    """A report of several sections below each other."""
    models: dict[str, LayoutDOM] = {}
    parts = [_section(section, f"section{number}", models) for number, section in enumerate(sections)]
    return _page(title, facts or {}, f'<main class="report">{"".join(parts)}</main>', models)


def _section(section: Section, name: str, models: dict[str, LayoutDOM]) -> str:
    parts = [f"<section><h2>{html.escape(section.title)}</h2>"]
    if section.text:
        parts.append(f"<p>{html.escape(section.text)}</p>")
    if section.event is not None:
        parts.append(f'<div class="inside">{_event(section.event, f"{name}-event", models)}</div>')
    if section.figure is not None:
        models[name] = draw(section.figure)
        parts.append(f'<div class="card plot">{_slot(name)}</div>')
    if section.table is not None:
        parts.append(f'<div class="card">{_table(section.table)}</div>')
    return "".join([*parts, "</section>"])


def _event(view: EventView, name: str, models: dict[str, LayoutDOM]) -> str:
    left = right = ""
    if view.segments is not None:
        left += f'<div class="card">{scene_fragment(view.scene(), f"{name}-segments")}</div>'
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in summary(view)
    )
    left += f'<div class="card numbers"><table>{rows}</table></div>'
    layout = readout_layout(view)
    if layout is not None:
        models[name] = layout
        right = f'<div class="card planes">{_slot(name)}</div>'
    elif view.readout:
        right = '<div class="card" style="padding:30px">No signals in this event.</div>'
    return f'<div class="event{"" if right else " alone"}"><div class="left">{left}</div>{right}</div>'


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.header)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    return f"<table><tr>{head}</tr>{rows}</table>"


def _slot(name: str) -> str:
    return f"<!--plot:{name}-->"


def _page(title: str, facts: Mapping[str, str], body: str, models: Mapping[str, LayoutDOM]) -> str:
    script = scripts = ""
    if models:
        script, divs = components(dict(models), wrap_script=True)
        scripts = bokeh_script()
        for name, div in divs.items():
            body = body.replace(_slot(name), filling(div))
    shown = "".join(
        f"<span>{html.escape(name)}<b>{html.escape(value)}</b></span>" for name, value in facts.items()
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{css()}{STYLE}</style><script>{THEME_JS}\ndptoolkit.followSystem();</script>{scripts}</head>"
        f"<body><header><h1>{html.escape(title)}</h1>{shown}"
        f'<button type="button" onclick="dptoolkit.toggleTheme()">light / dark</button></header>'
        f"{body}{script}"
        '<script>window.addEventListener("load", () => '
        "setTimeout(() => dptoolkit.applyTheme(dptoolkit.theme)));</script></body></html>"
    )
