"""Elements and Bokeh figures as files: HTML always, PNG and SVG through an installed Chrome or Chromium.

The browser is started once without a window; nothing is downloaded.
"""

import html
import re
import tempfile
from pathlib import Path

from bokeh.embed import components
from bokeh.models import LayoutDOM
from bokeh.resources import Resources
from holoviews.core import Dimensioned

from dptoolkit.atomic import write_bytes
from dptoolkit.views.browser import browse
from dptoolkit.views.elements import draw
from dptoolkit.views.theme import TOKENS, Theme, apply

Figure = Dimensioned | LayoutDOM
"""An element of HoloViews, or what Bokeh draws."""

SVG_JS = """<script>
const wait = setInterval(() => {
  const root = window.Bokeh && [...Bokeh.index][0];
  if (!root || !root.has_finished()) return;
  clearInterval(wait);
  const svg = root.export("svg").ctx.get_serialized_svg(true);
  document.body.replaceChildren(Object.assign(document.createElement("pre"), {textContent: svg, id: "svg"}));
}, 50);
</script></body>"""


def save_html(figure: Figure, path: str | Path, title: str = "dptoolkit", theme: Theme = "light") -> Path:
    """Write a self-contained page."""
    return write_bytes(path, figure_html(figure, title, theme).encode("utf-8"))


def save_png(
    figure: Figure, path: str | Path, *, width: int = 1280, height: int = 720, theme: Theme = "light"
) -> Path:
    """Write a picture of `width` x `height` pixels."""
    return page_png(figure_html(figure, theme=theme), path, width=width, height=height)


def save_svg(
    figure: Figure, path: str | Path, *, width: int = 1280, height: int = 720, theme: Theme = "light"
) -> Path:
    """Write a vector drawing; images inside it stay pixels."""
    drawn = draw(figure)
    before = [(plot, plot.output_backend) for plot in drawn.references() if hasattr(plot, "output_backend")]
    for plot, _ in before:
        plot.output_backend = "svg"
    try:
        page = figure_html(drawn, theme=theme).replace("</body>", SVG_JS)
    finally:
        for plot, backend in before:
            plot.output_backend = backend
    with tempfile.TemporaryDirectory() as folder:
        text = browse(page, Path(folder), "--dump-dom", f"--window-size={width},{height}").stdout
    found = re.search(r'<pre id="svg">(.*?)</pre>', text, re.DOTALL)
    if found is None:
        raise RuntimeError("the browser did not draw the figure in time; save it as HTML instead")
    svg = found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return write_bytes(path, svg.encode("utf-8"))


def page_png(page: str, path: str | Path, *, width: int = 1280, height: int = 720) -> Path:
    """Write a picture of a whole self-contained page."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "page.png"
        browse(page, Path(folder), f"--screenshot={picture}", f"--window-size={width},{height}")
        if not picture.exists():
            raise RuntimeError("the browser made no picture; save the page as HTML instead")
        return write_bytes(path, picture.read_bytes())


def figure_html(figure: Figure, title: str = "dptoolkit", theme: Theme = "light") -> str:
    """A self-contained page with one figure that fills it."""
    drawn = draw(figure)
    apply(drawn, theme)
    script, div = components(drawn)
    style = f"html,body{{margin:0;height:100%;background:{TOKENS[theme]['surface']}}}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<link rel="icon" href="data:,"><style>{style}</style>{bokeh_script()}</head>'
        f"<body>{filling(div)}{script}</body></html>"
    )


def bokeh_script() -> str:
    """The program that draws figures, for the head of a page; `Resources.render_js` of Panel adds files."""
    return "".join(
        f"<script>{code}</script>" for code in Resources(mode="inline", components=["bokeh"]).js_raw
    )


def filling(div: str) -> str:
    """The `<div>` of a figure, as high as its place."""
    return div.replace("<div ", '<div style="height:100%" ', 1)
