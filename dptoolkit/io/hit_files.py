"""Hits that other programs wrote: pads by their place, not by column and row.

Two layouts are known, recognised by content:

- larnd-sim-jax: groups `batch_B/event_E` with `pix_x`, `pix_y` (along z and y here) and `pix_z` (along x, the
  drift axis) in cm, `ticks` of 0.1 us, `Q` in thousands of electrons;
- ndlar_flow: `charge/calib_prompt_hits/data` (or `calib_final_hits`) with x, y, z in cm (x along the drift),
  `t_drift` in ticks of 0.1 us after the t0 of the event, `Q` in thousands of electrons, and the events in
  `charge/events/ref/charge/.../ref_region`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float, Int

from dptoolkit.io.columns import StructuredTable, finite
from dptoolkit.io.errors import InputError
from dptoolkit.io.native_tables import Group

TICK = 0.1
"""[us]"""
THOUSAND = 1000.0
FLOW = ("calib_final_hits", "calib_prompt_hits")


@dataclass(frozen=True)
class PlacedHits:
    """Hits with their places in the frame of the detector."""

    event: Int[np.ndarray, " n"]
    """Number of the event in the file."""
    place: Float[np.ndarray, "n 3"]
    """[cm]"""
    time: Float[np.ndarray, " n"]
    """[us]"""
    charge: Float[np.ndarray, " n"]
    """[electrons]"""


def placed_hits(contents: Group, path: Path) -> PlacedHits | None:
    """The hits of a file in one of the layouts, or None."""
    for matches, read in LAYOUTS.values():
        if matches(contents):
            return read(contents, path)
    return None


def has_placed_hits(contents: Group) -> bool:
    """Whether a file has one of the layouts."""
    return any(matches(contents) for matches, _ in LAYOUTS.values())


def _is_larndsim(contents: Group) -> bool:
    batch = contents.get("batch_0")
    return isinstance(batch, h5py.Group) and any(
        isinstance(event, h5py.Group) and "pix_x" in event for event in batch.values()
    )


def _larndsim(contents: Group, path: Path) -> PlacedHits:
    """Events of all batches; one that several batches share is put together."""
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("pix_z", "pix_y", "pix_x", "ticks", "Q")}
    events = []
    for batch_name, batch in contents.items():
        for name, group in batch.items():
            for column, parts in columns.items():
                if column not in group:
                    raise InputError(f"{path}: {batch_name}/{name} lacks {column}; expected {list(columns)}")
                parts.append(finite(path, f"{batch_name}/{name}/{column}", group[column][()]))
            events.append(np.full(len(columns["Q"][-1]), _number(name, path)))
    found = {name: np.concatenate(parts) for name, parts in columns.items()}
    place = np.stack([found["pix_z"], found["pix_y"], found["pix_x"]], axis=1)
    return PlacedHits(np.concatenate(events), place, TICK * found["ticks"], THOUSAND * found["Q"])


def _number(name: str, path: Path) -> int:
    number = name.removeprefix("event_")
    if not number.isdigit():
        raise InputError(f"{path}: group {name!r}: expected event_N")
    return int(number)


def _flow_table(contents: Group) -> str | None:
    return next((name for name in FLOW if f"charge/{name}/data" in contents), None)


def _flow(contents: Group, path: Path) -> PlacedHits:
    name = _flow_table(contents)
    table = StructuredTable(path, f"charge/{name}/data", contents[f"charge/{name}/data"][()])
    region = f"charge/events/ref/charge/{name}/ref_region"
    if region not in contents:
        raise InputError(f"{path}: lacks {region}; expected which hits are of which event")
    spans = StructuredTable(path, region, contents[region][()])
    event = np.full(len(table), -1)
    for number, span in enumerate(
        zip(spans.integer("start").tolist(), spans.integer("stop").tolist(), strict=True)
    ):
        event[slice(*span)] = number
    place = table.point(("x", "y", "z"))
    time, charge = table.real("t_drift", TICK), table.real("Q", THOUSAND)
    known = event >= 0
    return PlacedHits(event[known], place[known], time[known], charge[known])


LAYOUTS: Mapping[str, tuple[Callable[[Any], bool], Callable[[Any, Path], PlacedHits]]] = {
    "larnd-sim-jax": (_is_larndsim, _larndsim),
    "ndlar_flow": (lambda contents: _flow_table(contents) is not None, _flow),
}
