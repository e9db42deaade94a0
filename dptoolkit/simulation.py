"""From a file of segments to a file of read-out: event by event, in bounded memory.

An event's random numbers come from the seed and its *number*, so a slice of a file, or another number
of processes, gives the same numbers. An interrupted run leaves NAME.partial; the same run again goes
on after its last complete event.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np

from dptoolkit.config import Detector, from_yaml, to_yaml
from dptoolkit.events import bucket, pad
from dptoolkit.io import (
    Batch,
    EventFile,
    InputError,
    NativeWriter,
    Run,
    Truth,
    outside_notes,
    partial_of,
    place,
    read_segments,
    unfinished,
)
from dptoolkit.io.readout import Readout
from dptoolkit.totals import Stopwatch, Totals, measure, truth
from dptoolkit.workers import Progress, in_order

Simulated = tuple[dict[str, Readout], Totals, dict[str, Truth]]


@dataclass(frozen=True)
class Options:
    """What `simulate_file` does with the segments of a file."""

    seed: int | None = 0
    """None: the expectation, without fluctuations and noise."""
    events: str = ":"
    """A:B, a half-open range over the sorted events of the file."""
    place: str = "auto"
    force: bool = False
    """Replace an existing file."""
    jobs: int = 1
    """Processes; the result does not depend on it."""


@dataclass(frozen=True)
class Produced:
    """What `simulate_file` did: the totals, and what a user should know."""

    totals: Totals
    n_events: int
    resumed: int
    """Events that an interrupted run had left."""
    notes: list[str] = field(default_factory=list)


def event_key(seed: int, number: int) -> jax.Array:
    """The random key of event `number`."""
    key = jax.random.key(seed)
    for word in divmod(int(number) % 2**64, 2**32):
        key = jax.random.fold_in(key, np.uint32(word))
    return key


def simulate_event(detector: Detector, event: EventFile, seed: int | None) -> Simulated:
    """Read-out of one event, its totals and the truth of its hits; `seed` None gives the expectation."""
    segments = pad(event.segments, bucket(len(event)))
    with Stopwatch() as watch:
        layout: Any = detector.layout(segments)
        key = None if seed is None else event_key(seed, int(event.event_numbers[0]))
        readout = jax.tree.map(np.asarray, detector(segments, key=key, layout=layout))
    totals = measure(detector, segments, layout, readout)
    return readout, totals.timed(watch), truth(detector, segments, layout, readout)


def simulate_file(
    path: str | Path,
    detector: Detector,
    output: str | Path,
    options: Options | None = None,
    progress: Progress = lambda done, total: None,
) -> Produced:
    """Simulate the events of `path` and write `output` in the native format."""
    options, path, output = options or Options(), Path(path), Path(output)
    if output.exists() and path.exists() and output.samefile(path):
        raise InputError(f"{output}: is the input file; choose another name for the output")
    events = read_segments(path).select(options.events)
    events, note = place(events, detector.region, _placement(events, detector, options), options.seed or 0)
    run = _run(detector, events, path, options)
    resume, totals, notes = _left_behind(output, run, options.force)
    writer = NativeWriter(output, run, force=options.force, resume=resume)
    done = writer.n_done
    try:
        with writer:
            for event, (readout, event_totals, truth) in _simulated(detector, events, done, options):
                writer.append(Batch.of(event, readout, truth=truth))
                totals = totals + event_totals
                progress(writer.n_done, events.n_events)
            writer.summary = summary(totals)
    except BaseException:
        _remember(writer.partial, totals)
        raise
    notes = [note, *notes, *outside_notes(events.segments, detector.region, detector.name, options.place)]
    return Produced(totals, events.n_events, done, notes)


def _placement(events: EventFile, detector: Detector, options: Options) -> str:
    """What `auto` means for a file that is in the frame of this detector already: leave it there."""
    here = events.attributes.get("detector_name") == detector.name
    return "file" if here and options.place == "auto" else options.place


def summary(totals: Totals) -> dict[str, Any]:
    """The totals of a run that are the same every time: without the clock."""
    return {name: value for name, value in totals.report().items() if not name.endswith("seconds")}


def _simulated(
    detector: Detector, events: EventFile, first: int, options: Options
) -> Iterator[tuple[EventFile, Simulated]]:
    singles = [slice(index, index + 1) for index in range(first, events.n_events)]
    if options.jobs == 1:
        for single in singles:
            event = events.select(single)
            yield event, simulate_event(detector, event, options.seed)
        return
    work = ((_simulate_in_worker, events.select(single), options.seed) for single in singles)
    results = in_order(work, min(options.jobs, len(singles) or 1), _start_worker, (to_yaml(detector),))
    for single, result in zip(singles, results, strict=True):
        yield events.select(single), result


_worker: dict[str, Detector] = {}
"""The detector of a worker process."""


def _start_worker(config: str) -> None:
    _worker["detector"] = from_yaml(config)


def _simulate_in_worker(event: EventFile, seed: int | None) -> Simulated:
    return simulate_event(_worker["detector"], event, seed)


def _run(detector: Detector, events: EventFile, path: Path, options: Options) -> Run:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    provenance: Mapping[str, Any] = {
        "input": path.name,
        "input_sha256": digest,
        "input_format": events.format,
        "events": options.events,
        "place": options.place,
        "frame": events.frame,
    }
    return Run(to_yaml(detector), detector.name, options.seed, options.seed is None, provenance)


_TOTALS = "totals"
"""Key of the attribute `summary` of an unfinished file: the totals of its complete events."""


def _remember(partial: Path, totals: Totals) -> None:
    """Leave the totals in the unfinished file, so that the run can go on."""
    if not partial.exists():
        return
    with suppress(OSError), h5py.File(partial, "r+") as file:
        file.attrs["summary"] = json.dumps({_TOTALS: asdict(totals)})


def _left_behind(output: Path, run: Run, force: bool) -> tuple[bool, Totals, list[str]]:
    """Whether an unfinished file of this run can be continued, its totals, and notes."""
    partial = partial_of(output)
    resume, notes = unfinished(output, run, force)
    if not resume:
        return False, Totals(), notes
    with h5py.File(partial, "r") as file:
        stored = json.loads(file.attrs.get("summary", "{}"))
    if _TOTALS not in stored:
        return False, Totals(), [f"{partial} could not be continued; started again"]
    return True, Totals(**stored[_TOTALS]), notes
