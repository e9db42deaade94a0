"""Tanks: where sensors are, and what placement and displays ask."""

import numpy as np
import pytest

from dptoolkit.config import from_yaml, load_detector, to_yaml
from dptoolkit.geometry import Region
from dptoolkit.optical import OpticalDetector
from dptoolkit.params import infos, replace
from dptoolkit.tanks import Cylinder, ModuleCylinder, MultiPMT, Sphere


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
        ("tank: {type: Cube}",
         "tank: type 'Cube' is unknown; expected one of Cylinder, ModuleCylinder, Sphere"),
        ("tank: {type: Sphere, radius: 2 kg, number: 9}", "tank.radius: cannot convert 2.0 'kg' to 'cm'"),
        ("tank: {type: Sphere, radius: 2 m, number: -9}", "Sphere.number = -9"),
        ("tank: {type: Sphere, radius: 2 m, number: nine}", "tank.number: expected int, got 'nine'"),
        ("tank: {type: ModuleCylinder, radius: 2 m, height: 2 m, spacing: 1 m, columns: 4, rows: 1, "
         "cap_rows: 3}",
         "tank.cap_rows: expected a list, got 3"),
        ("tank: {type: ModuleCylinder, radius: 2 m, height: 2 m, spacing: 1 m, columns: 4, rows: 4}",
         "ModuleCylinder.rows = 4: 100 cm apart they are higher than it"),
        ("tank: {type: ModuleCylinder, radius: 2 m, height: 2 m, spacing: 1 m, columns: 4, rows: 1, "
         "cap_rows: [9]}", "cap_rows = .9,.: do not fit onto a cap"),
        ("tank: {type: ModuleCylinder, radius: 2 m, height: 2 m, spacing: 1 m, columns: 4, rows: 1, "
         "module: {rings: [1, 6]}}", "rings = .1, 6.*expected one number for each ring"),
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


MODULES = {"wcte": (106, 2014), "iwcd": (368, 6992)}


@pytest.mark.parametrize("name", MODULES)
def test_domes_stand_on_the_wall_and_their_sensors_look_away_from_the_centre_of_the_dome(name):
    tank = load_detector(name).tank
    modules, number = MODULES[name]
    assert len(tank.sensors) == number == modules * 19
    position, normal = (
        array.reshape(modules, 19, 3) for array in (tank.sensors.position, tank.sensors.normal)
    )
    np.testing.assert_allclose(np.linalg.norm(normal, axis=2), 1)
    centre = position - tank.module.radius * normal
    np.testing.assert_allclose(centre, np.broadcast_to(centre[:, :1], centre.shape), atol=1e-9)
    first = position[:, 0]
    on_barrel = np.isclose(np.hypot(first[:, 0], first[:, 1]), tank.radius)
    assert (on_barrel | np.isclose(np.abs(first[:, 2]), tank.height / 2)).all()
    back = np.sum((first[:, None] - position) * normal[:, :1], axis=2)
    assert back.min() > -1e-9 and back.max() == pytest.approx(tank.module.depth)
    assert (
        tank.longest_path >= np.linalg.norm(position.reshape(-1, 1, 3)[::37] - position[0, 0], axis=2).max()
    )


@pytest.mark.parametrize("name, tolerance", [("wcte", 0.1), ("iwcd", 1.0)])
def test_modules_are_where_the_collaborations_say(data, name, tolerance):
    """But for how far behind the wall they are bolted, and the place of the wall along the axis."""
    file = {"wcte": "mPMT_Position_WCTE.txt", "iwcd": "mPMT_Position_IWCD_OptionA.txt"}[name]
    lines = (data / "water" / file).read_text().split("#DATASTART")[1].split("\n")
    theirs = np.array([line.split() for line in lines if line.strip()], float)
    tank = load_detector(name).tank
    ours, looking = tank.sensors.position[::19], tank.sensors.normal[::19]
    assert len(ours) == len(theirs)
    caps = np.isin(theirs[:, 2], (1, 3))
    place, cap = theirs[:, 3:6] / 10, np.abs(looking[:, 2]) > 0.5
    for sign in (1, -1):
        a, b = (p[c & (p[:, 2] * sign > 0), :2] for p, c in ((place, caps), (ours, cap)))
        assert np.linalg.norm(a[:, None] - b, axis=2).min(axis=1).max() < tolerance
    on_wall, wall = place[~caps], ours[~cap]
    on_wall[:, 2] -= on_wall[:, 2].mean()
    on_wall[:, :2] *= tank.radius / np.linalg.norm(on_wall[:, :2], axis=1, keepdims=True)
    assert np.linalg.norm(on_wall[:, None] - wall, axis=2).min(axis=1).max() < tolerance


def test_a_module_is_never_cut_by_the_edge_of_the_picture():
    for name in MODULES:
        tank = load_detector(name).tank
        flat = tank.unrolled().reshape(-1, 19, 2)
        assert np.ptp(flat, axis=1).max() < 2 * tank.module.radius


def test_two_tanks_that_differ_in_one_setting_have_their_own_sensors():
    tank = {"radius": 200.0, "height": 200.0, "columns": 6, "rows": 2, "spacing": 50.0}
    one, other = ModuleCylinder(**tank), ModuleCylinder(**tank, module=MultiPMT(radius=20.0))
    assert not np.allclose(one.sensors.position, other.sensors.position)
    assert len(ModuleCylinder(**tank | {"rows": 3}).sensors) == 18 * 19


def test_sensors_of_a_sphere_share_its_wall_evenly():
    tank, rng = Sphere(radius=500.0, number=1500), np.random.default_rng(1)
    position = tank.sensors.position
    np.testing.assert_allclose(np.linalg.norm(position, axis=1), 500)
    np.testing.assert_allclose(tank.sensors.normal, -position / 500)
    points = rng.normal(size=(40000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    nearest = np.concatenate([np.argmax(block @ position.T, axis=1) for block in np.array_split(points, 20)])
    share = np.bincount(nearest, minlength=1500)
    assert share.std() / share.mean() < 1.25 / np.sqrt(share.mean())
    apart = np.linalg.norm(position[:, None] - position, axis=2) + 1e9 * np.eye(1500)
    assert apart.min() > 0.8 * np.sqrt(4 * np.pi * 500**2 / 1500)


def test_the_map_of_a_sphere_keeps_areas_and_stays_within_its_outline():
    tank = Sphere(radius=500.0, number=4000)
    flat = tank.unrolled() / (np.sqrt(2) * 500)
    across, up = np.abs(flat[:, 0]) / 2, np.abs(flat[:, 1])
    assert np.hypot(across, up).max() < 1.0
    for edge in (0.2, 0.5, 0.8):  # of the area of the ellipse, so of the sphere
        assert np.mean(np.hypot(across, up) < np.sqrt(edge)) == pytest.approx(edge, abs=0.01)
    rng = np.random.default_rng(0)
    points = np.array([tank.random_point(rng) for _ in range(3000)])
    assert (tank.locate(points) == 0).all()
    assert np.mean(np.linalg.norm(points, axis=1) < 250) == pytest.approx(1 / 8, abs=0.02)
