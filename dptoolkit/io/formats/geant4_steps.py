"""Geant4 steps with both ends, as in `geant4/` of the reference data: HDF5 or npz, mm, ns, MeV.

Attributes `length_unit`, `time_unit`, `energy_unit` of the dataset say otherwise.
"""

from pathlib import Path

import numpy as np

from dptoolkit.io.columns import StructuredTable, step_length, unit_factor
from dptoolkit.io.event_file import EventFile
from dptoolkit.io.readers import Contents, Reader


class Geant4Steps(Reader):
    """Structured array `steps`."""

    name = "geant4-steps"
    layout = "HDF5 or npz array 'steps' with event, track, pdg, x0 y0 z0 x1 y1 z1, t0, de, ek0, ek1"

    @staticmethod
    def matches(contents: Contents) -> bool:
        return "steps" in contents and hasattr(contents["steps"], "dtype")

    @staticmethod
    def read(contents: Contents, path: Path) -> EventFile:
        steps = contents["steps"]
        attributes = dict(getattr(steps, "attrs", {}))
        table = StructuredTable(path, "steps", steps[()])
        table.require("event", "track", "pdg", "x0", "y0", "z0", "x1", "y1", "z1", "de")
        cm = unit_factor(path, "steps", attributes, "length_unit", "mm", "cm")
        us = unit_factor(path, "steps", attributes, "time_unit", "ns", "us")
        mev = unit_factor(path, "steps", attributes, "energy_unit", "MeV", "MeV")
        start, end = table.point(["x0", "y0", "z0"], cm), table.point(["x1", "y1", "z1"], cm)
        columns = {
            "start": start,
            "end": end,
            "de": table.positive("de", mev),
            "dx": step_length(start, end, table.positive("dx", cm) if "dx" in table else None),
            "t0": table.real("t0", us) if "t0" in table else 0 * start[:, 0],
            "track": table.integer("track"),
            "pdg": table.integer("pdg"),
        }
        if "ek0" in table and "ek1" in table:
            columns["kinetic"] = np.stack([table.positive(name, mev) for name in ("ek0", "ek1")], axis=1)
        return EventFile.build(
            columns,
            table.integer("event"),
            path=path,
            format=Geant4Steps.name,
            attributes=dict(getattr(contents, "attrs", {})),
        )
