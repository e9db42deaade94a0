"""Reading the native HDF5 format, which `dptoolkit.io.native` documents."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dptoolkit.io.columns import finite, non_negative, step_length, whole
from dptoolkit.io.errors import InputError
from dptoolkit.io.event_file import Box, EventFile, Table, bounding_box, events_slice
from dptoolkit.io.native import Run
from dptoolkit.io.native_tables import (
    FORMAT,
    KINETIC,
    REQUIRED,
    VERSION,
    XYZ_END,
    XYZ_START,
    Group,
    read_table,
    stored_bounds,
)
from dptoolkit.io.readers import open_contents
from dptoolkit.io.readout import CODECS, Codec, Readout, Truth, rebuild_truth


@dataclass(frozen=True)
class NativeFile:
    """Everything in a native file."""

    event_file: EventFile
    readout: Mapping[str, Readout]
    truth: Mapping[str, Truth]
    run: Run
    summary: Mapping[str, Any]
    version: int
    dptoolkit_version: str


def is_native(contents: Group) -> bool:
    """Whether an open HDF5 file says that it is of the native format."""
    return contents.attrs.get("format") in (FORMAT, FORMAT.encode())


@contextmanager
def open_native(path: Path, expected: str) -> Iterator[Group]:
    """The open file; any that is not native is an error that says what was `expected`."""
    with open_contents(path) as contents:
        if not isinstance(contents, h5py.File) or not is_native(contents):
            raise InputError(
                f"{path}: is no native file (root attribute format='{FORMAT}' is missing); "
                f"expected {expected}"
            )
        yield contents


def read_native(path: str | Path, events: str | slice | None = None) -> NativeFile:
    """Read a file, or the events at positions A <= i < B of it ("A:B")."""
    path = Path(path)
    expected = "the output of simulate or generate; read_segments reads other formats"
    with open_native(path, expected) as contents:
        event_file = read_event_file(contents, path, events)
        span, n = _span(contents, path, events)
        readout, truth = _read_planes(contents, path, span, n)
        attributes: dict[str, Any] = dict(contents.attrs)
        return NativeFile(
            event_file,
            readout,
            truth,
            _read_run(contents),
            _mapping(contents, path, "summary"),
            int(attributes["version"]),
            str(attributes.get("dptoolkit_version", "")),
        )


def read_event_file(contents: Group, path: Path, events: str | slice | None = None) -> EventFile:
    """The segments, interactions and particles of an open native file."""
    span, n = _span(contents, path, events)
    columns = _read_segments(contents, path, span, n)
    tables = {name: _optional_table(contents, name, path, span, n) for name in ("interactions", "particles")}
    return EventFile(
        columns,
        contents["events/number"][span[0] : span[1]],
        FORMAT,
        path,
        bounds=bounding_box(columns) if span == (0, n) else _bounds(contents),
        attributes=dict(contents.attrs),
        interactions=tables["interactions"],
        particles=tables["particles"],
    )


def _span(
    contents: Group,
    path: Path,
    events: str | slice | None,
    needed: tuple[str, ...] = ("events/number", "segments"),
) -> tuple[tuple[int, int], int]:
    """(first, last + 1) of the events to read, and how many there are; checks the frame of the file."""
    _check_version(contents, path)
    for name in needed:
        if name not in contents:
            raise InputError(
                f"{path}: {name!r} is missing; it has {', '.join(contents)}; "
                f"the file is damaged; write it again"
            )
    numbers = contents["events/number"][()]
    n = len(numbers)
    if (np.diff(numbers) <= 0).any():
        raise InputError(f"{path}: 'events/number' must rise without repetition; write the file again")
    chosen = events_slice(events) if isinstance(events, str) else events or slice(None)
    first, last, _ = chosen.indices(n)
    if first >= last and events is not None:
        raise InputError(f"{path}: events {events} select none of its {n} events; expected A:B with A < {n}")
    return (first, last), n


def _check_version(contents: Group, path: Path) -> None:
    version = contents.attrs.get("version")
    if version is None:
        raise InputError(
            f"{path}: root attribute 'version' is missing; expected {VERSION}; write the file again"
        )
    if int(version) > VERSION:
        writer = contents.attrs.get("dptoolkit_version", "?")
        raise InputError(
            f"{path}: has format version {version}, written by dptoolkit {writer}; this one reads up to "
            f"version {VERSION}; update dptoolkit"
        )


def _read_segments(contents: Group, path: Path, span: tuple[int, int], n: int) -> dict[str, np.ndarray]:
    required = [name for name in REQUIRED["segments"] if name != "dx"]
    table = read_table(contents["segments"], path, span, n, required)
    optional = [name for name in ("dx", *KINETIC) if name in table]
    real = {
        name: finite(path, f"segments/{name}", table[name])
        for name in (*XYZ_START, *XYZ_END, "de", "t0", *optional)
    }
    for name in ("de", "dx", *KINETIC):
        if name in real:
            non_negative(path, f"segments/{name}", real[name])
    start = np.stack([real[name] for name in XYZ_START], axis=1)
    end = np.stack([real[name] for name in XYZ_END], axis=1)
    kinetic = all(name in real for name in KINETIC)
    return {
        **({"kinetic": np.stack([real[name] for name in KINETIC], axis=1)} if kinetic else {}),
        "start": start,
        "end": end,
        "de": real["de"],
        "dx": step_length(start, end, real.get("dx")),
        "t0": real["t0"],
        "event": table["event"],
        **{name: whole(path, f"segments/{name}", table[name]) for name in ("track", "pdg")},
    }


def _bounds(contents: Group) -> Box | None:
    """The box around the segments of all events, though only some are read."""
    segments = contents["segments"]
    stored = dict(segments.attrs) if "low" in segments.attrs else stored_bounds(segments)
    return (np.array(stored["low"]), np.array(stored["high"])) if stored else None


def _optional_table(contents: Group, name: str, path: Path, span: tuple[int, int], n: int) -> Table | None:
    if name not in contents:
        return None
    table = read_table(contents[name], path, span, n, REQUIRED[name])
    return table if len(table["event"]) else None


def _read_planes(
    contents: Group, path: Path, span: tuple[int, int], n: int
) -> tuple[dict[str, Readout], dict[str, Truth]]:
    readout, truth = {}, {}
    for plane, group in contents.get("readout", {}).items():
        readout[plane], place, codec = _read_plane(group, path, span, n)
        if plane in contents.get("truth", {}):
            back = read_table(contents["truth"][plane], path, span, n)
            back["item"] = back["item"] - group["event_offsets"][span[0]]
            back["segment"] = back["segment"] - contents["segments/event_offsets"][span[0]]
            truth[plane] = rebuild_truth(back, place, codec)
    return readout, truth


def read_readout(
    contents: Group, path: Path, events: str | slice | None = None
) -> tuple[dict[str, Readout], np.ndarray, tuple[int, int]]:
    """(read-out by plane, event numbers, first and last + 1 event) of an open native file, and no more."""
    span, n = _span(contents, path, events, ("events/number", "readout"))
    planes = {name: _read_plane(group, path, span, n)[0] for name, group in contents["readout"].items()}
    return planes, contents["events/number"][span[0] : span[1]], span


def _read_plane(
    group: Group, path: Path, span: tuple[int, int], n: int
) -> tuple[Readout, np.ndarray, type[Codec]]:
    """(read-out, place there of every row, how it is stored)."""
    attributes = {name: _plain(value) for name, value in group.attrs.items()}
    codec = CODECS.get(attributes.get("kind", ""))
    if codec is None:
        raise InputError(
            f"{path}: {group.name!r} is of kind {attributes.get('kind')!r}; expected one of "
            f"{', '.join(CODECS)}; update dptoolkit"
        )
    readout, place = codec.rebuild(read_table(group, path, span, n), attributes)
    return readout, place, codec


def _read_run(contents: Group) -> Run:
    attributes = dict(contents.attrs)
    seed = attributes.get("seed")
    return Run(
        detector_config=contents["detector_config"].asstr()[()] if "detector_config" in contents else "",
        detector_name=str(attributes.get("detector_name", "")),
        seed=None if seed is None else int(seed),
        expectation=bool(attributes.get("expectation", False)),
        provenance=json.loads(attributes.get("provenance", "{}")),
    )


def _mapping(contents: Group, path: Path, name: str) -> dict[str, Any]:
    try:
        return json.loads(contents.attrs.get(name, "{}"))
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}: root attribute {name!r} is no JSON ({error}); write the file again"
        ) from None


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
