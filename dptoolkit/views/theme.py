"""Colours of every figure, light and dark: colour-blind-safe maps and one table of rules.

The rules name properties of Bokeh models; `apply` sets them from Python and `THEME_JS` from the
browser, so a page can be toggled without Python. A model that needs its own two values (a colour
map) carries them as a tag, see `themed`.
"""

import json
from typing import Any, Literal

import numpy as np
from bokeh.model import Model
from bokeh.palettes import Magma256, RdBu11

Theme = Literal["light", "dark"]

TOKENS: dict[str, dict[str, str]] = {
    "light": {
        "page": "#f4f6f8",
        "surface": "#ffffff",
        "text": "#17212b",
        "muted": "#556372",
        "line": "#d3dae2",
        "accent": "#0a63b8",
        "mark": "#00875f",
    },
    "dark": {
        "page": "#0d1218",
        "surface": "#151c25",
        "text": "#e8eef5",
        "muted": "#a3b1c0",
        "line": "#313d4b",
        "accent": "#6db6ff",
        "mark": "#3ee0ac",
    },
}

TAG = "theme:"
"""A model's own values follow as JSON."""

CATEGORIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a7a00", "#7f8c99")
"""Okabe and Ito (2008), yellow and black replaced so that all are seen on white and on black."""


PAGE = """
:root{--design-background-color:var(--surface);--design-background-text-color:var(--text);
  --design-surface-color:var(--surface);--design-surface-text-color:var(--text);
  --panel-border-color:var(--line);--panel-primary-color:var(--accent)}
html,body{margin:0;height:100%;background:var(--page);color:var(--text);font:14px/1.4 system-ui,sans-serif}
"""
"""Style of the page of an app."""

CARD = {
    "background": "var(--surface)",
    "border": "1px solid var(--line)",
    "border-radius": "8px",
    "overflow": "hidden",
}
"""A frame around a part of an app."""

BRIDGE = {
    "--design-background-color": "surface",
    "--design-background-text-color": "text",
    "--design-surface-color": "surface",
    "--design-surface-text-color": "text",
    "--panel-border-color": "line",
    "--panel-primary-color": "accent",
}
"""Variables of Panel and the colours of the page that they take."""

INPUT = """
:host{color:var(--text)} .bk-input{background-color:var(--surface);color:var(--text);border-color:var(--line)}
.bk-btn{background:var(--surface);color:var(--text);border:1px solid var(--line)!important;box-shadow:none}
.bk-btn a{color:var(--text)}
.bk-btn.bk-active{background:var(--accent);color:var(--surface)}
.noUi-target{background:var(--page)!important;border-color:var(--line)!important;box-shadow:none!important}
.noUi-connect{background:var(--accent)!important}
"""
"""Style of the widgets of an app."""


def _axis(color: dict[str, str]) -> dict[str, str]:
    return {
        "axis_label_text_color": color["text"],
        "major_label_text_color": color["muted"],
        "axis_line_color": color["line"],
        "major_tick_line_color": color["line"],
    }


RULES: dict[str, dict[str, dict[str, str]]] = {
    name: {
        "Figure": {
            "background_fill_color": color["surface"],
            "border_fill_color": color["surface"],
            "outline_line_color": color["line"],
        },
        "LinearAxis": _axis(color),
        "LogAxis": _axis(color),
        "CategoricalAxis": _axis(color),
        "Grid": {"grid_line_color": color["line"]},
        "Title": {"text_color": color["text"]},
        "ColorBar": {
            "background_fill_color": color["surface"],
            "title_text_color": color["muted"],
            "major_label_text_color": color["muted"],
            "bar_line_color": color["line"],
        },
        "Legend": {
            "background_fill_color": color["surface"],
            "label_text_color": color["text"],
            "border_line_color": color["line"],
        },
    }
    for name, color in TOKENS.items()
}


def _between(stops: list[str], n: int = 256) -> list[str]:
    """`n` colours along straight lines between `stops`."""
    rgb = np.array([[int(stop[i : i + 2], 16) for i in (1, 3, 5)] for stop in stops], float)
    at = np.linspace(0, len(stops) - 1, n)
    channels = np.stack([np.interp(at, np.arange(len(stops)), rgb[:, k]) for k in range(3)], axis=1)
    return ["#{:02x}{:02x}{:02x}".format(*row) for row in np.rint(channels).astype(int)]


SEQUENTIAL: dict[str, list[str]] = {
    "light": _between(["#ffffff", *list(Magma256[-30::-9])]),
    "dark": _between([TOKENS["dark"]["surface"], *list(Magma256[30:-9:9])]),
}
DIVERGING: dict[str, list[str]] = {
    "light": _between([*RdBu11[:5], "#ffffff", *RdBu11[6:]]),
    "dark": _between(
        ["#d6f0ff", "#5fb2ff", "#1f64b4", TOKENS["dark"]["surface"], "#b0491c", "#ff9450", "#ffe6c7"]
    ),
}
"""Blue is negative, red is positive."""


def themed(model: Any, **choices: dict[str, Any]) -> Any:
    """`model` with two values of a property: `themed(mapper, palette=SEQUENTIAL)`."""
    tag = {theme: {name: values[theme] for name, values in choices.items()} for theme in TOKENS}
    model.tags = [*model.tags, TAG + json.dumps(tag)]
    model.update(**tag["light"])
    return model


def token(name: str) -> dict[str, str]:
    """The two values of a colour of the page."""
    return {theme: TOKENS[theme][name] for theme in TOKENS}


def apply(model: Model, theme: Theme) -> None:
    """Give a figure or layout the colours of `theme`."""
    if theme not in TOKENS:
        raise ValueError(f"theme = {theme!r}: expected one of {', '.join(TOKENS)}")
    for part in model.references():
        kind = type(part).__name__.lower()
        for name, rule in RULES[theme].items():
            if kind == name.lower():
                part.update(**rule)
        for tag in part.tags:
            if isinstance(tag, str) and tag.startswith(TAG):
                part.update(**json.loads(tag.removeprefix(TAG))[theme])


def css() -> str:
    """The colours of the page as CSS variables; `data-theme` on the root overrides the system's."""
    block = {
        name: ";".join(f"--{key}:{value}" for key, value in color.items()) for name, color in TOKENS.items()
    }
    return (
        f":root{{{block['light']};color-scheme:light}}"
        f":root[data-theme=dark]{{{block['dark']};color-scheme:dark}}"
    )


def variables(theme: Theme) -> dict[str, str]:
    """The colours of the page as CSS variables of one element, for everything inside it."""
    color = TOKENS[theme]
    named = {f"--{name}": value for name, value in color.items()}
    bridged = {name: color[token] for name, token in BRIDGE.items()}
    page = {"background": color["page"], "color": color["text"], "color-scheme": theme}
    return {**named, **bridged, **page}


THEME_JS = (
    f"{{const RULES = {json.dumps(RULES)};"
    + """
window.dptoolkit = Object.assign(window.dptoolkit ?? {}, {
  theme: null,
  applyTheme(theme) {
    this.theme = theme;
    document.documentElement.dataset.theme = theme;
    for (const doc of (window.Bokeh?.documents ?? [])) {
      const models = doc._all_models ?? new Map();
      for (const model of models.values()) {
        const rule = RULES[theme][model.type];
        if (rule) model.setv(rule);
        for (const tag of model.tags ?? []) {
          if (String(tag).startsWith("theme:")) model.setv(JSON.parse(tag.slice(6))[theme]);
        }
      }
    }
    document.dispatchEvent(new CustomEvent("dptoolkit:theme", {detail: theme}));
  },
  toggleTheme() { this.applyTheme(this.theme === "dark" ? "light" : "dark"); },
  followSystem() {
    const query = window.matchMedia("(prefers-color-scheme: dark)");
    query.addEventListener("change", () => this.applyTheme(query.matches ? "dark" : "light"));
    this.applyTheme(query.matches ? "dark" : "light");
  },
});}
"""
)
