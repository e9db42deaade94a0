"""The unrolled wall."""

import numpy as np
import pytest
from bokeh.models import Circle, ColorBar, LogColorMapper, Tabs

from dptoolkit.views.elements import rendered
from dptoolkit.views.event import EventView, readout_layout, summary
from dptoolkit.views.segments3d import scene
from dptoolkit.views.sensors import SHOWN, Wall, sensor_columns, sensor_points
from tests.light.makers import small_tank, track


@pytest.fixture(scope="module")
def lit():
    detector, segments = small_tank(), track(40.0, 40)
    return detector, segments, detector(segments)["pmt"]


def test_every_sensor_with_light_is_drawn_in_its_place_and_size(lit):
    detector, _, hits = lit
    wall = Wall.of(detector)
    columns = sensor_columns(hits, wall)
    assert len(columns["sensor"]) == (np.asarray(hits.pe) > SHOWN).sum() > 3
    np.testing.assert_allclose(columns["x"] * 100, detector.tank.unrolled()[columns["sensor"], 0], rtol=1e-5)
    assert set(columns["surface"]) <= {"barrel", "top", "bottom"}
    figure = rendered(sensor_points(hits, wall)).state
    discs = [renderer.glyph for renderer in figure.renderers if isinstance(renderer.glyph, Circle)]
    assert [disc.radius for disc in discs] == [0.254, 0.254] and figure.match_aspect


def test_charge_is_on_a_logarithmic_scale_and_time_on_a_linear_one(lit):
    wall = Wall.of(lit[0])
    for color, is_log in (("charge", True), ("time", False)):
        figure = rendered(sensor_points(lit[2], wall, color=color)).state
        (bar,) = figure.select({"type": ColorBar})
        assert isinstance(bar.color_mapper, LogColorMapper) == is_log
        assert bar.title == ("pe" if is_log else "ns")


def test_the_page_of_an_event_has_the_wall_the_tank_and_the_numbers(lit):
    detector, segments, hits = lit
    view = EventView(segments, {"pmt": hits}, detector)
    assert isinstance(readout_layout(view), Tabs)
    rows = {name: value for name, value, _ in summary(view)}
    assert rows["pmt: photoelectrons"] == f"{float(hits.pe.sum()):.0f}" and rows["outside the volumes"] == "0"
    content = scene(segments, detector.region)
    assert len(content["frame"]) > 1000 and content["whole_high"][2] == pytest.approx(350.0)


def test_an_event_without_light_has_no_figure(lit):
    detector, segments, _ = lit
    dark = detector(track(1.0, 1, energy=20.0))["pmt"]
    assert readout_layout(EventView(segments, {"pmt": dark}, detector)) is None
