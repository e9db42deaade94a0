"""Drift fields: a distorted one is a real electrostatic field, and carries charge along itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.charge.field import SpaceChargeField, UniformField
from dptoolkit.geometry import Volumes

FIELD = SpaceChargeField(strength=0.5, amplitude=0.03)


def speed(efield):
    """Of a constant mobility."""
    return 0.3 * efield


@pytest.fixture(scope="module", params=["-x", "+x", "+z"])
def volumes(request) -> Volumes:
    size = [90.0, 200, 100] if "x" in request.param else [100.0, 200, 90]
    return Volumes.from_boxes(np.array([[10.0, 20, 30]]), np.array(size), [request.param])


def at(volumes: Volumes, points) -> jax.Array:
    points = jnp.atleast_2d(points)
    return FIELD.local(points, jnp.zeros(len(points), int), volumes)


def inside(volumes: Volumes, n: int = 30) -> np.ndarray:
    return np.random.default_rng(0).uniform(volumes.low[0], volumes.high[0], (n, 3))


def on_faces(volumes: Volumes, axis: np.ndarray, side: int) -> np.ndarray:
    points = inside(volumes)
    along = np.argmax(np.abs(axis))
    points[:, along] = (volumes.low, volumes.high)[side][0, along]
    return points


def test_the_uniform_field_points_along_the_drift_and_displaces_nothing(volumes):
    points, volume = jnp.asarray(inside(volumes)), jnp.zeros(30, int)
    np.testing.assert_allclose(
        UniformField().local(points, volume, volumes), 0.5 * np.tile(volumes.drift, (30, 1))
    )
    assert float(jnp.abs(UniformField().displacement(points, volume, volumes, speed)).max()) == 0


def test_without_amplitude_the_field_is_uniform(volumes):
    points, volume = jnp.asarray(inside(volumes)), jnp.zeros(30, int)
    field = SpaceChargeField(amplitude=0.0)
    np.testing.assert_allclose(
        field.local(points, volume, volumes), UniformField().local(points, volume, volumes)
    )
    np.testing.assert_allclose(field.displacement(points, volume, volumes, speed), 0, atol=1e-15)


def test_the_field_has_no_curl(volumes):
    """Central differences of the field, against the size of its single derivatives."""
    h, steps = 1e-4, np.eye(3)
    for point in inside(volumes, 10):
        jacobian = np.stack(
            [np.asarray(at(volumes, point + h * e) - at(volumes, point - h * e))[0] for e in steps], 1
        ) / (2 * h)
        assert np.abs(jacobian - jacobian.T).max() < 1e-6 * np.abs(jacobian).max()


def test_the_charge_has_one_sign_inside_and_vanishes_on_all_faces(volumes):
    """div delta E is proportional to psi: a charge density of one mode in a grounded box."""
    divergence = jax.vmap(lambda p: jnp.trace(jax.jacfwd(lambda q: at(volumes, q)[0])(p)))
    density = np.asarray(divergence(jnp.asarray(inside(volumes))))
    assert np.all(density * density[0] > 0)
    for axis in (volumes.across[0], volumes.up[0], volumes.drift[0]):
        for side in (0, 1):
            edge = np.asarray(divergence(jnp.asarray(on_faces(volumes, axis, side))))
            assert np.abs(edge).max() < 1e-10 * np.abs(density).max()


def test_the_field_is_normal_to_cathode_and_anode(volumes):
    for side in (0, 1):
        field = np.asarray(at(volumes, on_faces(volumes, volumes.drift[0], side)))
        np.testing.assert_allclose(np.cross(field, volumes.drift[0]), 0, atol=1e-15)


def test_positive_ions_strengthen_the_field_at_the_cathode_and_pull_electrons_inwards(volumes):
    middle = (volumes.low[0] + volumes.high[0]) / 2
    length = volumes.drift_length
    anode, cathode = (middle + side * length / 2 * volumes.drift[0] for side in (1, -1))
    assert np.linalg.norm(at(volumes, cathode)) > 0.5 > np.linalg.norm(at(volumes, anode))
    aside = middle + 20 * volumes.across[0]
    moved = FIELD.displacement(jnp.asarray(aside)[None], jnp.zeros(1, int), volumes, speed)[0]
    assert float(moved @ volumes.across[0]) < 0


def test_charge_freed_on_the_anode_is_not_displaced(volumes):
    side = int(volumes.drift[0].sum() > 0)
    points = jnp.asarray(on_faces(volumes, volumes.drift[0], side))
    np.testing.assert_allclose(FIELD.displacement(points, jnp.zeros(30, int), volumes, speed), 0, atol=1e-12)


def test_the_displacement_is_the_line_integral_of_the_distortion(volumes):
    """Along the nominal drift from the point to the anode: int (E - E_0) / E_0 dw, across; and the
    velocity of the nominal field times what the path is late or early, along."""
    points = inside(volumes, 10)
    found = np.asarray(FIELD.displacement(jnp.asarray(points), jnp.zeros(10, int), volumes, speed))
    for point, displacement in zip(points, found, strict=True):
        distance = float(np.sum((volumes.anode[0] - point) * volumes.drift[0]))
        nodes, weights = np.polynomial.legendre.leggauss(40)
        path = point + ((nodes + 1) / 2 * distance)[:, None] * volumes.drift[0]
        distortion = np.asarray(at(volumes, path)) / 0.5 - volumes.drift[0]
        integral = (weights[:, None] * distortion).sum(axis=0) * distance / 2
        np.testing.assert_allclose(displacement, integral, rtol=1e-9, atol=1e-12)


def test_gradients_to_strength_amplitude_and_place_are_finite_differences(volumes):
    points, volume = jnp.asarray(inside(volumes, 5)), jnp.zeros(5, int)

    def total(amplitude, points):
        field = SpaceChargeField(amplitude=amplitude)
        return jnp.sum(field.local(points, volume, volumes) ** 2) + jnp.sum(
            field.displacement(points, volume, volumes, speed)
        )

    h = 1e-6
    by_amplitude, by_place = jax.grad(total, argnums=(0, 1))(jnp.asarray(0.02), points)
    steps = [total(jnp.asarray(0.02 + s * h), points) for s in (1, -1)]
    assert float(by_amplitude) == pytest.approx(float(steps[0] - steps[1]) / (2 * h), rel=1e-6)
    for axis in range(3):
        moved = [total(jnp.asarray(0.02), points.at[2, axis].add(s * 1e-4)) for s in (1, -1)]
        assert float(by_place[2, axis]) == pytest.approx(
            float(moved[0] - moved[1]) / 2e-4, rel=1e-5, abs=1e-9
        )
