"""What the apps share of Panel: paced drawing, themed controls, the page, the link to a state."""

import contextlib
import html
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import panel as pn

from dptoolkit.inference.landscape import Axis
from dptoolkit.views import theme
from dptoolkit.views.keys import Keys
from dptoolkit.views.landscape import axis_label

PERIOD = 100
"""Time between two looks at a running fit [ms]."""
READABLE = 0.3
"""Numbers of a running fit do not change faster [s]."""
DRAWN_JS = "requestAnimationFrame(() => requestAnimationFrame(() => {drawn.value = source.value}))"
"""Two frames later what was sent before is on the screen."""
COPY_JS = """
const area = document.createElement('textarea');
area.value = ADDRESS;
document.body.append(area); area.select(); document.execCommand('copy'); area.remove();
const name = source.label;
source.label = 'copied';
setTimeout(() => {source.label = name}, 1500);
"""
HERE = "window.location.href"
LESSON = HERE + ".replace('lesson=false', 'lesson=true')"
KEYS = "<small>keys: space bar starts and pauses, → is a step, Home resets</small>"
WIDGET = {"stylesheets": [theme.INPUT], "sizing_mode": "stretch_width", "margin": (3, 8)}
"""Of every control."""
BUTTON = {"stylesheets": [theme.INPUT, ".bk-btn{padding:6px 0}"], "width": 51, "margin": (3, 2)}


class Beat:
    """Draws again and again, but only when the browser has drawn what it was sent before.

    `paint` says whether it changed anything; its changes travel in one message. The browser answers with the
    number of that message, so that a slow one is sent fewer frames and never falls behind.
    """

    def __init__(self, paint: Callable[[], bool]):
        self._paint = paint
        self._sent, self._drawn = (pn.widgets.IntInput(value=0, visible=False) for _ in range(2))
        self._sent.jscallback(args={"drawn": self._drawn}, value=DRAWN_JS)
        self._callback: Any = None
        self.parts = (self._sent, self._drawn)
        """To be put somewhere on the page."""

    @property
    def waiting(self) -> bool:
        """Whether the browser has not yet drawn what it was sent."""
        return self._sent.value != self._drawn.value

    def start(self) -> None:
        """Begin; needs a session."""
        self._callback = pn.state.add_periodic_callback(self.tick, PERIOD)

    def stop(self) -> None:
        """End it."""
        if self._callback is not None:
            self._callback.stop()
            self._callback = None

    def tick(self) -> None:
        """Draw if the browser is ready for it."""
        if self.waiting:
            return
        with pn.io.hold():
            if self._paint():
                self._sent.value += 1


def same(before: Sequence[Any], now: Sequence[Any]) -> bool:
    """Whether these are the very same immutable objects."""
    return len(before) == len(now) and all(a is b for a, b in zip(before, now, strict=True))


def race_controls(model: Any, without: Sequence[str] = ()) -> list[Any]:
    """Widgets of what every race has: scenario, loss, methods, learning rate, speed."""
    rates = {f"{rate:g}" if rate else "the method's own": rate for rate in model.param.learning_rate.objects}
    select, known = pn.widgets.Select, model.param
    more = pn.widgets.Checkbox.from_param(known.more, name="add the second sample", **WIDGET)
    widgets = {
        "scenario": select.from_param(known.scenario, name="scenario", options=model.titles, **WIDGET),
        "more": more,
        "loss": select.from_param(known.loss, name="loss", **WIDGET),
        "first": select.from_param(known.first, name="method", **WIDGET),
        "second": select.from_param(known.second, name="against", **WIDGET),
        "rate": select.from_param(known.learning_rate, name="learning rate", options=rates, **WIDGET),
        "speed": pn.widgets.FloatSlider.from_param(known.speed, name="steps a second", step=0.5, **WIDGET),
    }

    def name_more(*_events: Any) -> None:
        more.visible = bool(model.chosen.more)
        more.name = f"add {model.chosen.more_title}"

    known.watch(name_more, "scenario")
    name_more()
    chosen = set(widgets) - set(without)
    if model.lesson:
        chosen &= {"more", *model.chosen.controls}
    return [widget for name, widget in widgets.items() if name in chosen]


def outside_lessons(model: Any, *parts: Any) -> list[Any]:
    """Parts that a lesson leaves out."""
    return [] if model.lesson else list(parts)


def race_buttons(model: Any, beat: Beat) -> pn.Column:
    """Start, pause, step, reset, and the keys for them; what they did is shown at once."""

    def shown(action: Callable[[], None]) -> Callable[..., None]:
        def act(*_events: Any) -> None:
            action()
            beat.tick()

        return act

    row = []
    for name in ("start", "pause", "step", "reset"):
        button = pn.widgets.Button(name=name, **BUTTON)
        button.on_click(shown(model.go if name == "start" else getattr(model, name)))
        row.append(button)
    keys = Keys({" ": shown(model.toggle), "ArrowRight": shown(model.step), "Home": shown(model.reset)})
    buttons = pn.Row(*row, keys, sizing_mode="stretch_width", margin=(4, 6, 0, 6))
    return pn.Column(buttons, text(KEYS, margin=(0, 10)), sizing_mode="stretch_width", margin=0)


def look_controls(model: Any) -> list[Any]:
    """Light or dark, a link to the present state, and one that hides what its scenario does not ask for."""
    look = pn.widgets.RadioButtonGroup.from_param(model.param.theme, **WIDGET)
    addresses = {"copy link": HERE}
    if "lesson" in model.kept and not model.lesson:
        addresses["copy link of the lesson"] = LESSON
    copies = []
    for name, address in addresses.items():
        copy = pn.widgets.Button(name=name, **WIDGET)
        copy.jscallback(clicks=COPY_JS.replace("ADDRESS", address))
        copies.append(copy)
    return [look, *copies]


def start_sliders(model: Any) -> list[Any]:
    """A slider for the start of every parameter; a setup must be ready."""
    sliders = []
    for one in model.setup().parameters:
        value = min(max(model.start.get(one.path, one.start), one.low), one.high)
        slider = pn.widgets.FloatSlider(
            name=axis_label(Axis(one.name, one.symbol, one.unit, np.zeros(1))), start=one.low, end=one.high,
            step=(one.high - one.low) / 200, value=value, format=_slider_format(one.high), **WIDGET,
        )  # fmt: skip

        def moved(event: Any, path: str = one.path) -> None:
            model.start = {**model.start, path: float(event.new)}

        slider.param.watch(moved, "value_throttled")
        sliders.append(slider)
    return sliders


def _slider_format(high: float) -> str:
    """Digits of the number beside a slider."""
    return "0.00e+0" if high < 0.01 else ("0.0000" if high < 1 else "0.00")


def hold_buttons(model: Any) -> pn.widgets.CheckButtonGroup:
    """A button for every parameter: pressed, it stays where it is."""
    options = {one.name.rsplit(".", 1)[-1].replace("_", " "): one.path for one in model.setup().parameters}
    group = pn.widgets.CheckButtonGroup(options=options, value=list(model.held), **WIDGET)
    group.param.watch(lambda event: setattr(model, "held", list(event.new)), "value")
    return group


def card(*parts: Any, **options: Any) -> pn.Column:
    """A framed part of a page."""
    chosen = {"sizing_mode": "stretch_both", "styles": theme.CARD, "margin": (0, 8, 8, 0), **options}
    return pn.Column(*parts, **chosen)


def put(place: pn.Column, *figures: Any) -> None:
    """Fill a card with figures of Bokeh, in place of what was there."""
    place[:] = [pn.pane.Bokeh(figure, sizing_mode="stretch_both", margin=2) for figure in figures]


def repaint(model: Any, places: Sequence[pn.Column]) -> None:
    """Give the figures of cards the theme of the model."""
    for pane in (pane for place in places for pane in place):
        if isinstance(pane, pn.pane.Bokeh) and pane.object is not None:
            theme.apply(pane.object, model.theme)


def text(content: str = "", **options: Any) -> pn.pane.HTML:
    """Words in the colours of the page."""
    chosen = {"sizing_mode": "stretch_width", "margin": (6, 10), **options}
    return pn.pane.HTML(content, stylesheets=[theme.INPUT], **chosen)


def side_bar(*parts: Any) -> pn.Column:
    """The column of controls."""
    styles = {**theme.CARD, "overflow": "auto"}
    return pn.Column(*parts, width=236, sizing_mode="stretch_height", styles=styles, margin=(0, 8, 8, 8))


def page(model: Any, header: Any, *parts: Any, figures: Sequence[Any] = ()) -> pn.Column:
    """The whole page in the theme of the model, `figures` of Bokeh too."""
    body = pn.Row(*parts, sizing_mode="stretch_both")
    whole = pn.Column(header, body, sizing_mode="stretch_both")

    def paint(*_events: Any) -> None:
        whole.styles = {"height": "100vh", **theme.variables(model.theme)}
        for figure in figures:
            theme.apply(figure, model.theme)

    model.param.watch(paint, "theme")
    paint()
    return whole


def restore(model: Any) -> str:
    """Take the state from the link by which the page was opened; what is wrong with it, if anything."""
    arguments = {name: values[-1].decode() for name, values in (pn.state.session_args or {}).items()}
    known = {name: value for name, value in arguments.items() if name in (*model.kept, "version")}
    try:
        model.from_texts(known)
    except ValueError as error:
        return f"<b>The link is wrong:</b> {html.escape(str(error).splitlines()[0])[:150]} &emsp; "
    return ""


def keep_link(model: Any) -> None:
    """Write the state into the address of the page whenever a control changes."""

    def write(*_events: Any) -> None:
        if pn.state.location is not None:
            pn.state.location.search = model.query()

    model.param.watch(write, list(model.kept))


def run_session(model: Any, beat: Beat) -> None:
    """Begin when the page is laid out; end when it is closed."""

    def begin() -> None:
        model.begin()
        beat.start()

    def end(_context: Any) -> None:
        with contextlib.suppress(KeyError, AttributeError):
            beat.stop()
        model.close()

    pn.state.onload(begin)
    pn.state.on_session_destroyed(end)
