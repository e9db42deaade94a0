"""HoloViews elements in one style, and how they become Bokeh figures of a page.

An element holds the numbers of a figure and how they look; a hook adds what options cannot say, such as
the second colour of the other theme. `draw` makes the figure: without a server, and without a kernel.
"""

from collections.abc import Callable, Sequence
from typing import Any

import holoviews as hv
import holoviews.plotting.bokeh as _bokeh  # noqa: F401  makes options of elements known
from bokeh.document import Document
from bokeh.models import Glyph, GridBox, LayoutDOM, Step
from holoviews.core import Dimensioned

from dptoolkit.views.theme import TOKENS, themed, token

SIZE = {"width": 440, "height": 300}
"""In a notebook [pixels]; on a page a figure fills its place."""
TOOLS = ["pan", "box_zoom", "wheel_zoom", "reset", "save"]

Hook = Callable[[Any, Any], None]
"""Called with the plot of HoloViews and the element."""


class Quantity(hv.Dimension):
    """A dimension whose unit is written in square brackets."""

    unit_format = " [{unit}]"


def quantity(name: str, unit: str = "", label: str = "") -> Quantity:
    """The dimension `name`, which axes call `label`."""
    return Quantity((name, label or name), unit=unit or None)


def styled(element: Any, *, hooks: Sequence[Hook] = (), **options: Any) -> Any:
    """`element` with options of Bokeh's and what all figures share."""
    tools = {"default_tools": list(TOOLS), "active_tools": ["wheel_zoom"], "autohide_toolbar": True}
    chosen = {**SIZE, **tools, "show_grid": True, **options}
    own = {name: dict(value) if isinstance(value, dict) else value for name, value in chosen.items()}
    return element.opts(backend="bokeh", hooks=[finish, *hooks], **own)


def in_theme(handle: str = "glyph", **choices: dict[str, Any]) -> Hook:
    """A hook that gives a part of a plot two values of its properties, one for each theme."""

    def hook(plot: Any, _element: Any) -> None:
        themed(plot.handles[handle], **choices)

    return hook


def inked(**colours: str) -> Hook:
    """A hook that draws a glyph in colours of the page: `inked(line_color="accent")`."""
    return in_theme(**{name: token(colour) for name, colour in colours.items()})


def finish(plot: Any, _element: Any = None) -> None:
    """The small things that all figures share."""
    figure = plot.state
    figure.toolbar.logo = None
    figure.grid.grid_line_alpha = 0.5
    figure.axis.minor_tick_line_color = None
    figure.axis.axis_label_text_font_style = "normal"
    figure.axis.axis_label_standoff = 3
    figure.title.text_font_size = "13px"


def rendered(element: Dimensioned) -> Any:
    """The plot of HoloViews, in a document of its own; `state` is the figure, `handles` are its parts."""
    renderer = hv.renderer("bokeh").instance(theme=None, mode="server", webgl=False)
    plot = renderer.get_plot(element, doc=Document())
    figure = plot.state
    if figure.frame_width is None:
        figure.update(sizing_mode="stretch_both", width=None, height=None, min_height=150)
    return plot


def draw(element: Dimensioned | LayoutDOM) -> LayoutDOM:
    """The figure of an element, or the grid of a layout's; it fills its place."""
    if isinstance(element, LayoutDOM):
        return element
    if not isinstance(element, hv.Layout):
        return rendered(element).state
    columns = element._max_cols
    cells = [(rendered(part).state, *divmod(i, columns)) for i, part in enumerate(element)]
    return GridBox(children=cells, sizing_mode="stretch_both", spacing=4)


def as_steps(plot: Any, _element: Any) -> None:
    """A hook that draws a curve as steps around its samples."""
    line = plot.handles["glyph"]
    step = Step(x=line.x, y=line.y, mode="center", line_width=line.line_width, line_color=line.line_color)
    replace_glyph(plot, step)


def unless_coloured(plot: Any, _element: Any) -> None:
    """A hook that lets a line of the accent's colour follow the theme; another colour was asked for."""
    glyph = plot.handles["glyph"]
    if glyph.line_color == TOKENS["light"]["accent"]:
        themed(glyph, line_color=token("accent"))


def replace_glyph(plot: Any, glyph: Glyph) -> None:
    """Draw the same columns with another glyph."""
    renderer = plot.handles["glyph_renderer"]
    renderer.update(glyph=glyph, selection_glyph="auto", nonselection_glyph="auto", muted_glyph="auto")
    plot.handles["glyph"] = glyph


def legend_above(plot: Any, _element: Any) -> None:
    """A hook that writes the legend in a line above the figure; a click hides what it names."""
    figure = plot.state
    for legend in list(figure.legend):
        legend.update(
            click_policy="hide", label_text_font_size="13px", orientation="horizontal", spacing=14,
            border_line_color=None, location="left",
        )  # fmt: skip
        figure.center = [part for part in figure.center if part is not legend]
        if not any(part is legend for part in figure.above):
            figure.add_layout(legend, "above")


def without_grid(plot: Any, _element: Any) -> None:
    """A hook that takes the grid away."""
    plot.state.grid.visible = False
