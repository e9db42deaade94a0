"""Work on several processes, results in the order of the work."""

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

Progress = Callable[[int, int], Any]
"""Told how many are done, and of how many."""
AHEAD = 2
"""Items a process may be ahead of what was taken: bounds the memory."""


def in_order(
    work: Iterable[tuple[Any, ...]],
    jobs: int,
    start: Callable[..., None],
    start_args: tuple[Any, ...] = (),
) -> Iterator[Any]:
    """The results of `work`, tuples of (function, arguments ...), on fresh processes set up by `start`."""
    pool = ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_set_up,
        initargs=(start, start_args, _jax_settings()),
    )
    waiting: deque[Future[Any]] = deque()
    try:
        for function, *arguments in work:
            waiting.append(pool.submit(function, *arguments))
            if len(waiting) > AHEAD * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _jax_settings() -> dict[str, Any]:
    import jax

    return {
        name: getattr(jax.config, name)
        for name in (
            "jax_enable_x64",
            "jax_compilation_cache_dir",
            "jax_persistent_cache_min_compile_time_secs",
        )
    }


def _set_up(start: Callable[..., None], start_args: tuple[Any, ...], settings: dict[str, Any]) -> None:
    import jax

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one decides
    for name, value in settings.items():
        jax.config.update(name, value)
    start(*start_args)
