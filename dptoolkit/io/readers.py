"""Reading segments: the format is recognised by content.

A format is one class in one file of `dptoolkit/io/formats/`: a `Reader` with `matches` and `read`.
It registers itself; nothing else needs an edit.
"""

import importlib
import pkgutil
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np

from dptoolkit.io.errors import InputError
from dptoolkit.io.event_file import EventFile

Contents = Mapping[str, Any]
"""An open HDF5 file, or the arrays of an npz file, by name."""

READERS: dict[str, type["Reader"]] = {}


class Reader(ABC):
    """A file format."""

    name: ClassVar[str]
    layout: ClassVar[str]
    """What such a file holds, in a few words; error messages list it."""

    def __init_subclass__(cls) -> None:
        READERS[cls.name] = cls

    @staticmethod
    @abstractmethod
    def matches(contents: Contents) -> bool:
        """Whether a file is of this format, by its content."""

    @staticmethod
    @abstractmethod
    def read(contents: Contents, path: Path) -> EventFile:
        """The segments, in our units and the file's own frame."""


def read_segments(path: str | Path) -> EventFile:
    """The segments of a file in any format known here."""
    path = Path(path)
    with open_contents(path) as contents:
        return reader_of(contents, path).read(contents, path)


def reader_of(contents: Contents, path: Path) -> type[Reader]:
    """The reader whose format the file has."""
    readers = known_readers()
    for reader in readers.values():
        if reader.matches(contents):
            return reader
    found = ", ".join(_names(contents)) or "nothing"
    formats = "; ".join(f"{reader.name} ({reader.layout})" for reader in readers.values())
    raise InputError(
        f"{path}: not a format known here: it holds {found}; expected one of: {formats}; "
        f"convert the file or add a reader to dptoolkit/io/formats"
    )


def known_readers() -> dict[str, type[Reader]]:
    """Every format by name."""
    folder = importlib.import_module("dptoolkit.io.formats")
    for module in sorted(found.name for found in pkgutil.iter_modules(folder.__path__)):
        importlib.import_module(f"{folder.__name__}.{module}")
    return READERS


@contextmanager
def open_contents(path: Path) -> Iterator[Contents]:
    """The file, open; whatever goes wrong below HDF5 or zip becomes an `InputError`."""
    check_file(path)
    try:
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as contents:
                yield contents
        elif zipfile.is_zipfile(path):
            with np.load(path, allow_pickle=False) as contents:
                yield contents
        else:
            raise InputError(_not_a_container(path))
    except InputError:
        raise
    except (OSError, RuntimeError, KeyError, zipfile.BadZipFile, ValueError, EOFError) as error:
        reason = str(error.args[0] if error.args else error)
        raise InputError(
            f"{path}: cannot be read to its end: {reason}; the file is truncated or corrupt; "
            f"copy or make it again"
        ) from error


def check_file(path: Path) -> None:
    """An error unless `path` is a file with something in it."""
    if path.is_dir():
        files = sorted(entry.name for entry in path.iterdir() if entry.suffix in (".h5", ".hdf5", ".npz"))
        inside = f"it holds {', '.join(files[:5])}" if files else "it holds no .h5 or .npz file"
        raise InputError(f"{path}: is a folder; expected a file; {inside}")
    if not path.exists():
        raise InputError(f"{path}: no such file; {_neighbours(path)}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes); expected HDF5 or npz; make it again")


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist either; correct the path"
    names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    close = get_close_matches(path.name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"nothing in {path.parent} has a similar name"


def _not_a_container(path: Path) -> str:
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == b"root":
        return f"{path}: is a ROOT file; expected HDF5; convert edep-sim output with larnd-sim's dumpTree.py"
    if magic[:2] == b"PK" or path.suffix == ".npz":
        return f"{path}: is no readable npz archive; it is truncated or corrupt; copy or make it again"
    return (
        f"{path}: is neither HDF5 nor npz (it starts with {magic!r}); expected one of these; convert the file"
    )


def _names(contents: Contents, limit: int = 12) -> list[str]:
    names: list[str] = []
    if isinstance(contents, h5py.File):
        contents.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    else:
        names = list(contents)
    kind = "datasets " if names else ""
    shown = [*names[:limit], *([f"and {len(names) - limit} more"] if len(names) > limit else [])]
    return [kind + shown[0], *shown[1:]] if shown else []
