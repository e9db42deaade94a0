"""The unit system: cm, us, MeV, kV/cm, g/cm3, K, rad, electrons, photoelectrons.

Inside the library every number is in these units. Text with a unit ("1.6 mm/us") exists only at
the boundary (YAML, HDF5, command line), and this module alone converts it, with pint.
"""

import tokenize
from functools import lru_cache
from typing import Any

import pint

# pint's parser of expressions fails with what Python's tokenizer and its own assertions raise
_WRONG_UNIT = (pint.PintError, SyntaxError, AssertionError, AttributeError, TypeError, tokenize.TokenError)


@lru_cache(maxsize=1)
def _registry() -> pint.UnitRegistry:
    registry = pint.UnitRegistry(autoconvert_offset_to_baseunit=True)
    registry.define("electron = [charge_count] = e")
    registry.define("photoelectron = [light_count] = pe")
    registry.define("photon_count = [photon] = photon")
    registry.define("adc = [digit] = ADC")
    registry.define("tick = [sample]")
    return registry


def convert(value: float, unit: str, to: str) -> float:
    """`value` in `unit`, expressed in `to`; ValueError if the dimensions differ."""
    registry = _registry()
    try:
        return float(registry.Quantity(value, _spell(unit)).to(_spell(to)).magnitude)
    except _WRONG_UNIT as error:
        raise ValueError(f"cannot convert {value} {unit!r} to {to!r}: {error}") from None


def parse(text: Any, to: str) -> float:
    """A number, or text with a unit such as "1.6 mm/us", in the unit `to`.

    A bare number is taken to be in `to` already.
    """
    if isinstance(text, bool):
        raise ValueError(f"expected a number in {to!r}, got {text!r}")
    if isinstance(text, int | float):
        return float(text)
    try:
        return float(text)
    except (TypeError, ValueError):
        pass
    if not isinstance(text, str):
        raise ValueError(f"expected a number or text with a unit such as '1 {to}', got {text!r}")
    number, unit = _split(text)
    return convert(number, unit, to)


def is_unit(text: str) -> bool:
    """Whether `text` names a unit known here."""
    try:
        _registry().Unit(_spell(text))
    except (*_WRONG_UNIT, ValueError, TypeError):
        return False
    return True


def _split(text: str) -> tuple[float, str]:
    head, _, tail = text.strip().partition(" ")
    try:
        return float(head), tail.strip()
    except ValueError:
        pass
    # "3ms": the longest prefix that is a number
    for end in range(len(text), 0, -1):
        try:
            return float(text[:end]), text[end:].strip()
        except ValueError:
            continue
    raise ValueError(f"expected a number with a unit such as '2.2 ms', got {text!r}")


def _spell(unit: str) -> str:
    """Field spellings that pint reads otherwise: g/cm3, cm2/us, 1."""
    if unit.strip() in ("", "1"):
        return "dimensionless"
    for base in ("cm", "mm", "m", "us", "ns"):
        for power in ("2", "3"):
            unit = unit.replace(f"{base}{power}", f"{base}**{power}")
    return unit.replace("^", "**").replace(")(", ")*(")
