"""`calibrate --field`: the distortion of the drift field from cosmic muons, as a toy of known truth."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import typer

from dptoolkit import units
from dptoolkit.atomic import write_text
from dptoolkit.charge.field import UniformField
from dptoolkit.charge.poisson import PoissonField
from dptoolkit.charge.spline import SplineField, VoxelField
from dptoolkit.cli.describe import set_parameters
from dptoolkit.cli.output import as_json, busy
from dptoolkit.cli.results import emptied, end
from dptoolkit.cli.shell import say
from dptoolkit.config import load_tpc
from dptoolkit.field_calibration import (
    FieldCalibration,
    Recovered,
    measure,
    muon_paths,
    true_points,
    with_field,
)
from dptoolkit.field_map import FieldMap, Lattice, field_map, reference_points
from dptoolkit.io.placement import place
from dptoolkit.io.readers import read_segments
from dptoolkit.params import infos
from dptoolkit.reconstruction.bends import Resolution
from dptoolkit.surrogates.potential import NetworkField

SPACING, STEPS = 10.0, 20
"""Between points of a track: at most so much [cm], and so many over the drift length at least."""
TRACKER = 0.5
"""Of the case with a tracker, where none is asked for [cm]."""


@dataclass(frozen=True)
class Asked:
    """Options of the command."""

    detector: str
    data: Path
    events: str
    place: str
    assignments: list[str]
    seed: int
    resolution: str
    tracker: str | None
    t0_known: bool
    comparisons: bool

    def measured(self) -> Resolution:
        """What tracks are measured with."""
        point = _length("--resolution", self.resolution)
        tracker = None if self.tracker is None else _length("--tracker", self.tracker)
        return Resolution(point, point, tracker, self.t0_known)


@dataclass(frozen=True)
class Case:
    """A model of the field and what is known of the tracks."""

    name: str
    model: Any
    resolution: Resolution


def calibrate_field(output: Path, asked: Asked, resume: bool) -> None:
    """Make the toy, recover the field, and write what was found."""
    resolution = asked.measured()
    with busy("building the detector"):
        model = load_tpc(asked.detector)
        truth = set_parameters(_distorted(model), asked.assignments)
    with busy("reading the muons"):
        file, note = place(read_segments(asked.data).select(asked.events), model.volumes, asked.place)
        spacing = min(SPACING, model.volumes.drift_length / STEPS)
        paths = muon_paths(file, model.volumes, spacing)
    say(note)
    n_points = sum(len(path.points) for path in paths)
    say(f"{asked.data}: {len(paths)} muons, {n_points} points, {spacing:.3g} cm apart")
    emptied(output, resume)
    began = time.monotonic()
    runs: dict[str, tuple[Recovered, FieldMap, float]] = {}
    for case in _cases(len(model.volumes), resolution, asked):
        tracks = measure(paths, truth, case.resolution, asked.seed)
        started = time.monotonic()
        recovered = _fitted(case, model, tracks, output)
        say(f"{case.name}: making the map")
        points, _ = true_points(tracks, recovered.detector)
        seen = points, [track.volume for track in tracks]
        found = field_map(recovered, truth, Lattice(model.volumes), seen)
        runs[case.name] = recovered, found, time.monotonic() - started
        _say(case.name, found)
        _write(output, asked, truth, runs, (len(paths), time.monotonic() - began))
        if recovered.stopped == "interrupted":
            break
    main = next(iter(runs.values()))[0]
    _report(output, asked, truth, runs, (len(paths), time.monotonic() - began))
    last = next(reversed(runs.values()))[0]
    end(output, (last if last.stopped == "interrupted" else main).results[-1])


def _distorted(model: Any) -> Any:
    """The detector with the field of a space charge, unless it has a distorted field of its own."""
    if not isinstance(model.field, UniformField):
        return model
    return replace(model, field=PoissonField(strength=model.field.nominal()))


def _cases(n_volumes: int, resolution: Resolution, asked: Asked) -> list[Case]:
    """The network first; then what it is compared with."""
    network = NetworkField(groups=n_volumes, seed=asked.seed)
    cases = [Case("network", network, resolution)]
    if asked.comparisons:
        with_tracker = replace(resolution, tracker=resolution.tracker or TRACKER)
        other = replace(resolution, tracker=None) if resolution.tracker else with_tracker
        cases += [
            Case("spline", SplineField(groups=n_volumes), resolution),
            Case("voxels", VoxelField(groups=n_volumes), resolution),
            Case("network, free ends" if resolution.tracker else "network, tracker", network, other),
            Case("network, t0 unknown", network, replace(with_tracker, t0_known=False)),
        ]
    return cases


def _fitted(case: Case, detector: Any, tracks: list[Any], output: Path) -> Recovered:
    calibration = FieldCalibration(detector, case.model, case.resolution)
    name = case.name.replace(", ", "-").replace(" ", "-")
    with busy(case.name) as show:

        def watch(problem: Any, number: int) -> None:
            say(f"{case.name}: pass {number}, {len(problem.start)} parameters")
            problem.watch = lambda what, done, total: show(f"{case.name}: {what}, batch {done} of {total}")

        def tell(snapshot: Any, number: int) -> None:
            left = snapshot.expected_decrease
            say(f"pass {number}, step {snapshot.step:3d}   loss {snapshot.loss:14.6g}   to fall {left:10.3g}")

        return calibration.run(tracks, tell, output / f"checkpoint-{name}.npz", watch)


def _say(name: str, found: FieldMap) -> None:
    numbers = found.summary()
    covered, whole = numbers["covered"], numbers["whole"]
    key = "mean_absolute_error_V_per_cm"
    say(
        f"{name}: mean absolute error of |E| {covered[key]:.3g} V/cm where tracks are, {whole[key]:.3g} V/cm "
        f"in the whole volume; without correction {whole['without_correction_V_per_cm']:.3g} V/cm"
    )


def _write(output: Path, asked: Asked, truth: Any, runs: dict[str, Any], spent: tuple[int, float]) -> None:
    """result.json and detector.yaml; `spent`: tracks and seconds."""
    n_tracks, seconds = spent
    recovered, found, _ = next(iter(runs.values()))
    result = recovered.results[-1]
    known = result.uncertainty
    rows, correlation = reference_points(recovered, truth)
    facts = {"detector": asked.detector, "data": asked.data.name, "seed": str(asked.seed)}
    document = {
        **facts,
        "tracks": n_tracks,
        "space_points": f"standard error {asked.resolution} in each coordinate",
        "spacing_cm": min(SPACING, truth.volumes.drift_length / STEPS),
        "tracker": asked.tracker,
        "t0_known": asked.t0_known,
        "truth": {
            "type": type(truth.field).__name__,
            **{path: np.asarray(info.value, float).tolist() for path, info in infos(truth.field).items()},
        },
        "loss_name": type(recovered.problem.loss).__name__,
        "parameters": rows,
        "correlation": correlation,
        "fisher_eigenvalues": [] if known is None else known.eigenvalues.tolist(),
        "unidentifiable": [] if known is None else known.unidentifiable,
        "steps": sum(part.steps for part in recovered.results),
        "stopped": result.stopped,
        "converged": result.converged,
        "loss": result.loss,
        "seconds": seconds,
        "field": found.summary(),
        "comparisons": {
            name: {
                **map_.summary(),
                "converged": one.converged,
                "parameters": len(one.problem.start),
                "seconds": s,
            }
            for name, (one, map_, s) in runs.items()
        },
    }
    write_text(output / "result.json", as_json("field-calibration", document))
    write_text(output / "detector.yaml", with_field(truth.source, recovered.model))


def _report(output: Path, asked: Asked, truth: Any, runs: dict[str, Any], spent: tuple[int, float]) -> None:
    from dptoolkit.views.field import field_report

    recovered = next(iter(runs.values()))[0]
    facts = {"detector": asked.detector, "data": asked.data.name, "seed": str(asked.seed)}
    facts |= {"tracks": str(spent[0]), "seconds": f"{spent[1]:.0f}"}
    maps = {name: map_ for name, (_, map_, _) in runs.items()}
    rows, _ = reference_points(recovered, truth)
    write_text(output / "report.html", field_report(maps, recovered.results[-1], rows, facts))
    say(f"{output / 'result.json'} and {output / 'report.html'}: written")
    say(f"{output / 'detector.yaml'}: the detector with this field; simulate --detector takes it")


def _length(option: str, text: str) -> float:
    try:
        value = float(units.parse(text, "cm"))
    except ValueError as error:
        raise ValueError(f"{option} {text!r}: {error}; expected a length such as '1 mm'") from None
    if not value > 0:
        raise typer.BadParameter(f"{option} {text}: expected a positive length such as '1 mm'")
    return value
