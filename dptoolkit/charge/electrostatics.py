"""Two-dimensional electrostatics of a wire anode, in the plane perpendicular to its wires.

Wires are thin: each is a line charge (and for the drift a line dipole: the polarisation of the conducting
cylinder, which decides whether lines end on it) whose potential on its own surface is the wanted one. The
error is of the order (wire radius / pitch)^2, below 0.1 % for the anodes in use. Two problems are solved in
closed form up to one small linear system:

* the drift potential, periodic in the pitch: an infinite grid of line charges in front of a grounded plane,
  -1/2 ln[2 (cosh(2 pi z / p) - cos(2 pi x / p))], see Bunemann, Cranshaw and Harvey, Can. J. Res. A 27
  (1949) 191;
* the weighting potential of one wire (Shockley 1938, Ramo 1939): line charges between two grounded planes,
  1/2 ln[(cosh(pi x / D) - cos(pi (z + z') / D)) / (cosh(pi x / D) - cos(pi (z - z') / D))].
  The lattice repeats, so that the linear system is block-circulant and a Fourier transform solves it exactly.

**Parallel-wire approximation.** All planes have parallel wires, the same pitch and the same phase: one wire
of every plane at x = 0. Real planes are crossed. A strip of the read-out plane then sees the wires of the
other planes at all phases and at an angle; here it sees them parallel and aligned. Shifting the others by
half a pitch, the extreme, changes the shaped waveforms of a MicroBooNE-like anode by 4 % (first plane), 30 %
(second) and 40 % (collection, mostly 0.5 us of delay); the mean over phases is about half of that away.

x [cm] runs along the plane, z [cm] along the drift of the electrons: the first plane is at z = 0, electrons
come from z < 0, and the backplane is at z = sum(gaps). All is numpy in double precision, done once per
geometry.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from dptoolkit.constants import MOBILITY, MOBILITY_TEMPERATURE

SUPERCELL = 8.0
"""Width of the repeated lattice [distance between the plates]; images weigh exp(-8 pi / 2) = 3e-6."""

FAR = 30.0
"""Distance from a grid [pitch] beyond which its field is uniform to exp(-60 pi) and sines may overflow."""


@dataclass(frozen=True)
class WireAnode:
    """Parallel-wire approximation of a wire anode: its planes in order of arrival, the last one collects.

    `gaps[i]` is the distance from plane i to plane i + 1, the last gap the one to the grounded plane
    behind. `bias` None means the transparent bias (`transparent_bias`). `readout` says which planes are
    instrumented (a grid plane is not; None: all are). `approach` is the distance of the grounded plane in
    front of the anode where paths start: 10 cm as in the Wire-Cell Toolkit. A real cathode is further away;
    then 1 % of the charge of the first plane is induced before (0.2 % of the second, 0.1 % of collection).
    """

    pitch: float  # [cm]
    gaps: tuple[float, ...]  # [cm]
    bias: tuple[float, ...] | None  # [V]
    wire_diameter: float  # [cm]
    drift_field: float  # [V/cm], far in front of the anode
    temperature: float = 87.17  # [K]
    readout: tuple[bool, ...] | None = None
    approach: float = 10.0  # [cm]

    def __post_init__(self):
        for name in ("pitch", "wire_diameter", "drift_field", "temperature", "approach"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"WireAnode.{name} = {getattr(self, name)} must be positive and finite")
        if not self.gaps or not all(0 < gap < np.inf for gap in self.gaps):
            raise ValueError(f"WireAnode.gaps = {self.gaps} must be one positive distance [cm] a plane")
        if self.wire_diameter >= min(self.pitch / np.pi, *self.gaps) * (1 + 1e-12):
            raise ValueError(
                f"WireAnode.wire_diameter = {self.wire_diameter} cm is not thin: it must stay below "
                f"pitch / pi = {self.pitch / np.pi:.4g} cm and the smallest gap, {min(self.gaps)} cm"
            )
        for name in ("bias", "readout"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self.gaps):
                raise ValueError(f"WireAnode.{name} = {value} must have one entry a plane: {len(self.gaps)}")
        if self.readout is not None and not any(self.readout):
            raise ValueError(f"WireAnode.readout = {self.readout} has no instrumented plane")

    @property
    def n_plane(self) -> int:
        """Number of planes, un-instrumented ones included."""
        return len(self.gaps)

    @property
    def radius(self) -> float:
        """Radius of the wires [cm]."""
        return self.wire_diameter / 2

    @cached_property
    def plane_z(self) -> Float[ndarray, " plane"]:
        """Position of each plane along the drift [cm]; the first one is at 0."""
        return np.concatenate([[0.0], np.cumsum(self.gaps[:-1])])

    @cached_property
    def plane_x(self) -> Float[ndarray, " plane"]:
        """Position of the zeroth wire of each plane across the wires [cm]: all planes are in phase."""
        return np.zeros(self.n_plane)

    @cached_property
    def backplane_z(self) -> float:
        """Position of the grounded plane behind the wires [cm]."""
        return float(np.sum(self.gaps))

    @property
    def read_planes(self) -> list[int]:
        """Indices of the instrumented planes, in order of arrival."""
        return [i for i in range(self.n_plane) if self.readout is None or self.readout[i]]


def drift_speed(efield, temperature: float):
    """Speed of electrons in liquid argon [cm/us] at |E| `efield` [V/cm], Li et al., NIM A 816 (2016) 160."""
    a0, a1, a2, a3, a4, a5 = MOBILITY
    kilovolt = np.asarray(efield) / 1000
    rising = a0 + a1 * kilovolt + a2 * kilovolt**1.5 + a3 * kilovolt**2.5
    falling = 1 + a1 / a0 * kilovolt + a4 * kilovolt**2 + a5 * kilovolt**3
    return rising / falling * (temperature / MOBILITY_TEMPERATURE) ** -1.5 * np.asarray(efield) * 1e-6


def grid_potential(x, z, pitch: float):
    """-1/2 ln[2 (cosh(2 pi z / p) - cos(2 pi x / p))] of a grid of unit line charges through the origin."""
    decay = np.exp(-2 * np.pi * np.abs(z) / pitch)
    bracket = (1 - decay) ** 2 + 4 * decay * np.sin(np.pi * x / pitch) ** 2
    return -np.pi * np.abs(z) / pitch - np.log(bracket) / 2


def grid_gradient(x, z, pitch: float):
    """Gradient (d/dx, d/dz) [1/cm] of `grid_potential`."""
    decay = np.exp(-2 * np.pi * np.abs(z) / pitch)
    bracket = (1 - decay) ** 2 + 4 * decay * np.sin(np.pi * x / pitch) ** 2
    along_x = 2 * decay * np.sin(2 * np.pi * x / pitch) / bracket
    along_z = np.sign(z) * (1 - decay**2) / bracket
    return -np.pi / pitch * along_x, -np.pi / pitch * along_z


def grid_curvature(x, z, pitch: float):
    """(d2/dxdz, d2/dz2) [1/cm2] of `grid_potential`, which is -Re ln[2 sin(pi (x + i z) / p)]."""
    z = np.clip(z, -FAR * pitch, FAR * pitch)
    curvature = (np.pi / pitch / np.sin(np.pi * (x + 1j * z) / pitch)) ** 2
    return -curvature.imag, -curvature.real


def plates_potential(x, z, z_charge, distance: float):
    """Potential at (x, z) of a unit line charge at (0, z_charge), grounded planes at z = 0 and `distance`."""
    transverse = np.sinh(np.pi * x / (2 * distance)) ** 2
    mirrored = transverse + np.sin(np.pi * (z + z_charge) / (2 * distance)) ** 2
    direct = transverse + np.sin(np.pi * (z - z_charge) / (2 * distance)) ** 2
    return np.log(mirrored / direct) / 2


@dataclass(frozen=True)
class DriftPotential:
    """phi(x, z) = E (z - z_back) + the wires' charges and dipoles + their images in the backplane.

    Electrons go to higher potential, towards +z. A grid changes the mean slope by -2 pi charge / pitch.
    """

    anode: WireAnode
    charges: Float[ndarray, " plane"]  # [V]
    dipoles: Float[ndarray, " plane"]  # [V cm], along z

    def potential(self, x: Float[ndarray, " n"], z: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
        """Potential [V] in the liquid."""
        charge, dipole = _unit_potentials(self.anode, x, z)
        uniform = self.anode.drift_field * (z - self.anode.backplane_z)
        return uniform + charge @ self.charges + dipole @ self.dipoles

    def gradient(self, x, z):
        """(d phi / dx, d phi / dz) [V/cm] at n points, (2, n): electrons move along it."""
        pitch, (dx, direct, mirrored) = self.anode.pitch, _separations(self.anode, x, z)
        first = np.subtract(grid_gradient(dx, direct, pitch), grid_gradient(dx, mirrored, pitch))
        second = np.add(grid_curvature(dx, direct, pitch), grid_curvature(dx, mirrored, pitch))
        return first @ self.charges - second @ self.dipoles + [[0.0], [self.anode.drift_field]]


def drift_potential(anode: WireAnode) -> DriftPotential:
    """The drift potential with every wire at its bias: the mean over its surface, and no slope across it."""
    bias = np.asarray(anode.bias if anode.bias is not None else transparent_bias(anode))
    uniform = anode.drift_field * (anode.plane_z - anode.backplane_z)
    slope = np.full(anode.n_plane, 2 * anode.radius * anode.drift_field)
    solution = np.linalg.solve(_grid_matrix(anode), np.concatenate([bias - uniform, -slope]))
    return DriftPotential(anode, *np.split(solution, 2))


def transparent_bias(anode: WireAnode, margin: float = 1.1) -> tuple[float, ...]:
    """Potentials [V] at which no line ends on a plane before the last; the last but one is at 0 V.

    A grid lets all lines pass if E_behind / E_front > (1 + rho) / (1 - rho), rho = 2 pi r / p (Bunemann et
    al. 1949); `margin` times this ratio is set at every plane but the last.
    """
    rho = 2 * np.pi * anode.radius / anode.pitch
    if rho >= 1:
        raise ValueError(f"WireAnode.wire_diameter = {anode.wire_diameter} cm: no bias is transparent")
    slopes = anode.drift_field * (margin * (1 + rho) / (1 - rho)) ** np.arange(anode.n_plane)
    known = -np.diff(slopes) * anode.pitch / (2 * np.pi)
    n, matrix = anode.n_plane, _grid_matrix(anode)
    uniform = anode.drift_field * (anode.plane_z - anode.backplane_z)
    # unknown: charge of the last plane, all dipoles; conditions: one potential, no slope across any wire
    slope = matrix[n:, : n - 1] @ known + 2 * anode.radius * anode.drift_field
    fixed, volt = (n - 2, 0.0) if n > 1 else (0, anode.drift_field * anode.gaps[0])
    offset = uniform[fixed] + matrix[fixed, : n - 1] @ known - volt
    unknown = np.linalg.solve(matrix[[fixed, *range(n, 2 * n)], n - 1 :], -np.append(offset, slope))
    bias = uniform + matrix[:n] @ np.concatenate([known, unknown])
    return tuple(float(volt) for volt in np.round(bias, 9))


def _separations(anode: WireAnode, x, z):
    """Distances (n, plane) of points from the wires: along x, along z, along z from their images."""
    x, z = np.asarray(x)[:, None], np.asarray(z)[:, None]
    return x - anode.plane_x, z - anode.plane_z, z - (2 * anode.backplane_z - anode.plane_z)


def _unit_potentials(anode: WireAnode, x, z):
    """Potentials (n, plane) at n points of unit charges, and of unit dipoles, on each plane and its image."""
    dx, direct, mirrored = _separations(anode, x, z)
    charge = grid_potential(dx, direct, anode.pitch) - grid_potential(dx, mirrored, anode.pitch)
    dipole = -grid_gradient(dx, direct, anode.pitch)[1] - grid_gradient(dx, mirrored, anode.pitch)[1]
    return charge, dipole


def _grid_matrix(anode: WireAnode) -> Float[ndarray, "rows columns"]:
    """Rows: mean potential on each plane's wires, then difference across them. Columns: charges, dipoles."""
    x, z = anode.plane_x, anode.plane_z
    around = [np.hstack(_unit_potentials(anode, x + dx, z + dz)) for dx, dz in _surface(anode)]
    return np.vstack([np.mean(around, axis=0), around[2] - around[3]])


def _surface(anode: WireAnode) -> list[tuple[float, float]]:
    """Four points of a wire's surface: their mean is that of the circle up to (radius / pitch)^4."""
    return [(anode.radius, 0.0), (-anode.radius, 0.0), (0.0, anode.radius), (0.0, -anode.radius)]


@dataclass(frozen=True)
class WeightingPotential:
    """Weighting potentials of the read-out wires: 1 on one wire, 0 on all others and on both plates.

    `charges[j, n, i]` is the charge on wire n - n_half of plane j when wire 0 of plane i is at 1.
    """

    anode: WireAnode
    charges: Float[ndarray, "plane wire read"]

    def __call__(self, x, z, wires) -> Float[ndarray, "n read wire"]:
        """Weighting potential at the points (x, z) of the wires numbered `wires` (0 is the one at x = 0)."""
        anode, n_half = self.anode, self.charges.shape[1] // 2
        lattice = np.arange(-n_half, n_half + 1) * anode.pitch
        front = z[:, None] + anode.approach
        potential = np.zeros((len(x), self.charges.shape[2], len(wires)))
        for j in range(anode.n_plane):
            unit = plates_potential(x[:, None] - anode.plane_x[j] - lattice, front, *_plate(anode, j))
            shifted = np.stack([np.roll(self.charges[j], wire, axis=0) for wire in wires], axis=-1)
            potential += np.tensordot(unit, shifted, axes=1)
        return potential


def weighting_potential(anode: WireAnode) -> WeightingPotential:
    """Solve for the charges on all wires: one small system for each wave number of the repeated lattice."""
    n_half = int(np.ceil(SUPERCELL / 2 * (anode.approach + anode.backplane_z) / anode.pitch))
    lattice = np.arange(-n_half, n_half + 1) * anode.pitch
    matrix = np.empty((len(lattice), anode.n_plane, anode.n_plane))
    for i in range(anode.n_plane):
        for j in range(anode.n_plane):
            x, z = lattice + anode.plane_x[i] - anode.plane_x[j], anode.plane_z[i] + anode.approach
            around = [plates_potential(x + dx, z + dz, *_plate(anode, j)) for dx, dz in _surface(anode)]
            matrix[:, i, j] = np.mean(around, axis=0)
    modes = np.fft.fft(np.fft.ifftshift(matrix, axes=0), axis=0)
    charges = np.fft.fftshift(np.fft.ifft(np.linalg.inv(modes), axis=0).real, axes=0)
    return WeightingPotential(anode, np.moveaxis(charges, 1, 0)[..., anode.read_planes])


def _plate(anode: WireAnode, plane: int) -> tuple[float, float]:
    """Distances [cm] from the plane in front to wire plane `plane` and to the backplane."""
    return anode.approach + anode.plane_z[plane], anode.approach + anode.backplane_z
