"""Frank and Tamm, and what a step shines."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from dptoolkit.constants import FINE_STRUCTURE, MUON_MASS
from dptoolkit.events import bucket, pad
from dptoolkit.light.cherenkov import Optics
from dptoolkit.light.medium import Clear, Water
from dptoolkit.params import replace
from tests.light.makers import STRAIGHT, clear_tank, small_tank, track


def photons_per_cm(detector, energy):
    segments = track(10.0, 1, energy=energy, loss=0.0)
    return float(detector.photons(segments, detector.layout(segments))) / 10


@pytest.mark.parametrize("energy", [80.0, 150.0, 500.0, 5000.0])
def test_photons_per_length_are_the_integral_of_frank_and_tamm(energy):
    water, beta = Water(), np.sqrt(1 - 1 / (1 + energy / MUON_MASS) ** 2)

    def rate(nm):
        n = float(water.index(jnp.array([nm]))[0])
        return 2 * np.pi * FINE_STRUCTURE * max(1 - 1 / (n * beta) ** 2, 0) * 1e7 / nm**2

    expected = quad(rate, 300, 700, epsrel=1e-6)[0]
    assert photons_per_cm(small_tank(), energy) == pytest.approx(expected, rel=2e-3 if energy < 100 else 3e-4)


def test_a_relativistic_particle_makes_387_photons_a_cm_at_an_index_of_1_34():
    assert photons_per_cm(replace(clear_tank(), {"medium.n": 1.34}), 1e7) == pytest.approx(387, abs=0.5)


@pytest.mark.parametrize("pdg, threshold", [(11, 0.257), (13, 53.1), (211, 70.1)])
def test_no_light_below_threshold(pdg, threshold):
    detector = replace(clear_tank(), {"medium.n": 1.34})
    for factor, shines in ((0.97, False), (1.03, True)):
        segments = track(10.0, 1, energy=factor * threshold, loss=0.0, pdg=pdg)
        light = detector(segments)["pmt"]
        made = float(detector.photons(segments, detector.layout(segments)))
        assert (made > 0) == shines and (float(light.pe.sum()) > 0) == shines
        assert np.isfinite(np.asarray(light.time_ns)).all()


def test_other_charges_and_neutral_particles_make_no_light():
    detector = clear_tank()
    for pdg in (22, 2112, 1000020040):
        assert float(detector(track(5.0, 1, energy=1e4, pdg=pdg))["pmt"].pe.sum()) == 0


def test_segments_without_energies_are_refused_with_what_is_needed():
    segments = track(5.0, 1)
    bare = segments.__class__(**{**vars(segments), "kinetic": None})
    with pytest.raises(ValueError, match=r"no kinetic energies.*ek0 and ek1"):
        small_tank().layout(bare)


def test_directions_inside_a_scattering_step_spread_by_a_sixth_of_highlands_angle():
    """About its own chord, the direction of a Wiener process of variance theta_0^2 has theta_0^2 / 6."""
    rng, n = np.random.default_rng(3), 400
    walk = np.cumsum(rng.normal(size=(4000, n)), axis=1) / np.sqrt(n)
    about_chord = walk - walk.mean(axis=1, keepdims=True)
    assert np.mean(about_chord**2) == pytest.approx(1 / 6, rel=0.05)
    # a muon of 200 MeV over 2 cm of water: beta = 0.938, beta p = 269 MeV
    mass, kinetic = 105.658, 200.0
    gamma = 1 + kinetic / mass
    beta = np.sqrt(1 - 1 / gamma**2)
    thickness = 2.0 / 36.08
    theta = 13.6 / (mass * gamma * beta**2) * np.sqrt(thickness) * (1 + 0.038 * np.log(thickness / beta**2))
    assert np.degrees(theta) == pytest.approx(0.61, abs=0.02)
    straight, scattered = (
        _one_piece(small_tank(medium=Clear(n=1.34), radiation_length=length)) for length in (STRAIGHT, 36.08)
    )
    cosine = 1 / (1.34 * beta)
    spread = np.asarray(scattered.variance - straight.variance)[0, 0]
    assert spread == pytest.approx((1 - cosine**2) * theta**2 / 6, rel=1e-3)
    bent = np.asarray(scattered.cosine / straight.cosine)[0, 0]
    assert bent == pytest.approx(1 - theta**2 / 6, abs=1e-3 * theta**2)


def _one_piece(detector):
    """The emission of one step of 2 cm at 200 MeV."""
    segments = track(2.0, 1, energy=200.0, loss=0.0)
    pieces = jax.tree.map(lambda part: part.reshape(-1), detector.layout(segments).pieces)
    optics = Optics.of(detector.medium, detector.sensor.spectrum(), detector.tank.longest_path)
    return detector.cherenkov(pad(segments, bucket(len(segments))), pieces, optics)
