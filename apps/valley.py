"""Correlation valley: how parameters mix, and why gradient descent crawls where Gauss-Newton does not."""

from functools import partial

import panel as pn

from dptoolkit.session.live_fit import losses_above
from dptoolkit.session.valley import Valley
from dptoolkit.views import panels, theme
from dptoolkit.views.calibration import correlation
from dptoolkit.views.elements import rendered
from dptoolkit.views.live import LossRace
from dptoolkit.views.paths import WalkedMap
from dptoolkit.views.tables import fisher_table, status_line

TITLE = "<b style='font-size:17px'>Correlation valley</b> &emsp;"


def create_app() -> pn.viewable.Viewable:
    model = Valley()
    title = TITLE + panels.restore(model)
    losses = LossRace()
    header, about = panels.text(f"{title}preparing"), panels.text()
    raw, bowl = (
        panels.card(panels.text("computing the map")),
        panels.card(panels.text("then the same, whitened")),
    )
    matrix, numbers = panels.card(max_width=300), panels.text()
    axes = [
        pn.widgets.Select.from_param(model.param[name], name=f"{name} axis", **panels.WIDGET) for name in "xy"
    ]
    shown = {"frames": (), "maps": None, "setup": None}
    walked: dict[str, WalkedMap] = {}

    def draw(found: object, title: str, moved: object = None) -> WalkedMap:
        drawn = WalkedMap(
            found, truth=model.setup().truth, estimate=model.minima()[-1].z, title=title, moved=moved
        )
        theme.apply(drawn.figure, model.theme)
        return drawn

    def redraw(maps: object) -> None:
        shown["maps"] = maps
        walked["raw"] = draw(
            maps.raw, "the valley in physical units", partial(model.place_start, maps.raw.names)
        )
        panels.put(raw, walked["raw"].figure)
        walked.pop("bowl", None)
        if maps.bowl is not None:
            walked["bowl"] = draw(maps.bowl, "the same, whitened")
            panels.put(bowl, walked["bowl"].figure)
        elif maps.why:
            bowl[:] = [panels.text(maps.why)]

    def inform() -> None:
        """The matrix and the numbers of a new sample."""
        shown["setup"] = model.setup()
        known = model.known()
        names = [name.rsplit(".", 1)[-1] for name in known.names]
        plot = rendered(correlation(names, known.information.correlation)).state
        plot.update(title="correlation of the estimates", toolbar_location=None)
        theme.apply(plot, model.theme)
        panels.put(matrix, plot)
        numbers.object = fisher_table(known)

    def paint() -> bool:
        frames, maps = model.frames, model.map_state
        if panels.same(shown["frames"], (maps, *frames.values())):
            return False
        shown["frames"] = (maps, *frames.values())
        progress = "" if maps.ended else f" &emsp; maps: {maps.done} of {maps.total or '?'} points"
        header.object = (
            f"{title}{status_line(frames)}{progress if not maps.error else ' &emsp; ' + maps.error}"
        )
        histories = [frame.history for frame in frames.values()]
        begun = [history for history in histories if history]
        if not begun or any(frame.busy and not frame.history for frame in frames.values()):
            return True
        if model.setup() is not shown["setup"]:
            inform()
        if maps.result is not None and maps.result is not shown["maps"]:
            redraw(maps.result)
        for one in walked.values():
            one.update(histories, begun[0][0].values)
        minima = model.minima()
        losses.update([losses_above(history, minima) for history in histories])
        return True

    def explain(*_events: object) -> None:
        walked.clear()
        raw[:], bowl[:] = [panels.text("computing the map")], [panels.text("then the same, whitened")]
        about.object = f"<b>{model.chosen.title}.</b> {model.chosen.about}"
        for widget, name in zip(axes, "xy", strict=True):
            widget.options = {path.removeprefix("detector."): path for path in model.param[name].objects}

    model.param.watch(explain, ["scenario", "more"])
    model.param.watch(lambda _event: panels.repaint(model, (raw, bowl, matrix)), "theme")
    explain()
    beat = panels.Beat(paint)
    panels.keep_link(model)
    panels.run_session(model, beat)
    side = panels.side_bar(
        *panels.race_controls(model, without=("loss",)), panels.race_buttons(model, beat),
        *panels.outside_lessons(model, *axes),
        *panels.look_controls(model), about, *beat.parts,
    )  # fmt: skip
    maps = pn.Row(raw, bowl, sizing_mode="stretch_both")
    below = pn.Row(
        matrix, panels.card(numbers), panels.card(losses.figure, max_width=300),
        sizing_mode="stretch_both", max_height=230,
    )  # fmt: skip
    return panels.page(
        model, header, side, pn.Column(maps, below, sizing_mode="stretch_both"), figures=[losses.figure]
    )


pn.extension(raw_css=[theme.css() + theme.PAGE])
if pn.state.served:
    create_app().servable(title="Correlation valley")
