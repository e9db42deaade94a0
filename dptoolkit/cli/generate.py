"""`generate`: samples of events with labels, from nothing."""

from pathlib import Path
from typing import Annotated

import typer

from dptoolkit.cli.describe import set_parameters
from dptoolkit.cli.options import MAX_SEED, DetectorName, Jobs, Scheduler
from dptoolkit.cli.output import busy, check_target, keeping, progress
from dptoolkit.cli.shell import say


def generate(
    sample: Annotated[
        str,
        typer.Argument(metavar="SAMPLE", help="muons, protons, electrons, photons, michel, bomb or cosmics."),
    ],
    detector: DetectorName,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT.h5", help="File to write. Required.")
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, metavar="N", help="Number of events.")] = 10,
    seed: Annotated[int, typer.Option("--seed", min=0, max=MAX_SEED, help="Of all random numbers.")] = 0,
    shards: Annotated[int, typer.Option("--shards", min=1, help="Files: OUT-0000.h5, OUT-0001.h5, ...")] = 1,
    jobs: Jobs = 1,
    scheduler: Scheduler = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change a parameter that the file notes."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
) -> None:
    """Generate events in the active volume of a detector: what 'simulate' reads, with full labels.

    An event is the same for any number of events, shards and processes. After Ctrl-C complete events stay
    in OUT.h5.partial and finished shards in place; the same command goes on after them. What is modelled
    and how well: docs/generator.md.

    [bold]Examples[/bold]

      dptoolkit generate cosmics -n 100 --detector sbnd --seed 1 -o cosmics.h5

      dptoolkit generate bomb -n 100000 -d module0 --shards 50 --scheduler tcp://host:8786 -o bomb.h5
    """
    from dptoolkit.generation import Request, generate_files, shard_paths
    from dptoolkit.sources.samples import sample_named

    sample_named(sample)
    if output is None:
        raise typer.BadParameter("missing -o OUT.h5: the result is a file; name it")
    if shards == 1:
        check_target(output, force)
    elif not output.parent.is_dir():
        raise ValueError(f"{output}: the folder {output.parent} does not exist; make it first")
    from dptoolkit.config import load_tpc

    with busy("building the detector"):
        model = set_parameters(load_tpc(detector), set_ or [])
    request = Request(sample, n, seed, shards, jobs, scheduler, force)
    with keeping(*shard_paths(output, shards)), progress("generating") as advance:
        written = generate_files(request, model, output, advance)
    for note in written.notes:
        say(note)
    where = str(output) if shards == 1 else f"{written.files[0].name} ... {written.files[-1].name}"
    plural = "s" if written.n_events != 1 else ""
    say(f"{where}: {written.n_events} event{plural}, {written.n_segments} segments, {written.energy:.4g} MeV")
