"""A fit in a worker thread that one can start, pause, step and close; what it says is a `Frame`.

The worker runs `graduated`, with every method, loss and stage that it knows, and waits between two steps for
leave to go on. Nobody is called back: who wants to draw asks for `frame`, as often as suits. Closing ends the
worker at its next evaluation, or when the setup that it waits for is made; what it still says is not heard.
"""

import copy
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from dptoolkit.inference.fit import Snapshot, graduated
from dptoolkit.inference.optimise import AbstractMethod
from dptoolkit.inference.problem import Problem
from dptoolkit.session.exit import remember

Tell = Callable[[str], None]
"""Told what is being done."""
Status = Literal["preparing", "paused", "running", "done", "failed", "closed"]
FASTEST = 1000.0
"""Steps a second that stand for no limit."""
LOOK = 0.05
"""Time between two looks at others that are not prepared yet [s]."""
LONG = 1.0
"""A step that takes longer tells how far it is [s]."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """What a runner fits: stages from easy to exact, a method, a start in coordinates, what came before."""

    stages: Sequence[Problem]
    method: str | AbstractMethod
    start: np.ndarray
    past: tuple[Snapshot, ...] = ()
    look: Callable[[Problem, np.ndarray], Any] | None = None
    """What to show of a point, `look(problem, z)`; computed by the worker."""
    max_steps: int | None = None

    @property
    def stage(self) -> int:
        """Where to go on."""
        return self.past[-1].stage if self.past else 0


@dataclass(frozen=True)
class Frame:
    """A fit at one moment; nothing in it changes afterwards."""

    number: int = 0
    """Grows with every change."""
    status: Status = "preparing"
    activity: str = "preparing"
    """What the worker does, or why it ended."""
    history: tuple[Snapshot, ...] = ()
    seen: Any = None
    """What `look` made of the last point."""
    converged: bool = False

    @property
    def busy(self) -> bool:
        """Whether there is more to come."""
        return self.status in ("preparing", "paused", "running")

    @property
    def last(self) -> Snapshot | None:
        """The present point."""
        return self.history[-1] if self.history else None


class _Closed(Exception):
    """Ends the worker from inside a fit."""


class Runner:
    """Fits what `make(tell)` returns: it is called in the worker, as it may take seconds, and tells of it.

    Its first step waits until `others` says that those it races with are prepared too.
    """

    def __init__(
        self,
        make: Callable[[Tell], Task],
        *,
        running: bool = False,
        speed: float = FASTEST,
        others: Callable[[], bool] = lambda: True,
    ):
        self._make, self._running, self._speed, self._others = make, running, speed, others
        self._change = threading.Condition()
        self._frame = Frame()
        self._leave, self._closed, self._ready, self._told = 0, False, 0.0, time.monotonic()
        self._thread = threading.Thread(target=self._work, name="dptoolkit-fit", daemon=True)
        remember(self)
        self._thread.start()

    @property
    def frame(self) -> Frame:
        """The present state."""
        return self._frame

    @property
    def busy(self) -> bool:
        """Whether there is more to come."""
        return self._frame.busy

    @property
    def going(self) -> bool:
        """Whether it runs, or will when it is ready."""
        return self._running

    @property
    def speed(self) -> float:
        """Most steps a second."""
        return self._speed

    @speed.setter
    def speed(self, value: float) -> None:
        if not value > 0:
            raise ValueError(f"speed = {value}: expected a positive number of steps a second")
        with self._change:
            self._speed = value
            self._ready = 0.0
            self._change.notify_all()

    def start(self) -> None:
        """Go on until the fit ends."""
        self._order(running=True, leave=0)

    def pause(self) -> None:
        """Show no further step; one that is being computed is shown when the fit goes on."""
        self._order(running=False, leave=0)

    def step(self) -> None:
        """One more step, then pause."""
        with self._change:
            self._order(running=False, leave=self._leave + 1)

    def close(self) -> None:
        """End the worker; returns at once."""
        with self._change:
            self._closed = True
            if self.busy:
                self._publish(status="closed", activity="closed", even_closed=True)
            self._change.notify_all()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the worker to end; whether it did."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _order(self, running: bool, leave: int) -> None:
        with self._change:
            self._running, self._leave = running, leave
            if self._frame.status in ("paused", "running"):
                self._publish(status="running" if running or leave else "paused")
            self._change.notify_all()

    def _work(self) -> None:
        ended: dict[str, Any] = {"status": "failed", "activity": "ended unexpectedly; the log says more"}
        try:
            task = self._make(self._tell)
            stages = [self._watched(problem) for problem in task.stages[task.stage :]]
            result = graduated(
                stages,
                method=task.method,
                start=task.start,
                max_steps=task.max_steps,
                callback=lambda snapshot: self._reached(task, stages, snapshot),
            )
            ended = {"status": "done", "activity": result.stopped, "converged": result.converged}
        except _Closed:
            ended = {"status": "closed", "activity": "closed"}
        except ValueError as error:  # wrong use, which the page says
            _log.info("a fit ended", exc_info=True)
            ended = {"status": "failed", "activity": str(error)}
        except (RuntimeError, ArithmeticError) as error:
            _log.warning("a fit failed", exc_info=True)
            ended = {"status": "failed", "activity": str(error)}
        finally:
            with self._change:
                self._publish(**ended)

    def _watched(self, problem: Problem) -> Problem:
        """The problem, its evaluations told and ended when closed; what it keeps is its own."""
        own = copy.copy(problem)
        own.watch = self._working
        return own

    def _working(self, what: str, done: int, total: int) -> None:
        if self._closed:
            raise _Closed
        part = f", {done} of {total} batches" if total > 1 else ""
        if self._frame.last is None:
            self._tell(f"{what}{part}; a new kind of problem compiles first")
        elif time.monotonic() - self._told > LONG:
            self._tell(f"{what}{part}")

    def _tell(self, what: str) -> None:
        if self._closed:
            raise _Closed
        with self._change:
            self._publish(activity=what)

    def _reached(self, task: Task, stages: Sequence[Problem], snapshot: Snapshot) -> None:
        """Show a step when it is allowed, and come back when the next may be computed."""
        seen = self._frame.seen
        if task.look is not None:
            seen = task.look(stages[snapshot.stage], snapshot.z)
        first = snapshot.step == 0 and snapshot.stage == 0
        past = task.past if first else self._frame.history
        step = snapshot.step + (task.past[-1].step if task.past else 0)
        point = replace(snapshot, step=step, stage=snapshot.stage + task.stage)
        if not first and past[-1].step == step:  # a stage begins where the one before it ended
            with self._change:
                self._publish(history=(*past[:-1], point), seen=seen)
            return
        history = past if first and past else (*past, point)
        with self._change:
            if not first:
                self._wait(lambda: bool(self._leave), time_too=True)
                self._leave = max(self._leave - 1, 0)
            self._ready = time.monotonic() + 1 / self._speed
            going = self._running or self._leave > 0
            status: Status = "running" if going else "paused"
            self._publish(status=status, activity="", history=history, seen=seen)
            while first and not self._closed and not self._others():
                self._change.wait(LOOK)
            self._wait(lambda: bool(self._leave), time_too=False)

    def _wait(self, allowed: Callable[[], bool], time_too: bool) -> None:
        """Until it is allowed or the fit runs and, `time_too`, the next step is due."""
        while not self._closed:
            if allowed():
                return
            left = self._ready - time.monotonic() if time_too else 0.0
            if self._running and left <= 0:
                return
            self._change.wait(left if self._running else None)
        raise _Closed

    def _publish(self, even_closed: bool = False, **changes: Any) -> None:
        """A new frame; the lock is held."""
        if not self._closed or even_closed:
            self._frame = replace(self._frame, number=self._frame.number + 1, **changes)
            self._told = time.monotonic()
