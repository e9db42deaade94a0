"""Segments in three dimensions: a self-contained piece of HTML that turns with the mouse.

WebGL2 without any library (`segments3d.js`). It talks to the figures of the same page by two events
on the document: `dptoolkit:readout` (something was tapped) and `dptoolkit:theme`.
"""

import base64
import html
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np

from dptoolkit.events import Segments, take
from dptoolkit.geometry import Region
from dptoolkit.views.link import Places
from dptoolkit.views.theme import CATEGORIES, SEQUENTIAL, THEME_JS, Theme, css

PARTICLES = {
    11: "e⁻", -11: "e⁺", 13: "μ⁻", -13: "μ⁺", 22: "γ", 111: "π⁰", 211: "π⁺", -211: "π⁻",
    321: "K⁺", -321: "K⁻", 2112: "n", 2212: "p",
}  # fmt: skip
STYLE = """
.s3{position:relative;width:100%;height:100%;min-height:200px;background:var(--surface);color:var(--text);
  font:12px/1.35 system-ui,sans-serif;overflow:hidden;border-radius:inherit;container-type:size}
@container (max-width:470px){.s3 .s3-legend{top:42px}}
.s3 canvas{position:absolute;top:0;left:0;width:100%;height:calc(100% - 25px)}
.s3-over{cursor:grab;touch-action:none;outline-offset:-2px}.s3-over:active{cursor:grabbing}
.s3-top{position:absolute;top:8px;left:8px;display:flex;gap:6px;align-items:center}
.s3 select,.s3 button{font:inherit;color:var(--text);background:var(--surface);border:1px solid var(--line);
  border-radius:5px;padding:3px 8px;cursor:pointer}
.s3-legend{position:absolute;top:8px;right:10px;
  text-shadow:0 0 3px var(--surface),0 0 3px var(--surface);text-align:right;pointer-events:none}
.s3-legend i{display:inline-block;width:14px;height:4px;margin-right:6px;
  vertical-align:middle;border-radius:2px}
.s3-bar{width:130px;height:8px;border-radius:2px;outline:1px solid var(--line);margin:3px 0 2px auto}
.s3-ends{width:130px;display:flex;justify-content:space-between;margin-left:auto;color:var(--muted)}
.s3-status{position:absolute;bottom:0;left:0;right:0;padding:4px 10px;color:var(--muted);
  background:var(--surface);border-top:1px solid var(--line);pointer-events:none}
.s3-tip{position:absolute;display:none;pointer-events:none;background:var(--surface);color:var(--text);
  border:1px solid var(--line);border-radius:5px;padding:3px 7px;max-width:300px}
.s3-none{display:none;position:absolute;inset:0;padding:40px;background:var(--surface)}
"""
BODY = """<div class="s3"><canvas class="s3-gl"></canvas>
<canvas class="s3-over" tabindex="0" aria-label="Segments in 3-D; arrow keys turn the view"></canvas>
<div class="s3-top"><label>colour <select class="s3-mode"></select></label>
<button class="s3-extent" type="button"></button><button class="s3-reset" type="button">reset</button></div>
<div class="s3-legend"></div><div class="s3-status"></div><div class="s3-tip"></div>
<div class="s3-none">This browser offers no WebGL2; the three-dimensional view needs it.</div></div>"""
HINT = "drag: turn · wheel: zoom · shift-drag: move · click: select"


def scene(
    segments: Segments,
    region: Region | None = None,
    event: int = 0,
    *,
    charge: np.ndarray | None = None,
    places: Mapping[str, Places] | None = None,
) -> dict[str, Any]:
    """What the browser draws; `charge` [electrons] and `places` have a row for every one of `segments`."""
    rows = np.flatnonzero(np.asarray(segments.valid) & (np.asarray(segments.event) == event))
    chosen = take(segments, rows)
    points = np.concatenate([np.asarray(chosen.start, float), np.asarray(chosen.end, float)], axis=1)
    low, high = _extent(points)
    frame = np.zeros((0, 2, 3)) if region is None else region.frame()
    whole = (low, high) if region is None else region.bounds
    linked = [
        {
            "plane": name,
            "group": _pack(place.group[rows], np.int32),
            "x": _pack(place.x[rows], np.float32),
            "y": _pack(place.y[rows], np.float32),
        }
        for name, place in (places or {}).items()
    ]
    return {
        "count": len(rows),
        "positions": _pack(points, np.float32),
        "modes": _modes(chosen, None if charge is None else np.asarray(charge, float)[rows]),
        "frame": _pack(frame, np.float32),
        "low": low.tolist(),
        "high": high.tolist(),
        "whole_low": np.minimum(low, whole[0]).tolist(),
        "whole_high": np.maximum(high, whole[1]).tolist(),
        "places": linked,
        "maps": {"light": _visible(SEQUENTIAL["light"]), "dark": _visible(SEQUENTIAL["dark"])},
        "hint": HINT,
    }


def scene_fragment(content: Mapping[str, Any], name: str = "segments") -> str:
    """A `<div>` with its script, for a page that has the colours of `theme.css`."""
    code = resources.files("dptoolkit.views").joinpath("segments3d.js").read_text(encoding="utf-8")
    data = json.dumps(content).replace("</", "<\\/")
    return (
        f'<style>{STYLE}</style><div id="{name}" style="height:100%">{BODY}</div>'
        f"<script>{{{code}\nsegments3d(document.getElementById({json.dumps(name)}), {data});}}</script>"
    )


def scene_page(content: Mapping[str, Any], theme: Theme | None = None) -> str:
    """A whole document; without `theme` it follows the system."""
    start = f"dptoolkit.applyTheme({json.dumps(theme)})" if theme else "dptoolkit.followSystem()"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Segments</title>'
        f"<style>{css()}html,body{{margin:0;height:100%;background:var(--surface)}}</style></head>"
        f"<body><script>{THEME_JS}\n{start};</script>{scene_fragment(content)}</body></html>"
    )


def scene_frame(content: Mapping[str, Any], theme: Theme | None = None, height: str = "100%") -> str:
    """An `<iframe>` for notebooks and apps, in a block: IPython warns of one that stands alone."""
    page = html.escape(scene_page(content, theme), quote=True)
    frame = (
        f'<iframe srcdoc="{page}" style="width:100%;height:100%;border:0" title="Segments in 3-D"></iframe>'
    )
    return f'<div style="height:{height}">{frame}</div>'


def _modes(segments: Segments, charge: np.ndarray | None) -> list[dict[str, Any]]:
    dedx, energy = np.asarray(segments.dedx, float), np.asarray(segments.de, float)
    modes = [_continuous("dE/dx", "MeV/cm", dedx, log=True), _continuous("dE", "MeV", energy, log=True)]
    if charge is not None:
        modes.append(_continuous("charge", "electrons", charge, log=True))
    modes.append(_continuous("time", "µs", np.asarray(segments.t0, float)))
    pdg = np.asarray(segments.pdg)
    modes.append(_categorical("particle", pdg, _particle))
    modes.append(_categorical("track", np.asarray(segments.track), lambda number: f"track {number}"))
    return modes


def _continuous(label: str, unit: str, values: np.ndarray, *, log: bool = False) -> dict[str, Any]:
    positive = values[values > 0] if log else values
    low, high = np.quantile(positive, [0.01, 0.99]) if len(positive) else (1.0, 2.0)
    if high <= low:
        high = low + max(abs(low), 1.0) * 0.1
    return {
        "label": label, "unit": unit, "log": log, "low": float(low), "high": float(high),
        "values": _pack(values, np.float32),
    }  # fmt: skip


def _categorical(label: str, numbers: np.ndarray, name: Any) -> dict[str, Any]:
    """The most frequent values have a colour each, the rest share one."""
    values, inverse, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    room = len(CATEGORIES) - 1
    order = np.argsort(-counts, kind="stable")
    index = np.full(len(values), room)
    index[order[:room]] = np.arange(min(room, len(values)))
    legend = [{"label": name(int(values[k])), "color": CATEGORIES[i]} for i, k in enumerate(order[:room])]
    if len(values) > room:
        legend.append({"label": f"{len(values) - room} others", "color": CATEGORIES[room]})
    return {"label": label, "unit": "", "categories": legend, "values": _pack(index[inverse], np.float32)}


def _particle(pdg: int) -> str:
    return PARTICLES.get(pdg, "nucleus" if abs(pdg) > 10**9 else f"PDG {pdg}")


def _extent(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A box around the segments with some room, no side much shorter than the longest."""
    if len(points) == 0:
        return np.zeros(3), np.ones(3)
    both = points.reshape(-1, 3)
    low, high = both.min(axis=0), both.max(axis=0)
    half = np.maximum((high - low) / 2, 0.15 * (high - low).max() + 0.5) * 1.08
    return (low + high) / 2 - half, (low + high) / 2 + half


def _visible(colors: list[str]) -> list[str]:
    """Without the end of the map that fades into the background."""
    return colors[56::4]


def _pack(values: np.ndarray, dtype: Any) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype).tobytes()).decode("ascii")
