"""Photons of argon in a box: what is conserved, what is known in closed form, and the two ways to count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.light.argon_optics import ArgonOptics
from dptoolkit.light.box import LightBox
from dptoolkit.light.plates import Plates
from dptoolkit.light.transport import (
    CountedPhotons,
    ExpectedPhotons,
    Vertex,
    fly,
    rayleigh_cosine,
    trace,
)
from dptoolkit.light.visibility import PointSource
from tests.light.makers import closed_plates

SIZE = np.array([30.0, 40.0, 20.0])
FAR = 1e6
"""A length so long that it does not matter [cm]."""


def seen(plates, optics, estimator, points, photons=2000, seed=0):
    """(probability, mean way [cm]) at points."""
    box = LightBox.around(SIZE, plates)
    keys = jax.random.split(jax.random.key(seed), len(points))
    number, way = jax.jit(lambda p, k: trace(box, optics, estimator, p, photons, k))(
        jnp.asarray(points), keys
    )
    return np.asarray(number) / photons, np.asarray(way) / np.maximum(number, 1e-300)


@pytest.fixture(scope="module")
def points():
    return np.random.default_rng(1).uniform(-0.48, 0.48, (12, 3)) * SIZE


@pytest.fixture(scope="module")
def two_plates():
    """On opposite walls, one behind the face of the volume."""
    return Plates.on_walls(
        np.array([[0.0, 5.0, -10.0], [3.0, -8.0, 11.0]]),
        np.array([[20.0, 18.0], [12.0, 14.0]]),
        np.array([2, 2]),
    )


@pytest.mark.parametrize("estimator", [CountedPhotons(), ExpectedPhotons()])
def test_a_closed_box_of_perfect_plates_takes_every_photon_that_is_not_absorbed(points, estimator):
    whole, way = seen(closed_plates(SIZE), ArgonOptics(absorption_length=FAR), estimator, points)
    if isinstance(estimator, CountedPhotons):
        np.testing.assert_allclose(whole.sum(axis=1), 1.0, atol=2e-3)
    assert whole.sum(axis=1).mean() == pytest.approx(1.0, abs=0.01)
    # without scattering the mean way to the walls of a convex box of this size; scattering lengthens it
    assert 5.0 < np.mean(np.sum(whole * way, axis=1)) < 20.0


@pytest.mark.parametrize("estimator", [CountedPhotons(), ExpectedPhotons()])
def test_without_scattering_and_reflection_visibility_is_the_solid_angle(points, two_plates, estimator):
    optics = ArgonOptics(absorption_length=FAR, rayleigh_length=FAR, reflectivity=0.0)
    found, _ = seen(two_plates, optics, estimator, points, photons=4000)
    exact, _ = PointSource(absorption_length=FAR)(jnp.asarray(points), two_plates)
    error = np.sqrt(np.asarray(exact) / 4000)
    assert (np.abs(found - exact) < 4.5 * error).all()
    if isinstance(estimator, ExpectedPhotons):  # nearly without noise
        np.testing.assert_allclose(found, exact, rtol=0.05)


def test_absorption_alone_dims_every_way_by_its_length(two_plates):
    """A plate far away, so that its middle is where all of its light goes."""
    small = Plates.on_walls(np.array([[0.0, 0.0, -10.0]]), np.array([[1.0, 1.0]]), np.array([2]))
    optics = ArgonOptics(absorption_length=50.0, rayleigh_length=FAR, reflectivity=0.0)
    found, way = seen(small, optics, ExpectedPhotons(), np.array([[3.0, 4.0, 9.0]]))
    exact, late = PointSource(absorption_length=50.0)(jnp.array([[3.0, 4.0, 9.0]]), small)
    assert found[0, 0] == pytest.approx(float(exact[0, 0]), rel=1e-3)
    assert way[0, 0] / 13.4 == pytest.approx(float(late[0, 0]), rel=1e-3)


def test_scattered_directions_follow_rayleigh():
    """Density 3/8 (1 + c^2): moments 0, 2/5, 9/35."""
    cosine = np.asarray(rayleigh_cosine(jnp.linspace(0, 1, 200_001)[:-1] + 2.5e-6))
    assert abs(cosine.mean()) < 1e-9
    assert np.mean(cosine**2) == pytest.approx(2 / 5, rel=1e-6)
    assert np.mean(cosine**4) == pytest.approx(9 / 35, rel=1e-6)
    counts, edges = np.histogram(cosine, 20, (-1, 1))
    wanted = np.diff((3 * edges + edges**3) / 8)
    np.testing.assert_allclose(counts / len(cosine), wanted, atol=1e-5)


@pytest.fixture(scope="module")
def flights():
    """Of many photons from the middle of a huge box of dark walls."""
    box = LightBox.around(np.full(3, 1e5), closed_plates(np.full(3, 1e5)))
    n, optics = 20_000, ArgonOptics(absorption_length=300.0, rayleigh_length=100.0)
    zero = jnp.zeros(())
    start = Vertex((zero, zero, zero), (zero, zero, zero + 1), jnp.asarray(0, jnp.int32), zero)
    uniform = jax.random.uniform(jax.random.key(3), (n, 2, 6))

    def two(u):
        first, arrival = fly(box, optics, start, u[0])
        second, _ = fly(box, optics, first, u[1])
        return first, arrival, second

    return jax.jit(jax.vmap(two))(uniform)


def test_free_paths_are_exponential_and_shared_between_absorption_and_scattering(flights):
    first, arrival, _ = flights
    way, n = np.asarray(arrival.way), len(arrival.way)
    assert way.mean() == pytest.approx(75.0, abs=4 * 75 / np.sqrt(n))
    assert np.mean(way**2) == pytest.approx(2 * 75.0**2, rel=0.06)
    assert np.mean(arrival.alive) == pytest.approx(0.75, abs=4 * np.sqrt(0.75 * 0.25 / n))
    assert not np.asarray(arrival.plate).any()
    emitted = np.stack(first.before, axis=1)
    np.testing.assert_allclose(np.linalg.norm(emitted, axis=1), 1.0, rtol=1e-12)
    assert np.abs(emitted.mean(axis=0)).max() < 4 / np.sqrt(3 * n)
    np.testing.assert_allclose(np.mean(emitted**2, axis=0), 1 / 3, atol=0.01)


def test_the_angle_between_flights_is_that_of_the_phase_function(flights):
    first, _, second = flights
    cosine = np.sum(np.stack(first.before) * np.stack(second.before), axis=0)
    assert abs(cosine.mean()) < 4 * np.sqrt(0.4 / len(cosine))
    assert np.mean(cosine**2) == pytest.approx(0.4, abs=4 * 0.3 / np.sqrt(len(cosine)))


@pytest.mark.parametrize("specular", [0.0, 1.0, 0.4])
def test_counting_and_expecting_agree_where_all_happens(points, two_plates, specular):
    optics = ArgonOptics(absorption_length=200.0, rayleigh_length=25.0, reflectivity=0.7, specular=specular)
    counted, counted_way = seen(two_plates, optics, CountedPhotons(), points, photons=6000)
    expected, way = seen(two_plates, optics, ExpectedPhotons(), points, photons=6000, seed=1)
    n_hits = 6000 * counted.sum(axis=0)
    np.testing.assert_allclose(
        expected.sum(axis=0) / counted.sum(axis=0), 1.0, atol=5 / np.sqrt(n_hits.min())
    )
    assert (np.abs(expected - counted) < 6 * np.sqrt(counted / 6000) + 1e-3).all()
    mean_ways = [np.sum(w * v, axis=0) / v.sum(axis=0) for w, v in ((counted_way, counted), (way, expected))]
    np.testing.assert_allclose(*mean_ways, rtol=0.03)


def test_mirrors_on_all_sides_bring_every_photon_to_the_plate(two_plates):
    """What no wall keeps and argon does not absorb must end on a plate."""
    optics = ArgonOptics(absorption_length=FAR, rayleigh_length=50.0, reflectivity=1.0, specular=0.5)
    found, _ = seen(two_plates, optics, CountedPhotons(), np.array([[1.0, 2.0, 3.0]]), photons=4000)
    assert found.sum() == pytest.approx(1.0, abs=3e-3)


def test_the_mean_does_not_depend_on_the_number_of_photons(two_plates):
    optics = ArgonOptics(reflectivity=0.5, rayleigh_length=30.0)
    many = np.tile([[4.0, -6.0, 2.0]], (4000, 1))
    few, _ = seen(two_plates, optics, CountedPhotons(), many, photons=3, seed=2)
    more, _ = seen(two_plates, optics, CountedPhotons(), many[:40], photons=300, seed=3)
    error = np.sqrt(few.mean(axis=0) / 12_000)
    assert (np.abs(few.mean(axis=0) - more.mean(axis=0)) < 4 * np.sqrt(2) * error).all()


def test_a_point_has_its_numbers_whatever_else_is_traced(points, two_plates):
    box, keys = LightBox.around(SIZE, two_plates), jax.random.split(jax.random.key(0), len(points))
    optics, estimator = ArgonOptics(), ExpectedPhotons()
    whole, _ = trace(box, optics, estimator, jnp.asarray(points), 50, keys)
    part, _ = trace(box, optics, estimator, jnp.asarray(points[3:5]), 50, keys[3:5])
    np.testing.assert_allclose(part, whole[3:5], rtol=1e-12)


@pytest.mark.parametrize(
    "centers, sizes, axes, message",
    [
        (
            [[0, 0, -5]],
            [[2, 2]],
            [2],
            "plates at z = -5 cm are inside the drift volume, which ends at -10 cm",
        ),
        ([[0, 0, -10], [5, 0, -11]], [[2, 2]] * 2, [2, 2], "plates of the wall at -z lie at -11 to -10 cm"),
        ([[14, 0, -10]], [[4, 4]], [2], "plate 0 reaches over the edge of its wall"),
        ([[0, 0, -10], [1, 1, -10]], [[4, 4]] * 2, [2, 2], "plates 0 and 1 overlap"),
    ],
)
def test_plates_that_are_on_no_wall_are_refused(centers, sizes, axes, message):
    plates = Plates.on_walls(np.array(centers, float), np.array(sizes, float), np.array(axes))
    with pytest.raises(ValueError, match=message):
        LightBox.around(SIZE, plates)
