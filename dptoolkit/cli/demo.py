"""`demo`: simulate an event, recover a parameter from it, write a report. Needs no data and no network."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dptoolkit.cli.output import busy, check_target, write_text
from dptoolkit.cli.shell import NOT_CONVERGED, emit, say

DETECTOR, PATH = "small-wire", "drift.lifetime"
TRUTH = 1000.0
"""[us]: what the event is made with; the fit starts from the detector's own value."""


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder of report.html; made if missing.")
    ] = Path("demo"),
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of noise and fluctuations.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing report.")] = False,
) -> None:
    """Simulate a small event, fit one parameter, write a report and print its path.

    A muon in a small wire detector is simulated with noise and an electron lifetime of 1 ms; a fit that
    starts from 3 ms recovers it. Takes about a minute the first time and seconds afterwards.
    """
    report = output / "report.html"
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output}: is a file; expected a folder for report.html; choose another -o")
    if output.is_dir() or not output.parent.is_dir():
        check_target(report if output.is_dir() else output, force)
    from dptoolkit.cache import enable_compilation_cache

    enable_compilation_cache()
    say("simulating a muon and fitting the electron lifetime; the first time this compiles for a minute")
    with busy("demo"):
        page, converged = _run(seed)
    output.mkdir(exist_ok=True)
    write_text(report, page)
    emit(str(report))
    if not converged:
        say(f"dptoolkit demo: the fit did not converge; {report} says how far it came")
        raise typer.Exit(NOT_CONVERGED)


def _run(seed: int) -> tuple[str, bool]:
    """The report, and whether the fit converged."""
    import jax

    from dptoolkit.config import load_detector
    from dptoolkit.inference import Experiment, Problem, fit
    from dptoolkit.params import replace
    from dptoolkit.sources.example import example_muon
    from dptoolkit.views.event import EventView
    from dptoolkit.views.report import Section, report_page

    detector = load_detector(DETECTOR)
    segments = example_muon(center=(0.0, 0.0, 0.0), length=50.0)
    truth = replace(detector, {PATH: TRUTH})
    observed = truth(segments, key=jax.random.key(seed))
    result = fit(Problem(Experiment(detector, segments), free=[PATH], observed=observed), method="gauss-newton")
    sections = [
        Section(
            "The event",
            "A stopping muon in the detector small-wire, with noise and fluctuations: what the fit sees.",
            event=EventView(segments, observed, truth),
        ),
        _fit_section(result),
    ]
    facts = {"detector": DETECTOR, "seed": str(seed)}
    return report_page("dptoolkit demo", sections, facts), bool(result.converged)


def _fit_section(result: Any) -> Any:
    raise NotImplementedError
