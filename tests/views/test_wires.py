"""Elements of wire planes."""

import holoviews as hv
import numpy as np
import pytest
from bokeh.models import Step

from dptoolkit.views.assemble import dense, occupied, strongest_channel
from dptoolkit.views.elements import rendered
from dptoolkit.views.linked import Plane, wire_figure, wire_figures
from dptoolkit.views.theme import DIVERGING, SEQUENTIAL
from dptoolkit.views.wires import BIPOLAR, tapped_waveform, waveform_curve, wire_image


@pytest.fixture(scope="module")
def readout(small_event):
    return small_event[2]


def test_wire_image_carries_channel_and_time_in_their_units(readout):
    image = wire_image(readout["Y"], group=0)
    exact, channel0, tick0 = dense(readout["Y"], 0)
    assert [(d.name, d.unit) for d in image.dimensions()] == [
        ("channel", None), ("time", "µs"), ("signal", "ADC"),
    ]  # fmt: skip
    channels, times = (image.dimension_values(i, expanded=False) for i in (0, 1))
    np.testing.assert_array_equal(channels, channel0 + np.arange(exact.shape[0]))
    np.testing.assert_allclose(times, (tick0 + np.arange(exact.shape[1])) * readout["Y"].tick_period)
    np.testing.assert_allclose(image.dimension_values(2, flat=False), exact.T, rtol=1e-6, atol=1e-30)


def test_axes_say_their_units(readout):
    figure = rendered(wire_image(readout["Y"], 0)).state
    assert (figure.xaxis[0].axis_label, figure.yaxis[0].axis_label) == ("channel", "time [µs]")


def test_induction_is_symmetric_and_collection_starts_at_zero(readout):
    found = set()
    for name, plane in readout.items():
        samples = np.asarray(plane.samples)
        mapper = rendered(wire_image(plane, 0, name=name)).handles["color_mapper"]
        bipolar = -samples.min() > BIPOLAR * samples.max()
        assert mapper.low == (-mapper.high if bipolar else 0)
        assert list(mapper.palette) == (DIVERGING if bipolar else SEQUENTIAL)["light"]
        found.add(bipolar)
    assert found == {True, False}


def test_colours_saturate_at_the_limit_asked_for(readout):
    assert rendered(wire_image(readout["Y"], 0, limit=7.5)).handles["color_mapper"].high == 7.5


def test_waveform_of_a_channel_equals_its_samples(readout):
    channel = strongest_channel(readout["Y"], 0)
    curve, image = waveform_curve(readout["Y"], 0, channel), wire_image(readout["Y"], 0)
    np.testing.assert_allclose(
        curve.dimension_values("signal"),
        image.sample(channel=channel).dimension_values("signal"),
        rtol=1e-6,
        atol=1e-30,
    )
    np.testing.assert_allclose(
        curve.dimension_values("time"), image.dimension_values("time", expanded=False), rtol=1e-6
    )


def test_a_tap_shows_the_waveform_of_its_channel(readout):
    image = wire_image(readout["Y"], 0, name="Y")
    waves = tapped_waveform(image, readout["Y"], 0, name="Y")
    plot = rendered(waves)
    first = strongest_channel(readout["Y"], 0)
    assert plot.state.title.text == f"plane Y, channel {first}"
    waves.streams[0].event(x=first + 3.3, y=0.0)
    plot.update(())
    expected = waveform_curve(readout["Y"], 0, first + 3)
    assert plot.state.title.text == f"plane Y, channel {first + 3}"
    np.testing.assert_array_equal(plot.handles["source"].data["signal"], expected.dimension_values("signal"))
    assert isinstance(plot.handles["glyph"], Step) and plot.handles["glyph_renderer"].glyph.mode == "center"
    assert plot.state.y_range.end > expected.range("signal")[1]


def test_elements_compose_and_share_the_time(readout):
    channel = strongest_channel(readout["Y"], 0)
    marked = wire_image(readout["Y"], 0) * hv.VLine(channel)
    both = marked + wire_image(readout["U"], 0, name="U") + waveform_curve(readout["Y"], 0, channel)
    plot = hv.renderer("bokeh").get_plot(both)
    image, other, _ = (part.subplots["main"].state for part in plot.subplots.values())
    assert image.y_range is other.y_range
    assert image.x_range is not other.x_range


def test_images_of_a_page_are_sent_as_16_bit_numbers_that_mean_the_same(readout):
    page = wire_figure(Plane("U", readout["U"], 0, 0, occupied(readout["U"], 0)))
    numbers = page.source.data["image"][0]
    exact = page.element.dimension_values(2, flat=False)
    assert numbers.dtype == np.int16
    assert np.abs(numbers * page.unit_step - exact).max() <= page.unit_step / 2 * 1.001


def test_the_first_waveform_of_a_page_is_under_the_cursor(readout):
    planes = [Plane(name, part, 0, 0, occupied(part, 0)) for name, part in readout.items()]
    *images, wave = wire_figures(planes)
    channel = strongest_channel(planes[-1].waveforms, 0)
    assert wave.title.text == f"plane {planes[-1].name}, channel {channel}"
    assert all(plot.y_range is wave.x_range for plot in images)
