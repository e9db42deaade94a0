"""Tables of the native format: a group with a dataset a column and `event_offsets`."""

from collections.abc import Collection, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from dptoolkit.io.columns import unit_factor
from dptoolkit.io.errors import InputError

Group = Any
"""An h5py group or file; h5py types its items as a union that no use satisfies."""
FORMAT = "dptoolkit"
VERSION = 1
OFFSETS = "event_offsets"
CHUNK_ROWS = 4096
SCAN_ROWS = 2**18
CHUNK_BYTES = 2**18
XYZ_START = ("x_start", "y_start", "z_start")
XYZ_END = ("x_end", "y_end", "z_end")
KINETIC = ("kinetic_start", "kinetic_end")
UNITS = (
    dict.fromkeys((*XYZ_START, *XYZ_END, "x", "y", "z", "dx"), "cm")
    | dict.fromkeys((*KINETIC, "de", "px", "py", "pz", "kinetic_energy"), "MeV")
    | {"t0": "us", "energy": "MeV"}
)
"""Unit of a column by its name; the others are numbers without unit."""
REQUIRED = {
    "interactions": {"event": np.int32, "x": np.float64, "y": np.float64, "z": np.float64, "t0": np.float64},
    "particles": dict.fromkeys(("event", "track", "parent", "ancestor", "group", "pdg"), np.int32),
    "segments": dict.fromkeys(("event", "track", "pdg"), np.int32)
    | dict.fromkeys((*XYZ_START, *XYZ_END, "de", "dx", "t0"), np.float64),
}
"""Columns that a table always has; any other may be added."""


def empty_table(name: str) -> dict[str, np.ndarray]:
    """The required columns of a table without rows."""
    return {column: np.zeros(0, dtype) for column, dtype in REQUIRED[name].items()}


def completed(group: Group, table: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`table` with the columns of earlier events that it lacks, of which it knows nothing (nan)."""
    n, found = len(table["event"]), {name: np.asarray(column) for name, column in table.items()}
    for name in set(group) - set(found) - {OFFSETS}:
        dtype = group[name].dtype
        found[name] = np.full(n, np.nan, dtype) if dtype.kind == "f" else np.zeros(n, dtype)
    return found


def append_rows(
    group: Group, columns: Mapping[str, np.ndarray], n_events: int, units: Mapping[str, str]
) -> None:
    """Rows of `n_events` further events; `event` counts from 0 at the first of them."""
    offsets = group[OFFSETS] if OFFSETS in group else _create(group, OFFSETS, np.zeros(1, np.int64), "")
    before, first = int(offsets[-1]), len(offsets) - 1
    event = np.asarray(columns["event"])
    columns = {**columns, "event": event + first}
    for name, column in columns.items():
        column = np.asarray(column)
        if name in group and before == 0 and group[name].dtype != column.dtype:
            del group[name]
        if name not in group:
            if before:
                raise ValueError(f"{group.name}: column {name!r} was not in the events written before")
            _create(group, name, column, units.get(name, "1"))
        else:
            dataset = group[name]
            _check_fits(group, name, dataset.dtype, column)
            dataset.resize(before + len(column), axis=0)
            dataset[before:] = column
    missing = set(group) - set(columns) - {OFFSETS}
    if missing and len(columns["event"]):  # events without rows lack nothing
        raise ValueError(f"{group.name}: column(s) {', '.join(sorted(missing))} missing in these events")
    counts = np.bincount(event, minlength=n_events)
    offsets.resize(first + 1 + n_events, axis=0)
    offsets[first + 1 :] = before + np.cumsum(counts)


def stored_bounds(segments: Group) -> dict[str, list[float]]:
    """Attributes `low` and `high` [cm] of the segments in a file; read in pieces."""
    n = len(segments["de"])
    if n == 0:
        return {}
    pieces = [slice(first, first + SCAN_ROWS) for first in range(0, n, SCAN_ROWS)]
    pairs = list(zip(XYZ_START, XYZ_END, strict=True))
    return {
        "low": [
            float(min(segments[name][piece].min() for name in pair for piece in pieces)) for pair in pairs
        ],
        "high": [
            float(max(segments[name][piece].max() for name in pair for piece in pieces)) for pair in pairs
        ],
    }


def truncate(group: Group, n_events: int) -> None:
    """Leaves the rows of the first `n_events` events: what was written completely."""
    if OFFSETS not in group:
        for name in list(group):
            del group[name]
        return
    offsets = group[OFFSETS]
    offsets.resize(min(len(offsets), n_events + 1), axis=0)
    for name in group:
        if name != OFFSETS:
            group[name].resize(int(offsets[-1]), axis=0)


def read_table(
    group: Group, path: Path, events: tuple[int, int], n_events: int, required: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Columns of the events `events[0]` <= i < `events[1]`, in our units, `event` counted from the first."""
    offsets = read_offsets(group, path, n_events)
    low, high = int(offsets[events[0]]), int(offsets[events[1]])
    missing = [name for name in required if name not in group]
    if missing:
        raise InputError(
            f"{path}: group {group.name!r} lacks column(s) {', '.join(missing)}; it has "
            f"{', '.join(sorted(group))}; write the file again"
        )
    columns = {}
    for name in group:
        dataset = group[name]
        if name == OFFSETS:
            continue
        if len(dataset) != offsets[-1]:
            raise InputError(
                f"{path}: column '{group.name}/{name}' has {len(dataset)} rows, its {OFFSETS} end at "
                f"{offsets[-1]}; the file is damaged; write it again"
            )
        values = dataset[low:high]
        factor = _unit(dataset, path, name)
        columns[name] = values if factor == 1.0 else values * factor
    columns["event"] = np.repeat(
        np.arange(events[1] - events[0]), np.diff(offsets[events[0] : events[1] + 1])
    )
    return columns


def read_offsets(group: Group, path: Path, n_events: int) -> np.ndarray:
    """Offsets of the events of a table; an error unless they make sense."""
    name = f"{group.name}/{OFFSETS}"
    if OFFSETS not in group:
        raise InputError(
            f"{path}: {name!r} is missing; expected {n_events + 1} offsets; write the file again"
        )
    offsets = group[OFFSETS][()]
    if len(offsets) != n_events + 1:
        raise InputError(
            f"{path}: {name!r} has {len(offsets)} values; expected {n_events + 1}, one more than there are "
            f"events; write the file again"
        )
    if offsets[0] != 0 or (np.diff(offsets) < 0).any():
        raise InputError(
            f"{path}: {name!r} must start at 0 and never fall; the file is damaged; write it again"
        )
    return offsets


def _unit(dataset: Any, path: Path, name: str) -> float:
    expected = UNITS.get(name)
    if expected is None or "unit" not in dataset.attrs:
        return 1.0
    return unit_factor(path, str(dataset.name), dict(dataset.attrs), "unit", expected, expected)


def _create(group: Group, name: str, column: np.ndarray, unit: str) -> Any:
    row_bytes = max(1, column.dtype.itemsize * prod(column.shape[1:]))
    rows = max(1, min(CHUNK_ROWS, CHUNK_BYTES // row_bytes))
    dataset = group.create_dataset(
        name,
        data=column,
        maxshape=(None, *column.shape[1:]),
        chunks=(rows, *column.shape[1:]),
        compression="gzip",
        compression_opts=1,
        shuffle=True,
        track_times=False,
    )
    if unit:
        dataset.attrs["unit"] = unit
    return dataset


def _check_fits(group: Group, name: str, dtype: Any, column: np.ndarray) -> None:
    if dtype == np.int16 and column.dtype.kind == "f":
        raise ValueError(f"{group.name}/{name}: earlier events were whole ADC counts, these are not")
