"""The contract of every distorted field: real electrostatics, and displacements that follow from it."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.charge.drift import MobilityDrift
from dptoolkit.charge.field import AbstractField, AbstractPotentialField, UniformField, steepness
from dptoolkit.charge.paths import FullPath
from dptoolkit.charge.poisson import PoissonField
from dptoolkit.charge.spline import DEGREE, SplineField, VoxelField, bsplines
from dptoolkit.config import choices
from dptoolkit.geometry import Volumes
from dptoolkit.params import infos, replace
from dptoolkit.surrogates.potential import NetworkField

VOLUMES = Volumes.from_boxes([[-25.0, 0, 40], [25.0, 0, 40]], [50.0, 90, 110], ["-x", "+x"])
SPEED = MobilityDrift().speed
SPECIAL: dict[str, Callable[[], AbstractField]] = {
    "FullPath": lambda: FullPath(PoissonField(modes=3)),
    "SplineField": lambda: SplineField(groups=2, pieces=(2, 3, 2)),
    "VoxelField": lambda: VoxelField(groups=2, voxels=(3, 2, 4)),
    "NetworkField": lambda: NetworkField(groups=2, hidden=(5, 4)),
    "PoissonField": lambda: PoissonField(modes=3),
}
EVERY = sorted(choices(AbstractField))
POTENTIALS = sorted(choices(AbstractPotentialField))


def distorted(name: str) -> AbstractField:
    """With parameters that distort by several per cent."""
    field = SPECIAL.get(name, choices(AbstractField)[name])()
    rng, values = np.random.default_rng(1), {}
    for path, info in infos(field).items():
        if np.ndim(info.value):
            size = 0.5 if name == "VoxelField" else 0.3
            values[path] = info.value + size * rng.normal(size=info.value.shape)
    return replace(field, values)


@pytest.fixture(scope="module")
def places() -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(0)
    volume = rng.integers(0, 2, 24)
    return jnp.asarray(rng.uniform(VOLUMES.low[volume], VOLUMES.high[volume])), jnp.asarray(volume)


@eqx.filter_jit
def moved(field: AbstractField, points: jax.Array, volume: jax.Array) -> jax.Array:
    return field.displacement(points, volume, VOLUMES, SPEED)


@eqx.filter_jit
def at(field: AbstractField, points: jax.Array, volume: jax.Array) -> jax.Array:
    return field.local(points, volume, VOLUMES)


@eqx.filter_jit
def jacobian(field: AbstractField, points: jax.Array, volume: jax.Array) -> jax.Array:
    one = lambda p, v: field.local(p[None], v[None], VOLUMES)[0]  # noqa: E731
    return jax.vmap(jax.jacfwd(one))(points, volume)


def on_face(share: float) -> tuple[jax.Array, jax.Array]:
    """Points in both volumes at this share of the drift from the anode."""
    rng = np.random.default_rng(2)
    volume = np.repeat([0, 1], 5)
    u, v = rng.uniform(-0.4, 0.4, (2, 10)) * np.array(VOLUMES.face)[:, None]
    return jnp.asarray(VOLUMES.to_global(u, v, np.full(10, 50.0 * share), volume)), jnp.asarray(volume)


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_displaced_from_the_anode(name):
    np.testing.assert_allclose(moved(distorted(name), *on_face(0.0)), 0.0, atol=1e-12)


@pytest.mark.parametrize("name", POTENTIALS)
def test_a_potential_has_no_curl(name, places):
    slopes = np.asarray(jacobian(distorted(name), *places))
    assert np.abs(slopes).max() > 1e-5
    np.testing.assert_allclose(slopes, slopes.transpose(0, 2, 1), atol=1e-10 * np.abs(slopes).max())


@pytest.mark.parametrize("name", POTENTIALS)
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_field_of_a_potential_is_normal_to_anode_and_cathode(name, share):
    points, volume = on_face(share)
    field = np.asarray(at(distorted(name), points, volume))
    np.testing.assert_allclose(np.cross(field, VOLUMES.drift[volume]), 0.0, atol=1e-12)


@pytest.mark.parametrize("name", ["SplineField", "NetworkField", "PoissonField"])
def test_a_grounded_field_cage_has_no_field_along_it(name):
    """psi = 0 on the cage, so its slope along the drift vanishes there."""
    volume = np.repeat([0, 1], 6)
    u, v = VOLUMES.face[0] / 2 * np.tile([1.0, -1], 6), np.linspace(-40, 40, 12)
    points = VOLUMES.to_global(u, v, np.linspace(5, 45, 12), volume)
    field = np.asarray(at(distorted(name), jnp.asarray(points), jnp.asarray(volume)))
    np.testing.assert_allclose(np.sum(field * VOLUMES.drift[volume], axis=1), 0.5, atol=1e-12)


def test_a_cage_that_is_not_grounded_is_free(places):
    volume = jnp.asarray([0, 1])
    points = VOLUMES.to_global(
        np.full(2, VOLUMES.face[0] / 2), np.zeros(2), np.full(2, 20.0), np.array([0, 1])
    )
    field = replace(SplineField(pieces=(2, 2, 2), grounded=False), {"coefficients": np.ones((1, 6, 6, 6))})
    along = np.sum(np.asarray(at(field, jnp.asarray(points), volume)) * VOLUMES.drift, axis=1)
    assert np.abs(along - 0.5).min() > 1e-3


@pytest.mark.parametrize("name", [name for name in EVERY if name != "FullPath"])
def test_displacement_is_the_integral_of_the_distortion_along_the_nominal_path(name, places):
    """Across as it is; along the drift times d ln v / d ln E."""
    field, (points, volume) = distorted(name), places
    n = 1500
    away = np.asarray(VOLUMES.to_local(points, volume)[2])
    drift = VOLUMES.drift[np.asarray(volume)]
    steps = (np.arange(n)[:, None] + 0.5) / n * away
    there = np.asarray(points) + steps[:, :, None] * drift
    local = at(field, jnp.asarray(there.reshape(-1, 3)), jnp.tile(volume, n))
    total = (away / n)[:, None] * np.sum(np.asarray(local).reshape(there.shape) / 0.5 - drift, axis=0)
    slope = float(steepness(SPEED, jnp.asarray(0.5)))
    along = np.sum(total * drift, axis=1, keepdims=True) * drift
    expected = total - along + slope * along
    # the sum is off by a step of it where a voxel ends, of 1.5 in 12.5 cm at most
    tolerance = 1.5 / 12.5 * 50 / n if name == "VoxelField" else 1e-5 * max(np.abs(expected).max(), 1e-9)
    np.testing.assert_allclose(moved(field, points, volume), expected, atol=tolerance)


def test_velocity_grows_as_the_root_of_the_field_near_half_a_kilovolt():
    assert float(steepness(SPEED, jnp.asarray(0.5))) == pytest.approx(0.5, abs=0.03)
    assert float(steepness(lambda e: 0.3 * e, jnp.asarray(0.5))) == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["SpaceChargeField", "PoissonField"])
def test_first_order_misses_the_full_path_by_the_square_of_the_distortion(name, places):
    """Half the distortion, a quarter of the difference; 5 % of a displacement where the field is 5 % off."""
    differences = []
    for amplitude in (0.05, 0.025):
        field = replace(distorted(name), {"amplitude": amplitude})
        first, whole = moved(field, *places), moved(FullPath(field, steps=24), *places)
        differences.append(np.abs(np.asarray(whole - first)).max())
    assert differences[0] / differences[1] == pytest.approx(4.0, rel=0.1)
    assert 0 < differences[0] < 0.15 * np.abs(np.asarray(first)).max() * 2


def test_a_full_path_in_a_uniform_field_of_other_strength_is_straight(places):
    """A field that is stronger everywhere along the drift is no distortion of a potential between the same
    walls; the nominal one is."""
    np.testing.assert_allclose(moved(FullPath(UniformField()), *places), 0.0, atol=1e-12)


def test_eight_steps_of_a_full_path_are_enough(places):
    field = distorted("PoissonField")
    few, many = (np.asarray(moved(FullPath(field, steps=n), *places)) for n in (8, 40))
    np.testing.assert_allclose(few, many, atol=1e-5 * np.abs(many).max())


def test_the_charge_of_ions_is_the_one_that_is_stated():
    """Inside, of many modes; its jump to zero at the field cage rings by some per cent."""
    field, size = PoissonField(modes=60), np.array([50.0, 90.0, 110.0])
    share = np.array([[0.3, 0.05, 0.02], [0.6, -0.1, 0.1], [0.9, 0.1, -0.13]])
    points = VOLUMES.to_global(
        share[:, 2] * size[2], share[:, 1] * size[1], share[:, 0] * size[0], np.zeros(3, int)
    )
    slopes = np.asarray(jacobian(field, jnp.asarray(points), jnp.zeros(3, int)))
    stated = share[:, 0] * (1 + 0.3 * 2 * share[:, 2]) * (1 - 0.4 * 2 * share[:, 1])
    found = np.trace(slopes, axis1=1, axis2=2) / (3 * 0.05 * 0.5 / 50)
    np.testing.assert_allclose(-found, stated, rtol=0.05)


def test_in_a_wide_volume_ions_change_the_field_by_a_at_the_cathode_and_half_of_it_at_the_anode():
    wide = Volumes.from_boxes([[0.0, 0, 0]], [10.0, 400, 400], ["+x"])
    field = PoissonField(amplitude=0.04, tilt_across=0.0, tilt_up=0.0, modes=120)
    points = wide.to_global(np.zeros(2), np.zeros(2), np.array([10.0, 0.0]), np.zeros(2, int))
    strength = np.linalg.norm(field.local(jnp.asarray(points), jnp.zeros(2, int), wide), axis=1)
    np.testing.assert_allclose(strength, [0.5 * 1.04, 0.5 * 0.98], rtol=1e-3)


@pytest.mark.parametrize("name", EVERY)
def test_gradients_by_parameters_and_places_are_finite_differences(name, places):
    field, (points, volume) = distorted(name), (places[0][:6], places[1][:6])
    known = {path: info.value for path, info in infos(field).items()}
    rng = np.random.default_rng(4)
    weights = jnp.asarray(rng.normal(size=(2, 6, 3)))

    @jax.jit
    def total(values, points):
        other = replace_traced(field, values)
        return jnp.sum(weights[0] * other.local(points, volume, VOLUMES)) + jnp.sum(
            weights[1] * other.displacement(points, volume, VOLUMES, SPEED)
        )

    direction = {path: jnp.asarray(rng.normal(size=np.shape(x))) for path, x in known.items()}
    step = jnp.asarray(rng.normal(size=points.shape)) * 1e-2
    _, slope = jax.jvp(total, (known, points), (direction, step))
    h = 1e-5
    ahead, behind = (
        total({p: known[p] + s * h * direction[p] for p in known}, points + s * h * step) for s in (1, -1)
    )
    assert float(slope) == pytest.approx(float(ahead - behind) / (2 * h), rel=1e-5, abs=1e-9)


def replace_traced(field: AbstractField, values: dict[str, jax.Array]) -> AbstractField:
    from dptoolkit.params import free

    return free(field, list(values)).merge(values)


def test_every_bspline_sums_to_one_and_is_positive():
    x = jnp.linspace(-1, 1, 57)
    basis = np.asarray(bsplines(x, 5))
    assert basis.shape == (57, 5 + DEGREE) and basis.min() >= -1e-12
    np.testing.assert_allclose(basis.sum(axis=1), 1.0, atol=1e-12)


def test_a_network_begins_without_distortion_and_keeps_the_weights_it_is_given(places):
    field = NetworkField(hidden=(6,), seed=3)
    assert float(jnp.abs(moved(field, *places)).max()) == 0.0
    again = NetworkField(weights=2 * field.weights, hidden=(6,))
    np.testing.assert_array_equal(again.weights, 2 * field.weights)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: NetworkField(weights=np.ones(5)), r"NetworkField.weights: expected 353 numbers"),
        (lambda: SplineField(coefficients=np.ones((2, 2))), r"SplineField.coefficients: expected shape"),
        (lambda: VoxelField(table=np.ones(3)), r"VoxelField.table: expected shape"),
        (lambda: FullPath(UniformField(), steps=0), r"FullPath.steps = 0: expected a whole number above 0"),
        (lambda: PoissonField(modes=0), r"PoissonField.modes = 0"),
    ],
)
def test_what_does_not_fit_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
