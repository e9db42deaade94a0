"""Independent jobs on Dask: a cluster in this process, or the one that a scheduler's address names.

Slurm and HTCondor come through dask-jobqueue, which starts the workers; this program only needs the address.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from dptoolkit.io.errors import InputError

AHEAD = 2
"""Jobs a worker may be ahead of what was taken: bounds the memory."""
PATIENCE = "10 s"
"""For an answer of the scheduler."""


@contextmanager
def farm(jobs: int, scheduler: str | None = None) -> Iterator[Any]:
    """A client of the scheduler at an address, or of `jobs` processes of its own."""
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.ERROR)
    if scheduler is not None:
        with _connected(scheduler) as client:
            yield client
        return
    options: dict[str, Any] = {"threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with (
        LocalCluster(n_workers=jobs, silence_logs=logging.CRITICAL, **options) as cluster,
        Client(cluster) as client,
    ):
        yield client


def in_order(client: Any, function: Callable[..., Any], work: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    """The results of `function` for the arguments in `work`, in their order."""
    waiting: deque[Any] = deque()
    most = AHEAD * max(1, len(client.scheduler_info()["workers"]))
    for arguments in work:
        waiting.append(client.submit(function, *arguments, pure=False))
        if len(waiting) > most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def as_done(client: Any, function: Callable[..., Any], work: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    """The results of `function` for the arguments in `work`, as they come."""
    from distributed import as_completed

    futures = [client.submit(function, *arguments, pure=False) for arguments in work]
    for future in as_completed(futures):
        yield future.result()


def _connected(scheduler: str) -> Any:
    from distributed import Client

    try:
        return Client(scheduler, timeout=PATIENCE)
    except (OSError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"scheduler {scheduler!r}: no Dask scheduler answers there ({reason}); expected an address such "
            f"as tcp://host:8786; start one, or leave --scheduler out"
        ) from None
