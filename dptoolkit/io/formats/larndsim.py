"""edep-sim segments as larnd-sim reads them: HDF5, cm, MeV, us, drift along x."""

from pathlib import Path

from dptoolkit.io.columns import StructuredTable, step_length
from dptoolkit.io.event_file import EventFile
from dptoolkit.io.readers import Contents, Reader


class LarndSim(Reader):
    """Dataset `segments`; newer files spell `eventID` as `event_id`, `trackID` as `traj_id`."""

    name = "edep-sim"
    layout = "HDF5 dataset 'segments' with eventID, trackID, pdgId, x_start ... z_end, dE"

    @staticmethod
    def matches(contents: Contents) -> bool:
        return "segments" in contents and hasattr(contents["segments"], "dtype")

    @staticmethod
    def read(contents: Contents, path: Path) -> EventFile:
        table = StructuredTable(path, "segments", contents["segments"][()])
        table.require("x_start", "y_start", "z_start", "x_end", "y_end", "z_end", "dE")
        event, track, pdg = (
            table.one_of("eventID", "event_id"),
            table.one_of("trackID", "traj_id"),
            table.one_of("pdgId", "pdg_id"),
        )
        start = table.point(["x_start", "y_start", "z_start"])
        end = table.point(["x_end", "y_end", "z_end"])
        time = next((name for name in ("t0", "t0_start", "t_start") if name in table), None)
        columns = {
            "start": start,
            "end": end,
            "de": table.positive("dE"),
            "dx": step_length(start, end, table.positive("dx") if "dx" in table else None),
            "t0": table.real(time) if time else 0 * start[:, 0],
            "track": table.integer(track),
            "pdg": table.integer(pdg),
        }
        numbers = table.integer(event)
        return EventFile.build(columns, numbers, path=path, format=LarndSim.name, drift_axis="x")
