"""Coordinates: unconstrained, order one, and linear in what they stand for."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.inference.coordinates import Coordinates
from dptoolkit.params import get, infos
from tests.inference.decay import Decay

PATHS = ("slope", "lifetime", "height")


@pytest.fixture
def coordinates() -> Coordinates:
    model = Decay()
    return Coordinates.at({path: get(model, path) for path in PATHS}, infos(model))


def test_the_start_is_zero_and_the_way_back_is_exact(coordinates):
    np.testing.assert_allclose(coordinates.values(jnp.zeros(4))["lifetime"], 8.0, rtol=1e-12)
    z = jnp.array([0.3, -0.2, 0.01, 0.7])
    np.testing.assert_allclose(coordinates.of(coordinates.values(z)), z, atol=1e-10)


def test_no_coordinate_leads_out_of_the_bounds(coordinates):
    for z in (-1e3, 1e3):
        for path, value in coordinates.values(jnp.full(4, z)).items():
            low, high = infos(Decay())[path].bounds
            assert np.all((value >= low - 1e-6) & (value <= high * (1 + 1e-9)))


def test_away_from_the_bounds_a_value_is_linear_in_its_scale(coordinates):
    z = jnp.linspace(-0.5, 0.5, 5)
    values = [coordinates.values(jnp.zeros(4).at[3].set(x))["height"] for x in z]
    np.testing.assert_allclose(np.diff(values, 2), 0, atol=1e-9)
    inverse = [1 / coordinates.values(jnp.zeros(4).at[2].set(x))["lifetime"] for x in z]
    np.testing.assert_allclose(np.diff(inverse, 2), 0, atol=1e-9)


def test_compilation_keeps_the_order_of_the_coordinates(coordinates):
    """Dictionaries are sorted by transformations; the paths here are not in that order."""
    z = jnp.array([0.3, -0.2, 0.01, 0.7])
    compiled = eqx.filter_jit(lambda c, z: c.values(z))(coordinates, z)
    for path, value in coordinates.values(z).items():
        np.testing.assert_allclose(compiled[path], value, rtol=1e-12)


def test_names_have_an_index_where_a_parameter_is_an_array(coordinates):
    assert coordinates.names == ("slope[0]", "slope[1]", "lifetime", "height")
