"""`demo`: simulate an event, recover a parameter from it, write a report. Needs no data and no network."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dptoolkit.atomic import write_text
from dptoolkit.cli.output import busy, check_target
from dptoolkit.cli.shell import NOT_CONVERGED, emit, say

DETECTOR, PATH = "small-wire", "drift.lifetime"
TRUTH = 1000.0
"""[us]: what the event is made with; the fit starts from the detector's own value."""
NOISE = 1.3
"""[ADC]: of a wire of 60 cm."""


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

    from dptoolkit.config import load_tpc
    from dptoolkit.inference import Experiment, GaussianChi2, Problem, SegmentSource, fit
    from dptoolkit.params import replace
    from dptoolkit.sources.example import example_muon
    from dptoolkit.views.event import EventView
    from dptoolkit.views.report import Section, report_page

    detector, segments = load_tpc(DETECTOR), example_muon(length=50.0)
    truth = replace(detector, {PATH: TRUTH})
    observed = truth(segments, key=jax.random.key(seed))
    experiment = Experiment(detector, SegmentSource(segments))
    problem = Problem(experiment, [PATH], GaussianChi2(noise=NOISE), observed)
    result = fit(problem, method="gauss-newton")
    event = Section(
        "The event",
        f"A stopping muon in the detector {DETECTOR}, with fluctuations, noise and digitisation.",
        event=EventView(segments, observed, truth),
    )
    facts = {"detector": DETECTOR, "seed": str(seed)}
    return report_page("dptoolkit demo", [event, _fit_section(result)], facts), bool(result.converged)


def _fit_section(result: Any) -> Any:
    """How the fit went: its path as a figure, its result as a table."""
    from dptoolkit.views.calibration import parameter_path
    from dptoolkit.views.report import Section, Table

    (name,) = result.estimate
    estimate, error = result.estimate[name], result.error[name]
    path = [step.values[name] for step in result.history]
    rows = [
        ("start", f"{path[0]:.0f} µs"),
        ("truth", f"{TRUTH:.0f} µs"),
        ("estimate", f"{estimate:.1f} ± {error:.1f} µs"),
        ("pull", f"{(estimate - TRUTH) / error:+.2f}"),
        ("steps", str(len(path) - 1)),
        ("stopped", result.stopped),
    ]
    text = (
        f"Gauss-Newton on the samples of three planes, from the derivative of the simulation by {PATH}. "
        f"The error takes the noise of {NOISE:g} ADC counts as uncorrelated and leaves out how the charge "
        f"fluctuates."
    )
    return Section(
        f"Fit of {PATH}",
        text,
        figure=parameter_path(path, "electron lifetime [µs]", TRUTH),
        table=Table(("", "value"), rows),
    )
