import base64

import numpy as np
import pytest

from dptoolkit.geometry import Volumes
from dptoolkit.sources.example import example_muon, stopping_power
from dptoolkit.views.segments3d import scene, scene_page


def _unpack(text, dtype=np.float32):
    return np.frombuffer(base64.b64decode(text), dtype)


def test_scene_holds_the_ends_of_the_segments():
    muon = example_muon()
    content = scene(muon)
    points = _unpack(content["positions"]).reshape(-1, 2, 3)
    np.testing.assert_allclose(points[:, 0], muon.start, atol=1e-4)
    np.testing.assert_allclose(points[:, 1], muon.end, atol=1e-4)


def test_scene_offers_energy_time_particle_and_charge_when_known():
    muon = example_muon()
    assert "charge" not in [mode["label"] for mode in scene(muon)["modes"]]
    labels = [mode["label"] for mode in scene(muon, charge=np.asarray(muon.de))["modes"]]
    assert {"dE/dx", "dE", "charge", "time", "particle"} <= set(labels)


def test_scene_of_an_absent_event_is_empty_and_still_a_page():
    content = scene(example_muon(), event=5)
    assert content["count"] == 0 and "<!doctype html>" in scene_page(content)


def test_scene_shows_the_whole_detector_on_demand():
    volumes = Volumes.from_boxes(np.zeros((1, 3)), np.array([400.0, 400.0, 500.0]), ["+x"])
    content = scene(example_muon(), volumes)
    assert content["whole_low"] == [-200.0, -200.0, -250.0]
    assert content["high"][2] < 100.0


def test_example_muon_is_deterministic_centred_and_as_long_as_asked():
    first, second = example_muon((10.0, 20.0, 30.0)), example_muon((10.0, 20.0, 30.0))
    np.testing.assert_array_equal(first.start, second.start)
    muon = np.asarray(first.track) == 0
    assert float(np.asarray(first.dx)[muon].sum()) == pytest.approx(100.0, rel=1e-5)
    middle = np.asarray(first.end)[muon][muon.sum() // 2 - 1]
    np.testing.assert_allclose(middle, [10.0, 20.0, 30.0], atol=1e-4)
    assert 250 < len(first) < 400


def test_example_muon_loses_little_at_first_and_much_at_its_end():
    assert stopping_power(np.array([100.0]))[0] == pytest.approx(2.1, abs=0.1)
    assert stopping_power(np.array([10.0]))[0] == pytest.approx(3.1, abs=0.3)
    dedx = np.asarray(example_muon().dedx)[:250]
    assert dedx[-4:].mean() > 3 * dedx[:50].mean()
