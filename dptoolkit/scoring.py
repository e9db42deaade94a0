"""Scores of a challenge: how much a measurement tells of the hidden truth.

A parameter that was drawn evenly between `low` and `high` is reported as estimate +- error, a Gaussian. Its
score is the information gained, in bits: how many times more probable that Gaussian makes the truth than the
even distribution does,

    bits = log2((high - low) / (sqrt(2 pi) error)) - pull^2 / (2 ln 2),     pull = (estimate - truth) / error,

but no less than -10. On average nobody gains by another error than the honest one: half of it adds one bit as
long as the pull stays small, but doubles the pull. A parameter that is not reported gives 0 bits, as
does knowing nothing but the range. The total is the sum over all hidden parameters.

This module needs neither JAX nor the detector, so that many submissions are scored at once.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dptoolkit import units

TRUTH_SCHEMA = "dptoolkit.challenge-truth/1"
LEAST_BITS = -10.0
"""Of one parameter: a slip should not outweigh all the rest."""
MOST_BYTES = 2**20
"""A larger file is no submission."""
FORM = '{"parameters": [{"path": "drift.lifetime", "unit": "us", "estimate": 2100, "error": 90}, ...]}'

LEAVE_OUT = "leave the parameter out if nothing is known of it"


@dataclass(frozen=True)
class HiddenParameter:
    """A parameter whose value is to be found."""

    path: str
    unit: str
    low: float
    """It was drawn evenly between `low` and `high`."""
    high: float
    truth: float


@dataclass(frozen=True)
class Envelope:
    """What the organisers keep: the hidden parameters and the sample to which they belong."""

    detector: str
    seed: int
    sample_sha256: str
    parameters: tuple[HiddenParameter, ...]


@dataclass(frozen=True)
class Estimate:
    """What a submission says of a parameter, in its unit."""

    estimate: float
    error: float


@dataclass(frozen=True)
class Submission:
    """The estimates of hidden parameters, by path."""

    estimates: Mapping[str, Estimate]
    ignored: tuple[str, ...] = ()
    """Parameters that were reported and are not hidden."""


@dataclass(frozen=True)
class ParameterScore:
    """How good the estimate of one parameter is; None where nothing was reported."""

    path: str
    unit: str
    truth: float
    estimate: float | None
    error: float | None
    deviation_percent: float | None
    pull: float | None
    bits: float


@dataclass(frozen=True)
class Score:
    """How good a submission is."""

    total_bits: float
    parameters: tuple[ParameterScore, ...]

    def document(self) -> dict[str, Any]:
        """As JSON, but for schema and version."""
        return {"total_bits": self.total_bits, "parameters": [asdict(row) for row in self.parameters]}


def bits(estimate: Estimate, hidden: HiddenParameter) -> float:
    """The information gained."""
    pull = (estimate.estimate - hidden.truth) / estimate.error
    gained = math.log2((hidden.high - hidden.low) / (math.sqrt(2 * math.pi) * estimate.error))
    return max(gained - pull * pull / (2 * math.log(2)), LEAST_BITS)


def score(submission: Submission, envelope: Envelope) -> Score:
    """The score of what was reported."""
    rows = tuple(_scored(submission.estimates.get(hidden.path), hidden) for hidden in envelope.parameters)
    return Score(sum(row.bits for row in rows), rows)


def read_submission(path: str | Path, envelope: Envelope) -> Submission:
    """The estimates of a file: `result.json` of `calibrate`, or JSON written by hand."""
    path = Path(path)
    document = _json(path, "a submission")
    rows = document.get("parameters") if isinstance(document, dict) else document
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path}: holds no list of parameters; expected {FORM}")
    unit_of = {hidden.path: hidden.unit for hidden in envelope.parameters}
    found: dict[str, Estimate] = {}
    ignored = []
    for row in rows:
        name = str(row.get("path") or "").removeprefix("detector.")
        if not name:
            raise ValueError(f"{path}: a parameter has no 'path'; expected {FORM}")
        if name in found:
            raise ValueError(f"{path}: {name} is there twice; expected every parameter once")
        if name in unit_of:
            found[name] = _estimate(path, name, row, unit_of[name])
        else:
            ignored.append(name)
    if not found:
        raise ValueError(f"{path}: reports {', '.join(ignored)}; expected some of {', '.join(unit_of)}")
    return Submission(found, tuple(ignored))


def read_envelope(path: str | Path) -> Envelope:
    """The truth of a challenge."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f"{path}: no such file; the truth of a challenge is kept beside its folder, by those who made "
            f"it; name it with --truth, or make it again with challenge new and the same seed"
        )
    document = _json(path, "the truth of a challenge")
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != TRUTH_SCHEMA:
        raise ValueError(f"{path}: has the schema {schema!r}; expected {TRUTH_SCHEMA!r}, of challenge new")
    try:
        hidden = tuple(HiddenParameter(**row) for row in document["parameters"])
        return Envelope(document["detector"], document["seed"], document["sample_sha256"], hidden)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: is damaged ({error}); make it again with challenge new") from None


def _scored(found: Estimate | None, hidden: HiddenParameter) -> ParameterScore:
    if found is None:
        return ParameterScore(hidden.path, hidden.unit, hidden.truth, None, None, None, None, 0.0)
    return ParameterScore(
        hidden.path,
        hidden.unit,
        hidden.truth,
        found.estimate,
        found.error,
        100 * (found.estimate / hidden.truth - 1),
        (found.estimate - hidden.truth) / found.error,
        bits(found, hidden),
    )


def _json(path: Path, what: str) -> Any:
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; expected {what}, a JSON file")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(
            f"{path}: has {path.stat().st_size / 1e6:.1f} MB; expected {what}, a small JSON file"
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f"{path}: is no JSON{where}; expected {what}") from None


def _estimate(path: Path, name: str, row: Mapping[str, Any], unit: str) -> Estimate:
    found = Estimate(_number(path, name, row, "estimate", unit), _number(path, name, row, "error", unit))
    if not found.error > 0:
        raise ValueError(f"{path}: {name}: error = {found.error:g}; expected a positive number; {LEAVE_OUT}")
    return found


def _number(path: Path, name: str, row: Mapping[str, Any], key: str, unit: str) -> float:
    """In `unit`; the row's own unit and text such as "2.1 ms" are converted."""
    value = row.get(key)
    if value is None:
        raise ValueError(f"{path}: {name} has no {key!r}; expected a number; {LEAVE_OUT}")
    try:
        number = units.parse(value, unit)
        if not isinstance(value, str) and row.get("unit", unit) != unit:
            number = units.convert(number, str(row["unit"]), unit)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{path}: {name}: {key}: {error}") from None
    if not math.isfinite(number):
        raise ValueError(f"{path}: {name}: {key} = {value}; expected a finite number")
    return number
