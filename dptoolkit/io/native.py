"""The native HDF5 format, version 1, and its writer. One mechanism writes small and endless files.

Columns are flat: a group is a table, a dataset a column, a row an item, sorted by event. Rows of the
i-th event of table T are T/event_offsets[i] : T/event_offsets[i+1]; column `event` holds i. The
attribute `unit` of a column is text ("cm"); readers convert it. There are no time stamps.

Root attributes: `format`="dptoolkit", `version`=1, `dptoolkit_version`, `detector_name`, `seed` (absent
without one), `expectation`, `provenance` and `summary` (JSON text).
Root dataset `detector_config`: the detector as YAML text.

    events/number             sorted event numbers, with gaps
    interactions/             x y z [cm] t0 [us] ...                           may be empty
    particles/                track parent ancestor group pdg ...              may be empty
    segments/                 track pdg, x_start ... z_end, dx [cm], de [MeV], t0 [us];
                              where known kinetic_start, kinetic_end [MeV]: the particle's at both ends;
                              attributes low, high: corners of the box around all of them [cm]
    readout/PLANE/            attribute `kind` and the static fields of the class:
      Waveforms               a row a block: samples (wires, ticks), group, channel, tick;
                              attributes n_channels, tick_period [us], unit, wires_per_block, ticks_per_block;
                              samples are int16 where they are ADC counts, else float32
      Hits                    a row a hit: volume, column, row, hit (0, 1, ... in its pixel), charge and
                              total [electron], time [us], probability; in an expectation
                              charge_sigma, time_sigma, correlation; attribute hits_per_pixel
      SensorHits              a row a photosensor with light: sensor, pe, charge [photoelectron],
                              time_ns, time_sigma_ns [ns], start [us]: from when times are counted
    truth/PLANE/              item (row in readout/PLANE; for Waveforms also row and tick in the block),
                              segment (row in segments), share; the shares of an item sum to 1

A file grows as NAME.partial in the same folder and is renamed when complete; after an interruption
`NativeWriter(..., resume=True)` goes on after the last complete event.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

import dptoolkit
from dptoolkit.events import Segments
from dptoolkit.io.errors import InputError
from dptoolkit.io.event_file import EventFile, Table
from dptoolkit.io.native_tables import (
    FORMAT,
    KINETIC,
    REQUIRED,
    UNITS,
    VERSION,
    XYZ_END,
    XYZ_START,
    Group,
    append_rows,
    completed,
    empty_table,
    stored_bounds,
    truncate,
)
from dptoolkit.io.readout import CODECS, Readout, Truth, flatten_truth


@dataclass(frozen=True)
class Run:
    """How the events of a file were made: the same for all of them."""

    detector_config: str = ""
    """The detector as YAML text."""
    detector_name: str = ""
    seed: int | None = None
    expectation: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Input file, command, placement, ...; no time stamps."""


@dataclass(frozen=True)
class Batch:
    """Some complete events on their way into a file; `event` counts from 0 in each batch."""

    event_numbers: np.ndarray
    segments: Segments | EventFile
    """An `EventFile` keeps its double precision."""
    readout: Mapping[str, Readout] = field(default_factory=dict)
    truth: Mapping[str, Truth] = field(default_factory=dict)
    interactions: Table | None = None
    particles: Table | None = None
    more: Mapping[str, Table] = field(default_factory=dict)
    """Further tables by the name of their group, such as `reconstruction/fits`; the same in every batch."""
    more_units: Mapping[str, str] = field(default_factory=dict)
    """Units of their columns by name, beside those that the format knows."""

    @classmethod
    def of(cls, events: EventFile, readout: Mapping[str, Readout] | None = None, **more: Any) -> "Batch":
        """All events of a file, with what was read out."""
        tables = {"interactions": events.interactions, "particles": events.particles}
        return cls(events.event_numbers, events, readout or {}, **{**tables, **more})


def write_native(
    path: str | Path,
    batch: Batch,
    run: Run | None = None,
    *,
    summary: Mapping[str, Any] | None = None,
    force: bool = False,
) -> None:
    """Write all events at once."""
    with NativeWriter(path, run or Run(), force=force) as writer:
        writer.append(batch)
        writer.summary = summary or {}


class NativeWriter:
    """Writes a file batch by batch, in bounded memory; a context manager.

    An existing file is an error unless `force`. With `resume` an unfinished file of the same run is
    continued: give it the events from position `n_done` on.
    """

    def __init__(self, path: str | Path, run: Run, *, force: bool = False, resume: bool = False) -> None:
        self.path, self.run, self.force = Path(path), run, force
        self.partial = partial_of(self.path)
        self.summary: Mapping[str, Any] = {}
        _check_target(self.path, force)
        resume = resume and self.partial.exists()
        try:
            self._file: Group = h5py.File(self.partial, "r+" if resume else "w")
        except OSError as error:
            raise InputError(
                f"{self.partial}: cannot be {'continued' if resume else 'written'}: {error}; "
                f"remove it if no other process is writing it"
            ) from error
        if resume:
            self._check_same_run()
            self._truncate()
        else:
            self._file.attrs.update(_root_attributes(run))
            self._file.create_dataset("detector_config", data=run.detector_config, track_times=False)
            append_numbers(self._file, np.zeros(0, np.int64))

    @property
    def n_done(self) -> int:
        """Number of complete events in the file."""
        return len(self._file["events/number"])

    @property
    def event_numbers(self) -> np.ndarray:
        """Numbers of the complete events in the file."""
        return self._file["events/number"][()]

    def append(self, batch: Batch) -> None:
        """Add events whose numbers come after those already there."""
        n, numbers = len(batch.event_numbers), np.asarray(batch.event_numbers, np.int64)
        if (np.diff(np.concatenate([self.event_numbers[-1:], numbers])) <= 0).any():
            raise ValueError("event numbers must rise, within a batch and from batch to batch")
        planes = set(self._file["readout"]) if "readout" in self._file else set()
        if self.n_done and planes != set(batch.readout):
            raise ValueError(f"planes {sorted(batch.readout)}: the events before had {sorted(planes)}")
        segment_row = self._append_segments(batch, n)
        for name in ("interactions", "particles"):
            self._append_table(name, getattr(batch, name) or empty_table(name), n)
        for plane, readout in batch.readout.items():
            self._append_plane(plane, readout, batch.truth.get(plane), segment_row, n)
        for name, table in batch.more.items():
            group = self._file.require_group(name)
            append_rows(group, completed(group, table), n, {**UNITS, **batch.more_units})
        append_numbers(self._file, numbers)  # last: this is what makes the events complete
        self._file.flush()

    def close(self) -> None:
        """Complete the file and give it its name."""
        self._file.attrs["summary"] = _json(self.summary)
        for name in REQUIRED:
            if name not in self._file:  # no event was appended
                append_rows(self._file.require_group(name), empty_table(name), 0, UNITS)
        self._file["segments"].attrs.update(stored_bounds(self._file["segments"]))
        self._file.close()
        _check_target(self.path, self.force)
        with self.partial.open("rb+") as file:
            os.fsync(file.fileno())
        self.partial.replace(self.path)

    def __enter__(self) -> "NativeWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            return self.close()
        self._truncate()
        empty = self.n_done == 0
        self._file.close()
        if empty:
            self.partial.unlink()

    def _append_segments(self, batch: Batch, n: int) -> np.ndarray:
        columns, valid = _segment_columns(batch.segments)
        event = columns["event"]
        if (event[valid] < 0).any() or (event[valid] >= n).any():
            raise ValueError(f"segments.event: expected indices below {n}, the number of events of the batch")
        order = np.flatnonzero(valid)
        order = order[np.argsort(event[order], kind="stable")]
        group = self._file.require_group("segments")
        before = len(group["event"]) if "event" in group else 0
        append_rows(group, {name: column[order] for name, column in columns.items()}, n, UNITS)
        segment_row = np.full(len(valid), -1)
        segment_row[order] = before + np.arange(len(order))
        return segment_row

    def _append_table(self, name: str, table: Table, n: int) -> None:
        missing = set(REQUIRED[name]) - set(table)
        if missing:
            raise ValueError(f"{name}: column(s) {', '.join(sorted(missing))} are missing")
        group = self._file.require_group(name)
        known = {column: np.zeros(0, group[column].dtype) for column in group if column in UNITS}
        extra = known if len(table["event"]) == 0 else {}
        append_rows(group, {**extra, **{key: _narrow(np.asarray(table[key])) for key in table}}, n, UNITS)

    def _append_plane(
        self, plane: str, readout: Readout, truth: Truth | None, segment_row: np.ndarray, n: int
    ) -> None:
        kind = type(readout).__name__
        codec = CODECS[kind]
        flat = codec.flatten(readout, sampled=not self.run.expectation)
        group = self._file.require_group(f"readout/{plane}")
        attributes = {"kind": kind, **flat.attributes}
        if self.n_done and attributes != {name: group.attrs[name] for name in group.attrs}:
            raise ValueError(f"readout {plane!r}: {attributes} differs from the events before")
        group.attrs.update(attributes)
        units = {**codec.units, "samples": getattr(readout, "unit", "1")}
        before = len(group["event"]) if "event" in group else 0
        if truth is not None:
            columns = flatten_truth(truth, flat, codec, segment_row)
            columns["item"] = columns["item"] + before
            append_rows(self._file.require_group(f"truth/{plane}"), columns, n, {})
        append_rows(group, flat.columns, n, units)

    def _truncate(self) -> None:
        tables = [
            self._file[name] for name in ("interactions", "particles", "segments") if name in self._file
        ]
        for kind in ("readout", "truth", "reconstruction"):
            tables += list(self._file[kind].values()) if kind in self._file else []
        for table in tables:
            truncate(table, self.n_done)

    def _check_same_run(self) -> None:
        for name in _differences(self._file, self.run):
            self._file.close()
            raise InputError(
                f"{self.partial}: belongs to another run ({name} differs); expected the same input and "
                f"options to continue it; remove it to start again"
            )


def made_by(path: Path, run: Run) -> bool:
    """Whether the events of a native file, complete or not, are of this run; OSError if it is damaged."""
    with h5py.File(path, "r") as file:
        return not _differences(file, run)


def partial_of(path: Path) -> Path:
    """Where a native file grows until it is complete."""
    return path.with_name(path.name + ".partial")


def unfinished(path: Path, run: Run, force: bool) -> tuple[bool, list[str]]:
    """Whether an earlier run left events of this file to go on after, and what to tell of what it left.

    A damaged file is started again. One of another run is an `InputError`, or with `force` replaced.
    """
    partial = partial_of(path)
    if not partial.exists():
        return False, []
    try:
        same = made_by(partial, run)
    except (OSError, KeyError, ValueError):
        return False, [f"{partial} is damaged; started again"]
    if same:
        return True, [f"continued {partial}"]
    if force:
        return False, [f"{partial}: left by another run; started again"]
    raise InputError(
        f"{partial}: left by another run (other input, options, seed or version); expected one of this "
        f"run to continue; remove it, or start again with --force"
    )


def append_numbers(file: Group, numbers: np.ndarray) -> None:
    """Add event numbers to `events/number`."""
    group = file.require_group("events")
    if "number" not in group:
        group.create_dataset("number", data=numbers, maxshape=(None,), chunks=(4096,), track_times=False)
        return
    before = len(group["number"])
    group["number"].resize(before + len(numbers), axis=0)
    group["number"][before:] = numbers


def _differences(file: Group, run: Run) -> list[str]:
    """What an open file and a run do not share."""
    wanted: dict[str, Any] = {**_root_attributes(run), "detector_config": run.detector_config}
    found: dict[str, Any] = dict(file.attrs)
    if "detector_config" in file:
        found["detector_config"] = _text(file, "detector_config")
    names = sorted(set(wanted) | (set(found) - {"summary"}))
    return [name for name in names if wanted.get(name) != found.get(name)]


def _segment_columns(segments: Segments | EventFile) -> tuple[dict[str, np.ndarray], np.ndarray]:
    table: Mapping[str, Any]
    if isinstance(segments, EventFile):
        table, valid = segments.columns, np.ones(len(segments), bool)
    else:
        every = {name: getattr(segments, name) for name in Segments.__dataclass_fields__}
        table = {name: column for name, column in every.items() if column is not None}
        valid = np.asarray(segments.valid)
    columns = {name: _narrow(np.asarray(table[name])) for name in ("event", "track", "pdg")}
    for names, key in ((XYZ_START, "start"), (XYZ_END, "end"), (KINETIC, "kinetic")):
        if key in table:
            columns |= {name: np.asarray(table[key])[:, axis] for axis, name in enumerate(names)}
    return columns | {name: np.asarray(table[name]) for name in ("de", "dx", "t0")}, valid


def _narrow(column: np.ndarray) -> np.ndarray:
    return column.astype(np.int32) if column.dtype.kind in "iub" else column


def _root_attributes(run: Run) -> dict[str, Any]:
    attributes = {
        "format": FORMAT,
        "version": VERSION,
        "dptoolkit_version": dptoolkit.__version__,
        "detector_name": run.detector_name,
        "expectation": bool(run.expectation),
        "provenance": _json(run.provenance),
    }
    return attributes if run.seed is None else attributes | {"seed": int(run.seed)}


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values), sort_keys=True)


def _text(file: Group, name: str) -> str:
    return file[name].asstr()[()]


def _check_target(path: Path, force: bool) -> None:
    if path.is_dir():
        raise InputError(f"{path}: is a folder; expected the name of a file to write")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; make it first")
    if path.exists() and not force:
        raise InputError(
            f"{path}: exists already; choose another name or replace it with --force (force=True)"
        )
