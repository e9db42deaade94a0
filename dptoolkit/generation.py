"""Files of generated events: sharded, resumed where they stopped, the same for any number of workers.

With one shard the workers make batches of events and this process writes them; with more, each worker
writes its shard, so nothing passes through here. A finished shard of the same run is kept.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dptoolkit.config import to_yaml
from dptoolkit.detector import LArTPC
from dptoolkit.farm import as_done, farm, in_order
from dptoolkit.geometry import Volumes
from dptoolkit.io import Batch, EventFile, InputError, NativeWriter, Run, made_by, unfinished
from dptoolkit.sources.generator import BATCH, generate
from dptoolkit.sources.samples import sample_named
from dptoolkit.workers import Progress

LEAST = 16
"""Events that are worth a job of their own."""


@dataclass(frozen=True)
class Request:
    """What is to be generated."""

    sample: str
    n_events: int
    seed: int = 0
    shards: int = 1
    jobs: int = 1
    """Processes; the result does not depend on it."""
    scheduler: str | None = None
    """Address of a Dask scheduler; it needs a folder that its workers share with this process."""
    force: bool = False
    """Replace existing files."""


@dataclass(frozen=True)
class Shard:
    """One file: the events `first` <= number < `last`."""

    path: Path
    sample: str
    first: int
    last: int
    volumes: Volumes
    run: Run
    force: bool
    piece: int
    """Events that are made at once."""
    resume: bool = False


@dataclass
class Written:
    """What `generate_files` did."""

    files: list[Path] = field(default_factory=list)
    n_events: int = 0
    n_segments: int = 0
    energy: float = 0.0
    """Deposited [MeV]."""
    notes: list[str] = field(default_factory=list)


def generate_files(
    request: Request,
    detector: LArTPC,
    output: str | Path,
    progress: Progress = lambda done, total: None,
) -> Written:
    """Generate the events of a sample in the active volume of `detector`."""
    sample_named(request.sample)
    if not 1 <= request.shards <= request.n_events:
        raise InputError(
            f"shards {request.shards}: expected 1 to {request.n_events}, the number of events (-n)"
        )
    written = Written()
    every = _shards(request, detector, Path(output).absolute())
    todo = _planned(every, request, written.notes)
    done = request.n_events - sum(shard.last - shard.first for shard in todo)
    progress(done, request.n_events)
    for n in _produced(todo, request):
        done += n
        progress(done, request.n_events)
    for shard in every:
        _count(shard.path, written)
    return written


def shard_paths(output: Path, shards: int) -> list[Path]:
    """OUT.h5, or OUT-0000.h5, OUT-0001.h5, ..."""
    if shards == 1:
        return [output]
    return [output.with_name(f"{output.stem}-{k:04d}{output.suffix}") for k in range(shards)]


def _shards(request: Request, detector: LArTPC, output: Path) -> list[Shard]:
    config = to_yaml(detector)
    edges = [k * request.n_events // request.shards for k in range(request.shards + 1)]
    workers = request.jobs if request.shards == 1 else 1  # of one shard
    piece = min(BATCH, max(LEAST, -(-request.n_events // workers)))
    made = []
    for k, path in enumerate(shard_paths(output, request.shards)):
        what = {"sample": request.sample, "events": request.n_events, "first": edges[k], "last": edges[k + 1]}
        run = Run(config, detector.name, request.seed, False, {**what, "command": "generate"})
        first, last = edges[k], edges[k + 1]
        made.append(Shard(path, request.sample, first, last, detector.volumes, run, request.force, piece))
    return made


def _planned(shards: list[Shard], request: Request, notes: list[str]) -> list[Shard]:
    """The shards that are still to be made, each with what an interrupted run left of it."""
    todo, kept = [], 0
    for shard in shards:
        if shard.path.exists() and not request.force and len(shards) > 1 and _same(shard.path, shard.run):
            kept += 1
        else:
            todo.append(_continued(shard, notes))
    if not todo:
        raise InputError(
            f"{shards[0].path}: exists already, as do all {len(shards)} shards of this run; choose another "
            f"name or replace them with --force"
        )
    existing = [shard.path for shard in todo if shard.path.exists() and not request.force]
    if existing:
        raise InputError(f"{existing[0]}: exists already; choose another name or replace it with --force")
    if kept:
        notes.append(f"kept {kept} of {len(shards)} shards that an earlier run had finished")
    return todo


def _continued(shard: Shard, notes: list[str]) -> Shard:
    resume, more = unfinished(shard.path, shard.run, shard.force)
    notes += more
    return replace(shard, resume=resume)


def _same(path: Path, run: Run) -> bool:
    try:
        return made_by(path, run)
    except (OSError, KeyError, ValueError):
        return False


def _produced(shards: list[Shard], request: Request) -> Iterator[int]:
    """Makes the files; yields the number of events after each piece."""
    if request.jobs == 1 and request.scheduler is None:
        for shard in shards:
            yield from _written(shard, lambda shard, n: (_batch(shard, *span) for span in _spans(shard, n)))
        return
    with farm(request.jobs, request.scheduler) as client:
        if len(shards) > 1:
            yield from as_done(client, write_shard, [(shard,) for shard in shards])
            return

        def batches(shard: Shard, n_done: int) -> Iterable[Batch]:
            return in_order(client, _batch, ((shard, *span) for span in _spans(shard, n_done)))

        yield from _written(shards[0], batches)


def write_shard(shard: Shard) -> int:
    """Make one file, on a worker; the number of its events."""
    return sum(_written(shard, lambda shard, n: (_batch(shard, *span) for span in _spans(shard, n))))


def _written(shard: Shard, batches: Callable[[Shard, int], Iterable[Batch]]) -> Iterator[int]:
    with NativeWriter(shard.path, shard.run, force=shard.force, resume=shard.resume) as writer:
        yield writer.n_done
        for batch in batches(shard, writer.n_done):
            writer.append(batch)
            yield len(batch.event_numbers)


def _spans(shard: Shard, n_done: int) -> Iterator[tuple[int, int]]:
    for first in range(shard.first + n_done, shard.last, shard.piece):
        yield first, min(first + shard.piece, shard.last)


def _batch(shard: Shard, first: int, last: int) -> Batch:
    made = generate(shard.sample, shard.volumes, np.arange(first, last), shard.run.seed or 0)
    tables: dict[str, Any] = {"interactions": made.interactions, "particles": made.particles}
    return Batch.of(EventFile(made.segments, made.numbers, "generated", shard.path, **tables))


def _count(path: Path, written: Written) -> None:
    with h5py.File(path, "r") as file:
        energy: Any = file["segments/de"]
        number: Any = file["events/number"]
        written.files.append(path)
        written.n_events += len(number)
        written.n_segments += len(energy)
        written.energy += float(np.sum(energy[()]))
