"""Photosensors: what becomes of light, as expected and as drawn."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.light.sensor import Photosensor
from dptoolkit.light.spectrum import WAVELENGTHS_NM
from dptoolkit.params import infos, replace

N = 6


@pytest.fixture(scope="module")
def sensor():
    return replace(
        Photosensor(radius=25.4).for_all(N),
        {"gain": 1.3, "gain[2]": 0.7, "time_offset_ns[1]": 5.0, "transit_spread_ns": 1.5},
    )


@pytest.fixture(scope="module")
def rows():
    """(light, sensor) of 6 sensors: none, little and much."""
    pe = jnp.array([0.0, 0.05, 0.5, 2.0, 20.0, 300.0])
    return (pe, jnp.linspace(50.0, 90.0, N), jnp.linspace(0.1, 4.0, N)), jnp.arange(N)


def test_the_mean_of_samples_is_the_expectation(sensor, rows):
    light, which = rows
    (pe, time, width), charge = sensor.expect(light, which)
    count = 8000
    many = tuple(jnp.tile(part, count) for part in light)
    (n, when, _), drawn = eqx.filter_jit(sensor.draw)(many, jnp.tile(which, count), jax.random.key(3))
    n, when, drawn = (np.asarray(part).reshape(count, N) for part in (n, when, drawn))
    spread2 = 1 + float(sensor.charge_spread) ** 2
    tolerance = 4.5 * np.sqrt(np.asarray(pe) / count)
    assert (np.abs(n.mean(axis=0) - pe) <= tolerance).all()
    gain = np.asarray(sensor.gain)
    assert (np.abs(drawn.mean(axis=0) - charge) <= tolerance * gain * np.sqrt(spread2)).all()
    np.testing.assert_allclose(drawn[:, 2:].var(axis=0), (pe * gain**2 * spread2)[2:], rtol=0.12)
    for k in range(1, N):
        seen = when[n[:, k] > 0, k]
        assert abs(seen.mean() - time[k]) < 4.5 * seen.std() / np.sqrt(len(seen))
    few = n[:, 2] == 1
    assert when[few, 2].std() == pytest.approx(float(width[2]), rel=0.05)
    assert (n[:, 0] == 0).all() and (drawn[:, 0] == 0).all() and (n == np.round(n)).all()


def test_gain_and_time_offset_are_those_of_each_sensor(sensor, rows):
    light, which = rows
    (_, time, width), charge = sensor.expect(light, which)
    np.testing.assert_allclose(charge / light[0], [np.nan, 1.3, 0.7, 1.3, 1.3, 1.3])
    np.testing.assert_allclose(time - light[1], [0, 5, 0, 0, 0, 0])
    np.testing.assert_allclose(width**2, light[2] + 1.5**2)


def test_the_efficiency_is_the_table_between_its_ends_and_nothing_beyond():
    spectrum = np.asarray(Photosensor(radius=10.0, collection=0.5).spectrum())
    at = {nm: spectrum[nm == WAVELENGTHS_NM][0] for nm in (280, 400, 410, 660, 700)}
    assert at[280] == at[660] == at[700] == 0
    assert at[400] == pytest.approx(0.211 / 2) and at[410] == pytest.approx((0.211 + 0.202) / 4)


def test_acceptance_is_one_head_on():
    sensor = Photosensor(radius=10.0, slope=-0.4)
    np.testing.assert_allclose(sensor.acceptance(jnp.array([1.0, 0.5, 0.0])), [1.0, 0.8, 0.6])


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"radius": 0.0}, "Photosensor.radius = 0 cm: expected a positive length"),
        ({"radius": 1.0, "efficiency": [0.1, 0.2]}, "expected 20 values, one for each of efficiency_nm"),
        ({"radius": 1.0, "collection": 9.0}, "Photosensor.collection = 9"),
    ],
)
def test_a_wrong_sensor_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Photosensor(**wrong)


def test_a_wrong_number_of_gains_is_refused():
    with pytest.raises(ValueError, match=r"Photosensor.gain: expected one value, or 6"):
        Photosensor(radius=1.0, gain=np.ones(4)).for_all(6)


def test_every_parameter_declares_unit_and_source(sensor):
    assert all(info.reference for info in infos(sensor).values())
