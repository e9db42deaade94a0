"""How right expected direct light is: the figure that README states, against many photons on a flat wall."""

import jax.numpy as jnp
import numpy as np
from scipy.spatial import cKDTree

from dptoolkit.light.cherenkov import Cherenkov
from dptoolkit.light.medium import Water
from dptoolkit.light.sensor import Photosensor
from dptoolkit.optical import OpticalDetector
from dptoolkit.tanks import Cylinder
from tests.light.makers import STRAIGHT, track
from tests.light.oracle import emit

PHOTONS, ROUNDS = 400_000, 10
STATED = 0.006
"""README: a track of 40 cm in a tank as wide as super-k, bright sensors, root mean square."""


def test_light_of_a_track_of_40_cm_is_right_to_better_than_1_per_cent_on_bright_sensors():
    """Sensors of a cap are discs in its plane, so that a photon meets the disc around its place there."""
    tank = Cylinder(1684.0, 3620.0, 70.7, 0, 0, 1740, 0)
    detector = OpticalDetector(tank, Water(), Cherenkov(radiation_length=STRAIGHT), Photosensor(radius=25.4))
    segments = track(40.0, 40, energy=500.0, start=(120.0, 90.0, 700.0), towards=(0.05, 0.1, 1.0))
    (light,) = detector(segments).values()
    rng, tree = np.random.default_rng(5), cKDTree(tank.sensors.position[:, :2])
    pe, square = np.zeros(len(tank.sensors)), np.zeros(len(tank.sensors))
    for _ in range(ROUNDS):
        photons = emit(detector, segments, PHOTONS, rng)
        ahead = photons.direction[:, 2] > 0
        path = (1810.0 - photons.point[ahead, 2]) / photons.direction[ahead, 2]
        place = photons.point[ahead] + path[:, None] * photons.direction[ahead]
        away, sensor = tree.query(place[:, :2], distance_upper_bound=25.4)
        met = np.isfinite(away)
        extinction = np.asarray(detector.medium.extinction(jnp.asarray(photons.wavelength[ahead][met])))
        weight = photons.weight * np.exp(-extinction * path[met])
        pe += np.bincount(sensor[met], weight, len(pe))
        square += np.bincount(sensor[met], weight**2, len(pe))
    pe, error = pe / ROUNDS, np.sqrt(square) / ROUNDS
    expected = np.asarray(light.pe)
    bright = expected > 0.3 * expected.max()
    relative, noise = (expected - pe)[bright] / pe[bright], (error / np.maximum(pe, 1e-12))[bright]
    assert bright.sum() > 60 and noise.mean() < 0.015
    assert abs(expected.sum() / pe.sum() - 1) < 2.5e-3
    systematic = np.mean(relative**2) - np.mean(noise**2)
    of_chance = np.mean(noise**2) * np.sqrt(2 / bright.sum())
    assert systematic < STATED**2 + 2.5 * of_chance
