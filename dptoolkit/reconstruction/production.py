"""From a file of read-out, or of segments that are simulated first, to a file of reconstructed events.

Event by event, in bounded memory. An interrupted run leaves NAME.partial; the same run goes on after its last
complete event.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np

from dptoolkit.config import Detector, to_yaml
from dptoolkit.detector import Readout
from dptoolkit.events import bucket, pad
from dptoolkit.io import (
    InputError,
    NativeWriter,
    Run,
    is_native,
    place,
    read_native,
    read_segments,
    unfinished,
)
from dptoolkit.io.event_file import EventFile, events_slice
from dptoolkit.reconstruction.files import batch_of
from dptoolkit.reconstruction.kinds import CHECKS, Options, kind_named
from dptoolkit.reconstruction.lines import NoLine
from dptoolkit.reconstruction.result import NotReconstructed, Reconstructed
from dptoolkit.simulation import event_key
from dptoolkit.totals import Stopwatch

Told = Callable[[int, int, Reconstructed | NotReconstructed], Any]
"""Told how many events are done, of how many, and the last."""


@dataclass(frozen=True)
class Request:
    """What to reconstruct of a file, and how."""

    what: str = "track"
    hypotheses: tuple[str, ...] = ("muon",)
    seed: int = 0
    """Of the simulation, where the input is segments."""
    events: str = ":"
    place: str = "auto"
    force: bool = False


@dataclass
class Outcome:
    """What became of the events of a run."""

    notes: list[str] = field(default_factory=list)
    done: int = 0
    converged: int = 0
    failed: list[NotReconstructed] = field(default_factory=list)
    resumed: int = 0

    def add(self, result: Reconstructed | NotReconstructed) -> None:
        """Count one more."""
        self.done += 1
        if isinstance(result, NotReconstructed):
            self.failed.append(result)
        else:
            self.converged += result.converged


def reconstruct_file(
    path: str | Path,
    detector: Detector,
    output: str | Path,
    request: Request | None = None,
    tell: Told = lambda done, total, last: None,
) -> Outcome:
    """Reconstruct the events of `path` and write `output` in the native format."""
    request, path, output = request or Request(), Path(path), Path(output)
    kind_named(request.what)
    CHECKS.get(request.what, lambda _: None)(detector)
    if output.exists() and output.samefile(path):
        raise InputError(f"{output}: is the input file; choose another name for the output")
    events = _Recorded(path, detector, request) if has_readout(path) else _Simulated(path, detector, request)
    run = Run(to_yaml(detector), detector.name, events.seed, False, _provenance(path, request, events))
    resume, notes = unfinished(output, run, request.force)
    outcome = Outcome([*([events.note] if events.note else []), *notes])
    with NativeWriter(output, run, force=request.force, resume=resume) as writer:
        outcome.resumed = writer.n_done
        for number, readout, t0 in events.after(writer.n_done):
            result = reconstruct_event(readout, detector, request, number, t0)
            writer.append(batch_of(result, readout))
            outcome.add(result)
            tell(writer.n_done, len(events), result)
        writer.summary = {"events": writer.n_done, "what": request.what}
    return outcome


def reconstruct_event(
    readout: Readout, detector: Detector, request: Request, number: int, t0: float
) -> Reconstructed | NotReconstructed:
    """One event, timed; a reason where it has no result."""
    options = Options(number, request.hypotheses, t0)
    began = time.process_time()
    try:
        with Stopwatch() as watch:
            found = kind_named(request.what)(readout, detector, options)
    except NoLine as why:
        return NotReconstructed(number, str(why))
    if isinstance(found, NotReconstructed):
        return found
    spent = time.process_time() - began
    share = watch.seconds / max(watch.seconds + watch.compile_seconds, 1e-9)
    return replace(found, number=number, seconds=spent * share)


def has_readout(path: Path) -> bool:
    """Whether a file holds read-out, so that nothing has to be simulated."""
    if not h5py.is_hdf5(path):
        return False
    with h5py.File(path) as contents:
        return is_native(contents) and "readout" in contents and "reconstruction" not in contents


class _Simulated:
    """Segments of a file, placed in the detector, whose read-out is simulated event by event."""

    def __init__(self, path: Path, detector: Detector, request: Request):
        events = read_segments(path).select(request.events)
        here = events.attributes.get("detector_name") == detector.name
        how = "file" if here and request.place == "auto" else request.place
        self.events, self.note = place(events, detector.region, how, request.seed)
        self.detector, self.seed = detector, request.seed
        self.frame, self.origin = self.events.frame, {}

    def __len__(self) -> int:
        return self.events.n_events

    def after(self, n: int) -> Iterator[tuple[int, Readout, float]]:
        """(number, read-out, t0) of the events from position `n` on."""
        for index in range(n, len(self)):
            event = self.events.select(slice(index, index + 1))
            number = int(event.event_numbers[0])
            yield number, sampled(self.detector, event, self.seed), t0_of(event)


class _Recorded:
    """The read-out in a native file."""

    def __init__(self, path: Path, detector: Detector, request: Request):
        with h5py.File(path) as contents:
            attributes: Any = contents.attrs
            name = str(attributes.get("detector_name", ""))
            self.n = len(contents["events/number"])  # type: ignore[arg-type]
            self.first, last, _ = events_slice(request.events).indices(self.n)
        if name and name != detector.name:
            raise InputError(
                f"{path}: was read out by {name!r}; expected {detector.name!r}; give --detector {name}"
            )
        self.path, self.last = path, last
        if self.first >= last:
            raise InputError(f"{path}: events {request.events} select none of its {self.n} events")
        run = read_native(path, slice(self.first, self.first + 1)).run
        self.seed, self.frame, self.note = run.seed, "", ""
        self.origin = dict(run.provenance)

    def __len__(self) -> int:
        return self.last - self.first

    def after(self, n: int) -> Iterator[tuple[int, Readout, float]]:
        """(number, read-out, t0) of the events from position `n` on."""
        for index in range(self.first + n, self.last):
            stored = read_native(self.path, slice(index, index + 1))
            event = stored.event_file
            yield int(event.event_numbers[0]), dict(stored.readout), t0_of(event)


def sampled(detector: Detector, event: EventFile, seed: int) -> Readout:
    """The read-out of one event, as `simulate` draws it."""
    segments = pad(event.segments, bucket(len(event)))
    layout: Any = detector.layout(segments)
    key = event_key(seed, int(event.event_numbers[0]))
    return jax.tree.map(np.asarray, detector(segments, key=key, layout=layout))


def t0_of(event: EventFile) -> float:
    """The time of an event [us]: that of its interactions if they agree, else 0."""
    times = np.asarray((event.interactions or {}).get("t0", np.zeros(0)), float)
    return float(times[0]) if len(times) and np.ptp(times) == 0 and np.isfinite(times[0]) else 0.0


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _provenance(path: Path, request: Request, events: _Simulated | _Recorded) -> dict[str, Any]:
    return {
        "input": path.name,
        "input_sha256": digest_of(path),
        "what": request.what,
        "hypotheses": list(request.hypotheses),
        "events": request.events,
        "place": request.place,
        "frame": events.frame,
        "simulated": isinstance(events, _Simulated),
        "origin": events.origin,
    }
