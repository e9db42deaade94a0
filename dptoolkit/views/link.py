"""Where in a read-out a segment is expected: the geometry behind linked selection.

A straight drift at nominal speed from the middle of the segment: channel and time on wire
planes, position on the anode and time on pixel planes. Approximate where the field is distorted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dptoolkit.charge.deposits import DepositLayout, deposit_layout
from dptoolkit.charge.wires import WIRES, WirePlane
from dptoolkit.detector import LArTPC
from dptoolkit.events import Segments, bucket, pad


@dataclass(frozen=True)
class Places:
    """Expected place of each segment on the axes of a figure; group -1 is nowhere."""

    group: np.ndarray
    x: np.ndarray
    y: np.ndarray


def wire_places(detector: LArTPC, segments: Segments) -> Mapping[str, Places]:
    """(group, channel, time [us]) of every segment, by wire plane."""
    volume, across, up, time, speed = drifted(detector, segments)
    places = {}
    for plane in detector.planes:
        if not isinstance(plane, WirePlane):
            continue
        wire = np.rint(np.asarray(plane.wire_at(across, up))).astype(int)
        on_plane = (volume >= 0) & (wire >= 0) & (wire < plane.n_wires)
        group, channel = volume, wire
        if plane.wrapped:
            block, inside = np.divmod(np.clip(wire, 0, plane.n_wires - 1), WIRES)
            table = np.asarray(plane.assembly)[np.maximum(volume, 0)]
            group = table[:, 0]
            blocks = plane.wrapped // WIRES
            channel = (block + blocks // 2 * table[:, 1]) % blocks * WIRES + inside
        arrival = time + plane.distance / speed
        places[plane.name] = Places(np.where(on_plane, group, -1), channel.astype(float), arrival)
    return places


def drifted(
    detector: LArTPC, segments: Segments
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    """(volume, across, up [cm], arrival time [us]) of the middles, and the drift speed [cm/us]."""
    middle = (np.asarray(segments.start, float) + np.asarray(segments.end, float)) / 2
    volume = detector.volumes.locate(middle)
    points = jnp.asarray(middle, jnp.result_type(float))
    frame = detector.volumes.to_local(points, jnp.asarray(np.maximum(volume, 0)))
    across, up, distance = (np.asarray(coordinate, float) for coordinate in frame)
    speed = float(detector.drift.speed(detector.field.nominal()))
    return volume, across, up, np.asarray(segments.t0, float) + distance / speed, speed


def pixel_places(detector: LArTPC, segments: Segments) -> Mapping[str, Places]:
    """(volume, coordinate on the anode [cm] or time [us]) of every segment, by view of a pixel plane."""
    volume, _, _, time, _ = drifted(detector, segments)
    middle = (np.asarray(segments.start, float) + np.asarray(segments.end, float)) / 2
    inside, volumes = np.maximum(volume, 0), detector.volumes
    across, up = (np.sum(middle * np.abs(axis[inside]), axis=1) for axis in (volumes.across, volumes.up))
    places = {}
    for plane in detector.planes:
        if not isinstance(plane, WirePlane):
            axes = {"front": (across, up), "across": (across, time), "up": (up, time)}
            places.update({f"{plane.name}:{view}": Places(volume, x, y) for view, (x, y) in axes.items()})
    return places


def freed_electrons(detector: LArTPC, segments: Segments) -> np.ndarray:
    """Electrons that escape recombination, of every segment."""
    padded = pad(segments, bucket(len(segments)))
    deposits = deposit_layout(padded, detector.volumes, step=detector.step, dedx_length=detector.dedx_length)
    freed, _ = _freed(detector, padded, deposits)
    return np.asarray(freed)[: len(segments)]


@eqx.filter_jit
def _freed(detector: LArTPC, segments: Segments, deposits: DepositLayout) -> tuple[Array, Array]:
    return detector.freed(segments, deposits)
