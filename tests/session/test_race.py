"""The view-models in a plain script, on a problem of milliseconds: what controls do to a race."""

import threading
import time

import numpy as np
import pytest

from dptoolkit.session import race as race_module
from dptoolkit.session.landscape import LossLandscape
from dptoolkit.session.live_fit import LiveFit, losses_above
from dptoolkit.session.race import NOBODY, OWN_RATE, Race, rated
from dptoolkit.session.scenario import load_scenario, scenario_names
from dptoolkit.session.setup import Minimum, Parameter, Setup, minimum_of
from dptoolkit.session.valley import Valley
from tests.inference.decay import TRUTH, toy
from tests.session.test_runner import wait

FULL = {f"detector.{path}": value for path, value in TRUTH.items()}


@pytest.fixture
def small(monkeypatch):
    """Every scenario is the fit of two parameters of a decay."""
    problem = toy(height=4.0, lifetime=8.0)
    starts = {"detector.height": 4.0, "detector.lifetime": 8.0}
    parameters = tuple(
        Parameter(path, "", unit, value, starts[path], 0.5 * value, 1.5 * value)
        for (path, value), unit in zip(FULL.items(), ("1", "us"), strict=True)
    )
    setup = Setup(load_scenario(scenario_names()[0]), problem, parameters, ("trace",))
    (sharp,) = setup.stages("chi-squared")  # the noise is that of the scenario
    minimum = minimum_of(sharp, FULL)
    monkeypatch.setattr(race_module, "setup_of", lambda name, more=False: setup)
    monkeypatch.setattr(race_module, "minima_of", lambda name, more, loss: (minimum,) * 3)
    return setup


@pytest.fixture
def race(small):
    model = Race(second=NOBODY, first="gauss-newton")
    yield model
    model.close()
    assert model.join(10)


def only(model):
    (frame,) = model.frames.values()
    return frame


def test_a_race_begins_paused_and_finds_the_truth(race):
    race.begin()
    wait(lambda: only(race).status == "paused")
    assert not race.running
    race.go()
    wait(lambda: only(race).status == "done")
    assert only(race).converged
    errors = race_module.minima_of("", False, "")[0].errors()
    for (path, value), error in zip(FULL.items(), errors, strict=True):
        # it ends when the loss is expected to fall by less than 1e-3: sqrt(2e-3) standard deviations
        assert abs(only(race).last.values[path] - value) < 0.05 * error


def test_two_methods_begin_at_one_start(small):
    model = Race(first="gauss-newton", second="adam", start={"detector.height": 3.0})
    model.begin()
    wait(lambda: all(frame.last is not None for frame in model.frames.values()))
    first, second = (frame.last.values for frame in model.frames.values())
    assert list(model.frames) == ["gauss-newton", "adam"]
    assert first == second and first["detector.height"] == pytest.approx(3.0)
    assert first["detector.lifetime"] == pytest.approx(8.0)
    model.close()
    assert model.join(10)


def test_a_held_parameter_stays_and_the_others_go_on(race):
    race.first, race.learning_rate = "adam", 1e-3
    race.begin()
    race.go()
    wait(lambda: only(race).last is not None and only(race).last.step >= 3)
    race.held = ["detector.height"]
    wait(lambda: only(race).last is not None and only(race).status == "running")
    held = only(race).last
    wait(lambda: only(race).last.step >= held.step + 3)
    assert held.step >= 3
    assert only(race).last.values["detector.height"] == held.values["detector.height"]
    assert only(race).last.values["detector.lifetime"] != held.values["detector.lifetime"]


def test_rules_that_change_twice_before_a_worker_is_ready_lose_no_step(race, monkeypatch):
    race.first, race.learning_rate = "adam", 1e-3
    race.begin()
    race.go()
    wait(lambda: only(race).last is not None and only(race).last.step >= 3)
    race.pause()
    reached = only(race).last.step
    known, ready = race_module.setup_of, threading.Event()
    monkeypatch.setattr(race_module, "setup_of", lambda *key: (ready.wait(10), known(*key))[1])
    race.held = ["detector.height"]
    assert only(race).last is None, "the new worker still waits for its setup"
    race.held = []
    ready.set()
    wait(lambda: only(race).last is not None)
    assert only(race).last.step >= reached


def test_a_method_without_a_step_has_an_empty_way():
    steps, heights = losses_above((), ())
    assert len(steps) == len(heights) == 0


def test_a_map_of_one_parameter_against_itself_is_refused_in_words():
    model = LossLandscape()
    model.y = model.x
    assert "two different parameters" in model.map_state.error and model.map_state.ended


def test_a_click_moves_the_parameters_of_the_map_it_fell_on(small):
    model = LossLandscape()
    model.place_start(("detector.lifetime", "detector.height"), 9.0, 3.0)
    assert model.start == {"detector.lifetime": 9.0, "detector.height": 3.0}


def test_reset_goes_back_to_the_start_and_waits(race):
    race.begin()
    race.go()
    wait(lambda: only(race).status == "done")
    race.reset()
    wait(lambda: only(race).status == "paused")
    assert [snapshot.step for snapshot in only(race).history] == [0]
    assert only(race).last.values["detector.height"] == pytest.approx(4.0)


def test_a_changed_loss_begins_anew(race):
    race.begin()
    wait(lambda: only(race).status == "paused")
    race.first = "adam"
    race.loss = "squared difference"
    wait(lambda: only(race).status == "paused")
    assert only(race).last.loss < 10  # a mean and not a sum over the noise squared


def test_a_method_that_a_loss_does_not_suit_is_told(race):
    race.loss = "squared difference"
    race.begin()
    wait(lambda: only(race).status == "failed")
    assert "has no residuals" in only(race).activity


def test_closing_ends_all_within_a_second(small):
    model = Race(first="adam", second="rmsprop", speed=50.0)
    model.begin()
    model.go()
    wait(lambda: all(frame.last is not None for frame in model.frames.values()))
    began = time.monotonic()
    model.close()
    assert model.join(1.0) and time.monotonic() - began < 1.0
    assert not model.frames


@pytest.mark.parametrize("kind", [LiveFit, LossLandscape, Valley])
def test_the_state_comes_back_from_a_dictionary_and_from_a_link(kind):
    model = kind(scenario="four_constants", lesson=True, speed=3.5, learning_rate=1e-3, theme="dark")
    model.param.update(
        start={"detector.drift.lifetime": 800.25}, held=["detector.field.strength"], second="rmsprop"
    )
    assert model.to_dict()["version"] == 1
    for other in (kind(), kind()):
        assert other.to_dict() != model.to_dict()
    again, linked = kind(), kind()
    again.from_dict(model.to_dict())
    linked.from_query(model.query())
    assert again.to_dict() == linked.to_dict() == model.to_dict()


def test_every_control_of_the_state_is_declared():
    for kind in (LiveFit, LossLandscape, Valley):
        assert all(kind.param[name].doc or name == "theme" for name in kind.kept)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"version": 9}, "reads version 1"),
        ({"colour": "red"}, "'colour' is no control"),
        ({"scenario": "nothing"}, "nothing"),
        ({"speed": 1e9}, "speed"),
        ({"held": 3}, "held"),
    ],
)
def test_a_wrong_state_is_told(state, message):
    with pytest.raises(ValueError, match=message):
        Race().from_dict(state)


def test_a_scenario_brings_its_own_wishes():
    model = Race(held=["detector.drift.lifetime"], start={"detector.drift.lifetime": 1.0})
    model.scenario = "where_was_the_muon"
    assert model.loss == "coarse to fine" and model.held == [] and model.start == {}


def test_gradient_descent_converges_with_its_own_rate_and_barely_not_with_twice_as_much():
    matrix = np.array([[4.0, 1.0], [1.0, 3.0]])
    minima = [Minimum(0.0, np.zeros(2), matrix, np.ones(2))]
    rate = rated("gradient-descent", OWN_RATE, minima).learning_rate
    for factor, shrinks in ((1.0, True), (1.99, True), (2.01, False)):
        step = np.eye(2) - factor * rate * matrix
        assert (np.abs(np.linalg.eigvalsh(step)).max() < 1) == shrinks
    assert rated("adam", 0.01, minima).learning_rate == 0.01


def test_errors_shrink_when_a_correlated_parameter_is_held():
    minimum = Minimum(0.0, np.zeros(2), np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([1.0, 10.0]))
    np.testing.assert_allclose(minimum.errors(), np.sqrt(2 / 3) * np.array([1.0, 10.0]))
    np.testing.assert_allclose(minimum.errors((1,)), [np.sqrt(1 / 2), np.nan])
