"""Tanks: where sensors are, and what placement and displays ask."""

import numpy as np
import pytest

from dptoolkit.config import from_yaml, load_detector, to_yaml
from dptoolkit.geometry import Region
from dptoolkit.optical import OpticalDetector
from dptoolkit.params import infos, replace
from dptoolkit.tanks import Cylinder


@pytest.fixture(scope="module")
def super_k() -> OpticalDetector:
    return load_detector("super-k")


def test_super_k_has_11129_sensors_and_40_percent_coverage(super_k):
    tank, area = super_k.tank, np.pi * super_k.sensor.radius**2
    assert len(tank.sensors) == 11129 == super_k.sensor.gain.size
    assert tank.radius == pytest.approx(1684.0) and tank.height == pytest.approx(3620.0)
    wall = 2 * np.pi * tank.radius * (tank.radius + tank.height)
    assert len(tank.sensors) * area / wall == pytest.approx(0.40, abs=0.005)


def test_sensors_are_on_the_wall_look_inwards_and_keep_their_distance(super_k):
    sensors, tank = super_k.tank.sensors, super_k.tank
    position, normal = sensors.position, sensors.normal
    np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1)
    assert (np.sum(position * normal, axis=1) < 0).all()
    radius, barrel = np.hypot(sensors.x, sensors.y), sensors.surface == 0
    np.testing.assert_allclose(radius[barrel], 1684.0)
    assert (np.abs(sensors.z[barrel]) + super_k.sensor.radius < 1810).all()
    np.testing.assert_allclose(sensors.z[~barrel], np.where(sensors.surface[~barrel] == 1, 1810, -1810))
    assert radius[~barrel].max() < 1684.0
    assert {name: int((sensors.surface == k).sum()) for k, name in enumerate(tank.surfaces)} == {
        "barrel": 7650, "top": 1740, "bottom": 1739,
    }  # fmt: skip
    for k in range(3):
        some = position[sensors.surface == k][:400]
        apart = np.linalg.norm(some[:, None] - some, axis=2) + 1e9 * np.eye(len(some))
        assert apart.min() == pytest.approx(70.7, abs=0.3)


def test_the_unrolled_wall_keeps_distances_and_its_parts_apart(super_k):
    tank, flat = super_k.tank, super_k.tank.unrolled()
    sensors = tank.sensors
    cap = sensors.surface == 1
    there = np.stack([sensors.x, sensors.y], axis=1)[cap][:300]
    apart = np.linalg.norm(there[:, None] - there, axis=2)
    np.testing.assert_allclose(np.linalg.norm(flat[cap][:300, None] - flat[cap][:300], axis=2), apart)
    assert flat[cap][:, 1].min() > 1810 and flat[sensors.surface == 2][:, 1].max() < -1810
    edge = (sensors.surface == 0) & (np.abs(flat[:, 0]) < 40)
    touching = flat[cap][np.abs(flat[cap][:, 0]) < 40, 1].min() - flat[edge, 1].max()
    assert touching < 3 * 70.7  # what touches in the tank touches in the picture


def test_a_tank_is_a_region_that_knows_inside_from_outside(super_k):
    tank = super_k.region
    assert isinstance(tank, Region)
    rng = np.random.default_rng(0)
    points = np.array([tank.random_point(rng) for _ in range(4000)])
    assert (tank.locate(points) == 0).all() and tank.encloses(points)
    assert np.mean(np.hypot(points[:, 0], points[:, 1]) < 1684 / np.sqrt(2)) == pytest.approx(0.5, abs=0.03)
    assert points[:, 2].std() == pytest.approx(3620 / np.sqrt(12), rel=0.03)
    corner = np.array([[1500.0, 1500.0, 0.0], [0.0, 0.0, 1811.0]])
    assert (tank.locate(corner) == -1).all() and not tank.encloses(corner)
    np.testing.assert_allclose(tank.bounds[1], [1684, 1684, 1810])
    assert np.abs(tank.frame()).max() == pytest.approx(1810)


def test_an_optical_detector_written_as_yaml_is_the_same_detector(super_k):
    changed = replace(
        super_k, {"medium.absorption_scale": 0.5, "sensor.gain[12]": 1.2, "sensor.collection": 0.9}
    )
    again = from_yaml(to_yaml(changed))
    for path, info in infos(changed).items():
        np.testing.assert_allclose(infos(again)[path].value, info.value, rtol=1e-12, err_msg=path)
    assert float(again.sensor.gain[12]) == 1.2 and again.name == "super-k"


@pytest.mark.parametrize(
    "line, message",
    [
        ("tank: {type: Cylinder, radius: -1 m, height: 2 m, spacing: 1 m, columns: 4, rows: 1}",
         "Cylinder.radius = -100 cm: expected a positive length"),
        ("tank: {type: Cylinder, radius: 1 m, height: 2 m, spacing: 1 m, columns: 4, rows: 9}",
         "Cylinder.rows = 9"),
        ("tank: {type: Sphere}", "tank: type 'Sphere' is unknown; expected one of Cylinder"),
        ("medium: {type: Milk}", "medium: type 'Milk' is unknown; expected one of .*Water"),
        ("type: Bottle", "type 'Bottle' is unknown; expected one of LArTPC, OpticalDetector"),
        ("colour: blue", "unknown key 'colour'"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_yaml_of_a_tank_is_named(super_k, line, message):
    key = line.split(":")[0]
    kept = [row for row in super_k.source.splitlines() if not row.startswith(f"{key}:")]
    with pytest.raises(ValueError, match=message):
        from_yaml("\n".join([*kept, line]))


def test_the_places_of_a_cap_are_those_closest_to_the_axis():
    sensors = Cylinder(500.0, 300.0, 60.0, 0, 0, 21, 0).sensors
    radius = np.hypot(sensors.x, sensors.y)
    assert len(sensors) == 21 and radius.max() < 60 * np.hypot(2.5, 1.5) + 1e-9
