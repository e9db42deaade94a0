"""`calibrate` with recorded read-out: along muons that are found in it, or along known segments."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dptoolkit import units
from dptoolkit.atomic import write_text
from dptoolkit.calibrate import Calibration, calibrate, known_events
from dptoolkit.calibration_constants import Constants, config_digest, with_constants
from dptoolkit.cli.describe import parse_priors
from dptoolkit.cli.output import as_json, busy
from dptoolkit.cli.results import (
    emptied,
    end,
    run_with_progress,
    say_results,
    told,
    write_report,
    write_results,
)
from dptoolkit.cli.shell import say
from dptoolkit.inference.calibration import table
from dptoolkit.inference.fit import fit
from dptoolkit.inference.losses import loss_of
from dptoolkit.inference.optimise import GaussNewton
from dptoolkit.inference.priors import informed
from dptoolkit.io.recorded import Recorded
from dptoolkit.recorded import (
    ControlSample,
    RecordedCalibration,
    control_sample,
    medium_of,
    residuals_of,
)
from dptoolkit.recorded.placed import read_recording
from dptoolkit.views.residuals import residual_sections

TOLERANCE = 0.02
"""Converged when the loss is expected to fall by less: a fifth of a standard deviation; tracks are fitted to
no more."""


@dataclass(frozen=True)
class Asked:
    """What the command line asks of a calibration with recorded data."""

    free: list[str]
    start: Mapping[str, str]
    priors: list[str]
    method: str
    loss: str
    events: str
    t0: str | None
    dedx: str
    constants: Path | None


def calibrate_recorded(data: Path, model: Any, output: Path, asked: Asked, resume: bool) -> None:
    """Find the tracks, fit, and write what was found."""
    detector = model
    if asked.constants is not None:
        detector, note = with_constants(model, asked.constants)
        say(note)
    recorded = read_recording(data, detector, asked.events)
    if asked.t0 is not None:
        recorded = recorded.at(_time(asked.t0))
    calibration = RecordedCalibration(detector, asked.free, asked.start, asked.dedx)
    known = parse_priors(detector, asked.priors, calibration.paths)  # refused before tracks are looked for
    with busy("looking for tracks"):
        sample = control_sample(recorded, detector)
    say(f"{data}: {sample.note}")
    medium = medium_of(detector)
    if medium.bias:
        say(f"note: {medium.bias}")
    emptied(output, resume)
    problem = calibration.problem(sample.tracks, None if asked.loss == "auto" else loss_of(asked.loss))
    problem = informed(problem, known)
    method = GaussNewton(tolerance=TOLERANCE) if asked.method == "gauss-newton" else asked.method
    run = partial(fit, problem, method=method, checkpoint=output / "checkpoint.npz")
    result, seconds = run_with_progress(problem, run)
    rows = table(problem, result, None)
    facts = _facts(recorded, model.name, sample, asked, medium.bias)
    z = problem.start + np.asarray(result.history[-1].z, problem.start.dtype)
    more = {"tracks": _tracks(problem, z, sample), "left_out": dict(sample.left_out), "seconds": seconds}
    write_results(output, problem, result, rows, facts, more)
    if result.uncertainty is not None:
        constants = _constants(problem, result, recorded, model, sample, asked, medium.bias)
        write_text(output / "constants.json", as_json("constants", constants.document()))
        say(f"{output / 'constants.json'}: written; simulate --constants takes it")
    say_results(problem, result, rows, seconds)
    for number in problem.unfitted(z):
        event = sample.tracks[number].number
        say(f"WARNING: event {event}: the fit of its track did not end; check its residuals")
    found = residuals_of(problem, z, sample.tracks)
    sections = residual_sections(found.distance, found.charge, found.time, medium.channels)
    write_report(output, problem, result, rows, facts, sections)
    end(output, result)


def calibrate_known(data: Path, model: Any, output: Path, asked: Asked, resume: bool) -> None:
    """Fit the read-out along the segments of the file, and write what was found."""
    detector = model
    if asked.constants is not None:
        detector, note = with_constants(model, asked.constants)
        say(note)
    calibration = Calibration(detector, asked.free, noise=True, start=asked.start)
    known = parse_priors(detector, asked.priors, calibration.paths)  # refused before anything is read
    batches, observed = known_events(data, detector, asked.events)
    emptied(output, resume)
    problem = calibration.problem(batches, observed)
    problem = problem if asked.loss == "auto" else problem.with_loss(loss_of(asked.loss))
    problem = informed(problem, known)
    run = partial(calibrate, problem, method=asked.method, checkpoint=output / "checkpoint.npz")
    result, seconds = run_with_progress(problem, run)
    rows = table(problem, result, None)
    facts = {"detector": model.name, "data": data.name, "segments": "known, of the file"} | told(asked.priors)
    write_results(output, problem, result, rows, facts, {"seconds": seconds})
    say_results(problem, result, rows, seconds)
    write_report(output, problem, result, rows, facts)
    end(output, result)


def _time(text: str) -> float:
    try:
        return float(units.parse(text, "us"))
    except ValueError as error:
        raise ValueError(f"--t0 {text!r}: {error}; expected a time such as '0 us'") from None


def _facts(
    recorded: Recorded, detector: str, sample: ControlSample, asked: Asked, bias: str
) -> dict[str, str]:
    t0 = "of the file" if asked.t0 is None else asked.t0
    return {
        "detector": detector,
        "data": recorded.path.name,
        "tracks": str(len(sample.tracks)),
        "t0": t0,
        "energy_loss": asked.dedx,
        **({"known bias": bias} if bias else {}),
        **told(asked.priors),
    }


def _tracks(problem: Any, z: Any, sample: ControlSample) -> list[dict[str, Any]]:
    """Every track as it was fitted: ends [cm], energy loss over that of the model."""
    rows = []
    unfitted = problem.unfitted(z)
    for number, track in enumerate(sample.tracks):
        values, errors = problem.own_values(z, number), problem.own_errors(z, number)
        rows.append(
            {
                "event": track.number,
                "stops": track.line.stops,
                "hits": track.line.n_hits,
                "fitted": number not in unfitted,
                "start_cm": values["source.start"].tolist(),
                "end_cm": values["source.end"].tolist(),
                "energy_loss_scale": float(values["source.scale"]),
                "energy_loss_scale_error": float(errors["source.scale"]),
            }
        )
    return rows


def _constants(
    problem: Any,
    result: Any,
    recorded: Recorded,
    model: Any,
    sample: ControlSample,
    asked: Asked,
    bias: str,
) -> Constants:
    flat = np.asarray(problem.coordinates.flat(result.estimate), float)
    names = tuple(name.removeprefix("detector.") for name in problem.names)
    units_of = [
        problem.infos[path].unit for path in problem.paths for _ in range(np.size(result.estimate[path]))
    ]
    numbers = [track.number for track in sample.tracks]
    return Constants(
        detector=model.name,
        config_digest=config_digest(model),
        names=names,
        units=tuple(units_of),
        values=flat,
        covariance=result.uncertainty.covariance,
        validity={"first_event": min(numbers), "last_event": max(numbers)},
        data={"file": recorded.path.name, "sha256": recorded.digest, "tracks": len(numbers)},
        method={
            "loss": type(problem.loss.alone).__name__,
            "energy_loss": asked.dedx,
            "converged": result.converged,
            "known_bias": bias,
        },
    )
