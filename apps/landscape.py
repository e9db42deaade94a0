"""Loss landscape: the loss over two parameters, and the ways that methods take down it."""

from functools import partial

import panel as pn

from dptoolkit.session.landscape import LossLandscape, Maps
from dptoolkit.session.live_fit import losses_above
from dptoolkit.views import panels, theme
from dptoolkit.views.elements import rendered
from dptoolkit.views.landscape import landscape_scan
from dptoolkit.views.live import LossRace
from dptoolkit.views.paths import WalkedMap
from dptoolkit.views.tables import status_line

TITLE = "<b style='font-size:17px'>Loss landscape</b> &emsp;"
HINT = "<b>Click</b> into the map, or drag the star, to begin there."


def create_app() -> pn.viewable.Viewable:
    model = LossLandscape()
    title = TITLE + panels.restore(model)
    losses = LossRace()
    header, about = panels.text(f"{title}preparing"), panels.text()
    main, beside = panels.card(), panels.card()
    axes = [
        pn.widgets.Select.from_param(model.param[name], name=f"{name} axis", **panels.WIDGET) for name in "xy"
    ]
    shown = {"frames": (), "maps": Maps(None)}  # type: ignore[arg-type]
    walked: dict[str, WalkedMap] = {}

    def draw(which: str, found: object, title: str, moved: object = None) -> object:
        """The figure of a map that was not drawn yet."""
        minimum = model.minima()[-1].z if title == model.loss else None
        walked[which] = WalkedMap(
            found, truth=model.setup().truth, estimate=minimum, title=title, moved=moved
        )
        theme.apply(walked[which].figure, model.theme)
        return walked[which].figure

    def redraw(maps: Maps) -> None:
        before, shown["maps"] = shown["maps"], maps
        if maps.main is not before.main:
            panels.put(main, draw("main", maps.main, model.loss, partial(model.place_start, maps.main.names)))
        if maps.beside is not before.beside and maps.beside is not None:
            panels.put(beside, draw("beside", maps.beside, model.beside))
        if maps.slices and maps.slices is not before.slices:
            known = {"truth": model.setup().truth, "estimate": model.minima()[-1].z}
            plots = [rendered(landscape_scan(one, **known)).state for one in maps.slices]
            for plot in plots:
                theme.apply(plot, model.theme)
            panels.put(beside, *plots)
            walked.pop("beside", None)

    def paint() -> bool:
        frames, maps = model.frames, model.map_state
        if panels.same(shown["frames"], (maps, *frames.values())):
            return False
        shown["frames"] = (maps, *frames.values())
        progress = "" if maps.ended else f" &emsp; map: {maps.done} of {maps.total or '?'} points"
        header.object = (
            f"{title}{status_line(frames)}{progress if not maps.error else ' &emsp; ' + maps.error}"
        )
        if maps.result is not None and maps.result is not shown["maps"]:
            redraw(maps.result)
        histories = [frame.history for frame in frames.values()]
        for one in walked.values():
            one.update(histories, model.setup().start | model.start)
        if any(histories):
            minima = model.minima()
            losses.update([losses_above(history, minima) for history in histories])
        return True

    def explain(*_events: object) -> None:
        walked.clear()
        main[:], beside[:] = [panels.text("computing the map")], [panels.text("then what is beside it")]
        about.object = f"<b>{model.chosen.title}.</b> {model.chosen.about}<p>{HINT}</p>"
        for widget, name in zip(axes, "xy", strict=True):
            widget.options = {path.removeprefix("detector."): path for path in model.param[name].objects}

    model.param.watch(explain, ["scenario", "more"])
    model.param.watch(lambda _event: panels.repaint(model, (main, beside)), "theme")
    explain()
    beat = panels.Beat(paint)
    panels.keep_link(model)
    panels.run_session(model, beat)
    more = [
        pn.widgets.Select.from_param(model.param.beside, name="beside it", **panels.WIDGET),
        pn.widgets.Select.from_param(model.param.around, name="values", **panels.WIDGET),
    ]  # fmt: skip
    side = panels.side_bar(
        *panels.race_controls(model), panels.race_buttons(model, beat),
        *panels.outside_lessons(model, *axes, *more),
        *panels.look_controls(model), *beat.parts,
    )  # fmt: skip
    middle = pn.Column(
        pn.Row(main, beside, sizing_mode="stretch_both"),
        pn.Row(panels.card(losses.figure), panels.card(about), sizing_mode="stretch_both", max_height=190),
        sizing_mode="stretch_both",
    )  # fmt: skip
    return panels.page(model, header, side, middle, figures=[losses.figure])


pn.extension(raw_css=[theme.css() + theme.PAGE])
if pn.state.served:
    create_app().servable(title="Loss landscape")
