"""What a calibration shows while it runs and leaves behind: progress, result.json, report.html."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

import typer

from dptoolkit.atomic import write_text
from dptoolkit.cli.options import results_folder
from dptoolkit.cli.output import as_json, busy
from dptoolkit.cli.shell import INTERRUPTED, NOT_CONVERGED, say

WRITTEN = ("result.json", "report.html", "constants.json", "detector.yaml")
"""What a calibration leaves in its folder, but for checkpoints."""


def folder_for(output: Path | None, resume: bool, force: bool) -> Path:
    """Where the results go; nothing is made or removed yet."""
    output = results_folder(output)
    if ((output / "result.json").exists() or checkpoints(output)) and not (resume or force):
        raise ValueError(f"{output}: holds a calibration; go on with --resume, replace it with --force")
    return output


def emptied(output: Path, resume: bool) -> None:
    """Make the folder, and remove what an earlier fit left in it unless this one goes on from there."""
    output.mkdir(exist_ok=True)
    if not resume:
        for path in checkpoints(output) + [output / name for name in WRITTEN]:
            path.unlink(missing_ok=True)


def checkpoints(output: Path) -> list[Path]:
    """Those of an earlier run."""
    return sorted(output.glob("checkpoint*.npz"))


def run_with_progress(problem: Any, run: Callable[..., Any]) -> tuple[Any, float]:
    """(result of `run(callback=...)`, seconds it took)."""
    names = ", ".join(name.removeprefix("detector.") for name in problem.names)
    n_batches = len(problem.sources)
    say(f"fitting {len(problem.names)} parameters: {names}")
    say(f"batches of events: {n_batches}; the first step with each number of them also compiles")
    began = time.monotonic()
    step = 0
    with busy("step 0") as show:

        def tell(snapshot: Any) -> None:
            nonlocal step
            say(snapshot.line(n_batches))
            step = snapshot.step + 1
            show(f"step {step}")

        problem.watch = lambda what, done, total: show(f"step {step}: {what}, batch {done} of {total}")
        result = run(callback=tell)
    return result, time.monotonic() - began


def write_results(
    output: Path, problem: Any, result: Any, rows: Sequence[Any], facts: dict[str, str], more: dict[str, Any]
) -> None:
    """result.json; `more` are further keys."""
    known = result.uncertainty
    document = {
        **facts,
        "loss_name": type(problem.loss.alone).__name__,
        "parameters": [asdict(row) for row in rows],
        "correlation": result.correlation.tolist(),
        "fisher_eigenvalues": [] if known is None else known.eigenvalues.tolist(),
        "unidentifiable": [] if known is None else known.unidentifiable,
        "at_bounds": at_bounds(problem, result),
        "steps": result.steps,
        "stopped": result.stopped,
        "converged": result.converged,
        "loss": result.loss,
        **more,
    }
    write_text(output / "result.json", as_json("calibration", document))
    say(f"{output / 'result.json'}: written")


def write_report(
    output: Path,
    problem: Any,
    result: Any,
    rows: Sequence[Any],
    facts: dict[str, str],
    more: Sequence[Any] = (),
) -> None:
    """report.html; `more` are further sections."""
    from dptoolkit.views.calibration import calibration_report

    say("making the report, which compiles for up to a minute")
    with busy("making the report"):
        page = calibration_report(problem, result, rows, facts, more)
    write_text(output / "report.html", page)
    say(f"{output / 'report.html'}: written")


def say_results(problem: Any, result: Any, rows: Sequence[Any], seconds: float) -> None:
    """The table, on the terminal."""
    used, n_batches = result.history[-1].batches, len(problem.sources)
    if used != n_batches:
        say(f"WARNING: estimates and errors are those of {used} of {n_batches} batches of events")
    for direction in [] if result.uncertainty is None else result.uncertainty.unidentifiable:
        say(f"WARNING: the data do not determine {direction}")
    for name in at_bounds(problem, result):
        say(f"WARNING: {name} stopped at the edge of its bounds; its error says nothing there")
    for row in rows:
        pull = "" if row.truth is None else f"   truth {row.truth:.5g} ({row.estimate / row.truth - 1:+.3%})"
        pull += "" if row.pull is None else f", pull {row.pull:+.2f}"
        error = f"+- {row.error:.2g}" if isfinite(row.error) else "(no error)"
        unit = "" if row.unit in ("", "1") else f" {row.unit}"
        say(f"{row.path:32s} {row.estimate:.6g} {error}{unit}{pull}")
    say(f"{result.steps} steps, {seconds:.0f} s; {result.stopped}")
    left = result.history[-1].expected_decrease
    if not result.converged and left > 0:
        say(f"NOT at the minimum: the loss is still to fall by {left:.3g}; 1/2 is one standard error away")


def told(priors: Sequence[str] | None) -> dict[str, str]:
    """The priors that were asked for, as a fact about the fit."""
    return {"priors": "; ".join(priors)} if priors else {}


def at_bounds(problem: Any, result: Any) -> list[str]:
    """What the fit left at the edge of its bounds."""
    import jax.numpy as jnp

    names = problem.at_edge(jnp.asarray(result.history[-1].z))
    return [name.removeprefix("detector.") for name in names]


def end(output: Path, result: Any) -> None:
    """The exit code of a fit that was stopped or did not converge."""
    if result.stopped == "interrupted":
        say(f"dptoolkit calibrate: interrupted; {output} has what exists, and --resume goes on from there")
        raise typer.Exit(INTERRUPTED)
    if not result.converged:
        say(f"dptoolkit calibrate: did not converge: {result.stopped}; the results are in {output}")
        raise typer.Exit(NOT_CONVERGED)
