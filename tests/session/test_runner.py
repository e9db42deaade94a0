"""A runner in a plain script: what a user may do to a fit that runs, and what it says of itself."""

import dataclasses
import threading
import time

import numpy as np
import pytest

from dptoolkit.inference import FirstOrder
from dptoolkit.inference.fit import fit
from dptoolkit.session.runner import Runner, Task
from tests.inference.decay import TRUTH, toy

SLOW = FirstOrder(rule="adam", learning_rate=1e-4, max_steps=100_000, patience=100_000)
"""A method that does not end by itself."""


def wait(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def task(method="gauss-newton", **more):
    problem = toy()
    return Task([problem], method, np.asarray(problem.start), **more)


@pytest.fixture
def ran():
    """Makes runners and ends them."""
    made = []

    def make(task, **options):
        made.append(Runner(lambda tell: task, **options))
        return made[-1]

    yield make
    for runner in made:
        runner.close()
        assert runner.join(10)


def test_a_runner_ends_where_a_fit_does(ran):
    runner = ran(task(), running=True)
    wait(lambda: runner.frame.status == "done")
    alone = fit(toy())
    assert [s.loss for s in runner.frame.history] == [s.loss for s in alone.history]
    assert runner.frame.converged and runner.frame.activity == alone.stopped
    assert runner.frame.last.values["detector.lifetime"] == pytest.approx(TRUTH["lifetime"], rel=1e-3)


def test_it_waits_at_the_start_until_told_to_go(ran):
    runner = ran(task())
    wait(lambda: runner.frame.status == "paused")
    time.sleep(0.1)
    assert [s.step for s in runner.frame.history] == [0]
    runner.start()
    wait(lambda: runner.frame.status == "done")


def test_a_step_is_one_step(ran):
    runner = ran(task(SLOW))
    wait(lambda: runner.frame.status == "paused")
    for number in (1, 2, 3):
        runner.step()
        wait(lambda number=number: runner.frame.last.step == number and runner.frame.status == "paused")
    time.sleep(0.1)
    assert runner.frame.last.step == 3


def test_nothing_is_shown_after_a_pause_until_the_fit_goes_on(ran):
    runner = ran(task(SLOW), running=True)
    wait(lambda: runner.frame.last is not None and runner.frame.last.step > 3)
    runner.pause()
    held = runner.frame
    assert held.status == "paused"
    time.sleep(0.2)
    assert runner.frame is held
    runner.start()
    wait(lambda: runner.frame.last.step > held.last.step)


def test_the_speed_is_kept(ran):
    runner = ran(task(SLOW), running=True, speed=10.0)
    wait(lambda: runner.frame.last is not None)
    began, first = time.monotonic(), runner.frame.last.step
    time.sleep(1.0)
    shown, passed = runner.frame.last.step - first, time.monotonic() - began
    assert shown <= 10 * passed + 1
    runner.speed = 1000.0
    wait(lambda: runner.frame.last.step > first + 60, seconds=5)
    with pytest.raises(ValueError, match="positive"):
        runner.speed = 0.0


def test_closing_ends_the_worker_within_a_second_and_silences_it(ran):
    runner = ran(task(SLOW), running=True)
    wait(lambda: runner.frame.last is not None and runner.frame.last.step > 1)
    began = time.monotonic()
    runner.close()
    assert runner.frame.status == "closed"
    assert runner.join(1.0), "the worker still runs"
    assert time.monotonic() - began < 1.0
    assert runner.frame.status == "closed"


def test_closing_while_it_prepares_silences_it_too(ran):
    def slow(tell):
        tell("simulating")
        time.sleep(0.3)
        tell("looking")
        return task()

    runner = Runner(slow)
    wait(lambda: runner.frame.activity == "simulating")
    runner.close()
    assert runner.frame.status == "closed" and runner.join(2.0)
    assert runner.frame.activity == "closed"


def test_a_race_begins_when_the_slowest_is_prepared_or_has_failed(ran):
    prepared = threading.Event()
    runner = ran(task(), running=True, others=prepared.is_set)
    wait(lambda: runner.frame.last is not None)
    time.sleep(0.2)
    assert [s.step for s in runner.frame.history] == [0]
    prepared.set()
    wait(lambda: runner.frame.status == "done")


def test_frames_do_not_change(ran):
    runner = ran(task(SLOW), running=True)
    wait(lambda: runner.frame.last is not None)
    frame, history, z = runner.frame, runner.frame.history, runner.frame.last.z.copy()
    wait(lambda: runner.frame.number > frame.number + 3)
    assert frame.history is history and frame.last is history[-1]
    np.testing.assert_array_equal(frame.last.z, z)
    with pytest.raises(dataclasses.FrozenInstanceError):
        frame.number = 0
    with pytest.raises(ValueError, match="read-only"):
        frame.last.z[0] = 1.0


def test_a_fit_goes_on_from_its_past_with_a_coordinate_held(ran):
    first = ran(task(SLOW), running=True)
    wait(lambda: first.frame.last is not None and first.frame.last.step >= 3)
    first.pause()
    past = first.frame.history
    problem, z = toy(), past[-1].z
    again = Task([problem.holding({0: float(z[0])})], SLOW, z, past)
    second = ran(again, running=True)
    wait(lambda: second.frame.last is not None and second.frame.last.step >= past[-1].step + 3)
    assert [s.step for s in second.frame.history] == list(range(len(second.frame.history)))
    assert second.frame.history[: len(past)] == past
    assert second.frame.last.z[0] == z[0] and second.frame.last.z[1] != z[1]


def test_what_is_wrong_is_said(ran):
    def wrong(tell):
        raise ValueError("no such detector")

    runner = Runner(wrong)
    wait(lambda: runner.frame.status == "failed")
    assert runner.frame.activity == "no such detector"


def test_what_one_looks_at_belongs_to_the_point(ran):
    runner = ran(task(SLOW, look=lambda problem, z: z.copy()), running=True)
    wait(lambda: runner.frame.last is not None and runner.frame.last.step > 2)
    for _ in range(20):
        frame = runner.frame
        np.testing.assert_array_equal(frame.seen, frame.last.z)
        time.sleep(0.01)
