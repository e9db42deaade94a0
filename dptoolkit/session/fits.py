"""What the apps of running fits share: fits by name, each in a worker of its own, their start and end."""

from collections.abc import Callable, Mapping
from typing import Any

import param

from dptoolkit.session.runner import Frame, Runner, Task, Tell
from dptoolkit.session.state import AppModel

SPEEDS = (0.5, 50.0)
"""Least and most steps a second that one may ask for."""
Maker = Callable[[Tell], Task]
"""Says what a worker does; called there, as it may take seconds."""


class Fits(AppModel):
    """Fits that run beside each other under the names that `makers` gives them."""

    kept = ("speed", "theme")

    speed = param.Number(default=10.0, bounds=SPEEDS, doc="Most steps a second")

    def __init__(self) -> None:
        super().__init__()
        self._runners: dict[str, Runner] = {}
        self._ended: list[Runner] = []
        self._opened = False
        self.param.watch(self._paced, "speed")

    def makers(self) -> Mapping[str, Maker]:
        """What every worker does, with the controls as they are now."""
        raise NotImplementedError

    @property
    def frames(self) -> dict[str, Frame]:
        """The present state of every fit by its name."""
        return {name: runner.frame for name, runner in self._runners.items()}

    @property
    def running(self) -> bool:
        """Whether a fit goes on, or will when it is ready."""
        return any(runner.busy and runner.going for runner in self._runners.values())

    def begin(self) -> None:
        """Make the fits ready at their start."""
        self._opened = True
        self._end()
        makers, runners = self.makers(), {}

        def prepared() -> bool:
            every = [runners.get(name) for name in makers]
            return all(one is not None and one.frame.status != "preparing" for one in every)

        for name, maker in makers.items():
            runners[name] = Runner(maker, speed=self.speed, others=prepared)
        self._runners = runners

    def go(self) -> None:
        """Let the fits run; those that ended begin anew."""
        if self._runners and not any(runner.busy for runner in self._runners.values()):
            self.begin()
        for runner in self._runners.values():
            runner.start()

    def pause(self) -> None:
        """Hold the fits where they are."""
        for runner in self._runners.values():
            runner.pause()

    def toggle(self) -> None:
        """Pause if a fit is running, else go."""
        (self.pause if self.running else self.go)()

    def step(self) -> None:
        """One step of every fit."""
        for runner in self._runners.values():
            runner.step()

    def reset(self) -> None:
        """Back to the start."""
        self.begin()

    def close(self) -> None:
        """End all workers; returns at once."""
        self._opened = False
        self._end()

    def join(self, timeout: float) -> bool:
        """Wait for the workers that were ended; whether they did."""
        return all(runner.join(timeout) for runner in self._ended)

    def _end(self) -> None:
        for runner in self._runners.values():
            runner.close()
        self._ended = [old for old in (*self._ended, *self._runners.values()) if not old.join(0)]
        self._runners = {}

    def _paced(self, event: Any) -> None:
        for runner in self._runners.values():
            runner.speed = event.new

    def _begin_anew(self, *_events: Any) -> None:
        """Controls changed that say what is fitted."""
        if self._opened:
            self.begin()
