"""Speed of the reconstruction of all segments: finding them, and fitting them, against their number.

Each case runs in its own process, with a warm compilation cache; finding is the median of five, a fit runs
once after one that compiles.

    python benchmarks/bench_segments.py [CASE]

Floor: a fit needs `products` multiplications with J^T J and as many gradients as steps, each of which is
three simulations at least (see `dptoolkit.benchmarking` for that of one). The ratio is CPU time over floor.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dptoolkit import benchmarking
from dptoolkit.config import load_tpc
from dptoolkit.detector import LArTPC
from dptoolkit.events import Segments, segments_from_arrays
from dptoolkit.reconstruction.distance import distances
from dptoolkit.reconstruction.segments import find_segments, fit_segments

LENGTH = 15.0
"""Of a straight track [cm]."""
PRODUCTS = 40
"""Multiplications with J^T J of a fit, about: the colours of its probing and those of its steps."""


def run(case: str | None) -> list[dict[str, Any]]:
    """One row a case: case, cpu_s, wall_s, compile_s, peak_mb, floor [s], ratio, segments, find_s, steps."""
    return benchmarking.run_cases(__file__, CASES, case)


def tracks(name: str, n: int) -> dict[str, Any]:
    """A fit of the segments of `n` straight minimum-ionising tracks, sampled with noise."""
    detector = load_tpc(name)
    truth = _tracks(detector, n)
    readout = jax.tree.map(np.asarray, detector(truth, key=jax.random.key(1)))
    find_cpu, _, _ = benchmarking.timed(lambda: find_segments(readout, detector).segments.de)
    found = find_segments(readout, detector)
    first = time.perf_counter()
    fit_segments(found, readout, detector)
    first = time.perf_counter() - first
    wall, cpu = time.perf_counter(), time.process_time()
    result, problem = fit_segments(found, readout, detector)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    n_found = len(found.skeleton.edges)
    floor = 3 * (PRODUCTS + result.steps) * benchmarking.simulation_floor(n_found, len(detector.planes))
    fitted = problem.model(jnp.asarray(result.history[-1].z)).source()
    compared = distances(fitted, truth, detector)
    return {
        **benchmarking.row(cpu, wall, first, floor),
        "segments": n_found,
        "find_s": find_cpu,
        "steps": result.steps,
        "charge_fraction": compared.charge_fraction,
        "distance_median_mm": compared.median,
    }


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    **{f"small-wire-{n}-tracks": partial(tracks, "small-wire", n) for n in (1, 2, 4, 8)},
    **{f"small-pixel-{n}-tracks": partial(tracks, "small-pixel", n) for n in (1, 2, 4, 8)},
}


def _tracks(detector: LArTPC, n: int) -> Segments:
    """`n` tracks of `LENGTH` in steps of 1 mm, in random directions, inside the detector."""
    rng = np.random.default_rng(3)
    low, high = detector.volumes.bounds
    direction = rng.normal(size=(n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    room = np.maximum((high - low) / 2 - LENGTH / 2 * np.abs(direction) - 1.0, 0.0)
    middle = (high + low) / 2 + rng.uniform(-1, 1, (n, 3)) * room
    along = np.linspace(-LENGTH / 2, LENGTH / 2, int(10 * LENGTH) + 1)
    points = middle[:, None] + along[:, None] * direction[:, None]
    start, end = points[:, :-1].reshape(-1, 3), points[:, 1:].reshape(-1, 3)
    track = np.repeat(np.arange(n), len(along) - 1)
    return segments_from_arrays(start, end, np.full(len(start), 0.21), track=track)


if __name__ == "__main__":
    benchmarking.main(__file__, CASES)
