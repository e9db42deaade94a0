"""Figures of running fits against a document: what they show is what they were given, and no more is sent."""

import numpy as np
import pytest
from bokeh.document import Document
from bokeh.layouts import column

from dptoolkit.inference import fit, landscape
from dptoolkit.session.live_fit import Row, Seen, losses_above
from dptoolkit.session.runner import Frame
from dptoolkit.session.setup import minimum_of
from dptoolkit.views.assemble import Window
from dptoolkit.views.live import LossRace, ParameterWays, PlaneImages, WaveformRace
from dptoolkit.views.paths import WalkedMap
from dptoolkit.views.tables import decimals, number, parameter_table, status_line
from dptoolkit.views.theme import TOKENS, apply
from tests.inference.decay import TRUTH, toy

WINDOW = Window(10, 14, 100, 106)


def seen(scale=1.0):
    rng = np.random.default_rng(1)
    data = rng.uniform(0, 100, (6, 4)).astype(np.float32)
    return Seen(WINDOW, 0.5, "ADC", 12, data, np.float32(scale) * data)


class Told:
    """Counts what a document sends to the browser."""

    def __init__(self, *figures):
        self.document, self.events = Document(), []
        self.document.add_root(column(*figures))
        self.document.on_change(lambda event: self.events.append(event))


def test_images_lie_where_their_channels_and_times_are():
    images = PlaneImages()
    images.update(seen(0.5))
    source = images.source.data
    assert (source["x"][0], source["dw"][0]) == (9.5, 4)
    assert (source["y"][0], source["dh"][0]) == (49.75, 3.0)
    np.testing.assert_allclose(source["residual"][0], -0.5 * source["data"][0])
    assert (images.ranges[0].start, images.ranges[0].end) == (9.5, 13.5)
    assert [drawn.xaxis[0].axis_label for drawn in images.figures] == ["channel"] * 3
    assert images.figures[0].yaxis[0].axis_label == "time [µs]"


def test_one_frame_is_one_write_of_each_source():
    images, wave = PlaneImages(), WaveformRace()
    images.update(seen())
    wave.update([seen()])
    told = Told(*images.figures, wave.figure)
    images.update(seen(0.9))
    wave.update([seen(0.9)])
    written = [event.model for event in told.events if getattr(event, "attr", "") == "data"]
    assert sorted(map(id, written)) == sorted(map(id, [images.source, wave.data, wave.predicted]))
    ranges = [event for event in told.events if getattr(event, "attr", "") in ("start", "end", "low", "high")]
    assert ranges == [], "the axes moved although the window did not"


def test_waveforms_are_those_of_the_channel():
    wave = WaveformRace()
    wave.update([seen(), seen(0.5)])
    np.testing.assert_allclose(wave.data.data["y"], seen().data[:, 2])
    np.testing.assert_allclose(wave.predicted.data["y"][1], 0.5 * seen().data[:, 2])
    np.testing.assert_allclose(wave.data.data["x"], 50 + 0.5 * np.arange(6))


@pytest.fixture(scope="module")
def fitted():
    problem = toy()
    return problem, fit(problem), fit(problem, method="adam", max_steps=30)


def test_losses_stand_above_their_minimum(fitted):
    problem, result, slow = fitted
    minimum = minimum_of(problem, {f"detector.{path}": value for path, value in TRUTH.items()})
    curves = [losses_above(one.history, [minimum]) for one in (result, slow)]
    race = LossRace()
    race.update(curves)
    heights = np.asarray(race.sources[1].data["y"])
    np.testing.assert_allclose(heights[0], slow.history[0].loss - minimum.loss)
    assert race.figure.y_range.start < heights.min() and heights.max() < race.figure.y_range.end
    assert race.figure.x_range.end > 30
    race.update(curves[:1])
    assert len(race.sources[1].data["x"]) == 0


def test_a_new_stage_begins_a_new_line(fitted):
    problem, result, _ = fitted
    import dataclasses

    minimum = minimum_of(problem, {f"detector.{path}": value for path, value in TRUTH.items()})
    second = [dataclasses.replace(one, stage=1, step=one.step + 10) for one in result.history]
    steps, heights = losses_above([*result.history, *second], [minimum, minimum])
    assert np.isnan(heights).sum() == np.isnan(steps).sum() == 1


def test_ways_have_a_line_for_every_parameter_and_method():
    ways = ParameterWays()
    steps = np.arange(3.0)
    ways.update([(steps, np.array([[0.5, 1.2], [0.2, 0.3], [0.0, 0.1]])), (steps, np.zeros((3, 2)))])
    assert ways.source.data["dash"] == ["solid", "solid", "dashed", "dashed"]
    assert ways.source.data["color"][:2] == ways.source.data["color"][2:]
    assert ways.figure.y_range.end >= 1.2


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_walked_map_shows_ways_where_the_fits_were(theme, fitted):
    problem, result, slow = fitted
    found = landscape(problem, ["height", "lifetime"], at=result.estimate, n=5)
    moved = []
    walked = WalkedMap(
        found, truth=TRUTH, estimate=result.estimate, title="a map", moved=lambda *place: moved.append(place)
    )
    apply(walked.figure, theme)
    walked.update([result.history, slow.history], {"detector.height": 4.5, "detector.lifetime": 9.0})
    way = walked.ways[1].data
    np.testing.assert_allclose(way["x"], [s.values["detector.height"] for s in slow.history], rtol=1e-6)
    np.testing.assert_allclose(way["y"], [s.values["detector.lifetime"] for s in slow.history], rtol=1e-6)
    assert list(walked.ends[0].data["x"]) == [way_end := walked.ways[0].data["x"][-1]] and way_end
    np.testing.assert_allclose(walked.start.data["x"], [4.5], rtol=1e-6)
    assert walked.figure.background_fill_color == TOKENS[theme]["surface"]
    assert moved == [], "what the server wrote is no click"
    walked.start.data = {"x": [5.0], "y": [10.0]}
    assert moved == [(5.0, 10.0)]


def test_a_table_names_truth_value_error_and_pull():
    row = Row("drift.lifetime", "tau_e", "us", 500.0, 450.0, 6.0, False, (506.0, np.nan))
    text = parameter_table([row], ["gauss-newton", "adam"])
    for part in ("lifetime τₑ [µs]", "<td>500.0</td>", "±&thinsp;6.0", "<b>506.0</b>", "+1.0", "<b>–</b>"):
        assert part in text
    held = Row("drift.lifetime", "tau_e", "us", 500.0, 450.0, np.nan, True, (450.0,))
    assert "held" in parameter_table([held], ["adam"])


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [(500.0, 6.0, "500.0"), (0.93, 0.0095, "0.9300"), (4.5e-6, 3.1e-8, "4.500e-06"), (1.0, np.inf, "1.0000")],
)
def test_numbers_have_the_digits_of_their_errors(value, error, text):
    assert number(value, decimals(error, value)) == text


def test_the_status_escapes_what_a_worker_says():
    frame = Frame(status="failed", activity="a < b & c")
    assert "failed: a &lt; b &amp; c" in status_line({"adam": frame})
