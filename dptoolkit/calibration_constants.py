"""Calibration constants: what a calibration found, for whom it holds, and how to put it into a detector.

A JSON file, schema `dptoolkit.constants/1`:

    detector      name, and config_sha256: digest of the configuration to which the constants belong
    parameters    a list of path, unit, value, error; a value of an array has its index in the path
    covariance    of the values, in the order of the parameters and in their units, the sources' share
                  included; null where the data say nothing
    validity      first and last event number of the data
    data          name and sha256 of the file, tracks: how many were used
    method        in words: which model of the tracks, which loss, what bias is known; whether it converged

`with_constants` sets the values; it refuses another detector, and says when the configuration has changed
since or the fit had not converged.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from dptoolkit.config import Detector
from dptoolkit.params import infos, replace

AnyDetector = TypeVar("AnyDetector", bound=Detector)

SCHEMA = "dptoolkit.constants/1"


@dataclass(frozen=True)
class Constants:
    """Values with their covariance; `names` are paths below the detector, with an index where needed."""

    detector: str
    config_digest: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    values: np.ndarray
    covariance: np.ndarray
    validity: Mapping[str, Any]
    data: Mapping[str, Any]
    method: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        """What the file holds, but for schema and version."""
        errors = np.sqrt(np.diag(self.covariance))
        rows = zip(self.names, self.units, self.values, errors, strict=True)
        return {
            "detector": {"name": self.detector, "config_sha256": self.config_digest},
            "parameters": [
                {"path": path, "unit": unit, "value": float(value), "error": float(error)}
                for path, unit, value, error in rows
            ],
            "covariance": self.covariance.tolist(),
            "validity": dict(self.validity),
            "data": dict(self.data),
            "method": dict(self.method),
        }


def config_digest(detector: Detector) -> str:
    """SHA-256 of the configuration, whatever its order and comments."""
    config = yaml.safe_load(detector.source)
    config.pop("description", None)
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def read_constants(path: str | Path) -> dict[str, Any]:
    """The document of a file of constants; checks what `with_constants` needs."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected constants.json of a calibration")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise ValueError(f"{path}: is no JSON; expected constants.json of a calibration") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise ValueError(
            f"{path}: has the schema {schema!r}; expected {SCHEMA!r}: constants.json of a calibration"
        )
    missing = [key for key in ("detector", "parameters") if key not in document]
    if missing:
        raise ValueError(f"{path}: {missing[0]!r} is missing; the file is damaged; calibrate again")
    return document


def with_constants(detector: AnyDetector, path: str | Path) -> tuple[AnyDetector, str]:
    """(the detector with the values of a file of constants, one line that says what was done)."""
    document = read_constants(path)
    made_for = document["detector"]
    if made_for.get("name") != detector.name:
        raise ValueError(
            f"{path}: constants of the detector {made_for.get('name')!r}; expected those of "
            f"{detector.name!r}; give --detector {made_for.get('name')}"
        )
    known, values = infos(detector), {}
    for row in document["parameters"]:
        name, unit = row["path"], row["unit"]
        info = known.get(name.split("[")[0])
        if info is None or info.unit != unit or not isinstance(row["value"], float | int):
            found = "is unknown" if info is None else f"has the unit {info.unit!r}"
            raise ValueError(
                f"{path}: {name} = {row['value']} {unit}: the parameter {found} in {detector.name}"
            )
        values[name] = float(row["value"])
    note = f"constants: {', '.join(values)} from {Path(path).name}"
    if made_for.get("config_sha256") != config_digest(detector):
        note += f"; WARNING: the configuration of {detector.name} is not the one they were made with"
    if not document.get("method", {}).get("converged", True):
        note += "; WARNING: the fit that made them did not converge"
    return replace(detector, values), note
