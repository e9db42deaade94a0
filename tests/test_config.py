"""Detectors as YAML: what is named is built, what is wrong is named."""

import copy

import numpy as np
import pytest
import yaml

from dptoolkit.config import detector_names, from_yaml, load_detector, source_text, to_yaml
from dptoolkit.params import infos, replace

VOLUMES = {
    "2x2": 8,
    "dune-fd-hd": 24,
    "icarus": 4,
    "microboone": 1,
    "module0": 2,
    "ndlar": 70,
    "protodune-sp": 12,
    "sbnd": 2,
    "small-pixel": 1,
    "small-wire": 1,
}


OPTICAL = set(detector_names("OpticalDetector"))
"""Tested with the tanks."""


def test_the_named_detectors_are_those_listed_here():
    assert set(detector_names()) == set(VOLUMES) | OPTICAL


@pytest.mark.parametrize("name", VOLUMES)
def test_every_named_detector_loads_with_all_its_volumes_and_parameters_in_bounds(named, name):
    detector = named(name)
    assert detector.name == name
    assert len(detector.volumes) == VOLUMES[name]
    for path, info in infos(detector).items():
        assert np.all(info.value >= info.bounds[0]) and np.all(info.value <= info.bounds[1]), path


@pytest.mark.parametrize("name", ["small-wire", "small-pixel"])
def test_a_detector_written_as_yaml_is_the_same_detector(named, name):
    plane = named(name).planes[0].name
    gain = f"planes.{plane}.gain" if "wire" in name else f"planes.{plane}.front_end.threshold"
    changed = replace(named(name), {"drift.lifetime": "1.234 ms", gain: 1.1 if "wire" in name else 4321.0})
    again = from_yaml(to_yaml(changed))
    for path, info in infos(changed).items():
        assert float(infos(again)[path].value) == float(info.value), path
    assert float(again.drift.lifetime) == 1234.0
    assert yaml.safe_load(to_yaml(again)) == yaml.safe_load(to_yaml(changed))
    np.testing.assert_array_equal(again.volumes.low, changed.volumes.low)


def test_units_in_yaml_are_converted(small_wire):
    assert float(small_wire.drift.lifetime) == 3000.0
    assert small_wire.planes[0].pitch == pytest.approx(0.3)
    assert small_wire.planes[1].angle == pytest.approx(-np.pi / 3)
    assert small_wire.volumes.drift_length == pytest.approx(40.0)


def test_what_all_planes_share_is_overruled_by_a_plane(small_wire):
    assert float(small_wire.planes[2].digitiser.pedestal) == 410.0
    assert float(small_wire.planes[0].digitiser.pedestal) == 1843.0


WRONG = [
    ("small-wire", ("drift", "lifetme"), 1,
     r"drift: unknown key 'lifetme'; did you mean 'lifetime'\? expected temperature, lifetime"),
    ("small-wire", ("drift", "lifetime"), "-3 ms",
     r"MobilityDrift.lifetime = -3000 us: expected a value between 50 and 1e\+06 us"),
    ("small-wire", ("drift", "lifetime"), "3 mm", r"drift.lifetime: cannot convert 3.0 'mm' to 'us'"),
    ("small-wire", ("drift", "lifetime"), "soon",
     r"drift.lifetime: expected a number with a unit such as '2.2 ms', got 'soon'"),
    ("small-wire", ("drift", "lifetime"), None, r"drift.lifetime: expected a number .*got None"),
    ("small-wire", ("drift", "lifetime"), True, r"drift.lifetime: expected a number .*got True"),
    ("small-wire", ("drift", "lifetime"), ".nan", r"lifetime"),
    ("small-wire", ("drift", "type"), "Drift",
     r"drift: type 'Drift' is unknown; expected one of .*MobilityDrift"),
    ("small-wire", ("drift",), 3, r"drift: expected a mapping of keys to values, got 3"),
    ("small-wire", ("recombination",), {},
     r"recombination: expected 'type:', one of Birks, ModifiedBox, EllipsoidModifiedBox"),
    ("small-wire", ("recombination", "beta"), 7,
     r"ModifiedBox.beta = 7 .*expected a value between 0.1 and 0.4"),
    ("small-wire", ("color",), "red", r"unknown key 'color'; expected recombination, quanta, field"),
    ("small-wire", ("step",), "1 us", r"step: cannot convert 1.0 'us' to 'cm'"),
    ("small-wire", ("volumes",), None, r"volumes: expected a mapping with size, up and boxes"),
    ("small-wire", ("volumes", "size"), ["40 cm", "60 cm"],
     r"size: expected three lengths such as \[1 m, 2 m, 3 m\]"),
    ("small-wire", ("volumes", "size"), ["40 cm", "60 cm", "60 us"], r"cannot convert 60.0 'us' to 'cm'"),
    ("small-wire", ("volumes", "shape"), "box",
     r"volumes: unknown key 'shape'; expected size, up, boxes, modules"),
    ("small-wire", ("volumes", "boxes"), [], r"volumes: boxes: expected a list of \{center, drift\}"),
    ("small-wire", ("volumes", "boxes"), [{"center": ["0 cm"] * 3}],
     r"boxes\[0\]: expected a mapping with center and drift"),
    ("small-wire", ("volumes", "up"), "+x", r"must be perpendicular to up"),
    ("small-wire", ("planes",), [], r"planes: expected a list of read-out planes"),
    ("small-wire", ("planes", 0, "type"), "StripPlane",
     r"planes\[0\]: type 'StripPlane' is unknown; expected one of .*WirePlane"),
    ("small-wire", ("planes", 1, "name"), "U", r"planes: names must differ, got \['U', 'U', 'Y'\]"),
    ("small-wire", ("planes", 0, "pich"), "3 mm", r"planes\[0\]: unknown key 'pich'"),
    ("small-wire", ("planes", 0, "pitch"), "3 us", r"planes\[0\]: cannot convert 3.0 'us' to 'cm'"),
    ("small-wire", ("planes", 0, "gain"), 99, r"WirePlane.gain = 99: expected a value between 0.2 and 5$"),
    ("small-wire", ("planes", 0, "electronics"), {"peaking_time": "2 cm"},
     r"planes\[0\].electronics.*cannot convert 2.0 'cm' to 'us'"),
    ("small-wire", ("anode", "gaps"), ["3 mm"], r"must have one entry a plane: 1"),
    ("small-wire", ("anode", "wire"), 1, r"anode: unknown key 'wire'; expected pitch, gaps, bias"),
    ("small-wire", ("set",), {"drift.lifetme": 3},
     r"no parameter 'drift.lifetme'; did you mean one of drift.lifetime"),
    ("small-pixel", ("planes", 0, "pad"), "5 mm", r"pad = 0.5 cm: a pad has 0 < pad <= pitch"),
    ("small-pixel", ("planes", 0, "front_end"), {"bits": 8.5}, r"front_end.bits: expected int, got 8.5"),
    ("small-pixel", ("planes", 0, "front_end"), {"threshold": "5 us"},
     r"front_end.threshold: cannot convert 5.0 'us' to 'electron'"),
]  # fmt: skip


@pytest.mark.parametrize(
    "name, path, value, message", WRONG, ids=lambda x: ".".join(map(str, x)) if isinstance(x, tuple) else None
)
def test_a_mistake_is_named_with_its_place_value_and_choices(name, path, value, message):
    config = copy.deepcopy(yaml.safe_load(source_text(name)))
    node = config
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with pytest.raises(ValueError, match=message):
        from_yaml(yaml.safe_dump(config), name)


@pytest.mark.parametrize(
    "text, message",
    [
        ("a: [", "not valid YAML"),
        ("- 1\n- 2", "expected a mapping of keys to values, got list"),
        ("", "expected a mapping of keys to values, got NoneType"),
    ],
)
def test_what_is_no_mapping_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        from_yaml(text)


@pytest.mark.parametrize(
    "name, message",
    [
        ("small-wir", "no detector 'small-wir': did you mean small-wire"),
        ("nothing.yaml", "nothing.yaml does not exist"),
    ],
)
def test_an_unknown_detector_is_answered_with_the_known_ones(name, message):
    with pytest.raises(ValueError, match=message):
        load_detector(name)
