"""What is known of a field: displaced points of tracks, and how smooth a space charge is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.charge.apparent import DistortionDetector, SmoothCharge
from dptoolkit.charge.drift import MobilityDrift
from dptoolkit.charge.field import UniformField
from dptoolkit.geometry import Volumes
from dptoolkit.params import replace
from dptoolkit.surrogates.potential import NetworkField

VOLUMES = Volumes.from_boxes([[-25.0, 0, 40], [25.0, 0, 40]], [50.0, 90, 110], ["-x", "+x"])


def detector(field):
    return DistortionDetector(field, MobilityDrift(), VOLUMES)


def test_a_uniform_field_is_as_smooth_as_can_be_and_has_as_many_data():
    prior = SmoothCharge(jnp.asarray(0.3), cells=(2, 2, 3))
    seen = detector(UniformField())(prior)["smoothness"]
    nothing = prior.nothing(2)["smoothness"]
    assert seen.value.shape == nothing.value.shape == (2 * 12 * 9,)
    np.testing.assert_allclose(seen.value, 0.0, atol=1e-6)


def test_the_prior_is_on_the_second_derivatives_of_the_charge():
    """Differences over a fine lattice, against exact derivatives of div E."""
    field = NetworkField(groups=2, hidden=(5, 4))
    weights = field.weights + 0.3 * jnp.asarray(np.random.default_rng(0).normal(size=field.weights.shape))
    field = replace(field, {"weights": weights})
    prior = SmoothCharge(jnp.asarray(0.3), cells=(60, 60, 60))
    items = prior.items(VOLUMES)
    chosen = [1000, 70000, 221000, 400000]
    some = jax.tree.map(lambda x: x[jnp.array(chosen)], items)
    found = jax.jit(jax.vmap(lambda item: prior.at(detector(field), item)))(some)

    def charge(point, volume):
        one = lambda p: field.local(p[None], volume[None], VOLUMES)[0] / 0.5  # noqa: E731
        return jnp.trace(jax.jacfwd(one)(point))

    exact = jax.jit(jax.vmap(jax.hessian(charge)))(some[0], some[1])
    axes = np.stack([VOLUMES.across, VOLUMES.up, VOLUMES.drift], axis=1)[np.asarray(items[1])[chosen]]
    expected = np.einsum("njx,nxy->njy", axes, exact) * 50.0**3 / 0.3
    np.testing.assert_allclose(np.reshape(found, (4, 3, 3)), expected, atol=0.03 * np.abs(expected).max())


def test_a_sample_has_unit_variance_around_the_expectation():
    prior = SmoothCharge(jnp.asarray(0.3))
    values = detector(UniformField())(prior, key=jax.random.key(1))["smoothness"].value
    assert float(jnp.std(values)) == pytest.approx(1.0, abs=4 / np.sqrt(2 * len(values)))
