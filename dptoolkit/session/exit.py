"""Workers end before the interpreter does: a thread that is torn out of compiled code aborts the process."""

import atexit
import weakref
from typing import Protocol, runtime_checkable

PATIENCE = 3.0
"""How long to wait for each of them [s]."""


@runtime_checkable
class Closable(Protocol):
    """A worker in a thread."""

    def close(self) -> None: ...

    def join(self, timeout: float | None = None) -> bool: ...


_ALIVE: weakref.WeakSet[Closable] = weakref.WeakSet()


def remember(worker: Closable) -> None:
    """Close the worker when the process ends."""
    _ALIVE.add(worker)


@atexit.register
def _end_all() -> None:
    workers = list(_ALIVE)
    for worker in workers:
        worker.close()
    for worker in workers:
        worker.join(PATIENCE)
