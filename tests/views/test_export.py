import shutil

import holoviews as hv
import pytest

from dptoolkit.views.browser import BROWSERS
from dptoolkit.views.elements import quantity, styled
from dptoolkit.views.export import save_html, save_png, save_svg

needs_browser = pytest.mark.skipif(
    not any(shutil.which(name) for name in BROWSERS), reason="no Chrome or Chromium is installed"
)


@pytest.fixture
def plot():
    return styled(
        hv.Curve([(0, 0), (1, 1)], quantity("time", "µs"), quantity("signal", "ADC")), title="a line"
    )


def test_html_is_written_whole_without_a_browser(plot, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    text = save_html(plot, tmp_path / "plot.html").read_text()
    assert "</html>" in text and list(tmp_path.iterdir()) == [tmp_path / "plot.html"]


def test_picture_without_browser_says_how_to_get_one(plot, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("DPTOOLKIT_BROWSER", raising=False)
    with pytest.raises(RuntimeError, match="apt install chromium"):
        save_png(plot, tmp_path / "plot.png")


@pytest.mark.browser
@needs_browser
def test_png_has_the_size_asked_for(plot, tmp_path):
    header = save_png(plot, tmp_path / "plot.png", width=640, height=360).read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(header[16:20]), int.from_bytes(header[20:24])) == (640, 360)


@pytest.mark.browser
@needs_browser
def test_svg_holds_text_and_lines(plot, tmp_path):
    text = save_svg(plot, tmp_path / "plot.svg").read_text()
    assert text.startswith("<svg") and "signal [ADC]" in text
