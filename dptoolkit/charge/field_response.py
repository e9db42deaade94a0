"""Field response of a wire anode: the current an electron induces on a wire while it drifts past or onto it.

Electrons are followed along the field lines of the drift potential with the local drift speed; the charge
induced on a wire is its weighting potential w at the electron (Shockley, J. Appl. Phys. 9 (1938) 635; Ramo,
Proc. IRE 27 (1939) 584), the current its rate: i(t) = dw/dt. Currents are differences of w between the
edges of the time bins, so that charge is conserved exactly: a collecting wire receives 1, all others 0.

The calculation is two-dimensional, in the parallel-wire approximation of `electrostatics`, as the ones
with GARFIELD used by MicroBooNE (JINST 13 P07006) and the Wire-Cell Toolkit. No electronics here.
"""

import hashlib
import json
import os
import tempfile
import warnings
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from platformdirs import user_cache_dir
from scipy.interpolate import PchipInterpolator

from dptoolkit.charge.electrostatics import (
    WireAnode,
    drift_potential,
    drift_speed,
    transparent_bias,
    weighting_potential,
)

__all__ = [
    "DESIGNS",
    "Design",
    "DriftPath",
    "FieldResponse",
    "WireAnode",
    "cached_field_response",
    "compute_field_response",
    "trace_paths",
    "transparency",
    "transparent_bias",
]

FORMAT_VERSION = 1
"""Part of the name of a cached response; raise it whenever the calculation changes."""

N_SUB = 10
"""Sub-wire positions a pitch."""

HALF_CELL = 0.05 / np.e
"""Where a field line ends on a wire or splits between two, its delay grows as -ln(distance): this distance
[pitch] has the mean delay of the half cell of 0.05 pitch next to the line, which itself never arrives."""


@dataclass(frozen=True)
class FieldResponse:
    """Currents on a wire, for electrons that start at `offsets` from it far in front of the anode.

    `times` are centres of bins; t = 0 is when an electron at the undisturbed drift velocity would reach the
    nominal position of *this* plane (z / v). The delays between the planes are thus geometry, and what is
    left in the response is the change of speed and path near the wires. Rows are the read-out planes in
    order of arrival. Collection is positive and integrates to 1 within half a pitch, to 1/2 at exactly half
    a pitch, to 0 beyond; induction is bipolar, positive first, and integrates to 0.
    """

    offsets: Float[ndarray, " offset"]  # [pitch]
    times: Float[ndarray, " time"]  # [us]
    currents: Float[ndarray, "plane offset time"]  # [electrons / us / electron]

    @property
    def dt(self) -> float:
        """Width of a time bin [us]."""
        return float(self.times[1] - self.times[0])


@dataclass(frozen=True)
class DriftPath:
    """One field line: positions [cm], times [us], and the wire it ends on (`plane` None: the backplane)."""

    x: Float[ndarray, " n"]
    z: Float[ndarray, " n"]
    time: Float[ndarray, " n"]
    plane: int | None
    wire: int


def trace_paths(anode: WireAnode, starts, start_z: float, step: float = 0.03) -> list[DriftPath]:
    """Follow electrons from (starts, start_z) [cm] to an electrode, in steps of at most `step` pitches.

    Fourth-order Runge-Kutta in the path length; steps shorten in proportion to the distance to the nearest
    wire.
    """
    field, x, z = drift_potential(anode), np.array(starts, float), np.full(len(starts), float(start_z))
    time, alive = np.zeros(len(x)), np.ones(len(x), bool)
    points, lengths = [(x, z, time)], np.zeros(len(x), int)
    n_limit = int(20 * (anode.backplane_z - start_z) / (step * anode.pitch)) + 2000
    while alive.any():
        if len(points) > n_limit:
            raise RuntimeError(f"{alive.sum()} drift paths of {anode} have not ended after {n_limit} steps")
        reach = _distances(anode, x, z)[0] - anode.radius
        length = np.minimum(step * anode.pitch, 3 * step * (reach + anode.radius))
        shortest = 0.02 * anode.radius
        length = np.where(alive, np.clip(length, shortest, np.maximum(reach, shortest)), 0)
        dx, dz, dt = _runge_kutta(field, x, z, length)
        x, z, time = x + dx, z + dz, time + dt
        points.append((x, z, time))
        lengths += alive
        alive = alive & (_distances(anode, x, z)[0] > 1.001 * anode.radius) & (z < anode.backplane_z)
    _, plane, wire = _distances(anode, x, z)
    landed = [None if z[k] >= anode.backplane_z else int(plane[k]) for k in range(len(x))]
    lines = np.array(points).transpose(2, 1, 0)
    ended = [line[:, : length + 1] for line, length in zip(lines, lengths, strict=True)]
    return [DriftPath(*ended[k][:3], plane=landed[k], wire=int(wire[k])) for k in range(len(x))]


def compute_field_response(
    anode: WireAnode, n_wires: int = 10, dt: float = 0.1, step: float = 0.03
) -> FieldResponse:
    """The response at offsets of up to `n_wires` pitches in bins of `dt` [us].

    Mirror symmetry leaves the lines from x = 0 to half a pitch. Offsets on a symmetry axis are the mean of
    both sides.
    """
    fractions = np.arange(N_SUB // 2 + 1) / N_SUB
    fractions[[0, -1]] += [HALF_CELL, -HALF_CELL]
    paths = trace_paths(anode, fractions * anode.pitch, -anode.approach, step)
    speed = drift_speed(anode.drift_field, anode.temperature)
    nominal = (anode.approach + anode.plane_z[anode.read_planes]) / speed
    first = np.floor(-nominal.max() / dt) - 1
    last = np.ceil((max(path.time[-1] for path in paths) - nominal.min()) / dt) + 1
    times = np.arange(first, last + 1) * dt
    wires = np.arange(-n_wires - 1, n_wires + 2)
    weighting = weighting_potential(anode)
    currents = np.stack([_path_currents(weighting, path, wires, nominal, times) for path in paths])
    by_offset = np.stack([_at_offset(currents, k, n_wires + 1) for k in range(N_SUB * n_wires + 1)], axis=1)
    offsets = np.arange(-N_SUB * n_wires, N_SUB * n_wires + 1) / N_SUB
    return FieldResponse(offsets, times, np.concatenate([by_offset[:, :0:-1], by_offset], axis=1))


def transparency(anode: WireAnode, n_lines: int = 40) -> Float[ndarray, " plane"]:
    """Fraction of the field lines from the drift region that pass each plane; the last should pass none."""
    starts = (np.arange(n_lines) + 0.5) / (2 * n_lines) * anode.pitch
    paths = trace_paths(anode, starts, -min(anode.approach, 4 * anode.pitch))
    ends = np.array([anode.n_plane if path.plane is None else path.plane for path in paths])
    return np.array([np.mean(ends > plane) for plane in range(anode.n_plane)])


def cached_field_response(anode: WireAnode, cache_dir: str | Path | None = None) -> FieldResponse:
    """The response from the cache (default: the user's cache folder), computed and stored where missing."""
    folder = Path(cache_dir or Path(user_cache_dir("dptoolkit")) / "field_response")
    key = json.dumps([FORMAT_VERSION, asdict(anode)], sort_keys=True)
    file = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"
    response = _load(file)
    if response is None:
        response = compute_field_response(anode)
        try:
            _save(file, response)
        except OSError as error:
            warnings.warn(f"the field response could not be cached in {folder}: {error}", stacklevel=2)
    return response


def _distances(anode: WireAnode, x, z):
    """Distance [cm] to the nearest wire, its plane and its number."""
    wire = np.round((x - anode.plane_x[:, None]) / anode.pitch)
    across = x - anode.plane_x[:, None] - wire * anode.pitch
    distance = np.hypot(across, z - anode.plane_z[:, None])
    plane = distance.argmin(axis=0)
    lines = np.arange(len(x))
    return distance[plane, lines], plane, wire[plane, lines]


def _runge_kutta(field, x, z, length):
    """Displacement (dx, dz) [cm] and time [us] of one step of `length` [cm] along the field."""
    here, half = np.stack([x, z]), length / 2
    first = _slope(field, here)
    second = _slope(field, here + half * first[:2])
    third = _slope(field, here + half * second[:2])
    fourth = _slope(field, here + length * third[:2])
    return length / 6 * (first + 2 * second + 2 * third + fourth)


def _slope(field, point):
    """Direction of the electrons and their inverse speed [us/cm] at points (2, n)."""
    gradient = field.gradient(*point)
    strength = np.hypot(*gradient)
    return np.stack([*(gradient / strength), 1 / drift_speed(strength, field.anode.temperature)])


def _path_currents(weighting, path: DriftPath, wires, nominal, times):
    """Currents of one path on `wires` of each read-out plane: (read, wire, time)."""
    anode = weighting.anode
    charge = weighting(path.x, path.z, wires)
    charge[-1] = 0.0  # w is 1 or 0 on a wire; what the line charges lack there (0.4 %) is in the last step
    if path.plane in anode.read_planes:
        charge[-1, anode.read_planes.index(path.plane), wires == path.wire] = 1.0
    dt = times[1] - times[0]
    edges = np.append(times - dt / 2, times[-1] + dt / 2)
    currents = []
    for row in range(len(nominal)):
        induced = PchipInterpolator(path.time, charge[:, row])
        inside = np.clip(edges + nominal[row], path.time[0], path.time[-1])
        currents.append(np.diff(induced(inside), axis=0).T / dt)
    return np.stack(currents)


def _at_offset(currents, k: int, zero: int):
    """Current (read, time) at offset k / N_SUB >= 0 from (fraction, read, wire, time), wire 0 at `zero`."""
    wire, fraction = divmod(k, N_SUB)
    if fraction == 0:
        return (currents[0, :, zero - wire] + currents[0, :, zero + wire]) / 2
    if 2 * fraction == N_SUB:
        return (currents[-1, :, zero - wire] + currents[-1, :, zero + wire + 1]) / 2
    if 2 * fraction < N_SUB:
        return currents[fraction, :, zero - wire]
    return currents[N_SUB - fraction, :, zero + wire + 1]


def _load(file: Path) -> FieldResponse | None:
    """The response in `file`, or None if it is missing or damaged."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            response = FieldResponse(*(arrays[name] for name in ("offsets", "times", "currents")))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    shape = (len(response.offsets), len(response.times))
    return response if response.currents.shape[1:] == shape and np.isfinite(response.currents).all() else None


def _save(file: Path, response: FieldResponse) -> None:
    """Write to a temporary file beside `file` and rename it, so that readers never see half a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            np.savez(stream, offsets=response.offsets, times=response.times, currents=response.currents)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink()
        raise


@dataclass(frozen=True)
class Design:
    """A published anode and where its numbers come from."""

    anode: WireAnode
    source: str


DESIGNS: dict[str, Design] = {
    "microboone": Design(
        WireAnode(0.3, (0.3, 0.3, 3.0), (-110.0, 0.0, 230.0), 0.015, 273.9, temperature=89.0),
        "JINST 12 P02017: pitch, gaps, wires, bias; JINST 13 P07006: field. Open behind: 3 cm stands for it",
    ),
    "sbnd": Design(
        WireAnode(0.3, (0.3, 0.3, 3.0), None, 0.015, 500.0),
        "JINST 15 P06033: pitch, gaps, wires; nominal field. Bias: transparent, to be checked. Open behind",
    ),
    "icarus": Design(
        WireAnode(0.3, (0.3, 0.3, 3.0), (-220.0, 0.0, 280.0), 0.015, 500.0),
        "NIM A 527 (2004) 329: pitch, gaps, wires, bias (bias to be checked). Open behind",
    ),
    "dune-hd": Design(
        WireAnode(
            0.473,
            (0.475, 0.475, 0.475, 0.475),
            (-665.0, -370.0, 0.0, 820.0),
            0.0152,
            500.0,
            readout=(False, True, True, True),
        ),
        "JINST 15 T08010: G, U, V, X, mesh; gaps, bias. Pitch: mean of 0.467 (U, V) and 0.479 (G, X)",
    ),
}
