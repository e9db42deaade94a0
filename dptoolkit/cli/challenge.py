"""`challenge`: make a blinded calibration, and score what is handed in."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dptoolkit.cli.options import MAX_SEED, Force
from dptoolkit.cli.output import as_json, busy, show_table
from dptoolkit.cli.shell import emit, say


def new(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Folder for those who take part. Required."),
    ] = None,
    detector: Annotated[
        str, typer.Option("--detector", "-d", metavar="NAME", help="Detector whose constants are hidden.")
    ] = "small-pixel",
    n: Annotated[int, typer.Option("-n", min=1, metavar="N", help="Muons in the control sample.")] = 16,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, max=MAX_SEED, show_default="random", help="Keep it to yourself."),
    ] = None,
    force: Force = False,
) -> None:
    """Make a challenge: a control sample recorded by a detector with hidden constants.

    FOLDER is for those who take part; its README.md says what to do. FOLDER.truth.json, beside it, holds the
    truth and the seed: keep it. Nothing in FOLDER tells them, but the same seed makes the same challenge, and
    a small one can be guessed; without --seed it is random.

    [bold]Examples[/bold]

      dptoolkit challenge new -o challenge

      dptoolkit challenge new --seed 7 -n 32 -o challenge --force

      dptoolkit serve leaderboard --challenge challenge
    """
    if output is None:
        raise typer.BadParameter("missing -o FOLDER: the challenge is a folder of files; name it")
    with busy("simulating"):
        from dptoolkit.cache import enable_compilation_cache
        from dptoolkit.challenge import check_challenge_target, new_challenge

        check_challenge_target(output, force)
        enable_compilation_cache()
        made = new_challenge(output, detector, seed=seed, n_events=n, force=force)
    say(f"{output}: {n} muons in {detector}, {len(made.envelope.parameters)} hidden parameters; for all")
    say(f"{made.truth_file.name}: the truth, beside it; for those who organise")


def score(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The challenge.")],
    submission: Annotated[
        Path, typer.Argument(metavar="RESULT.json", help="result.json of calibrate, or the same by hand.")
    ],
    truth: Annotated[
        Path | None,
        typer.Option("--truth", metavar="FILE", show_default="FOLDER.truth.json", help="The truth."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Score a submission; this tells the truth.

    Every parameter gives the information gained, in bits:
    log2(range / (sqrt(2 pi) error)) - pull^2 / (2 ln 2), at least -10, with
    pull = (estimate - truth) / error. Half of an honest error is worth one bit; an error that is too small
    costs more than it gives. What is not reported gives 0. The total is the sum.

    By hand: {"parameters": [{"path": "drift.lifetime", "unit": "us", "estimate": 2100, "error": 90}]}

    [bold]Example[/bold]

      dptoolkit challenge score challenge mine/result.json
    """
    from dptoolkit import scoring
    from dptoolkit.challenge_folder import check_belongs, truth_file_of

    envelope = scoring.read_envelope(truth or truth_file_of(folder))
    check_belongs(folder, envelope)
    reported = scoring.read_submission(submission, envelope)
    found = scoring.score(reported, envelope)
    for path in reported.ignored:
        say(f"{path}: is not hidden in this challenge; ignored")
    if json_:
        emit(as_json("score", {"submission": submission.name, **found.document()}))
        return
    columns = ("parameter", "unit", "truth", "estimate", "error", "off by %", "pull", "bits")
    show_table(columns, [_cells(row) for row in found.parameters], columns[2:])
    emit(f"\ntotal: {found.total_bits:.2f} bits")


def _cells(row: Any) -> list[str]:
    """A line of the table; a dash where nothing was reported."""
    numbers = (row.truth, row.estimate, row.error, row.deviation_percent, row.pull, row.bits)
    forms = ("{:.5g}", "{:.5g}", "{:.2g}", "{:+.2f}", "{:+.2f}", "{:+.2f}")
    cells = [
        "–" if number is None else form.format(number) for form, number in zip(forms, numbers, strict=True)
    ]
    return [row.path, row.unit, *cells]
