"""Cylinders whose wall carries modules of many small photosensors on a dome (mPMTs)."""

from functools import lru_cache

import numpy as np

from dptoolkit.params import Component, setting
from dptoolkit.tanks.base import SensorArray, check_counts, check_positive
from dptoolkit.tanks.cylinder import AbstractCylinder, array, barrel, cap


class MultiPMT(Component):
    """A module: rings of sensors on a dome, each looking along its radius. The defaults are those of WCTE.

    The middle of the dome is on the wall; the rings stand back behind it by radius (1 - cos(polar)).
    What a dome hides of the light that comes along the wall to another is left out.
    """

    rings: tuple[int, ...] = setting(default=(1, 6, 12))
    """Sensors in each ring, from the middle."""
    polar: tuple[float, ...] = setting("rad", default=tuple(float(x) for x in np.radians((0, 17, 34))))
    """Angle of each ring to the axis of the module [rad]."""
    phase: tuple[float, ...] = setting("rad", default=(0.0, 0.0, 0.0))
    """Azimuth of the first sensor of each ring, from the horizontal [rad]."""
    radius: float = setting("cm", default=34.2)
    """Of the sphere on which the sensors are [cm]."""

    def __check_init__(self) -> None:
        if not len(self.rings) == len(self.polar) == len(self.phase) > 0 or min(self.rings) < 1:
            shown = f"rings = {self.rings}, polar = {self.polar}, phase = {self.phase}"
            raise ValueError(f"MultiPMT: {shown}: expected one number for each ring, of sensors 1 or more")
        if not self.radius >= 0:
            raise ValueError(f"MultiPMT.radius = {self.radius:g} cm: expected no negative length")

    @property
    def depth(self) -> float:
        """How far the last ring stands back [cm]."""
        return self.radius * (1 - float(np.cos(max(self.polar))))

    def directions(self) -> np.ndarray:
        """Of every sensor (k, 3): across the module, up, and along its axis."""
        polar = np.repeat(self.polar, self.rings)
        turned = zip(self.rings, self.phase, strict=True)
        azimuth = np.concatenate([phase + 2 * np.pi * np.arange(n) / n for n, phase in turned])
        sine = np.sin(polar)
        return np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), np.cos(polar)], axis=1)


class ModuleCylinder(AbstractCylinder):
    """`columns` x `rows` modules on the barrel, and rows of them, each centred on the axis, on both caps.

    Sensors are numbered module by module.
    """

    radius: float = setting("cm")
    height: float = setting("cm")
    columns: int = setting()
    rows: int = setting()
    spacing: float = setting("cm")
    """Between rows [cm]."""
    cap_rows: tuple[int, ...] = setting(default=())
    """Modules in each row of a cap."""
    cap_spacing: float = setting("cm", default=0.0)
    """Between modules and rows of a cap [cm]; 0 for that of the barrel."""
    turn: float = setting("rad", default=0.0)
    module: MultiPMT = MultiPMT()

    def __check_init__(self) -> None:
        check_positive(self, "radius", "height", "spacing")
        check_counts(self, columns=self.columns, rows=self.rows, cap_rows=min(self.cap_rows, default=0))
        if (self.rows - 1) * self.spacing > self.height:
            raise ValueError(
                f"ModuleCylinder.rows = {self.rows}: {self.spacing:g} cm apart they are higher than it"
            )
        if np.hypot(*_cap_places(self)).max(initial=0.0) > self.radius:
            raise ValueError(f"ModuleCylinder.cap_rows = {self.cap_rows}: do not fit onto a cap")

    @property
    def longest_path(self) -> float:
        return super().longest_path + 2 * self.module.depth

    @property
    def sensors(self) -> SensorArray:
        return _sensors(self)


@lru_cache(maxsize=16)
def _sensors(tank: ModuleCylinder) -> SensorArray:
    x, y = _cap_places(tank)
    places = np.concatenate(
        [
            barrel(tank.radius, tank.spacing, tank.columns, tank.rows, tank.turn),
            cap(x, y, tank.height / 2),
            cap(x, y, -tank.height / 2),
        ]
    )
    return array(np.concatenate([_on_dome(place, tank.module) for place in places]))


def _cap_places(tank: ModuleCylinder) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) of the modules of a cap [cm]."""
    spacing = tank.cap_spacing or tank.spacing
    across = [(np.arange(n) - (n - 1) / 2) * spacing for n in tank.cap_rows]
    up = (np.arange(len(across)) - (len(across) - 1) / 2) * spacing
    return np.concatenate([*across, []]), np.repeat(up, tank.cap_rows)


def _on_dome(place: np.ndarray, module: MultiPMT) -> np.ndarray:
    """The sensors of the module at a place, in the form of `barrel`."""
    point, normal, surface = place[:3], place[3:6], place[6]
    upright = np.array([0.0, 0.0, 1.0]) if abs(normal[2]) < 0.5 else np.array([0.0, 1.0, 0.0])
    frame = np.stack([np.cross(upright, normal), upright, normal])
    looking = module.directions() @ frame
    centre = point + module.radius * (looking - normal)
    return np.column_stack([centre, looking, np.full(len(looking), surface)])
