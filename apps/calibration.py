"""Calibration: a detector finds its own parameters in a toy of a sample, or of your own file."""

import io
import time

import panel as pn

from dptoolkit.session.calibration import EDGES, MOST, LiveCalibration
from dptoolkit.session.upload import upload_limit
from dptoolkit.views import panels, theme
from dptoolkit.views.live import ParameterWays
from dptoolkit.views.live_calibration import Pulls, ResidualCounts, StillToFall, report_of
from dptoolkit.views.tables import budget_table, parameter_table, status_line

TITLE = "<b style='font-size:17px'>Calibration</b> &emsp;"
ABOUT = """<b>A toy</b> is simulated with a truth that the seed draws from the typical ranges; the fit
starts from the nominal values, with few events first, and for waveforms with a blurred loss first.
A pull is the distance from the truth in standard errors: with noise, two of three lie within 1."""
BUDGET = """<b>Information budget</b>: errors from a class of events alone, in units of those from all;
<b>bold</b>: one more event of this class helps this parameter most."""


def create_app() -> pn.viewable.Viewable:
    model = LiveCalibration()
    title = TITLE + panels.restore(model)
    fall, ways, pulls, residuals = StillToFall(), ParameterWays(), Pulls(), ResidualCounts(EDGES)
    figures = [fall.figure, ways.figure, pulls.figure, residuals.figure]
    header, table, budgets = panels.text(f"{title}preparing"), panels.text(), panels.text()
    shown = {"frame": None, "read": 0.0}

    def paint() -> bool:
        frame = model.frame
        if frame is shown["frame"]:
            return False
        told = time.monotonic() - shown["read"] > panels.READABLE or not model.running
        if told:
            shown["read"] = time.monotonic()
            header.object = f"{title}{status_line(model.frames)}"
        rows = model.rows()
        if not rows:
            return True
        shown["frame"] = frame if told else None
        fall.update(frame.history)
        ways.update([model.ways()])
        pulls.update([row.name.rsplit(".", 1)[-1] for row in rows], [row.pulls[0] for row in rows])
        residuals.update(frame.seen.counts)
        if told:
            table.object = parameter_table(rows, list(model.frames))
            symbols = [row.symbol for row in rows]
            parts = [budget_table(what, budget, symbols) for what, budget in frame.seen.budgets]
            budgets.object = BUDGET + "".join(parts) if parts else ""
        return True

    known, beat = model.param, panels.Beat(paint)
    message = pn.pane.Alert("", alert_type="danger", visible=False, margin=(4, 10))
    upload = pn.widgets.FileInput(accept=".h5,.hdf5,.npz", **panels.WIDGET)
    free = pn.widgets.MultiChoice(name="free parameters (none: all)", options=model.choices, **panels.WIDGET)
    free.value = list(model.free)

    def open_upload(*_events: object) -> None:
        message.visible = False
        try:
            if upload.filename:
                model.open_upload(upload.filename, upload.value or b"", upload_limit())
        except ValueError as error:
            message.param.update(object=str(error), visible=True)

    def other_detector(_event: object) -> None:
        free.param.update(options=model.choices, value=[])

    def page() -> io.StringIO | None:
        try:
            return io.StringIO(report_of(model))
        except ValueError as error:
            message.param.update(object=str(error), visible=True)

    upload.param.watch(open_upload, ["value", "filename"])  # that of an empty file stays None
    free.param.watch(lambda event: setattr(model, "free", list(event.new)), "value")
    known.watch(other_detector, "detector")
    panels.keep_link(model)
    panels.run_session(model, beat)
    integer = {"type": pn.widgets.IntInput, **panels.WIDGET}
    controls = pn.Param(
        model, parameters=["detector", "sample", "events", "noise", "seed"], show_name=False,
        widgets={
            "detector": {"name": "detector", **panels.WIDGET},
            "sample": {"name": "sample", **panels.WIDGET},
            "events": {"name": f"events (at most {MOST})", **integer},
            "noise": {"name": "noise in the data", **panels.WIDGET},
            "seed": {"name": "seed", **integer},
        },
    )  # fmt: skip
    save = pn.widgets.FileDownload(
        callback=page, filename="calibration.html", label="save report", **panels.WIDGET
    )
    side = panels.side_bar(
        controls, free, panels.text("<b>your file</b>", margin=(6, 10, 0, 10)), upload,
        panels.race_buttons(model, beat), *panels.look_controls(model), save, message, *beat.parts,
    )  # fmt: skip
    left, middle = (
        pn.Column(*map(panels.card, pair), sizing_mode="stretch_both") for pair in (figures[:2], figures[2:])
    )
    right = panels.card(
        panels.text(ABOUT), table, budgets, max_width=440, styles={**theme.CARD, "overflow": "auto"}
    )
    return panels.page(model, header, side, left, middle, right, figures=figures)


pn.extension(raw_css=[theme.css() + theme.PAGE])
if pn.state.served:
    create_app().servable(title="Calibration")
