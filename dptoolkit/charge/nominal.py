"""What the parts of a detector need to know of each other when they are built."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dptoolkit.geometry import Volumes


@dataclass(frozen=True)
class Nominal:
    """A detector as its configuration describes it; sizes of tables follow from these numbers."""

    volumes: Volumes
    planes: list[dict[str, Any]]
    anode: dict[str, Any]
    """What the planes have in common: gaps, potentials, wires."""
    efield: float
    """[kV/cm]"""
    speed: float
    """Drift velocity [cm/us]."""
    temperature: float
    """[K]"""
    widest: float
    """Largest transverse standard deviation of a cloud that is provided for [cm]."""
    longest: float
    """Largest standard deviation in time that is provided for [us]."""
    build: Callable[[type, Any, str], Any]
    """Builds a component from a mapping: (class, mapping, where it stands)."""

    leftover: Callable[[dict[str, Any], str, tuple[str, ...]], dict[str, Any]]
    """What remains of a mapping, which may only hold the named keys: (mapping, where, names)."""
