"""How tracks bend: measured points of a muon, combined to what its unknown path cannot change.

A muon runs along a line that multiple scattering bends at random. Across it a measured point is

    y_k = a + b s_k + q_k + d_k + noise,

with the line (a, b), the scattering q, a Gaussian of covariance int theta^2(t) (s - t)(s' - t) dt, and the
displacement d_k by the field. Combinations W y with W (1, s) = 0 do not know the line; with W^T W = 1 / V on
what is left (V: noise and scattering) they are independent, of unit variance. A tracker around the detector
adds two points that no field displaces; a time that is not known adds one more unknown, a shift along the
drift. The momentum, on which q depends, is not known: 1 / V is its mean over the energies that the scattering
of the track allows, which weighs hard muons as they deserve.

All is NumPy in double precision, once for each estimate of the field.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from dptoolkit.charge.apparent import BentTracks
from dptoolkit.constants import MUON_MASS
from dptoolkit.events import Combinations
from dptoolkit.geometry import Volumes
from dptoolkit.sources.scattering import scattering_angle

LOSS = 2.3
"""Mean energy loss of muons on their way, about [MeV/cm]."""
ENERGIES = np.geomspace(20.0, 5e4, 12)
"""Kinetic energies at the end of a track among which one is looked for [MeV]."""
SHORT = 5
"""Polynomials up to this degree are left out where scattering is measured in points that are not corrected:
distortions look like them."""
FINE = 64
"""Pieces of a track in which its scattering is summed."""
FEWEST = 8
"""Points of a track that is used."""


@dataclass(frozen=True)
class Resolution:
    """Standard errors of the points of a track, and what else is known of it."""

    across: float = 0.1
    """In the plane of the anode [cm]."""
    drift: float = 0.1
    """[cm]"""
    tracker: float | None = None
    """Of entering and leaving points that a tracker measures, across the track [cm]; None: there is none."""
    t0_known: bool = True

    def __post_init__(self) -> None:
        for name in ("across", "drift", "tracker"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"Resolution.{name} = {value} cm: expected a positive length")


@dataclass(frozen=True)
class MeasuredTrack:
    """Apparent points of a muon in the order in which it made them."""

    event: int
    points: np.ndarray
    """(n, 3) [cm]"""
    volume: np.ndarray
    ends: np.ndarray
    """Points on walls of the detector that a tracker has seen (0 to 2, 3) [cm]."""


@dataclass(frozen=True)
class _Frame:
    """A line through a track: distance along it and two directions across."""

    origin: np.ndarray
    along: np.ndarray
    axes: np.ndarray
    """(2, 3): the second is perpendicular to the drift."""

    @classmethod
    def of(cls, points: np.ndarray, drift: np.ndarray) -> "_Frame":
        origin = points.mean(axis=0)
        along = np.linalg.svd(points - origin, full_matrices=False)[2][0]
        along = along * np.sign(along @ (points[-1] - points[0]))
        flat = np.cross(along, drift)
        if np.linalg.norm(flat) < 1e-6:
            flat = np.cross(along, np.roll(drift, 1))
        flat = flat / np.linalg.norm(flat)
        return cls(origin, along, np.stack([np.cross(flat, along), flat]))


@dataclass(frozen=True)
class Room:
    """Padded sizes that all batches of tracks share, so that they share compiled code."""

    tracks: int
    points: int
    """Of a track; combinations of each direction are no more."""
    total: int
    """Points of a batch."""

    @classmethod
    def of(cls, tracks: Sequence[MeasuredTrack], together: int) -> "Room":
        """For batches of so many tracks."""
        sizes = [len(track.points) for track in tracks]
        total = max(sum(sizes[first : first + together]) for first in range(0, len(sizes), together))
        return cls(min(together, len(sizes)), -(-max(sizes) // 8) * 8, -(-total // 512) * 512)


def bent_tracks(
    tracks: Sequence[MeasuredTrack],
    places: tuple[Sequence[np.ndarray], Sequence[np.ndarray]],
    volumes: Volumes,
    resolution: Resolution,
    room: Room,
    degree: int = SHORT,
) -> tuple[BentTracks, dict[str, Combinations]]:
    """(source, what was observed) of tracks whose true points are known about.

    `places`: these points (n, 3) of every track, and what displacements there are short of because the
    model takes them to first order [cm]. The scattering of a track is what polynomials of this `degree` do
    not follow in its points: 1 where they are right but for it.
    """
    whitening = np.zeros((room.tracks, 2, room.points, room.points))
    values, exists = np.zeros((2, room.tracks, 2, room.points))
    rows = np.full(2 * room.total, -1, np.int32)
    index, event = np.zeros((room.tracks, room.points), np.int32), np.zeros(room.tracks, np.int32)
    axes, first = np.zeros((room.total, 2, 3)), 0
    for number, (track, points, lacking) in enumerate(zip(tracks, *places, strict=True)):
        part = _reduced(track, (points, track.points - lacking), volumes, resolution, degree)
        m, n = part.whitening.shape[1:]
        whitening[number, :, :m, :n] = part.whitening
        values[number, :, :m], exists[number, :, :m] = part.values, part.exists
        index[number, :n], event[number] = first + np.arange(n), track.event
        axes[first : first + n] = part.axes
        first += n
    there = np.flatnonzero(exists)
    rows[: len(there)] = there
    real = jnp.result_type(float)
    source = BentTracks(
        points=jnp.asarray(_longer(np.concatenate(places[0]), room.total), real),
        volume=jnp.asarray(_longer(np.concatenate([t.volume for t in tracks]), room.total), jnp.int32),
        axes=jnp.asarray(axes, real),
        index=jnp.asarray(index),
        whitening=jnp.asarray(whitening, real),
        event=jnp.asarray(event),
        rows=jnp.asarray(rows),
    )
    return source, {source.name: source.labelled(jnp.asarray(values.ravel()[rows], real))}


@dataclass(frozen=True)
class _Reduced:
    """A track as combinations."""

    axes: np.ndarray
    """The same for all points (2, 3)."""
    whitening: np.ndarray
    """(2, m, n)"""
    values: np.ndarray
    """(2, m)"""
    exists: np.ndarray
    """(2, m)"""


def _reduced(
    track: MeasuredTrack,
    places: tuple[np.ndarray, np.ndarray],
    volumes: Volumes,
    resolution: Resolution,
    degree: int,
) -> _Reduced:
    points, apparent = places
    drift = np.asarray(volumes.drift)[track.volume]
    frame = _Frame.of(points, drift[0])
    ends = track.ends if resolution.tracker is not None else track.ends[:0]
    every = np.concatenate([points, ends])
    s = (every - frame.origin) @ frame.along
    y = (np.concatenate([apparent, ends]) - frame.origin) @ frame.axes.T
    n, here = len(points), slice(len(points))
    variance = np.full((2, len(every)), np.square(resolution.tracker or 0.0))
    cosine = drift @ frame.axes.T
    variance[:, here] = (resolution.drift * cosine.T) ** 2 + resolution.across**2 * (1 - cosine.T**2)
    corrected = (every - frame.origin) @ frame.axes.T
    weight, scattered = _scattering(s, corrected, variance, degree)
    whitening = np.zeros((2, len(every) - 2, n))
    values, exists = np.zeros((2, 2, len(every) - 2))
    for axis in range(2):
        unknown = [np.ones(len(every)), s]
        if not resolution.t0_known:
            unknown.append(np.concatenate([cosine[:, axis], np.zeros(len(ends))]))
        combine = _whitened(np.diag(variance[axis]) + scattered, weight, np.stack(unknown, axis=1))
        m = len(combine)
        whitening[axis, :m], values[axis, :m] = combine[:, here], combine @ y[:, axis]
        exists[axis, :m] = 1.0
    return _Reduced(frame.axes, whitening, values, exists)


def _whitened(covariances: np.ndarray, weight: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """W of full rank with W x unknown = 0 and W^T W the mean inverse of covariances that are so likely.

    That is the step of expectation maximisation for a momentum that is not known: the mean of covariances
    would be that of the softest muons.
    """
    vectors, size, _ = np.linalg.svd(unknown)
    rank = int(np.sum(size > 1e-9 * size[0]))
    blind = vectors[:, rank:]
    precision = np.einsum("g,gij->ij", weight, np.linalg.inv(blind.T @ covariances @ blind))
    return np.linalg.cholesky(precision).T @ blind.T


def _scattering(
    s: np.ndarray, y: np.ndarray, variance: np.ndarray, degree: int
) -> tuple[np.ndarray, np.ndarray]:
    """(how likely, covariance of the points by multiple scattering [cm2]) of energies of a track.

    Their posterior: the likelihood of the scattering beyond polynomials of this `degree`, and the spectrum of
    cosmic muons at sea level, about (T + 3.6 GeV)^-2.7.
    """
    edges = np.linspace(s.min(), s.max(), FINE + 1)
    middle, piece = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    lever = np.maximum(s[:, None] - middle, 0.0)
    energy = ENERGIES[:, None] + LOSS * (edges[-1] - middle)
    theta2 = scattering_angle(energy, MUON_MASS, piece) ** 2
    covariance = np.einsum("it,gt,jt->gij", lever, theta2, lever, optimize=True)
    unit = 2 * (s - s.min()) / (s.max() - s.min()) - 1
    smooth = np.polynomial.legendre.legvander(unit, min(degree, len(s) - 3))
    blind = np.linalg.svd(smooth)[0][:, smooth.shape[1] :]
    entry = energy[:, 0]
    log = np.log(entry) - 2.7 * np.log(entry + 3600.0)
    for axis in range(2):
        matrix = blind.T @ (covariance + np.diag(variance[axis])) @ blind
        factor = np.linalg.cholesky(matrix)
        r = np.linalg.solve(factor, (blind.T @ y[:, axis])[None, :, None])[..., 0]
        log = log - 0.5 * np.sum(r**2, axis=1) - np.sum(np.log(np.diagonal(factor, axis1=1, axis2=2)), axis=1)
    weight = np.exp(log - log.max())
    return weight / weight.sum(), covariance


def _longer(values: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([values, np.repeat(values[:1], size - len(values), axis=0)])
