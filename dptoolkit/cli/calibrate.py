"""`calibrate`: fit the parameters of a detector to a file of events."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dptoolkit.cli.describe import parse_assignments, parse_priors, set_parameters
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
    Prior,
    Resume,
    Start,
    check_words,
    chosen,
    paths,
    refuse,
)
from dptoolkit.cli.output import busy
from dptoolkit.cli.results import (
    emptied,
    end,
    folder_for,
    run_with_progress,
    say_results,
    told,
    write_report,
    write_results,
)
from dptoolkit.cli.shell import say

OF_FIELD = ("resolution", "tracker", "t0_known", "comparisons")
OF_RECORDED = ("t0", "dedx", "constants")
OF_TOYS = ("toy_truth", "set_", "toy_detector", "place")
OF_FITS = ("free", "start", "prior", "method", "loss")
"""Options that mean nothing in the other kinds of calibration."""


def calibrate(
    data: Annotated[
        Path,
        typer.Option(
            "--data", metavar="FILE", help="Recorded read-out; or segments, with --toy-truth or --set: a toy."
        ),
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
    toy_detector: Annotated[
        str | None,
        typer.Option(
            "--toy-detector",
            metavar="NAME",
            help="Make the toy by another detector, or YAML file, of the same read-out.",
        ),
    ] = None,
    known_segments: Annotated[
        bool,
        typer.Option("--known-segments", help="Of a recorded FILE: its segments are what really happened."),
    ] = False,
    free: Free = None,
    start: Start = None,
    prior: Prior = None,
    t0: Annotated[
        str | None,
        typer.Option(
            "--t0", metavar="TIME", help="Of all recorded events, where the file does not say: '0 us'."
        ),
    ] = None,
    dedx: Annotated[
        str,
        typer.Option(
            "--dedx",
            metavar="WHICH",
            help="Of recorded muons: typical, or mean if it does not fluctuate.",
        ),
    ] = "typical",
    constants: Annotated[
        Path | None,
        typer.Option(
            "--constants", metavar="FILE", help="Start from the constants.json of an earlier calibration."
        ),
    ] = None,
    noise: Annotated[
        bool, typer.Option("--noise/--no-noise", help="Noise and fluctuations in the data of the toy.")
    ] = False,
    method: Method = "gauss-newton",
    loss: Loss = "auto",
    events: Events = ":",
    place: Place = "auto",
    seed: Annotated[int, typer.Option("--seed", min=0, max=MAX_SEED, help="Of the truth and the noise.")] = 0,
    field: Annotated[
        bool, typer.Option("--field", help="Recover a distortion of the drift field from muons: a toy.")
    ] = False,
    resolution: Annotated[
        str, typer.Option("--resolution", metavar="LENGTH", help="With --field: of a point of a track.")
    ] = "1 mm",
    tracker: Annotated[
        str | None,
        typer.Option(
            "--tracker", metavar="LENGTH", help="With --field: where muons enter and leave is known."
        ),
    ] = None,
    t0_known: Annotated[
        bool, typer.Option("--t0-known/--no-t0-known", help="With --field: the time of the muons is known.")
    ] = True,
    comparisons: Annotated[
        bool,
        typer.Option("--comparisons/--no-comparisons", help="With --field: baselines and other cases too."),
    ] = True,
    resume: Resume = False,
    force: Force = False,
) -> None:
    """Fit parameters of a detector to events, with errors and correlations.

    With --toy-truth or --set the segments of FILE make a toy, whose truth is known. Without, FILE is recorded
    data: pixel hits or waveforms, and the t0 of each event; nothing else of it is read. Straight muons are
    found in them, one an event, and fitted along, so that errors include what is not known of them. The drift
    speed (field.strength) and diffusion are free only if --free names them; the speed needs a start within
    1 %.
    With --known-segments the segments of FILE are taken for what happened, as in a challenge.

    What data alone do not tell apart can be free with a --prior: --free recombination.a,quanta.w_ion --prior
    'quanta.w_ion=23.6 eV +- 0.3 eV'.

    With --field cosmic muons of FILE are seen through a field that a space charge distorts (--set
    field.amplitude=0.03), as space points with the errors of --resolution, and a network in the detector
    recovers it; result.json and report.html say how well, detector.yaml is the detector with that field.

    Writes result.json, report.html and checkpoints into FOLDER, for recorded data also constants.json, which
    simulate --constants takes. After Ctrl-C the steps so far are kept; --resume goes on there.

    [bold]Examples[/bold]

      dptoolkit calibrate -d module0 --data segments.h5 --toy-truth random --seed 3 -o cal

      dptoolkit calibrate -d module0 --data segments.h5 --set drift.lifetime='1 ms' --noise -o cal_noise

      dptoolkit calibrate -d module0 --data segments.h5 --toy-detector other.yaml -o cal_other

      dptoolkit calibrate -d module0 --data readout.h5 --free recombination.a,drift.lifetime -o cal_data

      dptoolkit calibrate -d small-pixel --data challenge/control_sample.h5 --known-segments -o cal_known

      dptoolkit calibrate -d sbnd --field --data muons.h5 --seed 5 -o field
    """
    given = chosen(calibrate, locals())
    output = folder_for(output, resume, force)
    check_words(method, loss)
    if toy_truth not in (None, "random"):
        raise typer.BadParameter(f"--toy-truth {toy_truth}: expected random; values are given with --set")
    from dptoolkit.io.readers import check_file

    check_file(data)
    if field:
        others = {*OF_RECORDED, *OF_TOYS, *OF_FITS, "known_segments"} - {"set_", "place"}
        refuse(given, sorted(others), "means nothing with --field")
        from dptoolkit.cache import enable_compilation_cache
        from dptoolkit.cli.field import Asked as AskedOfField
        from dptoolkit.cli.field import calibrate_field

        enable_compilation_cache()
        known = resolution, tracker, t0_known, comparisons
        return calibrate_field(
            output, AskedOfField(detector, data, events, place, set_ or [], seed, *known), resume
        )
    refuse(given, OF_FIELD, "is for --field")
    toy_wanted = toy_truth is not None or bool(set_) or toy_detector is not None
    if not toy_wanted and not _is_recorded(data):
        raise typer.BadParameter(
            f"{data} holds no recorded read-out; to make a toy of its segments give a truth: "
            f"--toy-truth random, --set PATH=VALUE, or --toy-detector NAME"
        )
    if toy_wanted:
        refuse(given, ("known_segments", *OF_RECORDED), "is for recorded data; this is a toy")
    else:
        refuse(given, OF_TOYS, "is for toys; this is recorded data")
    if known_segments:
        refuse(given, ("t0", "dedx"), "is not needed with --known-segments, which say what happened")
    from dptoolkit.cache import enable_compilation_cache

    enable_compilation_cache()
    with busy("building the detector"):
        from dptoolkit.config import load_tpc
        from dptoolkit.inference.devices import use_all_cores

        use_all_cores()
        model = load_tpc(detector)
    if not toy_wanted:
        from dptoolkit.cli.recorded import Asked, calibrate_known, calibrate_recorded

        begun = parse_assignments(start or [], "--start")
        asked = Asked(paths(free), begun, prior or [], method, loss, events, t0, dedx, constants)
        run = calibrate_known if known_segments else calibrate_recorded
        return run(data, model, output, asked, resume)
    asked = _Options(model, paths(free), parse_assignments(start or [], "--start"), prior or [], noise, seed)
    maker = load_tpc(toy_detector) if toy_detector else model
    toy = asked.toy(maker, toy_truth == "random", set_ or [])
    batches = asked.batches(data, events, place)
    emptied(output, resume)
    problem = asked.problem(toy, *batches, loss)
    result, seconds = _fit(problem, method, output)
    _write(
        output,
        problem,
        result,
        toy,
        seconds,
        _facts(detector, toy_detector, data, seed, noise, problem) | told(prior),
        batches[0],
    )
    end(output, result)


def _is_recorded(data: Path) -> bool:
    from dptoolkit.io.recorded import holds_readout

    return holds_readout(data)


def _fit(problem: Any, method: str, output: Path) -> tuple[Any, float]:
    from functools import partial

    from dptoolkit.calibrate import calibrate as run

    checkpoint = output / "checkpoint.npz"
    return run_with_progress(problem, partial(run, problem, method=method, checkpoint=checkpoint))


def _write(
    output: Path, problem: Any, result: Any, toy: Any, seconds: float, facts: Any, batches: list[Any]
) -> None:
    from dataclasses import replace

    from dptoolkit.inference.calibration import table

    rows = table(problem, result, toy.truth)
    if not toy.noise:  # errors are those of a nominal noise then
        rows = [replace(row, pull=None) for row in rows]
    write_results(output, problem, result, rows, facts, {"seconds": seconds})
    say_results(problem, result, rows, seconds)
    write_report(output, problem, result, rows, facts, _budgets(problem, result, batches))


def _budgets(problem: Any, result: Any, batches: list[Any]) -> list[Any]:
    """What classes of events tell, where there are classes."""
    import jax.numpy as jnp

    from dptoolkit.calibrate import classes_of
    from dptoolkit.inference.information import information_budget
    from dptoolkit.views.calibration import budget_section

    if result.uncertainty is None:
        return []
    found, z = classes_of(batches, problem.detector), jnp.asarray(result.history[-1].z, problem.start.dtype)
    return [
        budget_section(what, information_budget(problem, z, labels))
        for what, labels in found.items()
        if len(set(labels)) > 1
    ]


class _Options:
    """The model and what is asked of it."""

    def __init__(self, model: Any, free: list[str], start: Any, priors: list[str], noise: bool, seed: int):
        from dptoolkit.calibrate import Calibration

        self.calibration = Calibration(model, free, noise, start)
        self.known = parse_priors(model, priors, self.calibration.paths)
        self.seed = seed

    def toy(self, maker: Any, drawn: bool, assignments: list[str]) -> Any:
        """The truth, in the detector that makes the toy: random values of what is free, and what --set gives.

        A parameter that the maker does not have has no truth.
        """
        import numpy as np

        from dptoolkit.calibrate import Toy, check_alike, truth_of
        from dptoolkit.params import get, infos

        check_alike(maker, self.calibration.detector)
        known = infos(maker)
        wanted = [path for path in self.calibration.paths if path.split("[")[0] in known]
        changed = set_parameters(maker, assignments)
        truth = {path: float(np.asarray(get(changed, path))) for path in parse_assignments(assignments)}
        if drawn:
            truth = truth_of(maker, wanted, self.seed, truth)
        for path in wanted:
            truth.setdefault(path, float(np.asarray(get(maker, path))))
        return Toy(maker, truth, self.calibration.noise, self.seed)

    def batches(self, data: Path, events: str, place: str) -> tuple[list[Any], list[int]]:
        """Segments of the file in batches, and the number of the first event of each."""
        from dptoolkit.calibrate import batches_of

        model = self.calibration.detector
        batches, numbers, notes = batches_of(data, model, events=events, how=place, seed=self.seed)
        for note in notes:
            say(note)
        return batches, numbers

    def problem(self, toy: Any, batches: list[Any], numbers: list[int], loss: str) -> Any:
        from dptoolkit.cli.output import progress
        from dptoolkit.inference.losses import loss_of
        from dptoolkit.inference.priors import informed

        say(f"simulating the toy; batches of events: {len(batches)}")
        observed = []
        with progress("simulating") as advance:
            for segments, number in zip(batches, numbers, strict=True):
                observed.append(toy.observe(segments, number))
                advance(len(observed), len(batches))
        problem = self.calibration.problem(batches, observed)
        problem = problem if loss == "auto" else problem.with_loss(loss_of(loss))
        return informed(problem, self.known)


def _facts(
    detector: str, maker: str | None, data: Path, seed: int, noise: bool, problem: Any
) -> dict[str, str]:
    quiet = "no noise; errors are those of a nominal one"
    kind = "noise; errors leave out the fluctuations of the charge" if noise else quiet
    return {
        "detector": detector,
        **({"toy made by": maker} if maker else {}),
        "data": data.name,
        "seed": str(seed),
        "toy": kind,
        "batches": str(len(problem.sources)),
    }
