import numpy as np
import pytest

from tests.io.makers import LARNDSIM
from tests.io.test_bad_input import CASES as BAD_FILES

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAINTED = """canvas => {
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [canvas.width, canvas.height];
  const pen = copy.getContext("2d");
  pen.drawImage(canvas, 0, 0);
  const pixels = new Uint32Array(pen.getImageData(0, 0, copy.width, copy.height).data.buffer);
  return new Set(pixels).size;
}"""
PLANES = "Bokeh.documents.some(doc => [...doc._all_models.values()].some(model => model.type === 'Image'))"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    from dptoolkit.config import load_detector
    from dptoolkit.sources.example import example_muon
    from dptoolkit.views.event import EventView
    from dptoolkit.views.report import event_page

    detector, muon = load_detector("small-wire"), example_muon(length=50.0)
    path = tmp_path_factory.mktemp("page") / "event.html"
    path.write_text(event_page(EventView(muon, detector(muon), detector), {"event": "0"}), encoding="utf-8")
    return path


def test_page_draws_without_errors_or_requests(watched, page_file):
    watched.page.goto(page_file.as_uri())
    watched.page.wait_for_function(PLANES)
    watched.page.wait_for_timeout(1500)
    assert watched.page.locator(".s3-gl").evaluate(PAINTED) > 50
    assert watched.page.locator(".bk-Figure canvas").count() >= 4
    watched.page.get_by_role("button", name="light / dark").click()
    assert watched.page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert watched.errors == []
    assert watched.requests == [page_file.as_uri()]


def test_tapping_a_plane_draws_its_waveform_and_selects_segments(watched, page_file):
    watched.page.goto(page_file.as_uri())
    watched.page.wait_for_function(PLANES)
    watched.page.wait_for_timeout(1500)
    status = watched.page.locator(".s3-status")
    place = watched.page.evaluate("""() => {
      for (const doc of Bokeh.documents) for (const model of doc._all_models.values())
        if (model.type === "Span" && model.visible) return model.location;
    }""")
    figure = watched.page.locator(".bk-Figure").nth(2).bounding_box()
    for part in np.linspace(0.2, 0.8, 13):  # somewhere on this line is the track
        watched.page.mouse.click(figure["x"] + figure["width"] * 0.45, figure["y"] + figure["height"] * part)
        if "selected" in status.inner_text() or "dE/dx" in status.inner_text():
            break
    assert "selected" in status.inner_text() or "dE/dx" in status.inner_text()
    marks = watched.page.evaluate("""() => Bokeh.documents.flatMap(doc => [...doc._all_models.values()])
      .filter(model => (model.tags ?? []).some(tag => String(tag).startsWith("marks:")))
      .map(model => (model.data instanceof Map ? model.data.get("x") : model.data.x).length)""")
    assert len(marks) == 3 and all(marks)
    now = watched.page.evaluate("""() => [...Bokeh.documents[0]._all_models.values()]
      .filter(model => model.type === "Span" && model.visible).map(model => model.location)""")
    assert len(now) == 1 and now[0] != place
    assert watched.errors == []


@pytest.fixture
def app(watched, served):
    watched.page.goto(f"{served}/event_display")
    watched.page.get_by_text("read-out expectation").wait_for()
    watched.page.wait_for_function(PLANES)
    watched.page.wait_for_timeout(1000)
    return watched


def _settle(page):
    page.wait_for_timeout(300)
    page.wait_for_function("!document.querySelector('.pn-loading')")
    page.wait_for_timeout(700)


def test_landing_page_lists_the_apps(watched, served):
    watched.page.goto(served)
    watched.page.get_by_role("heading", name="Event display").wait_for()
    assert watched.page.locator("a p").first.inner_text()[0].isupper()
    assert watched.errors == [] and watched.foreign(served) == []


def test_app_paints_and_every_control_works(app, served):
    page = app.page
    assert page.frame_locator("iframe").locator(".s3-gl").evaluate(PAINTED) > 50
    page.locator("select").nth(1).select_option("sample")
    page.get_by_text("sample, seed 1").wait_for()
    page.get_by_label("seed of a sample").fill("7")
    page.keyboard.press("Enter")
    page.get_by_text("sample, seed 7").wait_for()
    page.get_by_label("colours saturate").fill("40")
    page.keyboard.press("Enter")
    _settle(page)
    page.get_by_role("button", name="dark", exact=True).click()
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    page.get_by_label("event", exact=True).fill("5")
    page.keyboard.press("Enter")
    page.get_by_text("has events 0 to 0").wait_for()
    assert app.errors == [] and app.foreign(served) == []


def test_upload_of_a_good_file_shows_its_events(app, served, tmp_path):
    _upload_a_muon(app.page, tmp_path)
    assert app.errors == [] and app.foreign(served) == []


def _upload_a_muon(page, folder):
    """And wait until it is on the screen."""
    from dptoolkit.io import Batch, write_native
    from dptoolkit.sources.example import example_muon

    write_native(folder / "mine.h5", Batch(np.array([42]), example_muon(length=30.0)))
    page.locator("input[type=file]").set_input_files(folder / "mine.h5")
    page.get_by_text("mine.h5").first.wait_for()
    page.get_by_text("event 42").wait_for()
    _settle(page)


WRONG = (
    "empty file",
    "no datasets",
    "text file",
    "ROOT file",
    "truncated HDF5",
    "truncated npz",
    "unknown content",
    "missing columns",
    "NaN",
    "no segments",
    "wrong unit",
)


def test_wrong_files_are_refused_in_words_and_a_good_one_is_shown_after_them(app, served, tmp_path):
    """One after the other on one page, which goes on showing the event it had."""
    rows = np.zeros(4, LARNDSIM)
    rows["dE"], rows["dx"] = 1.0, 1.0
    chooser = app.page.locator("input[type=file]")
    for number, case in enumerate(WRONG):
        folder = tmp_path / str(number)
        folder.mkdir()
        make, message = BAD_FILES[case]
        path = make(folder, rows.copy())
        named = path.rename(folder / f"wrong{number}{path.suffix}")
        chooser.set_input_files(named)
        said = app.page.get_by_text(f"{named.name}: ").first
        said.wait_for()
        assert message in said.inner_text(), case
        app.page.get_by_text("read-out expectation").wait_for()
    _upload_a_muon(app.page, tmp_path)
    assert app.errors == [] and app.foreign(served) == []


def test_an_upload_beyond_the_limit_names_the_limit(app, served, tmp_path):
    (tmp_path / "large.npz").write_bytes(b"PK" + bytes(2_100_000))
    app.page.locator("input[type=file]").set_input_files(tmp_path / "large.npz")
    app.page.get_by_text("large.npz: has 2 MB; expected at most 2 MB").wait_for()
    assert app.errors == [] and app.foreign(served) == []
