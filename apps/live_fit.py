"""Live fit: watch a prediction move onto the data, by one method or two that race."""

import time

import panel as pn

from dptoolkit.session.live_fit import LiveFit, losses_above
from dptoolkit.session.scenario import load_scenario
from dptoolkit.views import panels, theme
from dptoolkit.views.live import LossRace, ParameterWays, PlaneImages, WaveformRace
from dptoolkit.views.tables import parameter_table, status_line

TITLE = "<b style='font-size:17px'>Live fit</b> &emsp;"


def create_app() -> pn.viewable.Viewable:
    model = LiveFit()
    title = TITLE + panels.restore(model)
    images, wave, losses, ways = PlaneImages(), WaveformRace(), LossRace(), ParameterWays()
    figures = [*images.figures, wave.figure, losses.figure, ways.figure]
    header = panels.text(f"{title}preparing")
    about, table = panels.text(), panels.text()
    starts, hold = pn.Column(sizing_mode="stretch_width"), pn.Column(sizing_mode="stretch_width")
    muon = pn.widgets.IntInput.from_param(model.param.muon, name="muon that is shown", **panels.WIDGET)
    shown = {"frames": (), "setup": None, "read": 0.0, "state": []}

    def adapt() -> None:
        """Controls that depend on the scenario."""
        setup = model.setup()
        shown["setup"] = setup
        starts[:] = panels.start_sliders(model)
        hold[:] = [panels.hold_buttons(model)]
        muon.end = len(setup.problem.sources) - 1
        muon.visible = muon.end > 0

    def paint() -> bool:
        frames = model.frames
        if panels.same(shown["frames"], tuple(frames.values())):
            return False
        shown["frames"] = tuple(frames.values())
        read = time.monotonic() - shown["read"] > panels.READABLE
        state = [(name, frame.status) for name, frame in frames.items()]
        told = read or state != shown["state"] or model.running is False
        if told:  # words make the browser lay out the page again: a third of the cost of a frame
            shown["read"], shown["state"] = time.monotonic(), state
            header.object = f"{title}{status_line(frames)}"
        seen = [frame.seen for frame in frames.values()]
        shown_first = next((one for one in seen if one is not None), None)
        if shown_first is None or any(frame.busy and frame.seen is None for frame in frames.values()):
            return True
        if model.setup() is not shown["setup"]:
            adapt()
        minima = model.minima()
        images.update(shown_first)
        wave.update(seen)
        losses.update([losses_above(frame.history, minima) for frame in frames.values()])
        ways.update([model.ways(frame.history) for frame in frames.values()])
        if told:
            table.object = parameter_table(model.rows(), list(frames))
        return True

    def explain(*_events: object) -> None:
        scenario = load_scenario(model.scenario)
        about.object = f"<b>{scenario.title}.</b> {scenario.about}"
        shown["setup"] = None

    model.param.watch(explain, ["scenario", "more"])
    explain()
    beat = panels.Beat(paint)
    panels.keep_link(model)
    panels.run_session(model, beat)
    side = panels.side_bar(
        *panels.race_controls(model),
        panels.race_buttons(model, beat),
        muon,
        *panels.look_controls(model),
        *beat.parts,
    )
    middle = pn.Column(
        panels.card(pn.Row(*figures[:3], sizing_mode="stretch_both"), max_height=270),
        panels.card(wave.figure, max_height=190),
        pn.Row(panels.card(losses.figure), panels.card(ways.figure), sizing_mode="stretch_both"),
        sizing_mode="stretch_both",
    )  # fmt: skip
    right = panels.card(
        about, table, panels.text("<b>hold</b>", margin=(6, 10, 0, 10)), hold,
        panels.text("<b>start</b>", margin=(6, 10, 0, 10)), starts,
        max_width=370, styles={**theme.CARD, "overflow": "auto"},
    )  # fmt: skip
    return panels.page(model, header, side, middle, right, figures=figures)


pn.extension(raw_css=[theme.css() + theme.PAGE])
if pn.state.served:
    create_app().servable(title="Live fit")
