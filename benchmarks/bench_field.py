"""Speed of recovering a distorted drift field from muons: a fit, and one step of it.

Muons are straight lines through the two volumes of `sbnd`, with points every 10 cm; nothing else differs from
what `calibrate --field` does. Each case runs in its own process; a step is the median of five at different
points, a fit runs twice and its second time counts (compilation apart).

    dptoolkit bench field [--json]      python benchmarks/bench_field.py CASE

Floor: of a step the product J^T J, one multiplication and addition for each row and pair of parameters, at
the speed of a matrix product here; of a fit that of its steps.
"""

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from dptoolkit import benchmarking
from dptoolkit.charge.field import AbstractField
from dptoolkit.charge.poisson import PoissonField
from dptoolkit.charge.spline import SplineField, VoxelField
from dptoolkit.config import load_tpc
from dptoolkit.detector import LArTPC
from dptoolkit.field_calibration import FieldCalibration, TruePath, measure
from dptoolkit.reconstruction.bends import MeasuredTrack
from dptoolkit.surrogates.potential import NetworkField

REPEATS = 3
SPACING = 10.0
MODELS: dict[str, Callable[[], AbstractField]] = {
    "network": lambda: NetworkField(groups=2),
    "spline": lambda: SplineField(groups=2),
    "voxels": lambda: VoxelField(groups=2),
}


def run(case: str | None) -> list[dict[str, Any]]:
    """One row a case: case, cpu_s, wall_s, compile_s, peak_mb, floor [s], ratio, parameters, tracks."""
    return benchmarking.run_cases(__file__, CASES, case)


def step(name: str, n_tracks: int) -> dict[str, Any]:
    """Loss, gradient and curvature at a new point."""
    detector, tracks = _toy(n_tracks)
    model = MODELS[name]()
    problem = FieldCalibration(detector, model).problem(tracks, model)
    times = []
    for point in 0.1 * np.random.default_rng(0).normal(size=(REPEATS + 1, len(problem.start))):
        wall, cpu = time.perf_counter(), time.process_time()
        problem.normal(jnp.asarray(point, problem.start.dtype))
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu, wall = np.median(times[1:], axis=0)
    return _row(problem, 1, n_tracks, (float(cpu), float(wall), times[0][1]))


def recover(name: str, n_tracks: int) -> dict[str, Any]:
    """Both passes of a fit, to convergence."""
    detector, tracks = _toy(n_tracks)
    calibration = FieldCalibration(detector, MODELS[name]())
    began = time.perf_counter()
    calibration.run(tracks)
    first = time.perf_counter() - began
    wall, cpu = time.perf_counter(), time.process_time()
    found = calibration.run(tracks)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    steps = sum(result.steps for result in found.results)
    row = _row(found.problem, max(steps, 1), n_tracks, (cpu, wall, first))
    return {**row, "steps": steps, "cpu_s_per_track": cpu / n_tracks, "converged": found.converged}


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    **{f"step-network-{n}-tracks": partial(step, "network", n) for n in (256, 1024)},
    **{f"fit-{name}-256-tracks": partial(recover, name, 256) for name in MODELS},
}


def _toy(n_tracks: int) -> tuple[LArTPC, list[MeasuredTrack]]:
    """`sbnd`, and straight lines in it that a space charge bends."""
    detector = load_tpc("sbnd")
    truth = dataclasses.replace(detector, field=PoissonField())
    calibration = FieldCalibration(detector, detector.field)
    rng = np.random.default_rng(1)
    low, high = detector.volumes.bounds
    paths = []
    while len(paths) < n_tracks:
        ends = rng.uniform(low, high, (2, 3))
        ends[:, 1] = high[1], low[1]
        n = int(np.linalg.norm(ends[1] - ends[0]) / SPACING)
        points = ends[0] + (np.arange(n)[:, None] + 0.5) / n * (ends[1] - ends[0])
        volume = detector.volumes.locate(points)
        paths.append(TruePath(len(paths), points[volume >= 0], volume[volume >= 0], ends))
    return detector, measure(paths, truth, calibration.resolution, 1)


def _row(problem: Any, steps: int, tracks: int, times: tuple[float, float, float]) -> dict[str, Any]:
    """`times`: CPU and wall time, and the wall time of the first run, which compiled."""
    rows = sum(int(part.valid.sum()) for seen in problem.observed for part in seen.values())
    k = len(problem.start)
    floor = steps * 2.0 * rows * k**2 / benchmarking.flop_rate()
    return {**benchmarking.row(*times, floor), "parameters": k, "tracks": tracks, "rows": rows}


if __name__ == "__main__":
    benchmarking.main(__file__, CASES)
