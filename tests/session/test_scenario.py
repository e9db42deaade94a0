"""Scenarios: the shipped ones state what they promise; a wrong file says what is wrong."""

import pytest

from dptoolkit.session.scenario import LOSSES, load_scenario, read_scenario, scenario_names, stages_of

GOOD = """
title: T
about: A
detector: small-wire
planes: [Y]
muons: [{distance: 28 cm, slope: 0.1, length: 80 mm}]
truth: {drift.lifetime: 500 us}
start: {drift.lifetime: 450 us}
around: {drift.lifetime: [400 us, 600 us]}
"""


@pytest.mark.parametrize("name", scenario_names())
def test_every_shipped_scenario_has_a_lesson_and_a_race(name):
    scenario = load_scenario(name)
    assert len(scenario.about) > 80 and scenario.title
    assert len(scenario.methods) >= 2 and set(scenario.losses) <= set(LOSSES)
    assert bool(scenario.more) == bool(scenario.more_title)


def test_there_are_at_least_five():
    assert len(scenario_names()) >= 5


def test_units_of_a_file_are_converted():
    (muon,) = read_scenario(GOOD, "good").muons
    assert (muon.distance, muon.slope, muon.length) == (28.0, 0.1, 8.0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title: T", "titel: T", "unknown keys \\['titel'\\], missing keys \\['title'\\]"),
        ("planes: [Y]", "controls: [magic]", "controls \\['magic'\\]"),
        ("start: {drift.lifetime: 450 us}", "start: {drift.speed: 1}", "the same parameters"),
        ("muons: [{distance: 28 cm, slope: 0.1, length: 80 mm}]", "", "either muons or a line"),
        ("planes: [Y]", "losses: [likelihood]", "losses \\['likelihood'\\]"),
        ("planes: [Y]", "methods: [newton]", "methods \\['newton'\\]"),
        ("planes: [Y]", "noise: 0", "noise = 0"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(old, new, message):
    with pytest.raises(ValueError, match=message):
        read_scenario(GOOD.replace(old, new), "wrong")


def test_an_unknown_name_is_told():
    with pytest.raises(ValueError, match="scenario 'nothing' is unknown"):
        load_scenario("nothing")
    with pytest.raises(ValueError, match="loss 'best' is unknown"):
        stages_of("best", 1.0)
