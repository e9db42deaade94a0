"""Makers of small files, and what is in them."""

from pathlib import Path

import h5py
import numpy as np

NUMBERS = (3, 7, 12)
COLUMNS = [("eventID", "u4"), ("trackID", "u4"), ("pdgId", "i4"), ("dE", "f4"), ("dx", "f4"), ("t0", "f8")]
COLUMNS += [(f"{axis}_{end}", "f4") for end in ("start", "end") for axis in "xyz"]


def write_muons(path: Path, numbers: tuple[int, ...], steps: int = 10) -> Path:
    rng = np.random.default_rng(4)
    rows = np.zeros(len(numbers) * steps, COLUMNS)
    for index, number in enumerate(numbers):
        event = rows[index * steps : (index + 1) * steps]
        direction = rng.normal(size=3)
        direction *= 0.4 / np.linalg.norm(direction)
        points = rng.uniform(-3, 3, 3) + np.arange(steps + 1)[:, None] * direction
        event["eventID"], event["trackID"], event["pdgId"] = number, 1, 13
        event["dE"], event["dx"] = 0.85, 0.4
        for axis, name in enumerate("xyz"):
            event[f"{name}_start"], event[f"{name}_end"] = points[:-1, axis], points[1:, axis]
    with h5py.File(path, "w") as file:
        file["segments"] = rows
    return path


def datasets(path: Path) -> dict[str, np.ndarray]:
    """Every dataset of a file by name."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
    return found


def assert_same(first: Path, second: Path) -> None:
    one, two = datasets(first), datasets(second)
    assert one.keys() == two.keys()
    for name, values in one.items():
        assert np.array_equal(values, two[name]), name
