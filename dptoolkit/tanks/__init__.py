"""Tanks whose wall carries photosensors."""

from dptoolkit.tanks.base import AbstractTank, SensorArray
from dptoolkit.tanks.cylinder import Cylinder
from dptoolkit.tanks.modules import ModuleCylinder, MultiPMT
from dptoolkit.tanks.sphere import Sphere

__all__ = ["AbstractTank", "Cylinder", "ModuleCylinder", "MultiPMT", "SensorArray", "Sphere"]
