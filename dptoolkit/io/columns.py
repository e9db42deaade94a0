"""Columns of numbers out of a file, checked: present, finite, of the right sign, in our units."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dptoolkit import units
from dptoolkit.io.errors import InputError


class StructuredTable:
    """A structured array of a file, whose columns are checked as they are taken."""

    def __init__(self, path: Path, name: str, rows: Any) -> None:
        self.path, self.name, self.rows = path, name, np.asarray(rows)
        if self.rows.dtype.names is None:
            raise InputError(
                f"{path}: dataset {name!r} has plain numbers of type {self.rows.dtype} and shape "
                f"{self.rows.shape}; expected a structured dataset with named columns"
            )
        if self.rows.ndim != 1:
            raise InputError(f"{path}: dataset {name!r} has shape {self.rows.shape}; expected one row a step")

    def __contains__(self, column: str) -> bool:
        return column in (self.rows.dtype.names or ())

    def __len__(self) -> int:
        return len(self.rows)

    def require(self, *columns: str) -> None:
        """An error that names what is missing and what is there."""
        present = self.rows.dtype.names or ()
        missing = [column for column in columns if column not in present]
        if missing:
            raise InputError(
                f"{self.path}: dataset {self.name!r} lacks column(s) {', '.join(missing)}; "
                f"it has {', '.join(present)}; add or rename the missing ones"
            )

    def one_of(self, *aliases: str) -> str:
        """The first of `aliases` that is a column here."""
        for alias in aliases:
            if alias in self:
                return alias
        self.require(aliases[0])
        raise AssertionError("unreachable")

    def real(self, column: str, factor: float = 1.0) -> np.ndarray:
        """A column of finite numbers, times `factor`."""
        self.require(column)
        return finite(self.path, f"{self.name}.{column}", self.rows[column]) * factor

    def positive(self, column: str, factor: float = 1.0) -> np.ndarray:
        """A column of finite numbers that are not negative."""
        return non_negative(self.path, f"{self.name}.{column}", self.real(column, factor))

    def integer(self, column: str) -> np.ndarray:
        """A column of whole numbers."""
        self.require(column)
        return whole(self.path, f"{self.name}.{column}", self.rows[column])

    def point(self, columns: Sequence[str], factor: float = 1.0) -> np.ndarray:
        """Three columns as positions, shape (n, 3)."""
        return np.stack([self.real(column, factor) for column in columns], axis=1)


def finite(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """`values` as float64; an error counts what is NaN or infinite."""
    try:
        values = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        kind = np.asarray(values).dtype
        raise InputError(f"{path}: column {name!r} has type {kind}; expected numbers") from None
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise InputError(
            f"{path}: column {name!r} has {len(bad)} of {len(values)} values that are NaN or infinite, "
            f"the first in row {bad[0]}; expected finite numbers; remove or repair those rows"
        )
    return values


def non_negative(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """`values`; an error counts what is below zero."""
    bad = np.flatnonzero(values < 0)
    if len(bad):
        raise InputError(
            f"{path}: column {name!r} has {len(bad)} of {len(values)} values below zero, the first "
            f"({values[bad[0]]:g}) in row {bad[0]}; expected zero or more; remove or repair those rows"
        )
    return values


def whole(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """`values` as int64; an error where they are not whole numbers."""
    values = np.asarray(values)
    if values.dtype.kind not in "iub":
        values = finite(path, name, values)
        if (values != np.round(values)).any():
            raise InputError(f"{path}: column {name!r} has fractions; expected whole numbers")
    return values.astype(np.int64)


def unit_factor(
    path: Path, name: str, attributes: Mapping[str, Any], key: str, default: str, to: str
) -> float:
    """Factor to `to` from the unit that `attributes[key]` names, or from `default`."""
    unit = attributes.get(key, default)
    unit = unit.decode() if isinstance(unit, bytes) else str(unit)
    if unit == to:
        return 1.0
    try:
        return units.convert(1.0, unit, to)
    except ValueError:
        raise InputError(
            f"{path}: {name!r} has {key} {unit!r}; expected a unit that converts to {to!r}; "
            f"correct the attribute"
        ) from None


def step_length(start: np.ndarray, end: np.ndarray, dx: np.ndarray | None) -> np.ndarray:
    """Path length [cm]: the file's where it is positive, else the distance from start to end."""
    distance = np.linalg.norm(end - start, axis=1)
    return distance if dx is None else np.where(dx > 0, dx, distance)
