"""What all elements share."""

import subprocess
import sys

import holoviews as hv

from dptoolkit.views import theme
from dptoolkit.views.elements import draw, inked, quantity, styled


def curve() -> hv.Curve:
    line = hv.Curve([(0, 0), (1, 1)], quantity("time", "µs"), quantity("signal", "ADC"))
    return styled(line, hooks=[inked(line_color="accent")])


def test_units_are_in_square_brackets():
    figure = draw(curve())
    assert (figure.xaxis[0].axis_label, figure.yaxis[0].axis_label) == ("time [µs]", "signal [ADC]")


def test_an_element_has_the_colours_of_both_themes():
    figure = draw(curve())
    for name in ("dark", "light", "dark"):
        theme.apply(figure, name)
        assert figure.renderers[0].glyph.line_color == theme.TOKENS[name]["accent"]
        assert figure.background_fill_color == theme.TOKENS[name]["surface"]


def test_an_element_can_be_drawn_again_and_again():
    element = curve()
    assert draw(element) is not draw(element)


def test_a_figure_of_a_page_fills_its_place():
    assert draw(curve()).sizing_mode == "stretch_both"
    grid = draw(hv.Layout([curve(), curve(), curve()]).cols(2))
    assert [cell[1:] for cell in grid.children] == [(0, 0), (0, 1), (1, 0)]


def test_commands_that_draw_nothing_do_not_load_holoviews():
    code = (
        "import sys, dptoolkit.cli, dptoolkit.cli.diagnosis, dptoolkit.session.serve, dptoolkit.inference\n"
        "sys.exit(sorted({'holoviews', 'panel'} & set(sys.modules)) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
