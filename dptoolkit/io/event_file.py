"""What a file of segments holds, whatever its format."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dptoolkit.events import Segments, segments_from_arrays
from dptoolkit.io.errors import InputError

Table = Mapping[str, np.ndarray]
"""Columns of equal length; `event` is an index into the event numbers."""

Box = tuple[np.ndarray, np.ndarray]
"""Lower and upper corner [cm]."""


@dataclass(frozen=True)
class EventFile:
    """Segments of all events of a file, sorted by event; host-side arrays in float64."""

    columns: Table
    """start, end [cm] (n, 3); de [MeV]; dx [cm]; t0 [us]; event (index), track, pdg; where known,
    kinetic [MeV] (n, 2), the particle's energy at both ends."""
    event_numbers: np.ndarray
    """Sorted numbers of the events, with gaps."""
    format: str
    path: Path
    drift_axis: str | None = None
    """Axis along which electrons drift in the file's frame, where the format fixes it."""
    frame: str = ""
    """How positions came to be what they are, in words."""
    bounds: Box | None = None
    """Lower and upper corner around the segments of the whole file [cm], also after `select`."""
    interactions: Table | None = None
    particles: Table | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def build(
        cls, columns: Table, numbers: np.ndarray, *, path: Path, format: str, **more: Any
    ) -> "EventFile":
        """Sorts rows by event; `numbers` is the event number of each row."""
        if len(numbers) == 0:
            raise InputError(f"{path}: holds no segments; expected at least one energy deposit")
        event_numbers, event = np.unique(numbers, return_inverse=True)
        order = np.argsort(event, kind="stable")
        columns = {name: np.asarray(column)[order] for name, column in columns.items()}
        columns["event"] = event[order]
        for name in ("interactions", "particles"):
            if more.get(name) is not None:
                more[name] = index_events(more[name], event_numbers)
        return cls(columns, event_numbers, format, path, bounds=bounding_box(columns), **more)

    @cached_property
    def segments(self) -> Segments:
        """The segments in the precision of JAX; `event` is an index into `event_numbers`."""
        return segments_from_arrays(**self.columns)

    @property
    def n_events(self) -> int:
        return len(self.event_numbers)

    def __len__(self) -> int:
        return len(self.columns["de"])

    def select(self, events: str | slice) -> "EventFile":
        """The events at positions A <= i < B of the sorted event numbers; text is "A:B"."""
        chosen = events_slice(events) if isinstance(events, str) else events
        first, last, _ = chosen.indices(self.n_events)
        if first >= last:
            raise InputError(
                f"{self.path}: events {events if isinstance(events, str) else f'{first}:{last}'} select "
                f"none of its {self.n_events} events; expected A:B with 0 <= A < B and A < {self.n_events}"
            )
        return replace(
            self,
            columns=_cut(self.columns, first, last),
            event_numbers=self.event_numbers[first:last],
            interactions=None if self.interactions is None else _cut(self.interactions, first, last),
            particles=None if self.particles is None else _cut(self.particles, first, last),
        )

    def moved(self, start: np.ndarray, end: np.ndarray, frame: str) -> "EventFile":
        """The same deposits at other positions [cm]."""
        columns = {**self.columns, "start": start, "end": end}
        return replace(self, columns=columns, bounds=bounding_box(columns), frame=frame)


def events_slice(text: str) -> slice:
    """The text "A:B" as a half-open range of positions; either side may be left out."""
    match = re.fullmatch(r"\s*(\d*)\s*:\s*(\d*)\s*", text)
    if match is None:
        raise InputError(
            f"events {text!r}: expected a half-open range A:B of whole numbers such as 0:10, 5: or :20"
        )
    first, last = (int(part) if part else None for part in match.groups())
    if first is not None and last is not None and first >= last:
        raise InputError(f"events {text!r}: the range is empty; expected A < B (B itself is left out)")
    return slice(first, last)


def index_events(table: Table, event_numbers: np.ndarray) -> Table:
    """`table`, whose `event` is a number, with `event` an index; rows of other events are left out."""
    number = np.asarray(table["event"])
    known = np.isin(number, event_numbers)
    event = np.searchsorted(event_numbers, number[known])
    order = np.argsort(event, kind="stable")
    chosen = {name: np.asarray(column)[known][order] for name, column in table.items()}
    return {**chosen, "event": event[order]}


def bounding_box(columns: Table) -> Box | None:
    """The box around all segments; None without segments."""
    if len(columns["de"]) == 0:
        return None
    ends = np.concatenate([columns["start"], columns["end"]])
    return ends.min(axis=0), ends.max(axis=0)


def _cut(table: Table, first: int, last: int) -> Table:
    low, high = np.searchsorted(table["event"], [first, last])
    cut = {name: column[low:high] for name, column in table.items()}
    return {**cut, "event": cut["event"] - first}
