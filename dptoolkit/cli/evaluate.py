"""`evaluate`: reconstructed events against the truth."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from dptoolkit.atomic import write_text
from dptoolkit.cli.output import as_json, busy, check_target, show_table
from dptoolkit.cli.shell import emit, say

COLUMNS = ("median", "p68", "mean", "error", "bias", "pull_width")


def evaluate(
    reco: Annotated[Path, typer.Argument(metavar="RECO", help="What reconstruct wrote.")],
    truth: Annotated[
        Path | None,
        typer.Option("--truth", metavar="FILE", help="The segments it was made of, in any format. Required."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="F.html", help="Also write a page with histograms.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing page.")] = False,
) -> None:
    """Compare reconstructed events with the truth: resolutions, biases, pulls, efficiencies.

    Sizes have a median, a 68 % quantile and a mean with its statistical error; the bias is the mean with its
    sign, the pull width the root mean square of (found - true) / error. The truth is placed in the detector
    as the reconstruction noted it.

    [bold]Example[/bold]

      dptoolkit evaluate tracks.h5 --truth muons.h5 --json
    """
    if truth is None:
        raise typer.BadParameter("missing --truth FILE: the segments that were reconstructed")
    if html is not None:
        check_target(html, force)
    from dptoolkit.io.readers import check_file
    from dptoolkit.reconstruction.evaluation import evaluate as compare
    from dptoolkit.reconstruction.evaluation import placed_truth
    from dptoolkit.reconstruction.files import read_reconstruction

    check_file(reco)
    check_file(truth)
    with busy("comparing"):
        found = read_reconstruction(reco)
        events, note = placed_truth(truth, found)
        report = compare(found, events)
    say(note)
    if html is not None:
        from dptoolkit.views.evaluation import evaluation_page

        write_text(html, evaluation_page(found, events, report))
        say(f"{html}: written")
    if json:
        emit(as_json("evaluation", report))
        return
    _show(report)


def _show(report: Mapping[str, Any]) -> None:
    quantities = {name: part for name, part in report.items() if isinstance(part, dict) and "median" in part}
    rows = [[name, *(_number(part[column]) for column in COLUMNS)] for name, part in quantities.items()]
    show_table(("quantity", *COLUMNS), rows, COLUMNS)
    for name in ("efficiency", "converged"):
        say(f"{name}: {_fraction(report[name])}")
    for species, part in report.get("misid_fraction", {}).items():
        say(f"{species} taken for another: {_fraction(part)}")
    if report["seconds_per_event"] is not None:
        say(f"{report['seconds_per_event']:.2f} s of processor time an event, without compiling")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _fraction(part: Mapping[str, Any]) -> str:
    if part["fraction"] is None:
        return "no events"
    return f"{part['fraction']:.1%} ({part['low']:.1%} to {part['high']:.1%}) of {part['events']}"
