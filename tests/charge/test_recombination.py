"""Recombination and the budget of charge and light."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.charge.quanta import Quanta
from dptoolkit.charge.recombination import AbstractRecombination, Birks, EllipsoidModifiedBox, ModifiedBox
from dptoolkit.config import choices
from dptoolkit.params import free, infos

MODELS = {name: cls() for name, cls in choices(AbstractRecombination).items()}
DEDX = jnp.concatenate([jnp.zeros(1), jnp.geomspace(1e-6, 1e6, 400)])


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]


def survival(model, dedx, efield=0.5, cosine=0.0):
    dedx = jnp.atleast_1d(jnp.asarray(dedx))
    return model(dedx, jnp.full(dedx.shape, efield), jnp.full(dedx.shape, cosine))


@pytest.mark.parametrize("cosine", [0.0, -0.6, 1.0])
@pytest.mark.parametrize("efield", [0.05, 0.5, 2.0])
def test_survival_is_a_fraction_for_any_energy_loss(model, efield, cosine):
    fraction = survival(model, DEDX, efield, cosine)
    assert np.all((fraction >= 0) & (fraction <= 1))


@pytest.mark.parametrize("cosine", [0.0, 1.0])
def test_gradients_are_finite_for_any_energy_loss(model, cosine):
    selected = free(model, list(infos(model)))

    def total(values, dedx, efield, cosine):
        return jnp.sum(selected.merge(values)(dedx, efield, cosine))

    arguments = (selected.values, DEDX, jnp.full(DEDX.shape, 0.5), jnp.full(DEDX.shape, cosine))
    for slope in jax.tree.leaves(jax.grad(total, argnums=(0, 1, 2, 3))(*arguments)):
        assert np.isfinite(slope).all()


def test_gradient_is_the_finite_difference(model):
    selected = free(model, list(infos(model)))
    dedx = jnp.asarray([0.02, 0.5, 2.1, 8.0, 40.0])

    def total(values):
        return jnp.sum(selected.merge(values)(dedx, jnp.full(5, 0.47), jnp.linspace(-0.9, 0.9, 5)))

    slopes = jax.grad(total)(selected.values)
    for path, value in selected.values.items():
        h = 1e-6 * float(value)
        up, down = (float(total(selected.values | {path: value + s * h})) for s in (1, -1))
        assert float(slopes[path]) == pytest.approx((up - down) / (2 * h), rel=1e-5, abs=1e-9)


def test_dense_tracks_and_weak_fields_lose_more(model):
    assert np.all(np.diff(survival(model, DEDX)) <= 1e-15)
    assert float(survival(model, 2.1, 0.3)[0]) < float(survival(model, 2.1, 0.5)[0])


def test_a_minimum_ionising_particle_keeps_about_70_percent(model):
    """2.1 MeV/cm at 0.5 kV/cm: 29.7k electrons and 21.6k photons a MeV (FACTS: R about 0.7)."""
    fraction = survival(model, 2.1)
    assert float(fraction[0]) == pytest.approx(0.70, abs=0.03)


def test_birks_is_its_formula():
    assert float(survival(Birks(), 2.1)[0]) == pytest.approx(
        0.8 / (1 + 0.0486 * 2.1 / (1.396 * 0.5)), rel=1e-12
    )
    assert float(survival(Birks(), 0.0)[0]) == pytest.approx(0.8)


def test_modified_box_is_its_formula_where_that_is_not_past_its_maximum():
    xi = 0.212 * 2.1 / (1.396 * 0.5)
    assert float(survival(ModifiedBox(), 2.1)[0]) == pytest.approx(np.log(0.93 + xi) / xi, rel=1e-12)


def test_modified_box_joins_its_maximum_smoothly():
    """Below the maximum it is held; value and slope have no step."""
    dedx = jnp.linspace(0.5, 2.0, 3001)
    fraction = np.asarray(survival(ModifiedBox(), dedx))
    slopes = np.diff(fraction) / np.diff(dedx)
    assert np.abs(np.diff(slopes)).max() < 1e-3
    assert fraction.max() == fraction[0]


def test_ellipsoid_across_the_field_is_the_modified_box():
    box = ModifiedBox(alpha=0.904, beta=0.204)
    dedx = jnp.geomspace(0.1, 50, 30)
    np.testing.assert_allclose(survival(EllipsoidModifiedBox(), dedx), survival(box, dedx), rtol=1e-12)


def test_ellipsoid_along_the_field_has_beta_90_times_the_anisotropy():
    box = ModifiedBox(alpha=0.904, beta=0.204 * 1.25)
    dedx = jnp.geomspace(0.1, 50, 30)
    for cosine in (1.0, -1.0):
        np.testing.assert_allclose(
            survival(EllipsoidModifiedBox(), dedx, 0.5, cosine), survival(box, dedx), rtol=1e-12
        )


def test_charge_and_light_come_from_one_budget():
    """Q + L = dE / W_ph whatever recombines; without recombination L is the light of excitation, 0.21 Q."""
    quanta, de = Quanta(), jnp.asarray([0.01, 1.0, 30.0])
    for fraction in (0.0, 0.3, 0.7, 1.0):
        r = jnp.full(3, fraction)
        np.testing.assert_allclose(
            quanta.electrons(de, r) + quanta.photons(de, r), de * 1e6 / 19.5, rtol=1e-12
        )
    all_escape = jnp.ones(3)
    np.testing.assert_allclose(
        quanta.photons(de, all_escape) / quanta.electrons(de, all_escape), 0.21, atol=1e-3
    )


def test_a_minimum_ionising_mev_is_29700_electrons_and_21600_photons():
    de, r = jnp.ones(1), jnp.asarray([0.70])
    assert float(Quanta().electrons(de, r)[0]) == pytest.approx(29.7e3, rel=0.01)
    assert float(Quanta().photons(de, r)[0]) == pytest.approx(21.6e3, rel=0.01)
