"""Hits of other programs on the pads of a detector.

A place becomes a column and a row; hits that lie beside all pads come from another geometry.
"""

from pathlib import Path

import h5py
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from dptoolkit.charge.pixels import PixelPlane
from dptoolkit.detector import LArTPC
from dptoolkit.events import Hits, distinct_rows
from dptoolkit.io.errors import InputError
from dptoolkit.io.event_file import events_slice
from dptoolkit.io.hit_files import PlacedHits, placed_hits
from dptoolkit.io.readers import open_contents
from dptoolkit.io.recorded import Recorded, digest_of, read_recorded

OFF_PAD = 0.2
"""A hit further from the middle of a pad than this part of the pitch is of another geometry."""


def read_recording(path: Path, detector: LArTPC, events: str | None = None) -> Recorded:
    """What `detector` recorded: a native file or hits of another program, at positions "A:B" of it."""
    with open_contents(path) as contents:
        placed = placed_hits(contents, path) if isinstance(contents, h5py.File) else None
    if placed is None:
        return read_recorded(path, events)
    numbers = np.unique(placed.event)
    numbers = numbers[events_slice(events)] if events else numbers
    if not len(numbers):
        raise InputError(f"{path}: has no event with hits at positions {events}; choose other events")
    readout = {detector.planes[0].name: hits_on_pads(placed, numbers, detector, path)}
    return Recorded(readout, numbers, np.zeros(len(numbers)), "", path, digest_of(path))


def hits_on_pads(placed: PlacedHits, numbers: Int[np.ndarray, " e"], detector: LArTPC, path: Path) -> Hits:
    """Those of the events `numbers` as rows of pads; an error if they are not hits of this detector."""
    (plane,) = detector.planes if len(detector.planes) == 1 else (None,)
    if not isinstance(plane, PixelPlane):
        raise InputError(f"{path}: holds hits of pads; {detector.name} is not read out by one plane of them")
    chosen = np.isin(placed.event, numbers)
    place, time = placed.place[chosen], placed.time[chosen]
    volume = _nearest(place, detector)
    across, up, _ = detector.volumes.to_local(jnp.asarray(place), jnp.asarray(volume))
    column = np.asarray(across, float) / plane.pitch + (plane.n_columns - 1) / 2
    row = np.asarray(up, float) / plane.pitch + (plane.n_rows - 1) / 2
    off = np.maximum(np.abs(column - np.rint(column)), np.abs(row - np.rint(row))) > OFF_PAD
    off |= (column < -0.5) | (column > plane.n_columns - 0.5) | (row < -0.5) | (row > plane.n_rows - 0.5)
    if off.any():
        raise InputError(
            f"{path}: {int(off.sum())} of {len(off)} hits are not on a pad of {detector.name} "
            f"({plane.n_columns} x {plane.n_rows} pads of {plane.pitch:g} cm); expected places in cm of its "
            f"own pads, with the drift along x; give the --detector that recorded them"
        )
    event = np.searchsorted(numbers, placed.event[chosen])
    keys = np.stack([event, volume, np.rint(column), np.rint(row)], axis=1).astype(int)
    pads, which, count = distinct_rows(keys)
    order = np.lexsort((time, which))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
    values = np.zeros((3, len(pads), max(int(count.max(initial=1)), 1)))
    values[:, which[order], rank] = np.stack([time[order], placed.charge[chosen][order], np.ones(len(order))])
    return _rows(pads, *values)


def _rows(pads: np.ndarray, time: np.ndarray, charge: np.ndarray, happened: np.ndarray) -> Hits:
    real, whole = jnp.result_type(float), jnp.int32
    none = jnp.zeros(time.shape, real)
    index = [jnp.asarray(column, whole) for column in pads.T]
    total = jnp.asarray(charge.sum(axis=1), real)
    return Hits(
        charge=jnp.asarray(charge, real), time=jnp.asarray(time, real),
        probability=jnp.asarray(happened, real), charge_sigma=none, time_sigma=none, correlation=none,
        total=total, left=total, event=index[0], volume=index[1], column=index[2], row=index[3],
        valid=jnp.ones(len(pads), bool),
    )  # fmt: skip


def _nearest(place: np.ndarray, detector: LArTPC) -> np.ndarray:
    """The volume of every hit; drift distances may lie a little outside."""
    low, high = np.asarray(detector.volumes.low), np.asarray(detector.volumes.high)
    outside = np.maximum(np.maximum(low - place[:, None], place[:, None] - high), 0.0)
    return np.argmin(np.linalg.norm(outside, axis=2), axis=1)
