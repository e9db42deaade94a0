"""`calibrate`: fit the parameters of a detector to a file of events."""

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
    Loss,
    Method,
    Place,
    Resume,
    Start,
    check_words,
    paths,
    results_folder,
)
from dptoolkit.cli.output import as_json, busy
from dptoolkit.cli.shell import INTERRUPTED, NOT_CONVERGED, say


def calibrate(
    data: Annotated[
        Path,
        typer.Option("--data", metavar="FILE", help="Segments, with --toy-truth or --set, to make a toy."),
    ],
    detector: DetectorName,
    output: Folder = None,
    toy_truth: Annotated[
        str | None,
        typer.Option("--toy-truth", metavar="random", help="Draw the truth of the toy from typical values."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="The truth of the toy; repeatable."),
    ] = None,
    free: Free = None,
    start: Start = None,
    noise: Annotated[
        bool, typer.Option("--noise/--no-noise", help="Noise and fluctuations in the data of the toy.")
    ] = False,
    method: Method = "gauss-newton",
    loss: Loss = "auto",
    events: Events = ":",
    place: Place = "auto",
    seed: Annotated[int, typer.Option("--seed", min=0, max=MAX_SEED, help="Of the truth and the noise.")] = 0,
    resume: Resume = False,
    force: Force = False,
) -> None:
    """Fit parameters of a detector to events, with errors and correlations.

    Writes result.json, report.html and checkpoints into FOLDER. After Ctrl-C the steps so far are kept;
    --resume goes on exactly there.

    [bold]Examples[/bold]

      dptoolkit calibrate -d module0 --data segments.h5 --toy-truth random --seed 3 -o cal

      dptoolkit calibrate -d module0 --data segments.h5 --set drift.lifetime='1 ms' --noise -o cal_noise
    """
    output = _folder(output, resume, force)
    check_words(method, loss)
    if toy_truth not in (None, "random"):
        raise typer.BadParameter(f"--toy-truth {toy_truth}: expected random; values are given with --set")
    if toy_truth is None and not set_:
        raise typer.BadParameter("give the truth of the toy: --toy-truth random, or --set PATH=VALUE")
    from dptoolkit.io.readers import check_file

    check_file(data)
    from dptoolkit.cache import enable_compilation_cache

    enable_compilation_cache()
    with busy("building the detector"):
        from dptoolkit.config import load_detector

        model = load_detector(detector)
    chosen = _Options(model, paths(free), parse_assignments(start or []), noise, seed)
    toy = chosen.toy(toy_truth == "random", set_ or [])
    batches = chosen.batches(data, events, place)
    _empty(output, resume)
    problem = chosen.problem(toy, *batches, loss)
    result, seconds = _fit(problem, noise, method, output)
    _write(output, problem, result, toy, seconds, _facts(detector, data, seed, noise, problem))
    if result.stopped == "interrupted":
        say(f"dptoolkit calibrate: interrupted; {output} has what exists, and --resume goes on from there")
        raise typer.Exit(INTERRUPTED)
    if not result.converged:
        say(f"dptoolkit calibrate: did not converge: {result.stopped}; the results are in {output}")
        raise typer.Exit(NOT_CONVERGED)


class _Options:
    """The model and what is asked of it."""

    def __init__(self, model: Any, free: list[str], start: Any, noise: bool, seed: int):
        from dptoolkit.calibrate import Calibration

        self.calibration = Calibration(model, free, noise, start)
        self.seed = seed

    def toy(self, drawn: bool, assignments: list[str]) -> Any:
        """The truth: random values of what is free, and what --set gives."""
        import numpy as np

        from dptoolkit.calibrate import Toy, truth_of
        from dptoolkit.params import get

        model, calibration = self.calibration.detector, self.calibration
        given = parse_assignments(assignments)
        changed = set_parameters(model, assignments)
        truth = {path: float(np.asarray(get(changed, path))) for path in given}
        if drawn:
            truth = truth_of(model, calibration.paths, self.seed, truth)
        for path in calibration.paths:
            truth.setdefault(path, float(np.asarray(get(model, path))))
        return Toy(model, truth, calibration.noise, self.seed)

    def batches(self, data: Path, events: str, place: str) -> tuple[list[Any], list[int]]:
        """Segments of the file in batches, and the number of the first event of each."""
        from dptoolkit.calibrate import batches_of

        model = self.calibration.detector
        batches, numbers, note = batches_of(data, model, events=events, how=place, seed=self.seed)
        say(note)
        return batches, numbers

    def problem(self, toy: Any, batches: list[Any], numbers: list[int], loss: str) -> Any:
        from dptoolkit.cli.output import progress
        from dptoolkit.inference.losses import loss_of

        say(f"simulating the toy: {len(batches)} batches of events")
        observed = []
        with progress("simulating") as advance:
            for segments, number in zip(batches, numbers, strict=True):
                observed.append(toy.observe(segments, number))
                advance(len(observed), len(batches))
        problem = self.calibration.problem(batches, observed)
        return problem if loss == "auto" else problem.with_loss(loss_of(loss))


def _fit(problem: Any, noise: bool, method: str, output: Path) -> tuple[Any, float]:
    import time

    from dptoolkit.calibrate import calibrate as run

    names = ", ".join(name.removeprefix("detector.") for name in problem.names)
    n_batches = len(problem.sources)
    say(f"fitting {len(problem.names)} parameters: {names}")
    say(f"every step goes through {n_batches} batches of events; the first one of each shape also compiles")
    began = time.monotonic()
    with busy("step 0") as show:

        def tell(snapshot: Any) -> None:
            left = snapshot.expected_decrease
            say(f"step {snapshot.step:3d}   loss {snapshot.loss:14.6g}   still to fall {left:10.3g}")
            show(f"step {snapshot.step + 1}")

        result = run(problem, noise=noise, method=method, callback=tell, checkpoint=output / "checkpoint.npz")
    return result, time.monotonic() - began


def _folder(output: Path | None, resume: bool, force: bool) -> Path:
    """Where the results go; nothing is made or removed yet."""
    output = results_folder(output)
    if ((output / "result.json").exists() or _checkpoints(output)) and not (resume or force):
        raise ValueError(f"{output}: holds a calibration; go on with --resume, replace it with --force")
    return output


def _empty(output: Path, resume: bool) -> None:
    """Make the folder, and remove its checkpoints unless the fit goes on from them."""
    output.mkdir(exist_ok=True)
    if not resume:
        for path in _checkpoints(output):
            path.unlink()


def _checkpoints(output: Path) -> list[Path]:
    return sorted(output.glob("checkpoint*.npz"))


def _facts(detector: str, data: Path, seed: int, noise: bool, problem: Any) -> dict[str, str]:
    quiet = "no noise; errors are those of a nominal one"
    kind = "noise; errors leave out the fluctuations of the charge" if noise else quiet
    return {
        "detector": detector,
        "data": data.name,
        "seed": str(seed),
        "toy": kind,
        "batches": str(len(problem.sources)),
    }


def _write(output: Path, problem: Any, result: Any, toy: Any, seconds: float, facts: Any) -> None:
    from dataclasses import asdict, replace

    from dptoolkit.inference.calibration import table
    from dptoolkit.views.calibration import calibration_report

    rows = table(problem, result, toy.truth)
    if not toy.noise:  # errors are those of a nominal noise then
        rows = [replace(row, pull=None) for row in rows]
    known = result.uncertainty
    document = {
        **facts,
        "loss_name": type(problem.loss).__name__,
        "parameters": [asdict(row) for row in rows],
        "correlation": result.correlation.tolist(),
        "fisher_eigenvalues": [] if known is None else known.eigenvalues.tolist(),
        "unidentifiable": [] if known is None else known.unidentifiable,
        "steps": result.steps,
        "stopped": result.stopped,
        "converged": result.converged,
        "loss": result.loss,
        "seconds": seconds,
    }
    write_text(output / "result.json", as_json("calibration", document))
    say(f"{output / 'result.json'}: written; making the report, which compiles for up to a minute")
    with busy("making the report"):
        page = calibration_report(problem, result, rows, facts)
    write_text(output / "report.html", page)
    for direction in document["unidentifiable"]:
        say(f"WARNING: the data do not determine {direction}")
    for row in rows:
        pull = "" if row.truth is None else f"   truth {row.truth:.5g} ({row.estimate / row.truth - 1:+.3%})"
        pull += "" if row.pull is None else f", pull {row.pull:+.2f}"
        say(f"{row.path:32s} {row.estimate:.6g} +- {row.error:.2g} {row.unit}{pull}")
    say(f"{output / 'report.html'}: {result.steps} steps, {seconds:.0f} s; {result.stopped}")
