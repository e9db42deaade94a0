"""`reconstruct`: from read-out, or from segments that are simulated first, to what happened."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from dptoolkit.cli.describe import set_parameters
from dptoolkit.cli.options import MAX_SEED, DetectorName, Events, Place
from dptoolkit.cli.output import busy, check_target, keeping
from dptoolkit.cli.shell import NOT_CONVERGED, say


def reconstruct(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Read-out (native HDF5), or segments, which are simulated first."
        ),
    ],
    detector: DetectorName,
    what: Annotated[
        str, typer.Option("--what", metavar="KIND", help="track, segments or rings. Required.")
    ] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT.h5", help="File to write. Required.")
    ] = None,
    hypotheses: Annotated[
        str | None,
        typer.Option(
            "--hypotheses",
            metavar="mu,pi,p",
            help="Species whose likelihoods are compared.",
            show_default="mu",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=MAX_SEED, help="Of the read-out, where the input is segments.")
    ] = 0,
    events: Events = ":",
    place: Place = "auto",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change a parameter of the detector; repeatable."),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Only 1 so far.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Reconstruct the events of a file, each under its best hypothesis, with covariance.

    Events without a result are listed with their reason and kept in the file. Segments are first simulated
    with --seed, as 'simulate' does. Times of events are those of their interactions, else 0. After Ctrl-C
    complete events stay in OUT.h5.partial; the same command goes on after them.

    [bold]Examples[/bold]

      dptoolkit reconstruct readout.h5 --detector sbnd --what track -o tracks.h5

      dptoolkit reconstruct muons.h5 -d sbnd --what track --hypotheses mu,pi,p --events 0:10 -o tracks.h5
    """
    target = _checked(what, output, hypotheses, jobs, force)
    from dptoolkit.cache import enable_compilation_cache
    from dptoolkit.config import load_detector
    from dptoolkit.io.readers import check_file
    from dptoolkit.reconstruction.kinds import hypotheses_of, kind_named

    kind_named(what)
    species = hypotheses_of(hypotheses)
    check_file(file)
    enable_compilation_cache()
    with busy("building the detector"):
        model: Any = set_parameters(load_detector(detector), set_ or [])
    from dptoolkit.reconstruction.production import Request, reconstruct_file

    request = Request(what, species, seed, events, place, force)
    say("reconstructing; the first event also compiles, for a minute or two")
    with keeping(target), busy("event 1") as show:
        outcome = reconstruct_file(file, model, target, request, _teller(show))
    for note in outcome.notes:
        say(note)
    _conclude(target, outcome)


def _checked(what: str, output: Path | None, hypotheses: str | None, jobs: int, force: bool) -> Path:
    """The file to write; what can be refused before anything is computed is."""
    if not what:
        raise typer.BadParameter("missing --what: expected track, segments or rings")
    if output is None:
        raise typer.BadParameter("missing -o OUT.h5: the result is a file; name it")
    if jobs > 1:
        raise ValueError(
            f"--jobs {jobs}: reconstruct runs in one process so far; expected 1; split with --events"
        )
    if hypotheses is not None and what != "track":
        raise ValueError(f"--hypotheses: are those of --what track; --what {what} has none")
    check_target(output, force)
    return output


def _teller(show: Any) -> Any:
    def tell(done: int, total: int, last: Any) -> None:
        reason = getattr(last, "reason", None)
        if reason is not None:
            say(f"event {last.number}: not reconstructed: {reason}")
        elif not last.converged:
            say(f"event {last.number}: did not converge: {last.stopped}")
        show(f"{done} of {total} events")

    return tell


def _conclude(output: Path, outcome: Any) -> None:
    found = outcome.done - len(outcome.failed)
    before = f" ({outcome.resumed} were there before)" if outcome.resumed else ""
    words = f"{found} of {outcome.done} events reconstructed, {outcome.converged} converged"
    say(f"{output}: {words}{before}")
    for reason, n in Counter(one.reason for one in outcome.failed).most_common():
        say(f"not reconstructed: {n}: {reason}")
    if outcome.done and outcome.converged < found:
        say("dptoolkit reconstruct: not all fits converged; the file says which (column converged)")
        raise typer.Exit(NOT_CONVERGED)
    if outcome.done and not found:
        say("dptoolkit reconstruct: no event was reconstructed; the file has the reasons")
        raise typer.Exit(NOT_CONVERGED)
