"""What a read-out says of places: hits with the coordinates that they measure, in the frame of the detector.

A wire measures the coordinate across it and, by its time, that along the drift; a pixel measures all three. A
`View` holds the hits that measure the same coordinates. Drift volumes that face each other are turned: wires
of one plane in one volume and of another plane in the other are parallel, and give one view together.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dptoolkit.charge.pixels import PixelPlane
from dptoolkit.charge.wire_response import TICKS
from dptoolkit.charge.wires import WirePlane
from dptoolkit.detector import LArTPC, Readout
from dptoolkit.events import Waveforms
from dptoolkit.reconstruction.lines import points_of

ABOVE_NOISE = 5.0
"""Samples of signals are above so many standard deviations of the noise."""
LONG, PIECE = 28, 8
"""Signals of more ticks than the first are cut into pieces of the second."""
THICKEST = 2.0
"""Path that one wire or pad sees at most [cm]."""
SAME = 1e-3
"""Directions of wires that differ by less are one."""


@dataclass(frozen=True)
class View:
    """Hits that measure the coordinates along `axes`: places = axes @ point."""

    axes: Float[np.ndarray, "k 3"]
    """Unit vectors; the last one, or all three of pixels, is along the drift."""
    points: Float[np.ndarray, "n k"]
    """[cm]"""
    charge: Float[np.ndarray, " n"]
    """[electrons] of pixels, [ADC] of wires."""
    collects: bool = True
    """Whether the charge is that of the deposit: not of an induction plane."""


def views_of(readout: Readout, detector: LArTPC, t0: float = 0.0) -> list[View]:
    """The views of one event, whose deposits were made at `t0` [us]."""
    speed = float(detector.drift.speed(detector.field.nominal()))
    found: list[View] = []
    for number, plane in enumerate(detector.planes):
        part: Any = readout[plane.name]
        if isinstance(plane, PixelPlane):
            found.append(View(np.eye(3), *points_of(part, plane, detector.volumes, speed, t0)))
        elif isinstance(plane, WirePlane):
            collects = number == len(detector.planes) - 1
            found += _of_wires(part, plane, detector, speed, t0, collects)
    return _joined(found)


def check_views(detector: LArTPC) -> None:
    """An error where places of hits are not known."""
    for plane in detector.planes:
        if isinstance(plane, WirePlane) and plane.wrapped:
            raise ValueError(
                f"{detector.name}: wires of plane {plane.name} are wrapped around their anode; expected a "
                f"channel a wire, or pixels; tracks of wrapped wires are not reconstructed yet"
            )
    if len(detector.volumes.axes) > 1:
        raise ValueError(f"{detector.name}: expected volumes that drift along one axis")


def _of_wires(
    waveforms: Waveforms, plane: WirePlane, detector: LArTPC, speed: float, t0: float, collects: bool
) -> list[View]:
    """One view a drift volume."""
    block, wire, tick, charge = _hits(waveforms, plane)
    channel = np.asarray(waveforms.channel)[block] + wire
    arrival = (np.asarray(waveforms.tick)[block] + tick) * plane.tick_period
    arrival = arrival - plane.distance / speed - delay(plane, collects)
    volume, volumes = np.asarray(waveforms.group)[block], detector.volumes
    views = []
    for number in np.unique(volume):
        rows = volume == number
        across = np.cos(plane.angle) * volumes.across[number] + np.sin(plane.angle) * volumes.up[number]
        along = (channel[rows] - (plane.n_wires - 1) / 2) * plane.pitch
        drift = np.abs(volumes.drift[number])
        distance = (arrival[rows] - t0) * speed
        x = volumes.anode[number] @ drift - distance * float(volumes.drift[number] @ drift)
        points = np.stack([along + volumes.anode[number] @ across, x], axis=1)
        views.append(View(np.stack([across, drift]), points, charge[rows], collects))
    return views


def _hits(waveforms: Waveforms, plane: WirePlane) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(block, wire in it, mean tick in it, summed size) of hits: what a wire has in a block of ticks.

    A long signal, of a track along the drift, is several hits.
    """
    rms = plane.noise_statistics()[0]
    samples = np.where(np.asarray(waveforms.mask()), np.asarray(waveforms.samples, float), 0.0)
    rows = np.asarray(waveforms.channel)[:, None] + np.arange(samples.shape[1])
    level = ABOVE_NOISE * rms[np.clip(rows, 0, len(rms) - 1)]
    size = np.where(np.abs(samples) > level[..., None], np.abs(samples), 0.0)
    long = np.count_nonzero(size, axis=2) > LONG
    pieces = size.reshape(*size.shape[:2], -1, PIECE)
    total = pieces.sum(axis=3)
    moment = np.sum(pieces * np.arange(size.shape[2]).reshape(-1, PIECE), axis=3)
    parts = [np.nonzero((total > 0) & long[..., None])]
    short = np.nonzero(~long & (total.sum(axis=2) > 0))
    charge = np.concatenate([total[parts[0]], total.sum(axis=2)[short]])
    tick = np.concatenate([moment[parts[0]], moment.sum(axis=2)[short]]) / charge
    block, wire = (np.concatenate([parts[0][axis], short[axis]]) for axis in range(2))
    return block, wire, tick, charge


def delay(plane: WirePlane, collects: bool) -> float:
    """By how much the middle of a signal follows the arrival at its wire [us].

    The electronics delay it by the mean time of their pulse. The current of a plane that collects flows
    before the charge is there, which comes faster than it drifted: its mean time is the slope of the phase of
    the response. That of an induction plane changes its sign when the charge passes.
    """
    omega = 0.02
    found = -np.angle(complex(plane.electronics.spectrum(jnp.asarray([omega]))[0])) / omega
    if collects:
        response, ticks = plane.response, plane.response.window
        rows = np.asarray(response.bands[0].matrix[:2], float)
        rows = rows.reshape(2, 2, response.n_nodes, -1)[:, :, response.n_nodes // 2].sum(axis=-1)
        zero, first = rows[:, 0] + 1j * rows[:, 1]
        mean = np.angle(first / zero) / (2 * np.pi) * ticks % ticks
        found += (mean - response.lead * TICKS) * plane.tick_period
    return float(found)


def path_seen(direction: Float[np.ndarray, " 3"], detector: LArTPC) -> float:
    """Path of a track along a unit vector that one wire or pad sees [cm]: over planes, the mean logarithm."""
    volumes, paths = detector.volumes, []
    for plane in detector.planes:
        if isinstance(plane, WirePlane):
            across = np.cos(plane.angle) * volumes.across[0] + np.sin(plane.angle) * volumes.up[0]
            flat = abs(float(direction @ across))
        else:
            flat = float(np.hypot(direction @ volumes.across[0], direction @ volumes.up[0]))
        pitch: float = plane.pitch  # type: ignore[attr-defined]
        paths.append(min(pitch / max(flat, 1e-3), THICKEST))
    return float(np.exp(np.mean(np.log(paths))))


def _joined(views: list[View]) -> list[View]:
    """Views that measure the same coordinates, up to the sense of the wires, put together."""
    found: list[View] = []
    for view in views:
        for number, other in enumerate(found):
            if len(other.axes) == len(view.axes) and abs(abs(other.axes[0] @ view.axes[0]) - 1) < SAME:
                sign = np.where(np.arange(len(view.axes)) == 0, np.sign(other.axes[0] @ view.axes[0]), 1.0)
                sign = np.ones(3) if len(view.axes) == 3 else sign
                points = np.concatenate([other.points, sign * view.points])
                charge = np.concatenate([other.charge, view.charge])
                found[number] = View(other.axes, points, charge, other.collects and view.collects)
                break
        else:
            found.append(view)
    return found
