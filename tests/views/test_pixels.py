"""Elements of pixel planes."""

import holoviews as hv
import numpy as np
import pytest
from bokeh.models import Rect

from dptoolkit.views.elements import rendered
from dptoolkit.views.linked import pixel_figures
from dptoolkit.views.pixels import SHOWN, PixelGrid, charge_points, pixel_points


def test_pixel_points_are_in_the_coordinates_and_units_of_the_detector(small_hits):
    detector, _, readout = small_hits
    points = pixel_points(readout["pixels"], 0, grid=PixelGrid.of(detector, 0))
    assert [(d.label, d.unit) for d in points.kdims] == [("z", "cm"), ("y", "cm")]
    units = {d.name: d.unit for d in points.vdims}
    assert (units["time"], units["charge"]) == ("µs", "ke⁻")
    assert len(points) == (np.asarray(readout["pixels"].probability) > SHOWN).sum()


def test_without_a_grid_positions_are_columns_and_rows(small_hits):
    points = pixel_points(small_hits[2]["pixels"], 0)
    assert [(d.label, d.unit) for d in points.kdims] == [("column", None), ("row", None)]
    np.testing.assert_array_equal(points.dimension_values("across"), points.dimension_values("column"))
    np.testing.assert_array_equal(points.dimension_values("up"), points.dimension_values("row"))


def test_a_hit_is_drawn_as_large_as_its_pixel(small_hits):
    grid = PixelGrid.of(small_hits[0], 0)
    glyph = rendered(pixel_points(small_hits[2]["pixels"], 0, grid=grid)).handles["glyph"]
    assert isinstance(glyph, Rect) and (glyph.width, glyph.height) == (grid.pitch, grid.pitch)
    side = rendered(pixel_points(small_hits[2]["pixels"], 0, grid=grid, view="up")).handles["glyph"]
    assert (side.width, side.height) == (grid.pitch, grid.drift_time)


def test_figures_of_a_page_share_their_hits(small_hits):
    figures = pixel_figures(small_hits[2]["pixels"], 0, 0, PixelGrid.of(small_hits[0], 0))
    assert len({figure.renderers[0].data_source.id for figure in figures}) == 1


def test_views_compose(small_hits):
    hits, grid = small_hits[2]["pixels"], PixelGrid.of(small_hits[0], 0)
    layout = pixel_points(hits, 0, grid=grid) + charge_points(hits, 0, grid=grid)
    assert isinstance(layout, hv.Layout) and hv.render(layout, backend="bokeh") is not None


def test_an_unknown_plane_is_named_with_the_choices(small_hits):
    with pytest.raises(ValueError, match="'front': this detector has the planes pixels"):
        PixelGrid.of(small_hits[0], 0, "front")
