"""Recorded read-out, made by hand: pads along straight lines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from dptoolkit.detector import LArTPC
from dptoolkit.events import Hits, segments_from_arrays
from dptoolkit.io import Batch, Run, write_native

CHARGE = 25_000.0
"""Of every hit [electrons]."""


def straight_hits(
    detector: LArTPC, start: Sequence[float], end: Sequence[float], t0: float = 0.0, event: int = 0
) -> Hits:
    """One hit in every pad under a straight track through the first volume of a pixel detector."""
    plane: Any = detector.planes[0]
    points = np.linspace(start, end, 400)
    local = detector.volumes.to_local(jnp.asarray(points), jnp.zeros(len(points), jnp.int32))
    across, up, distance = (np.asarray(part) for part in local)
    column = np.round(across / plane.pitch + (plane.n_columns - 1) / 2).astype(int)
    row = np.round(up / plane.pitch + (plane.n_rows - 1) / 2).astype(int)
    inside = (column >= 0) & (column < plane.n_columns) & (row >= 0) & (row < plane.n_rows)
    pads, which = np.unique(np.stack([column, row], axis=1)[inside], axis=0, return_inverse=True)
    time = np.bincount(which.ravel(), distance[inside]) / np.bincount(which.ravel())
    time = t0 + time / float(detector.drift.speed(detector.field.nominal()))
    n = len(pads)
    per_hit = {name: jnp.zeros((n, 1)) for name in ("charge_sigma", "time_sigma", "correlation")}
    ones, total = jnp.ones((n, 1)), jnp.full(n, CHARGE)
    return Hits(
        charge=CHARGE * ones, time=jnp.asarray(time[:, None]), probability=ones, **per_hit,
        total=total, left=total,
        event=jnp.full(n, event, jnp.int32), volume=jnp.zeros(n, jnp.int32),
        column=jnp.asarray(pads[:, 0], jnp.int32), row=jnp.asarray(pads[:, 1], jnp.int32),
        valid=jnp.ones(n, bool),
    )  # fmt: skip


def write_recording(
    path: Path,
    detector: LArTPC,
    lines: Sequence[tuple[Sequence[float], Sequence[float]]],
    t0: Sequence[float] | None = None,
) -> Path:
    """A file of read-out, a line an event, with or without the time of each."""
    times = [0.0] * len(lines) if t0 is None else list(t0)
    events = [
        straight_hits(detector, *line, time, i)
        for i, (line, time) in enumerate(zip(lines, times, strict=True))
    ]
    joined = {
        name: jnp.concatenate([getattr(one, name) for one in events]) for name in Hits.__dataclass_fields__
    }
    interactions = None
    if t0 is not None:
        none = np.zeros(len(lines))
        interactions = {
            "event": np.arange(len(lines)),
            "x": none,
            "y": none,
            "z": none,
            "t0": np.array(times),
        }
    nothing = segments_from_arrays(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))
    numbers = 10 + 3 * np.arange(len(lines))
    readout = {detector.planes[0].name: Hits(**joined)}
    batch = Batch(numbers, nothing, readout, interactions=interactions)
    write_native(path, batch, Run(detector_name=detector.name))
    return path
