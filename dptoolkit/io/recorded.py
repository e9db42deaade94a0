"""What a detector recorded: read-out and the time of each event, without anything a simulation knows.

Of a native file only `events/number`, `readout` and `interactions/t0` are read; segments, particles,
vertices, back-tracking and the parameters it was simulated with are not, whether they are there or not. A
file may come with no more than that, from a detector or stripped. Hits of other programs are in
`hit_files`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from dptoolkit.io.columns import finite, unit_factor
from dptoolkit.io.errors import InputError
from dptoolkit.io.hit_files import has_placed_hits
from dptoolkit.io.native_reader import is_native, open_native, read_readout
from dptoolkit.io.native_tables import Group
from dptoolkit.io.readers import open_contents
from dptoolkit.io.readout import Readout


@dataclass(frozen=True)
class Recorded:
    """Read-out of some events."""

    readout: Mapping[str, Readout]
    """By plane; `event` is an index into `event_numbers`."""
    event_numbers: np.ndarray
    t0: np.ndarray
    """Time of each event [us]; nan where the file has none, or several that differ."""
    detector_name: str
    """As the file says; empty if it does not."""
    path: Path
    digest: str
    """SHA-256 of the file."""

    @property
    def n_events(self) -> int:
        return len(self.event_numbers)

    def at(self, t0: float) -> "Recorded":
        """The same with this time [us] for every event."""
        return replace(self, t0=np.full(self.n_events, float(t0)))


def holds_readout(path: str | Path) -> bool:
    """Whether this is a native file with read-out in it, or one of hits."""
    path = Path(path)
    with open_contents(path) as contents:
        if not isinstance(contents, h5py.File) or not is_native(contents):
            return isinstance(contents, h5py.File) and has_placed_hits(contents)
        planes = contents.get("readout")
        return isinstance(planes, h5py.Group) and len(planes) > 0


def read_recorded(path: str | Path, events: str | slice | None = None) -> Recorded:
    """The read-out of a native file, or of the events at positions A <= i < B of it ("A:B")."""
    path = Path(path)
    expected = "recorded read-out in the native format; docs/native-format.md says what it must hold"
    with open_native(path, expected) as contents:
        if contents.attrs.get("expectation", False):
            raise InputError(
                f"{path}: holds expected signals; expected recorded ones; simulate without --expectation"
            )
        readout, numbers, span = read_readout(contents, path, None if events == ":" else events)
        if not any(len(part.valid) for part in readout.values()):
            raise InputError(
                f"{path}: its read-out is empty; expected hits or waveforms; choose other events"
            )
        t0 = _times(contents, path, span)
        name = str(contents.attrs.get("detector_name", ""))
    return Recorded(readout, numbers, t0, name, path, digest_of(path))


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _times(contents: Group, path: Path, span: tuple[int, int]) -> np.ndarray:
    """The one t0 of each event [us]."""
    found = np.full(span[1] - span[0], np.nan)
    if "interactions/t0" not in contents or "interactions/event" not in contents:
        return found
    column = contents["interactions/t0"]
    factor = unit_factor(path, "interactions/t0", column.attrs, "unit", "us", "us")
    time = finite(path, "interactions/t0", column[()]) * factor
    event = contents["interactions/event"][()]
    for index in range(len(found)):
        here = time[event == span[0] + index]
        if len(here) and np.ptp(here) < 1e-3:
            found[index] = here[0]
    return found
