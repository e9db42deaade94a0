"""From how far a track is found: success of fits against the distance and the angle of their start.

    python benchmarks/track_basin.py [--detector small-wire] [--tracks 10] [--output basin.json]

Stopping muons, straight and without fluctuations of the loss, are sampled with electronics noise. A fit of
both ends begins with the true track moved by a distance, or turned about its middle by an angle, in a random
direction. It goes through blurred signals and then the likelihood (`multi-scale`), or minimises squared
differences from the start (`squared`). Success: both ends within `CLOSE` of the truth. Every trial is written
when it is done; the same command goes on.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dptoolkit.atomic import write_text
from dptoolkit.cache import enable_compilation_cache
from dptoolkit.config import load_tpc
from dptoolkit.inference import Experiment, GaussianChi2, GaussNewton, Problem, fit
from dptoolkit.reconstruction.evaluation import interval
from dptoolkit.reconstruction.stages import fit_in_stages, likelihood
from dptoolkit.reconstruction.track import quick
from dptoolkit.sources.line import Line

CLOSE = 1.0
"""[cm]"""
DISTANCES, ANGLES = (1.0, 3.0, 10.0, 30.0, 50.0, 100.0), (1.0, 5.0, 15.0, 30.0, 60.0)
BLURS = ((256.0, 128), (64.0, 32), (16.0, 8))
LOSSES = ("multi-scale", "squared")
LENGTHS = {"small-wire": (20.0, 40.0)}
DEFAULT_LENGTHS = (50.0, 150.0)
SQUARED = GaussNewton(max_steps=30)


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--detector", default="small-wire")
    parser.add_argument("--tracks", type=int, default=10)
    parser.add_argument("--output", type=Path, default=Path("basin.json"))
    given = parser.parse_args()
    enable_compilation_cache()
    detector: Any = quick(load_tpc(given.detector))
    trials = json.loads(given.output.read_text()) if given.output.exists() else {}
    starts = [("distance", d) for d in DISTANCES] + [("angle", a) for a in ANGLES]
    for track in range(given.tracks):
        truth = true_line(detector, given.detector, track)
        observed = detector(truth(), key=jax.random.key(track))
        for kind, size in starts:
            for loss in LOSSES:
                name = f"{given.detector} {loss} {kind} {size:g} {track}"
                if name not in trials:
                    trials[name] = trial(detector, truth, observed, loss, (kind, size, track))
                    write_text(given.output, json.dumps(trials, indent=1))
    for row in table(trials, given.detector, starts):
        sys.stdout.write(row + "\n")


def true_line(detector: Any, name: str, number: int) -> Line:
    """A muon that stops in the first drift volume, the same for the same number."""
    rng = np.random.default_rng([7, number])
    low, high = detector.volumes.low[0] + 2.0, detector.volumes.high[0] - 2.0
    while True:
        start, direction = rng.uniform(low, high), rng.normal(size=3)
        length = rng.uniform(*LENGTHS.get(name, DEFAULT_LENGTHS))
        end = start + length * direction / np.linalg.norm(direction)
        if (end > low).all() and (end < high).all():
            return Line(start=start, end=end, n_segments=256)


def moved(line: Line, kind: str, size: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Start values: both ends moved by a distance [cm], or turned by an angle [deg] about the middle."""
    start, end = np.asarray(line.start, float), np.asarray(line.end, float)
    way = rng.normal(size=3)
    if kind == "distance":
        shift = size * way / np.linalg.norm(way)
        return {"source.start": start + shift, "source.end": end + shift}
    half, middle = (end - start) / 2, (start + end) / 2
    across = np.cross(half, way)
    across *= np.linalg.norm(half) / np.linalg.norm(across)
    turned = np.cos(np.radians(size)) * half + np.sin(np.radians(size)) * across
    return {"source.start": middle - turned, "source.end": middle + turned}


def trial(
    detector: Any, truth: Line, observed: Any, loss: str, start: tuple[str, float, int]
) -> dict[str, Any]:
    """One fit."""
    kind, size, track = start
    rng = np.random.default_rng([11, track, int(10 * size), len(kind)])
    problem = Problem(
        Experiment(detector, truth), ["source.start", "source.end"], likelihood(detector), observed
    )
    z = problem.coordinates.of(moved(truth, kind, size, rng))
    if loss == "squared":
        noise = float(np.mean([plane.noise_statistics()[0].mean() for plane in detector.planes]))
        squared = problem.with_loss(problem.loss.around(GaussianChi2(noise=noise)))
        result = fit(squared, start=np.asarray(z), method=SQUARED)
    else:
        result = fit_in_stages(problem, detector, BLURS, z)
    ends = {name: np.asarray(result.estimate[f"source.{name}"], float) for name in ("start", "end")}
    off = max(float(np.linalg.norm(ends[name] - np.asarray(getattr(truth, name)))) for name in ends)
    return {"off_cm": off, "steps": result.steps, "converged": result.converged, "stopped": result.stopped}


def table(trials: dict[str, Any], detector: str, starts: list[tuple[str, float]]) -> list[str]:
    """Success with its binomial interval, a row a start."""
    rows = ["| start | " + " | ".join(LOSSES) + " |", "|---|" + "---|" * len(LOSSES)]
    for kind, size in starts:
        cells = []
        for loss in LOSSES:
            prefix = f"{detector} {loss} {kind} {size:g} "
            off = [one["off_cm"] for name, one in trials.items() if name.startswith(prefix)]
            part = interval(sum(x < CLOSE for x in off), len(off))
            found = (
                ""
                if not off
                else f"{part['fraction']:.0%} ({part['low']:.0%} to {part['high']:.0%}) of {len(off)}"
            )
            cells.append(found)
        rows.append(
            f"| {kind} {size:g} {'cm' if kind == 'distance' else 'deg'} | " + " | ".join(cells) + " |"
        )
    return rows


if __name__ == "__main__":
    main()
