"""Text with a unit becomes a number in the units of the library, or an error that says why not."""

import pytest

from dptoolkit.params import infos
from dptoolkit.units import convert, is_unit, parse


@pytest.mark.parametrize(
    "text, unit, value",
    [
        ("1.6 mm/us", "cm/us", 0.16),
        ("2.2 ms", "us", 2200.0),
        ("3ms", "us", 3000.0),
        ("8.8 cm2/s", "cm2/us", 8.8e-6),
        ("500 V/cm", "kV/cm", 0.5),
        ("1396 kg/m3", "g/cm3", 1.396),
        ("60 deg", "rad", 1.0471975512),
        ("-35.7 deg", "rad", -0.623082543),
        ("4.434 mm", "cm", 0.4434),
        ("1e-3 m", "cm", 0.1),
        ("14 mV/fC", "mV/fC", 14.0),
        ("0.0486 (kV/cm)(g/cm2)/MeV", "(kV/cm)(g/cm2)/MeV", 0.0486),
        ("1.5 GeV", "MeV", 1500.0),
        ("4 uV/e", "uV/e", 4.0),
        ("5 kelectron", "electron", 5000.0),
        ("87.17 K", "K", 87.17),
        ("-186 degC", "K", 87.15),
        ("0.7", "1", 0.7),
        ("70 percent", "1", 0.7),
        (3, "us", 3.0),
        (0.5, "kV/cm", 0.5),
        ("1e3", "us", 1000.0),
    ],
)
def test_text_becomes_a_number_in_the_wanted_unit(text, unit, value):
    assert parse(text, unit) == pytest.approx(value, rel=1e-9)


def test_conversion_and_back_is_the_identity():
    for unit, other in [("mm/us", "cm/us"), ("cm2/s", "cm2/us"), ("ADC/m", "ADC/cm"), ("g/cm3", "kg/m3")]:
        assert convert(convert(1.7, unit, other), other, unit) == pytest.approx(1.7)


@pytest.mark.parametrize("text", ["3 cm", "3 parsnips", "3 us/", "us", "", "three us", None, True, [1.0], {}])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError):
        parse(text, "us")


def test_the_message_names_value_and_both_units():
    with pytest.raises(ValueError, match=r"cannot convert 3.0 'cm' to 'us'"):
        parse("3 cm", "us")


def test_units_are_recognised():
    assert is_unit("cm2/us") and is_unit("ADC/m") and is_unit("")
    assert not is_unit("parsnip") and not is_unit("cm//")


def test_every_declared_unit_is_a_unit(small_wire, small_pixel):
    for detector in (small_wire, small_pixel):
        for path, info in infos(detector).items():
            assert is_unit(info.unit), f"{path}: {info.unit}"
