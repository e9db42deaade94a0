"""`campaign`: the calibration of many toys, for pulls and coverage."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dptoolkit.atomic import write_text
from dptoolkit.cli.describe import parse_assignments, set_parameters
from dptoolkit.cli.options import (
    MAX_SEED,
    DetectorName,
    Events,
    Folder,
    Force,
    Free,
    Jobs,
    Loss,
    Method,
    Place,
    Scheduler,
    Start,
    check_words,
    paths,
    results_folder,
)
from dptoolkit.cli.output import as_json, busy, progress
from dptoolkit.cli.shell import NOT_CONVERGED, say


def campaign(
    data: Annotated[Path, typer.Option("--data", metavar="FILE", help="Segments of which toys are made.")],
    detector: DetectorName,
    output: Folder = None,
    toys: Annotated[int, typer.Option("--toys", "-n", min=1, metavar="N", help="Number of toys.")] = 100,
    jobs: Jobs = 1,
    scheduler: Scheduler = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="A truth that all toys share; repeatable."),
    ] = None,
    free: Free = None,
    start: Start = None,
    method: Method = "gauss-newton",
    loss: Loss = "auto",
    noise: Annotated[
        bool, typer.Option("--noise/--no-noise", help="Whether data and model have noise.")
    ] = True,
    events: Events = ":",
    place: Place = "auto",
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=MAX_SEED, help="Of the first toy; the next has the next.")
    ] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on, or add toys to a finished one.")] = False,
    force: Force = False,
) -> None:
    """Calibrate many toys and compare their errors with what they missed.

    Each toy draws the truth of what is free from its typical values (but for --set), and its noise unless
    --no-noise: then only what the fit itself misses is left, and pulls are in units of a nominal noise.
    Writes toys.csv (a line a toy), campaign.json (pulls, widths, coverage) and report.html into FOLDER.
    After Ctrl-C the toys so far are kept; --resume goes on after them, also with a larger --toys.

    [bold]Examples[/bold]

      dptoolkit campaign -d module0 --data segments.h5 --toys 600 --jobs 8 -o pulls

      dptoolkit campaign -d sbnd --data cosmics.h5 --toys 600 --scheduler tcp://host:8786 -o pulls
    """
    output = results_folder(output)
    check_words(method, loss)
    from dptoolkit.inference.campaign import run_toys
    from dptoolkit.io.readers import check_file

    check_file(data)
    with busy("building the detector"):
        asked = {"noise": noise, "events": events, "place": place, "seed": seed}
        asked |= {"method": method, "loss": loss}
        recipe = _recipe(detector, data, free, set_ or [], start or [], asked)
        for note in recipe.notes:
            say(note)
    settings = recipe.settings()
    rows = _prepared_folder(output, settings, resume, force)
    with progress("fitting toys") as advance:
        found = run_toys(
            recipe, range(seed, seed + toys), rows, jobs=jobs, scheduler=scheduler, progress=_told(advance)
        )
    _write(output, found, settings)
    lost = len(found.rows) - len(found.converged)
    if lost:
        say(f"dptoolkit campaign: {lost} of {len(found.rows)} toys did not converge: see {rows}")
        raise typer.Exit(NOT_CONVERGED)


def _recipe(
    detector: str,
    data: Path,
    free: str | None,
    set_: list[str],
    start: list[str],
    asked: dict[str, Any],
) -> Any:
    """All that matters but the seed; wrong names and values are told before anything runs."""
    import numpy as np

    from dptoolkit.calibrate import Calibration
    from dptoolkit.campaign import Recipe
    from dptoolkit.config import load_tpc, source_text
    from dptoolkit.params import get

    model = load_tpc(detector)
    chosen = Calibration(model, paths(free)).paths
    values = {}
    for name, assignments in (("truth", set_), ("start", start)):
        changed = set_parameters(model, assignments)
        given = parse_assignments(assignments)
        values[name] = tuple(sorted((path, float(np.asarray(get(changed, path)))) for path in given))
    return Recipe(source_text(detector), str(data.resolve()), tuple(chosen), **values, **asked)


def _prepared_folder(output: Path, settings: dict[str, Any], resume: bool, force: bool) -> Path:
    """The table of the toys in the folder of this campaign; anything else there is an error."""
    import json

    header, rows = output / "campaign.json", output / "toys.csv"
    if header.exists() and not (resume or force):
        raise ValueError(f"{output}: holds a campaign; go on with --resume, replace it with --force")
    if header.exists() and resume:
        left = json.loads(header.read_text())["settings"]
        other = sorted(name for name in settings if left.get(name) != settings[name])
        if other:
            name = other[0]
            raise ValueError(
                f"{output}: holds another campaign ({name} {left.get(name)!r}, expected {settings[name]!r}); "
                f"choose another -o, or replace it with --force"
            )
    elif rows.exists():
        rows.unlink()
    output.mkdir(exist_ok=True)
    if not (header.exists() and resume):
        write_text(header, as_json("campaign", {"settings": settings}))
    return rows


def _told(advance: Any) -> Any:
    def tell(done: int, total: int) -> None:
        advance(done, total)
        if done % 10 == 0 or done == total:
            say(f"{done} of {total} toys")

    return tell


def _write(output: Path, found: Any, settings: dict[str, Any]) -> None:
    from dataclasses import asdict

    from dptoolkit.views.campaign import campaign_report

    summary = found.summary()
    document = {
        "settings": settings,
        "toys": len(found.rows),
        "converged": len(found.converged),
        "parameters": [asdict(line) for line in summary],
    }
    facts = {name: str(settings[name]) for name in ("detector", "data", "seed", "method")}
    write_text(output / "campaign.json", as_json("campaign", document))
    write_text(
        output / "report.html",
        campaign_report(found, {**facts, "toys": str(len(found.rows))}, settings["noise"]),
    )
    for line in summary:
        if line.toys < len(found.converged):
            say(f"{line.path}: {len(found.converged) - line.toys} toys do not determine it")
        say(
            f"{line.path:32s} mean {line.mean:+.2f} +- {line.mean_error:.2f}   width {line.width:.2f} +- "
            f"{line.width_error:.2f}   within one error {line.within_1:.1%}   "
            f"rms miss {line.rms_percent:.2g} %"
        )
    say(f"{output / 'report.html'}: {len(found.rows)} toys")
