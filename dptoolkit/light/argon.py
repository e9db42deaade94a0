"""Light of liquid argon beside its charge: what a segment does not give as electrons, it gives as photons.

A plate sees its own drift volume only: cathode and module walls are opaque.
"""

from math import gcd
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dptoolkit import units
from dptoolkit.events import SensorHits
from dptoolkit.geometry import Volumes
from dptoolkit.light.direct import Sums
from dptoolkit.light.plates import AXES, Plates
from dptoolkit.light.scintillation import Scintillation
from dptoolkit.light.sensor import AbstractSensor, rows, sensor_hits
from dptoolkit.light.visibility import AbstractVisibility
from dptoolkit.params import Component, param

AT_ONCE = 4096
"""Flashes that are computed together at most."""


class LightPlate(AbstractSensor):
    """Collectors that shift and detect the light of argon; every plate has its own efficiency."""

    efficiency: Array = param(
        0.01,
        "1",
        bounds=(0.0, 1.0),
        symbol="PDE",
        reference="assumed; photoelectrons per photon that arrives",
    )
    transit_spread_ns: Array = param(2.0, "ns", bounds=(0.0, 100.0), symbol="TTS", reference="assumed")
    charge_spread: Array = param(
        0.2, "1", bounds=(0.05, 1.3), symbol="sigma_q", reference="assumed; silicon photomultipliers"
    )
    gain: Array = param(1.0, "1", bounds=(0.0, 10.0), symbol="g", reference="of every plate")
    time_offset_ns: Array = param(0.0, "ns", bounds=(-1e4, 1e4), symbol="t0", reference="of every plate")
    each: ClassVar[tuple[str, ...]] = ("efficiency", "gain", "time_offset_ns")


class Flashes(eqx.Module):
    """Photons made at points, each in its drift volume."""

    photons: Float[Array, " n"]
    point: Float[Array, "n 3"]
    """[cm]"""
    t0: Float[Array, " n"]
    """[us]"""
    volume: Int[Array, " n"]
    event: Int[Array, " n"]


class ArgonLight(Component):
    """Scintillation, the way to the plates of each drift volume, and their read-out."""

    scintillation: Scintillation
    visibility: AbstractVisibility
    sensor: LightPlate
    plates: Plates
    name: str = eqx.field(static=True, default="light")

    @classmethod
    def from_config(cls, config: Any, volumes: Volumes, build: Any, where: str) -> "ArgonLight":
        """From `plates` (lists `centers`, `sizes`, `normal`), `sensor`, `visibility`, `scintillation`.

        The pattern of plates, and of what each has for itself, is repeated in every drift volume.
        """
        if not isinstance(config, dict) or "plates" not in config:
            raise ValueError(f"{where}: expected a mapping with plates, sensor, visibility, scintillation")
        config = {"visibility": {"type": "PointSource"}, **config}
        plates = _plates(config.pop("plates"), f"{where}.plates")
        kinds = {"scintillation": Scintillation, "visibility": AbstractVisibility, "sensor": LightPlate}
        parts = {name: build(kind, config.pop(name, None), f"{where}.{name}") for name, kind in kinds.items()}
        if config:
            raise ValueError(
                f"{where}: unknown key {next(iter(config))!r}; expected plates, {', '.join(kinds)}"
            )
        sensor = parts["sensor"]
        for name in sensor.each:
            value = getattr(sensor, name)
            if value.ndim and len(value) == len(plates):
                tiled = jnp.tile(value, len(volumes))
                sensor = eqx.tree_at(lambda s, name=name: getattr(s, name), sensor, tiled)
        parts["sensor"] = sensor.for_all(len(plates) * len(volumes))
        return cls(plates=plates, **parts)

    def __call__(
        self, flashes: Flashes, volumes: Volumes, start: Float[Array, " e"], key: Array | None = None
    ) -> SensorHits:
        """Read-out of all plates of all events, event by event and volume by volume.

        `start` is the first time of every event [us].
        """
        light = self.arriving(flashes, volumes, start).light()
        _, which = rows(start, len(light[0]))
        if key is None:
            delay, spread = self.scintillation.moments()
            pe, time, variance = light
            (pe, time, width), charge = self.sensor.expect((pe, time + delay, variance + spread), which)
        else:
            of_sensor, of_argon = jax.random.split(key)
            (pe, time, width), charge = self.sensor.draw(light, which, of_sensor)
            late, spread = self.scintillation.draw(pe, of_argon)
            time = jnp.where(pe > 0, time + late, 0.0)
            width = jnp.where(pe > 0, jnp.sqrt(width**2 + spread / jnp.maximum(pe, 1.0)), 0.0)
        return sensor_hits((pe, time, width), charge, start)

    def arriving(self, flashes: Flashes, volumes: Volumes, start: Float[Array, " e"]) -> Sums:
        """Photoelectrons and sums of their times without the delay of argon; a row a plate of an event."""
        real = flashes.photons.dtype
        middle = jnp.asarray((volumes.low + volumes.high) / 2, real)
        n_plates = len(self.plates)
        efficiency = self.sensor.efficiency.reshape(-1, n_plates)
        size = len(start) * len(volumes) * n_plates
        at_once = gcd(len(flashes.photons), AT_ONCE)
        chunks = jax.tree.map(lambda x: x.reshape(-1, at_once, *x.shape[1:]), flashes)

        def add(total: Sums, some: Flashes) -> tuple[Sums, None]:
            share, late = self.visibility(some.point - middle[some.volume], self.plates)
            pe = some.photons[:, None] * share * efficiency[some.volume]
            time = 1e3 * (some.t0 - start[some.event])[:, None] + late
            row = (some.event * len(volumes) + some.volume)[:, None] * n_plates + jnp.arange(n_plates)
            added = jax.tree.map(
                lambda x: jax.ops.segment_sum(x.ravel(), row.ravel(), size),
                Sums(pe, pe * time, pe * time**2),
            )
            return jax.tree.map(jnp.add, total, added), None

        nothing = jnp.zeros(size, real)
        sums, _ = jax.lax.scan(jax.checkpoint(add), Sums(nothing, nothing, nothing), chunks)
        return sums


def _plates(config: Any, where: str) -> Plates:
    if not isinstance(config, dict) or set(config) != {"centers", "sizes", "normal"}:
        raise ValueError(f"{where}: expected a mapping with centers, sizes and normal, got {config!r}")
    if config["normal"] not in tuple(AXES):
        raise ValueError(f"{where}: normal {config['normal']!r}: expected x, y or z")
    try:
        center = np.array([[units.parse(x, "cm") for x in row] for row in config["centers"]])
        size = np.array([[units.parse(x, "cm") for x in row] for row in config["sizes"]])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None
    axis = AXES.index(config["normal"])
    if center.ndim != 2 or center.shape[1] != 3 or size.shape != (len(center), 2):
        raise ValueError(
            f"{where}: expected centers of three lengths and as many sizes of two, "
            f"got shapes {center.shape} and {size.shape}"
        )
    if (size <= 0).any() or (center[:, axis] == 0).any():
        raise ValueError(f"{where}: sizes must be positive, and no plate can lie in the middle of its volume")
    return Plates.on_walls(center, size, np.full(len(center), axis))
