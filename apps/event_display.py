"""Event display: planes, waveforms and segments of an event, in any detector or from your own file."""

import asyncio
import io

import panel as pn

from dptoolkit.session.event_display import EventDisplay
from dptoolkit.session.upload import upload_limit
from dptoolkit.views import panels, theme
from dptoolkit.views.event import readout_layout, summary
from dptoolkit.views.keys import Keys
from dptoolkit.views.report import event_page
from dptoolkit.views.segments3d import scene_frame

TABLE = "<style>td{padding:1px 10px}td+td{text-align:right;font-weight:600}td+td+td{font-weight:400}</style>"
TITLE = "<b style='font-size:17px'>Event display</b>"


def create_app() -> pn.viewable.Viewable:
    model = EventDisplay()
    style = {"stylesheets": [theme.INPUT], "sizing_mode": "stretch_width", "margin": (3, 10)}
    controls = pn.Param(
        model,
        parameters=["detector", "event", "mode", "seed", "limit"],
        show_name=False,
        widgets={
            "detector": {"name": "detector", **style},
            "event": {"name": "event", "type": pn.widgets.IntInput, **style},
            "mode": {"name": "read-out", **style},
            "seed": {"name": "seed of a sample", "type": pn.widgets.IntInput, **style},
            "limit": {"name": "colours saturate at [ADC]", "placeholder": "automatic", **style},
        },
    )
    upload = pn.widgets.FileInput(accept=".h5,.hdf5,.npz", **style)
    look = pn.widgets.RadioButtonGroup.from_param(model.param.theme, **style)
    look.jscallback(value="document.documentElement.dataset.theme = source.active ? 'dark' : 'light';")
    message = pn.pane.Alert("", alert_type="danger", visible=False, margin=(4, 10))
    wait = f"{TITLE} &ensp;simulating; the first event of a detector compiles first"
    header = pn.pane.HTML(wait, sizing_mode="stretch_width", margin=(6, 12), stylesheets=[theme.INPUT])
    numbers = pn.pane.HTML("", sizing_mode="stretch_width", margin=(0, 0), stylesheets=[theme.INPUT])
    scene = pn.pane.HTML("", sizing_mode="stretch_both", margin=0)
    planes = pn.pane.Bokeh(None, sizing_mode="stretch_both", margin=4)
    shown = {"view": None, "closed": False, "asked": 0}
    one_at_a_time = asyncio.Lock()
    pn.state.on_session_destroyed(lambda _context: shown.update(closed=True))

    def compute() -> tuple:
        view = model.view()
        return view, summary(view)

    def paint() -> None:
        if shown["view"] is None:
            return
        layout = readout_layout(shown["view"])
        if layout is not None:
            theme.apply(layout, model.theme)
        planes.object = layout
        scene.object = scene_frame(shown["view"].scene(), model.theme)

    async def update(*_events: object) -> None:
        """Show what is asked for; what was asked for before and is not shown yet is dropped."""
        shown["asked"] += 1
        mine = shown["asked"]
        body.loading = True
        async with one_at_a_time:
            if mine == shown["asked"] and not shown["closed"]:
                await simulate(mine)

    async def simulate(mine: int) -> None:
        try:
            last = len(model.event_numbers) - 1
            if model.event > last:
                raise ValueError(f"event = {model.event}: {model.source} has events 0 to {last}")
            view, rows = await asyncio.to_thread(compute)
            if shown["closed"] or mine != shown["asked"]:
                return
            shown["view"] = view
            with pn.io.hold():
                cells = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in rows)
                numbers.object = f"{TABLE}<table style='width:100%'>{cells}</table>"
                facts = "".join(f" &ensp;{name} <b>{value}</b>" for name, value in model.facts().items())
                header.object = f"{TITLE}{facts} &ensp;{model.note}"
                message.visible = False
                paint()
        except ValueError as error:
            message.param.update(object=str(error), visible=True)
        finally:
            if not shown["closed"] and mine == shown["asked"]:
                body.loading = False

    async def open_upload(*_events: object) -> None:
        try:
            if upload.filename:
                model.open_upload(upload.filename, upload.value or b"", upload_limit())
                await update()
        except ValueError as error:
            message.param.update(object=str(error), visible=True)

    def turn(by: int) -> None:
        """To another event of the file, if there is one."""
        model.event = min(max(model.event + by, 0), len(model.event_numbers) - 1)

    def page() -> io.StringIO:
        return io.StringIO(event_page(shown["view"], model.facts()))

    save = pn.widgets.FileDownload(callback=page, filename="event.html", label="save page", **style)
    yours = pn.pane.HTML("<b>your file</b>", margin=(8, 10, 0, 10), stylesheets=[theme.INPUT])
    side = pn.Column(
        controls, Keys({"ArrowLeft": lambda: turn(-1), "ArrowRight": lambda: turn(1)}),
        panels.text("<small>keys: ← and → turn to other events</small>", margin=(0, 10)),
        yours, upload, look, save, message, width=230, sizing_mode="stretch_height",
        styles={**theme.CARD, "overflow": "auto"}, margin=(0, 8, 8, 8),
    )  # fmt: skip
    left = pn.Column(
        pn.Row(scene, sizing_mode="stretch_both", styles=theme.CARD, margin=(0, 0, 8, 0)),
        pn.Row(numbers, sizing_mode="stretch_width", height=190, styles={**theme.CARD, "overflow": "auto"}),
        sizing_mode="stretch_both", max_width=400, margin=(0, 8, 8, 0),
    )  # fmt: skip
    right = pn.Row(planes, sizing_mode="stretch_both", styles=theme.CARD, margin=(0, 8, 8, 0))
    body = pn.Row(side, left, right, sizing_mode="stretch_both")
    model.param.watch(update, ["detector", "event", "mode", "seed", "limit"])
    model.param.watch(lambda _event: paint(), "theme")
    upload.param.watch(open_upload, ["value", "filename"])  # that of an empty file stays None
    pn.state.onload(update)
    return pn.Column(header, body, sizing_mode="stretch_both", styles={"height": "100vh"})


pn.extension(raw_css=[theme.css() + theme.PAGE])
if pn.state.served:
    create_app().servable(title="Event display")
