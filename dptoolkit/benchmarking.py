"""What benchmarks share: a process for every case, rows of JSON, tracks, and the floor of a simulation.

Floor: 1.5 kflop and 1.4 kB per deposit and plane (a few dozen bins of separable Gaussian weights, then
a response that does not depend on the deposit), at the speed that a matrix product and a copy reach here.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dptoolkit.cache import enable_compilation_cache
from dptoolkit.detector import LArTPC
from dptoolkit.events import Segments, segments_from_arrays

REPEATS = 5
FLOP_PER_DEPOSIT, BYTES_PER_DEPOSIT = 1.5e3, 1.4e3

Cases = Mapping[str, Callable[[], dict[str, Any]]]


class NoData(Exception):
    """Real events that a case needs are not here."""


def main(script: str, cases: Cases) -> None:
    """Measure the case named on the command line, or all, and print JSON."""
    enable_compilation_cache()
    if len(sys.argv) > 1:
        found = json.dumps(_measured(sys.argv[1], cases))
    else:
        found = json.dumps(run_cases(script, cases), indent=2)
    sys.stdout.write(found + "\n")


def run_cases(script: str, cases: Cases, only: str | None = None) -> list[dict[str, Any]]:
    """The row of every case, or of one, each from its own process; `skipped` says why one was not run."""
    rows = []
    for name in [only] if only else cases:
        command = [sys.executable, str(Path(script).resolve()), name]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        rows.append(json.loads(answer.splitlines()[-1]))
    return rows


def data_file(name: str) -> Path:
    """A file of the folder DPTOOLKIT_DATA, by default `../shared/data` of here or of the checkout.

    Raises `NoData` if it is absent.
    """
    checkout = Path(__file__).resolve().parents[1]
    near = [base / "../shared/data" for base in (Path.cwd(), checkout)]
    folders = [Path(os.environ["DPTOOLKIT_DATA"])] if "DPTOOLKIT_DATA" in os.environ else near
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise NoData(f"no file {name} in {folders[0]}; DPTOOLKIT_DATA may name the folder")


def _measured(name: str, cases: Cases) -> dict[str, Any]:
    try:
        return {"case": name, **cases[name]()}
    except NoData as error:
        return {"case": name, "skipped": str(error)}


def timed(action: Callable[[], Any], repeats: int = REPEATS) -> tuple[float, float, float]:
    """(CPU time, wall time, both medians; wall time of the first run, which also compiles) [s]."""
    start = time.perf_counter()
    jax.block_until_ready(action())
    first = time.perf_counter() - start
    wall, cpu = [], []
    for _ in range(repeats):
        t, c = time.perf_counter(), time.process_time()
        jax.block_until_ready(action())
        wall.append(time.perf_counter() - t)
        cpu.append(time.process_time() - c)
    return float(np.median(cpu)), float(np.median(wall)), first


def row(cpu: float, wall: float, first: float, floor: float) -> dict[str, Any]:
    """Times in seconds; `first` is the wall time of the run that also compiled."""
    return {
        "cpu_s": cpu,
        "wall_s": wall,
        "compile_s": max(first - wall, 0.0),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "floor": floor,
        "ratio": cpu / floor,
    }


def simulation_floor(n_deposits: int, n_planes: int) -> float:
    """Seconds."""
    one = max(FLOP_PER_DEPOSIT / flop_rate(), BYTES_PER_DEPOSIT / _byte_rate())
    return n_deposits * n_planes * one


def straight_tracks(detector: LArTPC, n_tracks: int, n_steps: int) -> Segments:
    """Straight tracks of 3 mm steps that begin anywhere in the volumes."""
    generator = np.random.default_rng(1)
    low, high = detector.volumes.low, detector.volumes.high
    volume = generator.integers(len(detector.volumes), size=n_tracks)
    room = generator.uniform(0.2, 0.8, (n_tracks, 3))
    start = low[volume] + room * (high - low)[volume]
    direction = generator.normal(size=(n_tracks, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    along = np.arange(n_steps + 1)[:, None, None] * 0.3 * direction + start
    track = np.tile(np.arange(n_tracks), (n_steps, 1))
    points = (along[:-1].swapaxes(0, 1).reshape(-1, 3), along[1:].swapaxes(0, 1).reshape(-1, 3))
    return segments_from_arrays(*points, np.full(len(points[0]), 0.63), track=track.T.ravel())


def flop_rate() -> float:
    """What a matrix product in single precision reaches here [1/s of CPU time]."""
    a = np.ones((1024, 1024), np.float32)
    return 2 * 1024**3 / _quickest(lambda: a @ a)


def _byte_rate() -> float:
    a = np.ones(2**24, np.float32)
    return 2 * a.nbytes / _quickest(a.copy)


def _quickest(action: Callable[[], Any]) -> float:
    times = []
    for _ in range(5):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return min(times)
