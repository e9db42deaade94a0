"""Velocity, attachment and diffusion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.charge.drift import ConstantDrift, Diffusion, MobilityDrift, mobility


@pytest.mark.parametrize("efield, expected", [(0.5, 0.15965), (0.45, 0.15128), (0.55, 0.16730)])
def test_velocity_is_the_published_fit(efield, expected):
    assert float(MobilityDrift().speed(jnp.asarray(efield))) == pytest.approx(expected, abs=6e-6)


def test_electrons_are_faster_in_a_stronger_field_and_slower_in_a_warmer_liquid():
    fields = jnp.linspace(0.05, 2.0, 100)
    assert np.all(np.diff(MobilityDrift().speed(fields)) > 0)
    assert np.all(MobilityDrift(temperature=89.0).speed(fields) < MobilityDrift().speed(fields))


def test_mobility_at_zero_field_is_its_first_coefficient():
    assert float(mobility(jnp.asarray(1e-12), jnp.asarray(89.0))) == pytest.approx(551.6, rel=1e-6)


def test_a_constant_velocity_does_not_see_the_field():
    speeds = ConstantDrift(velocity=0.2).speed(jnp.linspace(0.1, 1.0, 5))
    np.testing.assert_allclose(speeds, 0.2)


@pytest.mark.parametrize("drift", [MobilityDrift(), ConstantDrift()])
def test_attachment_is_exponential_and_never_adds_charge(drift):
    time = jnp.linspace(0, 5000, 200)
    fraction = drift.surviving(time)
    assert float(fraction[0]) == 1 and np.all(np.diff(fraction) < 0)
    np.testing.assert_allclose(drift.surviving(2 * time), fraction**2, rtol=1e-12)
    assert float(drift.surviving(drift.lifetime)) == pytest.approx(np.exp(-1))


def test_gradient_of_the_velocity_is_the_finite_difference():
    def speed(efield, temperature):
        return MobilityDrift(temperature=temperature).speed(jnp.asarray(efield))

    slopes = jax.grad(speed, argnums=(0, 1))(0.5, 87.17)
    h = 1e-5
    assert float(slopes[0]) == pytest.approx(
        float(speed(0.5 + h, 87.17) - speed(0.5 - h, 87.17)) / (2 * h), rel=1e-7
    )
    assert float(slopes[1]) == pytest.approx(
        float(speed(0.5, 87.17 + h) - speed(0.5, 87.17 - h)) / (2 * h), rel=1e-6
    )


def test_diffusion_constants_convert():
    assert float(Diffusion(longitudinal="7.2 cm2/s").longitudinal) == pytest.approx(7.2e-6)
