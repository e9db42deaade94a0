"""The native format as a source of segments; `dptoolkit.io.native` documents it."""

from pathlib import Path

import h5py

from dptoolkit.io.errors import InputError
from dptoolkit.io.event_file import EventFile
from dptoolkit.io.native_reader import is_native, read_event_file
from dptoolkit.io.readers import Contents, Reader


class Native(Reader):
    """What `dptoolkit.io.write_native` writes."""

    name = "dptoolkit"
    layout = "HDF5 with root attribute format='dptoolkit'"

    @staticmethod
    def matches(contents: Contents) -> bool:
        return isinstance(contents, h5py.File) and is_native(contents)

    @staticmethod
    def read(contents: Contents, path: Path) -> EventFile:
        assert isinstance(contents, h5py.File)
        event_file = read_event_file(contents, path)
        if len(event_file) == 0:
            raise InputError(f"{path}: holds no segments, only readout; expected a file with energy deposits")
        return event_file
