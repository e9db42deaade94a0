"""`simulate`: from a file of segments to a file of read-out."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dptoolkit.atomic import write_text
from dptoolkit.cli.describe import set_parameters
from dptoolkit.cli.options import MAX_SEED, DetectorName, Events, Jobs
from dptoolkit.cli.output import as_json, busy, check_target, keeping, progress
from dptoolkit.cli.shell import say


def simulate(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Segments: native, edep-sim or Geant4 steps, HDF5 or npz.")
    ],
    detector: DetectorName,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT.h5", help="File to write. Required.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, max=MAX_SEED, show_default="0", help="Of fluctuations and noise."),
    ] = None,
    expectation: Annotated[
        bool, typer.Option("--expectation", help="The expected read-out, without fluctuations and noise.")
    ] = False,
    events: Events = ":",
    place: Annotated[
        str,
        typer.Option(
            "--place",
            metavar="HOW",
            help="auto: move the file into the detector if it is outside; file: as it stands; "
            "X,Y,Z[,AXIS]: file origin in cm, AXIS becomes the drift axis; random: per event.",
        ),
    ] = "auto",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change a parameter; repeatable."),
    ] = None,
    constants: Annotated[
        Path | None,
        typer.Option(
            "--constants", metavar="FILE", help="constants.json of a calibration; --set comes after."
        ),
    ] = None,
    summary: Annotated[
        Path | None, typer.Option("--summary", metavar="F.json", help="Write the totals of the run as JSON.")
    ] = None,
    jobs: Jobs = 1,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
) -> None:
    """Simulate the events of a file in a detector.

    An event gets the same numbers alone, in a slice (--events) or in the whole file. After Ctrl-C the
    complete events stay in OUT.h5.partial; the same command goes on after them. A .partial of another
    run is an error, and with --force replaced.

    [bold]Examples[/bold]

      dptoolkit simulate segments.h5 --detector module0 --seed 1 -o readout.h5

      dptoolkit simulate muon.h5 -d sbnd --expectation --set drift.lifetime='3 ms' -o muon_3ms.h5
    """
    if expectation and seed is not None:
        raise typer.BadParameter("--seed and --expectation exclude each other; give one of them")
    _check_targets(file, output, summary, force)
    from dptoolkit.cache import enable_compilation_cache
    from dptoolkit.config import load_detector
    from dptoolkit.io.readers import check_file

    check_file(file)
    enable_compilation_cache()
    with busy("building the detector"):
        model = load_detector(detector)
        if constants is not None:
            from dptoolkit.calibration_constants import with_constants

            model, note = with_constants(model, constants)
            say(note)
        model = set_parameters(model, set_ or [])
    if output is None:
        raise typer.BadParameter("missing -o OUT.h5: the result is a file; name it")
    from dptoolkit.simulation import Options, simulate_file

    options = Options(None if expectation else seed or 0, events, place, force, jobs)
    with keeping(output), progress("simulating") as advance:
        produced = simulate_file(file, model, output, options, advance)
    for note in produced.notes:
        say(note)
    report = produced.totals.report()
    if summary is not None:
        write_text(summary, as_json("summary", _described(report, model.name, produced, options)))
    say(f"{output}: {_words(produced.n_events, report)}")


def _check_targets(file: Path, output: Path | None, summary: Path | None, force: bool) -> None:
    """What can be refused before anything is computed."""
    for target in (output, summary):
        if target is not None:
            check_target(target, force)
    others = [path.resolve() for path in (file, output) if path is not None]
    if summary is not None and summary.resolve() in others:
        raise ValueError(f"--summary {summary}: is also the input or the output; choose another name")


def _described(report: dict[str, Any], detector: str, produced: Any, options: Any) -> dict[str, Any]:
    head = {"detector": detector, "seed": options.seed, "expectation": options.seed is None}
    return {**head, "events": produced.n_events, **report}


def _words(n_events: int, report: dict[str, Any]) -> str:
    parts = [f"{n_events} event{'s' if n_events != 1 else ''}", f"{report['segments']} segments"]
    parts.append(f"{report['energy_MeV']:.4g} MeV")
    if report["electrons_collected"] is not None:
        parts.append(f"{report['electrons_collected']:.4g} electrons collected")
    if report["hits"] is not None:
        parts.append(f"{report['hits']:.6g} hits")
    if report["pe"] is not None:
        parts.append(f"{report['pe']:.4g} photoelectrons (direct light only)")
        parts.append(f"{report['sensors_hit']:.4g} sensors hit")
    return f"{', '.join(parts)}; {report['seconds']:.1f} s, and {report['compile_seconds']:.1f} s to compile"
