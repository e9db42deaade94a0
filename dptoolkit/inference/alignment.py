"""Bring what was observed and what is predicted onto the same rows.

A read-out holds occupied parts only, and they differ between data and model. `align` puts the data on the
rows of the prediction, followed by the rows that only the data have; `extended` appends those rows, empty,
to every prediction of this layout. So a loss sees equal shapes and nothing is left out. An observable
takes part by one entry in `COMPARED`.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dptoolkit.events import Combinations, Hits, SensorHits, Waveforms, bucket, distinct_rows

Observables = dict[str, Any]
"""Read-out by the name of its plane or group of sensors."""

_OF_HITS = ("charge", "time", "probability", "total", "left", "charge_sigma", "time_sigma", "correlation")
COMPARED: dict[type, tuple[tuple[str, ...], tuple[str, ...]]] = {
    Waveforms: (("event", "group", "channel", "tick"), ("samples",)),
    Hits: (("event", "volume", "column", "row"), _OF_HITS),
    Combinations: (("event", "number"), ("value",)),
    SensorHits: (("event", "sensor"), ("pe", "charge", "time_ns", "time_sigma_ns")),
}
"""Observables: what names a row, and what is measured there."""
EXTRA, SHARE = 64, 8
"""Least padded number of rows that only the data have: so many, and one to so many of the prediction."""


def align(observed: Observables, like: Observables) -> tuple[Observables, Observables]:
    """(empty rows to append to predictions shaped `like`, the data on all rows)."""
    missing = sorted(set(like) - set(observed))
    if missing:
        raise ValueError(f"observed: {missing[0]!r} is missing; it holds {sorted(observed)}")
    extra, matched = {}, {}
    for name, predicted in like.items():
        extra[name], matched[name] = _aligned(observed[name], predicted, name)
    return extra, matched


def emptied(readout: Observables) -> Observables:
    """The same rows with nothing measured."""
    return {
        name: dataclasses.replace(
            part, **{field: jnp.zeros_like(getattr(part, field)) for field in COMPARED[type(part)][1]}
        )
        for name, part in readout.items()
    }


def extended(predicted: Observables, extra: Observables) -> Observables:
    """The prediction followed by the empty rows of `align`."""
    return {
        name: jax.tree.map(lambda *parts: jnp.concatenate(parts), predicted[name], extra[name])
        for name in predicted
    }


def _aligned(observed: Any, like: Any, name: str) -> tuple[Any, Any]:
    if type(observed) is not type(like) or type(like) not in COMPARED:
        kinds = f"{type(observed).__name__} and {type(like).__name__}"
        raise ValueError(f"{name}: {kinds} cannot be compared; known: {[k.__name__ for k in COMPARED]}")
    keys, measured = COMPARED[type(like)]
    rows, rest = _match(_keys(like, keys), _keys(observed, keys), np.asarray(observed.valid))
    size = bucket(len(rest), max(EXTRA, len(like.valid) // SHARE))
    parts = {}
    for field in _arrays(like):
        there = np.asarray(getattr(like, field))
        here = np.asarray(getattr(observed, field)).astype(there.dtype)
        more = _padded(_widened(here, there.shape[1:])[rest], size)
        first = _taken(_widened(here, there.shape[1:]), rows) if field in measured else there
        parts[field] = jnp.asarray(np.concatenate([first, more]))
    everywhere = dataclasses.replace(like, **parts)
    empty = {
        field: jnp.zeros_like(values[-size:]) if field in measured else values[-size:]
        for field, values in parts.items()
    }
    return dataclasses.replace(like, **empty), everywhere


def _arrays(observable: Any) -> list[str]:
    return [f.name for f in dataclasses.fields(observable) if not f.metadata.get("static", False)]


def _keys(observable: Any, columns: tuple[str, ...]) -> np.ndarray:
    keys = np.stack([np.asarray(getattr(observable, name)) for name in columns], axis=1)
    return np.where(np.asarray(observable.valid)[:, None], keys, -1)


def _match(wanted: np.ndarray, present: np.ndarray, recorded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row of `present` for every wanted key or -1; rows of `present` that are recorded and not wanted)."""
    _, number, _ = distinct_rows(np.concatenate([wanted, present]))
    mine, theirs = np.split(number.ravel(), [len(wanted)])
    row_of = np.full(number.max(initial=0) + 1, -1)
    row_of[theirs[recorded]] = np.flatnonzero(recorded)
    real = wanted[:, 0] >= 0
    is_wanted = np.zeros(len(row_of), bool)
    is_wanted[mine[real]] = True
    return np.where(real, row_of[mine], -1), np.flatnonzero(recorded & ~is_wanted[theirs])


def _taken(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`values` of these rows, zero for row -1."""
    if len(values) == 0:
        return np.zeros((len(rows), *values.shape[1:]), values.dtype)
    found = (rows >= 0).reshape(-1, *[1] * (values.ndim - 1))
    return np.where(found, values[np.maximum(rows, 0)], 0)


def _widened(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Zeros appended to, or columns cut from, every axis but the first."""
    for axis, size in enumerate(shape, start=1):
        more = [(0, 0)] * values.ndim
        more[axis] = (0, max(0, size - values.shape[axis]))
        values = np.take(np.pad(values, more), np.arange(size), axis=axis)
    return values


def _padded(values: np.ndarray, size: int) -> np.ndarray:
    return np.pad(values, [(0, size - len(values))] + [(0, 0)] * (values.ndim - 1))
