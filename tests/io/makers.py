"""Columns of the foreign formats, and small files of them."""

from pathlib import Path

import h5py
import numpy as np

LARNDSIM = [
    ("eventID", "u4"), ("trackID", "u4"), ("pdgId", "i4"), ("dEdx", "f4"), ("dE", "f4"), ("dx", "f4"),
    ("x_start", "f4"), ("y_start", "f4"), ("z_start", "f4"), ("x_end", "f4"), ("y_end", "f4"),
    ("z_end", "f4"), ("t0", "f8"),
]  # fmt: skip
STEPS = [
    ("event", "i4"), ("track", "i4"), ("pdg", "i4"), ("x0", "f4"), ("y0", "f4"), ("z0", "f4"), ("x1", "f4"),
    ("y1", "f4"), ("z1", "f4"), ("t0", "f4"), ("t1", "f4"), ("ek0", "f4"), ("ek1", "f4"), ("de", "f4"),
]  # fmt: skip
PSTEP = [
    ("x", "f4"), ("y", "f4"), ("z", "f4"), ("t", "f4"), ("theta", "f4"), ("phi", "f4"), ("pdg", "i4"),
    ("track_id", "i4"), ("ancestor_track_id", "i4"), ("de", "f4"), ("dx", "f4"),
]  # fmt: skip


def write_dataset(path: Path, name: str, rows: np.ndarray, **attributes: str) -> Path:
    with h5py.File(path, "w") as file:
        file[name] = rows
        file[name].attrs.update(attributes)
    return path


def write_pstep(path: Path, events: list[np.ndarray], numbers: list[int] | None = None) -> Path:
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("pstep/lar_vol", (len(events),), dtype=h5py.vlen_dtype(np.dtype(PSTEP)))
        for index, rows in enumerate(events):
            dataset[index] = rows
        if numbers is not None:
            file["event/geant4"] = np.array([(n,) for n in numbers], [("event_id", "i4")])
    return path
