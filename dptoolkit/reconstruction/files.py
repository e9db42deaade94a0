"""Reconstructed events in the native format: the fitted segments, and the group `reconstruction` beside them.

    reconstruction/fits/          a row an event: status (1 reconstructed, 0 not), reason, hypothesis, loss,
                                  converged, stopped, seconds
    reconstruction/parameters/    name, unit, value, error (inf: the data do not tell)
    reconstruction/covariance/    row, column (numbers of parameters of the event), value
    reconstruction/hypotheses/    name, log_likelihood
    reconstruction/segments/      more about every row of `segments`: de_error, ...

All are tables with `event_offsets`. Events that were not reconstructed have a reason and no segments.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dptoolkit.events import segments_from_arrays
from dptoolkit.io.errors import InputError
from dptoolkit.io.native import Batch
from dptoolkit.io.native_reader import NativeFile, open_native, read_native
from dptoolkit.io.native_tables import OFFSETS, Group, read_table
from dptoolkit.io.readout import Readout
from dptoolkit.reconstruction.result import NotReconstructed, Reconstructed

GROUP = "reconstruction"
TEXT = h5py.string_dtype()
Result = Reconstructed | NotReconstructed


@dataclass(frozen=True)
class Reconstruction:
    """A file of reconstructed events."""

    native: NativeFile
    events: Sequence[Result]

    @property
    def reconstructed(self) -> list[Reconstructed]:
        """Those that have a result."""
        return [event for event in self.events if isinstance(event, Reconstructed)]


def batch_of(result: Result, readout: dict[str, Readout]) -> Batch:
    """One event on its way into a file, with the read-out it was found in."""
    fitted = result if isinstance(result, Reconstructed) else None
    nothing = segments_from_arrays(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))
    columns = {} if fitted is None else fitted.columns
    units = {name: unit for name, (_, unit) in columns.items()} | {"seconds": "s"}
    n = 0 if fitted is None else len(fitted.segments)
    more = {name: np.asarray(values) for name, (values, _) in columns.items()}
    tables = {
        "fits": _fits(result),
        "parameters": _parameters(fitted),
        "covariance": _covariance(fitted),
        "hypotheses": _hypotheses(fitted),
        "segments": {"event": np.zeros(n, np.int32), **more},
    }
    return Batch(
        np.array([result.number]),
        nothing if fitted is None else fitted.segments,
        readout,
        more={f"{GROUP}/{name}": table for name, table in tables.items()},
        more_units=units,
    )


def read_reconstruction(path: str | Path) -> Reconstruction:
    """What `reconstruct` wrote."""
    path = Path(path)
    native = read_native(path)
    with open_native(path, "the output of reconstruct") as contents:
        if GROUP not in contents:
            raise InputError(
                f"{path}: group {GROUP!r} is missing; expected the output of dptoolkit reconstruct"
            )
        n = len(native.event_file.event_numbers)
        tables = {name: _read(contents[GROUP], name, path, n) for name in contents[GROUP]}
        units = {name: str(part.attrs["unit"]) for name, part in contents[f"{GROUP}/segments"].items()
                 if "unit" in part.attrs}  # fmt: skip
    events = [_event(native, tables, units, index) for index in range(n)]
    return Reconstruction(native, events)


def has_reconstruction(contents: Group) -> bool:
    """Whether an open native file holds reconstructed events."""
    return GROUP in contents


def _fits(result: Result) -> dict[str, np.ndarray]:
    fitted = result if isinstance(result, Reconstructed) else None
    reason = "" if isinstance(result, Reconstructed) else result.reason
    return {
        "event": np.zeros(1, np.int32),
        "status": np.array([fitted is not None], np.int32),
        "reason": _texts([reason]),
        "hypothesis": _texts([fitted.hypothesis if fitted else ""]),
        "loss": np.array([fitted.loss if fitted else np.nan]),
        "converged": np.array([fitted is not None and fitted.converged], np.int32),
        "stopped": _texts([fitted.stopped if fitted else ""]),
        "seconds": np.array([fitted.seconds if fitted else 0.0]),
    }


def _parameters(fitted: Reconstructed | None) -> dict[str, np.ndarray]:
    names, units = (fitted.names, fitted.units) if fitted else ((), ())
    values = fitted.values if fitted else np.zeros(0)
    errors = np.sqrt(np.diag(fitted.covariance)) if fitted else np.zeros(0)
    return {
        "event": np.zeros(len(names), np.int32),
        "name": _texts(names),
        "unit": _texts(units),
        "value": np.asarray(values, float),
        "error": np.asarray(errors, float),
    }


def _covariance(fitted: Reconstructed | None) -> dict[str, np.ndarray]:
    matrix = fitted.covariance if fitted else np.zeros((0, 0))
    row, column = np.indices(matrix.shape)
    return {
        "event": np.zeros(matrix.size, np.int32),
        "row": row.ravel().astype(np.int32),
        "column": column.ravel().astype(np.int32),
        "value": np.asarray(matrix, float).ravel(),
    }


def _hypotheses(fitted: Reconstructed | None) -> dict[str, np.ndarray]:
    known = dict(fitted.log_likelihoods) if fitted else {}
    return {
        "event": np.zeros(len(known), np.int32),
        "name": _texts(list(known)),
        "log_likelihood": np.array(list(known.values()), float),
    }


def _texts(values: Sequence[str]) -> np.ndarray:
    return np.array(list(values), dtype=TEXT)


def _read(group: Group, name: str, path: Path, n: int) -> dict[str, np.ndarray]:
    table = read_table(group[name], path, (0, n), n)
    texts = [column for column, part in group[name].items() if column != OFFSETS and part.dtype == TEXT]
    return {**table, **{column: np.array([_text(x) for x in table[column]], object) for column in texts}}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _event(
    native: NativeFile, tables: dict[str, dict[str, np.ndarray]], units: dict[str, str], index: int
) -> Result:
    """The result of the event at this position."""
    of = {name: {c: x[table["event"] == index] for c, x in table.items()} for name, table in tables.items()}
    fit = {name: column[0] for name, column in of["fits"].items()}
    number = int(native.event_file.event_numbers[index])
    if not fit["status"]:
        return NotReconstructed(number, str(fit["reason"]))
    rows = native.event_file.columns["event"] == index
    columns = {name: column[rows] for name, column in native.event_file.columns.items() if name != "event"}
    k = len(of["parameters"]["name"])
    more = {name: (x, units[name]) for name, x in of["segments"].items() if name != "event"}
    return Reconstructed(
        number=number,
        segments=segments_from_arrays(**columns),
        names=tuple(of["parameters"]["name"]),
        units=tuple(of["parameters"]["unit"]),
        values=of["parameters"]["value"],
        covariance=of["covariance"]["value"].reshape(k, k),
        columns=more,
        log_likelihoods=dict(
            zip(of["hypotheses"]["name"], map(float, of["hypotheses"]["log_likelihood"]), strict=True)
        ),
        hypothesis=str(fit["hypothesis"]),
        loss=float(fit["loss"]),
        converged=bool(fit["converged"]),
        stopped=str(fit["stopped"]),
        seconds=float(fit["seconds"]),
    )
