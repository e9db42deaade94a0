"""Speed of fits: time to a converged calibration, and of one Gauss-Newton step.

Each case runs in its own process; steps are medians of five at different points (index tables included), a
calibration runs once, its compilation apart.

    dptoolkit bench inference [--json]      python benchmarks/bench_inference.py CASE

Floor: a step needs the prediction and one forward-mode column for each of k parameters, so k + 1 times
the floor of a simulation (see `dptoolkit.benchmarking`); a calibration needs that for each of its steps.
The ratio is CPU time over floor. Steps with 1, 2 and 4 batches of a thousand segments, and with 2 and 6
parameters, show how a step grows with events (linearly) and with parameters.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dptoolkit import benchmarking
from dptoolkit.calibrate import Calibration, Toy, calibrate, truth_of
from dptoolkit.config import load_tpc
from dptoolkit.events import bucket, pad
from dptoolkit.inference import Problem

REPEATS = 5
TRACKS, STEPS = 10, 100
"""Of a batch: a thousand segments of 3 mm."""


def run(case: str | None) -> list[dict[str, Any]]:
    """One row a case: case, cpu_s, wall_s, compile_s, peak_mb, floor [s], ratio, parameters, segments."""
    return benchmarking.run_cases(__file__, CASES, case)


def calibration(name: str) -> dict[str, Any]:
    """All parameters with typical values from a random truth, one batch without noise, to convergence."""
    problem, segments = _problem(name, 1, ())
    began = time.perf_counter()
    calibrate(problem)  # compiles; its time is what the second fit does not take
    first = time.perf_counter() - began
    problem, _ = _problem(name, 1, ())
    wall, cpu = time.perf_counter(), time.process_time()
    result = calibrate(problem)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    row = _row(problem, segments, max(result.steps, 1), (cpu, wall, first))
    return {**row, "steps": result.steps, "converged": result.converged}


def step(name: str, batches: int, free: tuple[str, ...]) -> dict[str, Any]:
    """Loss, gradient and curvature at a new point."""
    problem, segments = _problem(name, batches, free)
    points = 0.1 * np.random.default_rng(0).normal(size=(REPEATS + 1, len(problem.start)))
    times = []
    for point in points:
        wall, cpu = time.perf_counter(), time.process_time()
        problem.normal(jnp.asarray(point, problem.start.dtype))
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu, wall = np.median(times[1:], axis=0)
    return _row(problem, segments, 1, (float(cpu), float(wall), times[0][1]))


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    "calibration-small-pixel": partial(calibration, "small-pixel"),
    "calibration-small-wire": partial(calibration, "small-wire"),
    **{f"step-small-pixel-{n}000-segments": partial(step, "small-pixel", n, ()) for n in (1, 2, 4)},
    "step-small-pixel-2-parameters": partial(step, "small-pixel", 1, ("recombination.a", "field.strength")),
}


def _problem(name: str, batches: int, free: tuple[str, ...]) -> tuple[Problem, int]:
    """A problem without noise on straight tracks, and the number of its segments."""
    detector = load_tpc(name)
    tracks = benchmarking.straight_tracks(detector, n_tracks=batches * TRACKS, n_steps=STEPS)
    parts = [
        jax.tree.map(lambda x, i=i: x[i * TRACKS * STEPS : (i + 1) * TRACKS * STEPS], tracks)
        for i in range(batches)
    ]
    padded = [pad(part, bucket(len(part))) for part in parts]
    chosen = Calibration(detector, free)
    toy = Toy(detector, truth_of(detector, chosen.paths, 3, {}))
    observed = [toy.observe(part, number) for number, part in enumerate(padded)]
    return chosen.problem(padded, observed), batches * TRACKS * STEPS


def _row(problem: Problem, segments: int, steps: int, times: tuple[float, float, float]) -> dict[str, Any]:
    """`times`: CPU and wall time, and the wall time of the first run, which compiled."""
    simulations = steps * (len(problem.start) + 1)
    floor = simulations * benchmarking.simulation_floor(segments, len(problem.detector.planes))
    return {**benchmarking.row(*times, floor), "parameters": len(problem.start), "segments": segments}


if __name__ == "__main__":
    benchmarking.main(__file__, CASES)
