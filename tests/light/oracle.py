"""The slow, obvious way: photons one by one along straight lines, and every disc tried for every photon."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from dptoolkit import constants
from dptoolkit.events import Segments
from dptoolkit.optical import OpticalDetector

MASS = {11: constants.ELECTRON_MASS, 13: constants.MUON_MASS}
LIGHT = constants.LIGHT_SPEED / 1e3
"""[cm/ns]"""
WAVELENGTH = np.arange(280.0, 700.0, 2.0) + 1.0
AT_ONCE = 20_000


@dataclass
class Photons:
    """Photons that would become photoelectrons if they hit a sensor head on; each counts `weight`."""

    point: np.ndarray
    direction: np.ndarray
    time_ns: np.ndarray
    wavelength: np.ndarray
    weight: float


def emit(detector: OpticalDetector, segments: Segments, n: int, rng: np.random.Generator) -> Photons:
    """`n` photons along the steps, as Frank and Tamm say."""
    start, end = np.asarray(segments.start), np.asarray(segments.end)
    kinetic, mass = np.asarray(segments.kinetic), np.array([MASS[abs(int(p))] for p in segments.pdg])
    index = np.asarray(detector.medium.index(jnp.asarray(WAVELENGTH)))
    efficiency = np.interp(
        WAVELENGTH, detector.sensor.efficiency_nm, np.asarray(detector.sensor.efficiency), left=0, right=0
    ) * float(detector.sensor.collection)

    def spectrum(beta):
        sine2 = np.maximum(1 - 1 / (index * beta[:, None]) ** 2, 0)
        return 2e7 * np.pi * constants.FINE_STRUCTURE * sine2 / WAVELENGTH**2 * efficiency * 2.0

    # where: uniform along all steps, then kept with the intensity there; speed changes along a step
    length = np.linalg.norm(end - start, axis=1)
    trial = rng.choice(len(length), 12 * n, p=length / length.sum())
    part = rng.uniform(size=len(trial))

    def beta_at(step, part):
        energy = kinetic[step, 0] + (kinetic[step, 1] - kinetic[step, 0]) * part
        return np.sqrt(1 - 1 / (1 + energy / mass[step]) ** 2)

    beta = beta_at(trial, part)
    grid = np.linspace(0.5, 1.0, 2001)
    rate = np.interp(beta, grid, spectrum(grid).sum(axis=1))
    mean, most = rate.mean(), rate.max()
    kept = np.flatnonzero(rng.uniform(size=len(trial)) * most < rate)[:n]
    step, part, beta = trial[kept], part[kept], beta[kept]
    wavelength = np.empty(len(kept))
    for block in np.array_split(np.arange(len(kept)), len(kept) // AT_ONCE + 1):
        total = np.cumsum(spectrum(beta[block]), axis=1)
        drawn = (total < rng.uniform(size=(len(block), 1)) * total[:, -1:]).sum(axis=1)
        wavelength[block] = WAVELENGTH[drawn] + rng.uniform(-1.0, 1.0, len(block))
    cosine = 1 / (np.interp(wavelength, WAVELENGTH, index) * beta)
    along = (end - start)[step] / length[step, None]
    direction = around(along, np.minimum(cosine, 1.0), rng)
    time = 1e3 * np.asarray(segments.t0)[step] + part * length[step] / (beta_at(step, part / 2) * LIGHT)
    point = start[step] + part[:, None] * (end - start)[step]
    return Photons(point, direction, time, wavelength, mean * length.sum() / len(kept))


def around(axis: np.ndarray, cosine: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors at `cosine` to `axis`, at any azimuth."""
    other = np.where(np.abs(axis[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]])
    first = np.cross(axis, other)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    phi = rng.uniform(0, 2 * np.pi, len(axis))[:, None]
    side = np.cos(phi) * first + np.sin(phi) * np.cross(axis, first)
    return cosine[:, None] * axis + np.sqrt(1 - cosine[:, None] ** 2) * side


@dataclass
class Counted:
    """Photons on every sensor; `pe` is their number times the weight of one."""

    number: np.ndarray
    pe: np.ndarray
    time_ns: np.ndarray
    time_rms_ns: np.ndarray


def count(detector: OpticalDetector, photons: Photons, rng: np.random.Generator) -> Counted:
    """The first disc in the way of each photon, unless it is lost before."""
    sensors = detector.tank.sensors
    position, normal = sensors.position, sensors.normal
    medium, wave = detector.medium, jnp.asarray(photons.wavelength)
    reach = rng.exponential(size=len(wave)) / np.asarray(medium.extinction(wave))
    speed = LIGHT / np.asarray(medium.group_index(wave))
    hit, path = np.full(len(wave), -1), np.full(len(wave), np.inf)
    for block in np.array_split(np.arange(len(wave)), len(wave) // AT_ONCE + 1):
        point, direction = photons.point[block], photons.direction[block]
        towards = direction @ normal.T
        with np.errstate(divide="ignore", invalid="ignore"):
            far = (np.sum(position * normal, axis=1) - point @ normal.T) / towards
            offset = point[:, None] + far[..., None] * direction[:, None] - position
            meets = (towards < 0) & (far > 0) & (np.sum(offset**2, axis=2) < detector.sensor.radius**2)
        far = np.where(meets, far, np.inf)
        nearest = far.argmin(axis=1)
        path[block] = far[np.arange(len(block)), nearest]
        hit[block] = np.where(np.isfinite(path[block]), nearest, -1)
    seen = (hit >= 0) & (path < reach)
    sensor, time = hit[seen], photons.time_ns[seen] + path[seen] / speed[seen]
    number = np.bincount(sensor, minlength=len(sensors))
    some = np.maximum(number, 1)
    mean = np.bincount(sensor, time, len(sensors)) / some
    square = np.bincount(sensor, (time - mean[sensor]) ** 2, len(sensors)) / some
    return Counted(number, number * photons.weight, mean, np.sqrt(square))
