"""Reconstruction of all segments: its speed against their number, how true it is against their angle.

Each case runs in its own process, with a warm compilation cache; finding is the median of five, a fit runs
once after one that compiles. `N-tracks` are straight and minimum-ionising; `N-degrees` are `LENGTH` of a
Geant4 muon with its delta electrons, at this angle to the planes of wires or pads.

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
from dptoolkit.benchmarking import data_file
from dptoolkit.config import load_tpc
from dptoolkit.detector import LArTPC
from dptoolkit.events import Segments, segments_from_arrays
from dptoolkit.io import read_segments
from dptoolkit.reconstruction.distance import distances
from dptoolkit.reconstruction.segments import find_segments, fit_segments

LENGTH = 15.0
"""Of a straight track [cm]."""
MUON = "geant4/lar_mu_300.h5"
IN_PLANE = 0.35
"""Angle of the track in the plane to the direction across the collecting wires [rad]."""
PRODUCTS = 40
"""Multiplications with J^T J of a fit, about: the colours of its probing and those of its steps."""


def run(case: str | None) -> list[dict[str, Any]]:
    """One row a case: case, cpu_s, wall_s, compile_s, peak_mb, floor [s], ratio, segments, find_s, steps."""
    return benchmarking.run_cases(__file__, CASES, case)


def tracks(name: str, n: int) -> dict[str, Any]:
    """A fit of the segments of `n` straight minimum-ionising tracks, sampled with noise."""
    detector = load_tpc(name)
    return measured(detector, _tracks(detector, n))


def inclined(name: str, degrees: float) -> dict[str, Any]:
    """A fit of the segments of a muon from Geant4 at an angle to the planes."""
    detector = load_tpc(name)
    return measured(detector, _inclined(detector, np.radians(degrees)))


def measured(detector: LArTPC, truth: Segments) -> dict[str, Any]:
    """Cost and result of a fit of what the detector reads of the truth."""
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
        "distance_p68_mm": compared.p68,
        "covered_fraction": compared.covered,
        "found_median_mm": distances(found.segments, truth, detector).median,
        "stopped": result.stopped,
    }


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    **{f"small-wire-{n}-tracks": partial(tracks, "small-wire", n) for n in (1, 2, 4, 8)},
    **{f"small-pixel-{n}-tracks": partial(tracks, "small-pixel", n) for n in (1, 2, 4, 8)},
    **{f"small-wire-{a}-degrees": partial(inclined, "small-wire", a) for a in (0, 30, 60, 85)},
    **{f"small-pixel-{a}-degrees": partial(inclined, "small-pixel", a) for a in (0, 30, 60, 85)},
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


def _inclined(detector: LArTPC, angle: float) -> Segments:
    """The first `LENGTH` of a muon about the middle of the detector; `angle` [rad] from the anode's plane."""
    event = read_segments(data_file(MUON)).select(slice(0, 1))
    along = event.columns["start"][:, 2] - event.columns["start"][0, 2]
    near = (along >= 0) & (along < LENGTH)
    volumes = detector.volumes
    level = np.cos(IN_PLANE) * volumes.across[0] + np.sin(IN_PLANE) * volumes.up[0]
    side = np.sin(IN_PLANE) * volumes.across[0] - np.cos(IN_PLANE) * volumes.up[0]
    drift = volumes.drift[0]
    forward = np.cos(angle) * level + np.sin(angle) * drift
    axes = np.stack([side, np.sin(angle) * level - np.cos(angle) * drift, forward])
    middle = np.array([0.0, 0.0, LENGTH / 2]) + event.columns["start"][0]
    centre = (volumes.low + volumes.high).mean(axis=0) / 2
    start, end = ((event.columns[name][near] - middle) @ axes + centre for name in ("start", "end"))
    of = {name: event.columns[name][near] for name in ("de", "track", "pdg")}
    return segments_from_arrays(start, end, **of)


if __name__ == "__main__":
    benchmarking.main(__file__, CASES)
