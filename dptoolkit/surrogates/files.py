"""The HDF5 files of surrogates: what they say they are, and arrays that stay on disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Group = Any
"""A file, group or dataset of h5py, whose own annotations do not say what an index gives."""


@contextmanager
def opened(path: str | Path, kind: str, version: int) -> Iterator[Group]:
    """A file for reading; raises `ValueError` if it is not there or not of this `kind` and version."""
    if not Path(path).is_file():
        raise ValueError(f"{path}: there is no such file; expected a {kind} of dptoolkit train-visibility")
    if not h5py.is_hdf5(path):
        raise ValueError(f"{path}: is no HDF5 file; expected a {kind} of dptoolkit train-visibility")
    with h5py.File(path, "r") as file:
        found = file.attrs.get("format")
        if found != f"dptoolkit-{kind}":
            raise ValueError(f"{path}: format {found!r}; expected a {kind} of dptoolkit train-visibility")
        if file.attrs.get("version") != version:
            raise ValueError(
                f"{path}: version {file.attrs.get('version')} of a {kind}; expected {version}: make it anew"
            )
        yield file


def labelled(file: Group, kind: str, version: int) -> None:
    """Write what `opened` looks for."""
    file.attrs["format"], file.attrs["version"] = f"dptoolkit-{kind}", version


def on_disk(path: str | Path, dataset: Group) -> np.ndarray:
    """The values of a contiguous dataset, read when they are used."""
    offset = dataset.id.get_offset()
    if offset is None:
        return dataset[()]
    return np.memmap(path, dataset.dtype, "r", offset, dataset.shape)
