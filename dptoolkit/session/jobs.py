"""A computation in a worker thread whose results come one after the other, from coarse to fine."""

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from dptoolkit.session.exit import remember
from dptoolkit.workers import Progress

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobState:
    """A job at one moment; nothing in it changes afterwards."""

    number: int = 0
    """Grows with every change."""
    done: int = 0
    total: int = 0
    """Of the result that is being computed."""
    result: Any = None
    """The last that is known."""
    ended: bool = False
    error: str = ""


class _Closed(Exception):
    """Ends the worker from inside a computation."""


class Job:
    """Runs `make(progress)`, a generator of results, in a thread; closing ends it at its next progress."""

    def __init__(self, make: Callable[[Progress], Iterator[Any]]):
        self._make, self._closed = make, False
        self._state = JobState()
        self._thread = threading.Thread(target=self._work, name="dptoolkit-job", daemon=True)
        remember(self)
        self._thread.start()

    @property
    def state(self) -> JobState:
        """The present state."""
        return self._state

    def close(self) -> None:
        """End it; returns at once."""
        self._closed = True

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the worker to end; whether it did."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        error = "ended unexpectedly; the log says more"
        try:
            for result in self._make(self._progress):
                self._publish(result=result)
            error = ""
        except _Closed:
            error = "closed"
        except ValueError as wrong:  # wrong use, which the page says
            _log.info("a computation ended", exc_info=True)
            error = str(wrong)
        except (RuntimeError, ArithmeticError) as wrong:
            _log.warning("a computation failed", exc_info=True)
            error = str(wrong)
        finally:
            self._publish(ended=True, error=error)

    def _progress(self, done: int, total: int) -> None:
        if self._closed:
            raise _Closed
        self._publish(done=done, total=total)

    def _publish(self, **changes: Any) -> None:
        self._state = replace(self._state, number=self._state.number + 1, **changes)
