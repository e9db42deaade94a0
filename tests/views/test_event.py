import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.sources.example import example_muon
from dptoolkit.views import theme
from dptoolkit.views.event import EventView, readout_layout, summary
from dptoolkit.views.report import Section, Table, event_page, report_page


@pytest.fixture(scope="module")
def view(small_event):
    detector, segments, readout = small_event
    return EventView(segments, readout, detector)


def test_every_axis_says_its_unit_or_counts(view):
    for figure in readout_layout(view).select({"type": theme.Model}):
        label = getattr(figure, "axis_label", None)
        if label is not None:
            assert re.search(r"\[.+\]$|^channel$", label), label


def test_signals_lie_where_the_geometry_expects_the_segments(view):
    """Linked selection is approximate, but the strongest samples are within a few bins of a segment."""
    for name, readout in view.readout.items():
        place, samples = view.places[name], np.abs(np.asarray(readout.samples))
        for flat in np.argsort(samples.ravel())[-20:]:
            block, row, tick = np.unravel_index(flat, samples.shape)
            channel = int(readout.channel[block]) + row
            time = (int(readout.tick[block]) + tick) * readout.tick_period
            distance = np.abs(place.x - channel) / 3 + np.abs(place.y - time) / 6
            assert distance.min() < 1, name


def test_pixel_views_are_in_the_coordinates_of_the_detector(small_hits):
    """Hits lie on the segments, in axes named after the detector's, where linked selection marks them."""
    detector, segments, readout = small_hits
    view = EventView(segments, readout, detector)
    front, *drift_views, _ = (cell[0] for cell in readout_layout(view).children)
    assert (front.xaxis.axis_label, front.yaxis.axis_label) == ("z [cm]", "y [cm]")
    assert [plot.xaxis.axis_label for plot in drift_views] == ["z [cm]", "y [cm]"]
    hits = front.renderers[0].data_source.data
    middle = (np.asarray(segments.start) + np.asarray(segments.end)) / 2
    place = view.places["pixels:front"]
    np.testing.assert_allclose(np.stack([place.x, place.y], axis=1), middle[:, [2, 1]], atol=1e-6)
    strong = hits["charge"] > 5
    assert strong.sum() > 10
    for z, y in zip(hits["across"][strong], hits["up"][strong], strict=True):
        assert np.hypot(middle[:, 2] - z, middle[:, 1] - y).min() < 1.0


@pytest.mark.slow
def test_planes_around_one_assembly_are_in_one_tab(named):
    """Wrapped induction planes are numbered by assembly, the collection plane by drift volume."""
    detector = named("dune-fd-hd")
    low, high = detector.volumes.low, detector.volumes.high
    muons = [example_muon(tuple((low[i] + high[i]) / 2), length=30.0) for i in (4, 5, 10)]
    event = jax.tree.map(lambda *parts: jnp.concatenate(parts), *muons)
    tabs = readout_layout(EventView(event, detector(event), detector)).tabs
    titles = {tab.title: [plot.title.text for plot, *_ in tab.child.children][:-1] for tab in tabs}
    assert titles == {
        "assembly 2: 1B-, 1B+": ["plane U", "plane V", "plane X, 1B-", "plane X, 1B+"],
        "assembly 5: 2T-, 2T+": ["plane U", "plane V", "plane X"],
    }


def test_summary_counts_the_energy(view):
    rows = {name: value for name, value, _ in summary(view)}
    assert float(rows["energy"]) == pytest.approx(float(view.segments.de.sum()), abs=0.06)


def test_planes_are_in_the_order_of_the_detector_whatever_the_file_says(view):
    """The last one collects: its waveform is shown first."""
    turned = EventView(view.segments, dict(reversed(view.readout.items())), view.detector)
    assert [name for name, *_ in summary(turned)] == [name for name, *_ in summary(view)]
    titles = [plot.title.text for plot, *_ in readout_layout(turned).children]
    assert titles[:3] == ["plane U", "plane V", "plane Y"] and titles[3].startswith("plane Y")


def test_page_needs_no_other_host(view):
    page = event_page(view, {"detector": "small-wire"})
    without_scripts = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", without_scripts)
    assert not re.search(r"<script[^>]*\ssrc", page)
    assert "cdn.bokeh.org" not in re.sub(r"<script[^>]*>[^<]{200000,}</script>", "", without_scripts)


def test_page_escapes_what_files_say(view):
    page = event_page(EventView(view.segments), {"file": "<script>alert(1)</script>"})
    assert "<script>alert(1)" not in page


def test_segments_alone_make_a_page(small_event):
    assert 'class="event alone"' in event_page(EventView(small_event[1]), {})


def test_report_shows_text_table_and_event(view):
    section = Section("Fit", "It <fits>.", table=Table(["a"], [["1.0 ± 0.1"]]), event=view)
    page = report_page("Demo", [section])
    assert "It &lt;fits&gt;." in page and "1.0 ± 0.1" in page and "segments3d(" in page


def test_themes_are_applied_and_taken_back(view):
    layout = readout_layout(view)
    theme.apply(layout, "dark")
    figures = [model for model in layout.references() if type(model).__name__ == "figure"]
    assert {figure.background_fill_color for figure in figures} == {theme.TOKENS["dark"]["surface"]}
    theme.apply(layout, "light")
    assert {figure.background_fill_color for figure in figures} == {theme.TOKENS["light"]["surface"]}
