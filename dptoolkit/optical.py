"""Optical detectors: a tank whose wall sees the Cherenkov light of what happens inside.

    observables = detector(steps)             # expected photoelectrons and times of every sensor
    observables = detector(steps, key=key)    # photoelectrons as they are counted

Direct light only, so far: absorption and scattering both remove light, and none comes back.
"""

from functools import partial

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dptoolkit.events import Segments, SensorHits, bucket, first_times, pad
from dptoolkit.light.cherenkov import Cherenkov, Optics
from dptoolkit.light.direct import Sums, direct_light
from dptoolkit.light.medium import AbstractMedium
from dptoolkit.light.sensor import Light, Photosensor, rows, sensor_hits
from dptoolkit.light.spectrum import WAVELENGTHS_NM
from dptoolkit.light.steps import Pieces, shining
from dptoolkit.params import Component, setting
from dptoolkit.tanks import AbstractTank, SensorArray


class LightLayout(eqx.Module):
    """Shapes and index tables of one simulation; constant while gradients are taken."""

    pieces: Pieces
    sensors: SensorArray
    start: Float[np.ndarray, " e"]
    """First time of every event [us]: read-out times are counted from it."""


class OpticalDetector(Component):
    """A tank of a transparent medium with photosensors on its wall."""

    tank: AbstractTank
    medium: AbstractMedium
    cherenkov: Cherenkov
    sensor: Photosensor
    name: str = eqx.field(static=True, default="OpticalDetector")
    source: str = eqx.field(static=True, default="", repr=False)
    """YAML text from which it was built."""
    step: float = setting("cm", default=2.0)
    """Longest piece of a step that is treated as one source [cm]."""

    def __post_init__(self) -> None:
        self.sensor = self.sensor.for_all(len(self.tank.sensors))

    @property
    def region(self) -> AbstractTank:
        """Where it is sensitive."""
        return self.tank

    def layout(self, segments: Segments) -> LightLayout:
        """Index tables for concrete `segments`; to be made outside `jit` and gradients."""
        if isinstance(segments.start, jax.core.Tracer):
            raise ValueError(
                "layout needs concrete numbers: make it before jit or grad, "
                "layout = detector.layout(segments), and call detector(segments, layout=layout)"
            )
        middle = (np.asarray(segments.start, float) + np.asarray(segments.end, float)) / 2
        largest = float(jnp.max(self.medium.index(jnp.asarray(WAVELENGTHS_NM, jnp.result_type(float)))))
        pieces = shining(segments, self.tank.locate(middle) >= 0, largest, self.step)
        return LightLayout(pieces, self.tank.sensors, first_times(segments))

    def __call__(
        self, segments: Segments, key: Array | None = None, layout: LightLayout | None = None
    ) -> dict[str, SensorHits]:
        """Read-out of the sensors by their name; `layout` is needed under `jit` and `grad`."""
        if layout is None:
            layout = self.layout(segments)
        light = _direct(self, pad(segments, bucket(len(segments))), layout)
        start = jnp.asarray(layout.start, light[0].dtype)
        return {self.sensor.name: _read_out(self.sensor, light, start, key)}

    def photons(self, segments: Segments, layout: LightLayout) -> Float[Array, ""]:
        """Photons made inside the tank, of all events."""
        return _photons(self, pad(segments, bucket(len(segments))), layout)

    def direct(self, segments: Segments, layout: LightLayout) -> Sums:
        """Expected direct light: rows are the sensors of the first event, then of the second, ..."""
        n_events, n_sensors = len(layout.start), len(layout.sensors)
        longest = self.tank.longest_path
        optics = Optics.of(self.medium, self.sensor.spectrum(), longest)

        def of_chunk(pieces: Pieces) -> Sums:
            emission = self.cherenkov(segments, pieces, optics)
            return direct_light(emission, layout.sensors, self.sensor, longest)

        def add(sums: Sums, pieces: Pieces) -> tuple[Sums, None]:
            def added() -> Sums:
                return jax.tree.map(partial(_added, event=pieces.event), sums, of_chunk(pieces))

            return jax.lax.cond(pieces.live[0], added, lambda: sums), None

        nothing = jnp.zeros(n_events * n_sensors, optics.rate.dtype)
        sums, _ = jax.lax.scan(add, Sums(nothing, nothing, nothing), jax.tree.map(jnp.asarray, layout.pieces))
        return sums


def _added(
    total: Float[Array, " r"], part: Float[Array, " k"], event: Array | np.ndarray
) -> Float[Array, " r"]:
    """The rows of all events with `part` added to those of one."""
    return total.reshape(-1, len(part)).at[event].add(part).ravel()


@eqx.filter_jit
def _direct(detector: OpticalDetector, segments: Segments, layout: LightLayout) -> Light:
    start = jnp.asarray(layout.start, segments.t0.dtype)
    since = eqx.tree_at(lambda s: s.t0, segments, segments.t0 - start[segments.event])
    return detector.direct(since, layout).light()


@eqx.filter_jit
def _read_out(sensor: Photosensor, light: Light, start: Float[Array, " e"], key: Array | None) -> SensorHits:
    """Compiled by itself: drawing photoelectrons takes long to compile and does not depend on the steps."""
    _, which = rows(start, len(light[0]))
    read, charge = sensor.expect(light, which) if key is None else sensor.draw(light, which, key)
    return sensor_hits(read, charge, start)


@eqx.filter_jit
def _photons(detector: OpticalDetector, segments: Segments, layout: LightLayout) -> Array:
    pieces = jax.tree.map(jnp.asarray, layout.pieces)
    counted = jax.lax.map(lambda chunk: detector.cherenkov.counted(segments, chunk, detector.medium), pieces)
    return jnp.sum(counted)
