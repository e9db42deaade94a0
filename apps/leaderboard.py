"""Leaderboard: the submissions of a challenge, scored as they come in."""

import html

import panel as pn

from dptoolkit.session.leaderboard import Leaderboard
from dptoolkit.views import panels, theme
from dptoolkit.views.leaderboard import Deviations, board_table

TITLE = "<b style='font-size:17px'>Leaderboard</b> &emsp;"
PERIOD = 1000
"""Between two looks into the folder [ms]."""
ABOUT = """<b>Bits</b>: the information that a team's estimates and errors give about the hidden parameters,
beyond the range in which they were drawn. An error half as large is worth one bit more for each of them if it
is true; an error that is too small costs dearly. Parameters that are left out give 0."""


def create_app() -> pn.viewable.Viewable:
    model = Leaderboard()
    title = TITLE + panels.restore(model)
    header, board, about = panels.text(f"{title}looking for submissions"), panels.text(), panels.text(ABOUT)
    truth = panels.card(visible=False)
    shown: dict[str, Deviations] = {}

    def reveal() -> None:
        """How far the estimates are off, once the organisers show it."""
        hidden = model.envelope.parameters
        if "deviations" not in shown:
            shown["deviations"] = Deviations([one.path for one in hidden])
            theme.apply(shown["deviations"].figure, model.theme)
            panels.put(truth, shown["deviations"].figure)
            truth.visible = True
        shown["deviations"].update(model.entries, {one.path: one.high - one.low for one in hidden})

    def paint() -> None:
        if not model.refresh():
            return
        with pn.io.hold():
            if model.envelope is None:
                header.object = f"{title}{html.escape(model.wrong)}"
                return
            n = sum(entry.score is not None for entry in model.entries)
            teams = f"{n} team{'s' if n != 1 else ''}"
            hidden = len(model.envelope.parameters)
            header.object = f"{title}{teams} &emsp; {model.envelope.detector}, {hidden} hidden parameters"
            board.object = board_table(model.entries, hidden)
            if model.revealed:
                reveal()

    def begin() -> None:
        paint()
        pn.state.add_periodic_callback(paint, PERIOD)

    model.param.watch(lambda _event: panels.repaint(model, (truth,)), "theme")
    panels.keep_link(model)
    pn.state.onload(begin)
    side = panels.side_bar(about, *panels.look_controls(model))
    table = panels.card(board, scroll=True)
    return panels.page(model, header, side, pn.Row(table, truth, sizing_mode="stretch_both"))


pn.extension(raw_css=[theme.css() + theme.PAGE])
if pn.state.served:
    create_app().servable(title="Leaderboard")
