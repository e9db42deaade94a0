"""Files: readers of foreign formats, the native HDF5 format, placement of a file in a detector."""

from dptoolkit.io.errors import InputError
from dptoolkit.io.event_file import EventFile, events_slice
from dptoolkit.io.native import Batch, NativeWriter, Run, made_by, partial_of, unfinished, write_native
from dptoolkit.io.native_reader import NativeFile, is_native, read_native
from dptoolkit.io.placement import count_outside, outside_notes, place
from dptoolkit.io.readers import read_segments
from dptoolkit.io.readout import Truth

__all__ = [
    "Batch",
    "EventFile",
    "InputError",
    "NativeFile",
    "NativeWriter",
    "Run",
    "Truth",
    "count_outside",
    "events_slice",
    "is_native",
    "made_by",
    "outside_notes",
    "partial_of",
    "place",
    "read_native",
    "read_segments",
    "unfinished",
    "write_native",
]
