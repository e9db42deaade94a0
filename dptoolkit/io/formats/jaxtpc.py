"""Geant4 steps in a liquid-argon volume as edepsim-type programs write them for JAXTPC: HDF5, mm, MeV, ns.

`pstep/lar_vol` holds a structured array an event. A row's position and time are those of the
*middle* of the step (in `geant4_lar_muon.h5` the ends computed so meet within 0.5 um, six times closer
than if it were the start or the end, and the first step begins at the vertex), its direction
is (theta, phi) and its length dx.
"""

from pathlib import Path

import numpy as np

from dptoolkit.io.columns import StructuredTable, step_length
from dptoolkit.io.errors import InputError
from dptoolkit.io.event_file import EventFile, Table
from dptoolkit.io.readers import Contents, Reader

CM_PER_MM = 0.1
US_PER_NS = 1e-3
UNKNOWN = 2147483647
"""What these files write for a particle that was not recorded; here pdg 0, track -1."""


class JaxTpc(Reader):
    """Object dataset `pstep/lar_vol`, one structured array an event."""

    name = "geant4-pstep"
    layout = "HDF5 dataset 'pstep/lar_vol' with x, y, z, theta, phi, dx, de an event"

    @staticmethod
    def matches(contents: Contents) -> bool:
        return "pstep/lar_vol" in contents

    @staticmethod
    def read(contents: Contents, path: Path) -> EventFile:
        events = contents["pstep/lar_vol"][()]
        if events.dtype != object:
            raise InputError(
                f"{path}: dataset 'pstep/lar_vol' has type {events.dtype}; expected an array of steps for "
                f"each event (variable length)"
            )
        numbers = _event_numbers(contents, path, len(events))
        parts = [_steps(StructuredTable(path, f"pstep/lar_vol[{i}]", rows)) for i, rows in enumerate(events)]
        columns = {
            name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else {})
        }
        return EventFile.build(
            columns,
            np.repeat(numbers, [len(rows) for rows in events]),
            path=path,
            format=JaxTpc.name,
            particles=_particles(contents, path, numbers),
        )


def _steps(table: StructuredTable) -> Table:
    middle = table.point(["x", "y", "z"], CM_PER_MM)
    theta, phi = table.real("theta"), table.real("phi")
    dx = table.positive("dx", CM_PER_MM)
    along = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=1)
    start, end = middle - along * dx[:, None] / 2, middle + along * dx[:, None] / 2
    track, pdg = table.integer("track_id"), table.integer("pdg")
    return {
        "start": start,
        "end": end,
        "de": table.positive("de"),
        "dx": step_length(start, end, dx),
        "t0": table.real("t", US_PER_NS) if "t" in table else 0 * dx,
        "track": np.where(track == UNKNOWN, -1, track),
        "pdg": np.where(pdg == UNKNOWN, 0, pdg),
    }


def _event_numbers(contents: Contents, path: Path, n: int) -> np.ndarray:
    if "event/geant4" not in contents:
        return np.arange(n)
    table = StructuredTable(path, "event/geant4", contents["event/geant4"][()])
    if len(table) != n:
        raise InputError(f"{path}: 'event/geant4' lists {len(table)} events, 'pstep/lar_vol' holds {n}")
    numbers = table.integer("event_id")
    if len(np.unique(numbers)) != n:
        raise InputError(f"{path}: 'event/geant4' has an event_id twice; expected every number once")
    return numbers


def _particles(contents: Contents, path: Path, numbers: np.ndarray) -> Table | None:
    if "particle/geant4" not in contents:
        return None
    parts = []
    for number, rows in zip(numbers, contents["particle/geant4"][()], strict=True):
        table = StructuredTable(path, "particle/geant4", rows)
        track = table.integer("track_id")
        part = {
            "event": np.full(len(table), number),
            "track": track,
            "parent": table.integer("parent_track_id"),
            "ancestor": table.integer("ancestor_track_id"),
            "group": track,
            "pdg": table.integer("pdg"),
            "t0": table.real("t", US_PER_NS),
            "kinetic_energy": table.real("ke"),
        }
        part |= {name: table.real(name, CM_PER_MM) for name in ("x", "y", "z")}
        parts.append(part | {name: table.real(name) for name in ("px", "py", "pz")})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else None
