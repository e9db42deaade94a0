"""Detectors: a detector is its own simulator.

observables = detector(segments)             # expectation: smooth, differentiable
observables = detector(segments, key=key)    # a sample: fluctuations, noise, digitisation
"""

from itertools import zip_longest
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dptoolkit.charge.deposits import (
    DepositLayout,
    averaged_dedx,
    deposit_layout,
    drift_to_anode,
    fluctuate,
)
from dptoolkit.charge.drift import AbstractDrift, Diffusion
from dptoolkit.charge.field import AbstractField
from dptoolkit.charge.quanta import Quanta
from dptoolkit.charge.recombination import AbstractRecombination
from dptoolkit.events import Electrons, Hits, Segments, SensorHits, Waveforms, bucket, first_times, pad
from dptoolkit.geometry import Volumes
from dptoolkit.light.argon import ArgonLight, Flashes
from dptoolkit.params import Component, setting

Readout = dict[str, Waveforms | Hits | SensorHits]


@runtime_checkable
class Plane(Protocol):
    """What a wire or pixel plane offers to the detector."""

    name: str

    def layout(self, electrons: Electrons, speed: float, scale: tuple[int, ...] = (0, 0)) -> Any:
        """Which parts of the read-out the concrete clouds touch, padded to `scale` at least; on the host."""
        ...

    def __call__(
        self, electrons: Electrons, layout: Any, speed: Array, key: Array | None = None
    ) -> Waveforms | Hits: ...

    def given(self, layout: Any, observed: Any) -> Any:
        """The layout for predictions of what follows, on every channel, from what was `observed` before."""
        ...

    def without_noise(self) -> "Plane":
        """The same with ideal electronics."""
        ...


class LightTimes(eqx.Module):
    """What light needs beside the cuts of the charge."""

    start: Float[np.ndarray, " e"]
    """First time of every event [us]; padded, so that the number of events hardly matters."""
    n_events: Int[np.ndarray, ""]


class Layout(eqx.Module):
    """Shapes and index tables of one simulation; constant while gradients are taken."""

    deposits: DepositLayout
    planes: dict[str, Any]
    light: LightTimes | None = None
    """Only where there is light."""


class LArTPC(Component):
    """A liquid-argon time projection chamber: drift volumes, read-out planes and, if known, its light."""

    recombination: AbstractRecombination
    quanta: Quanta
    field: AbstractField
    drift: AbstractDrift
    diffusion: Diffusion
    volumes: Volumes
    planes: tuple[Plane, ...]
    light: ArgonLight | None = None
    name: str = eqx.field(static=True, default="LArTPC")
    source: str = eqx.field(static=True, default="", repr=False)
    """YAML text from which it was built."""
    step: float = setting("cm", default=0.04)
    """Length of the lines into which steps are cut and merged [cm]."""
    dedx_length: float = setting("cm", default=0.0)
    """Length over which dE/dx is averaged before recombination [cm]; 0: steps as they are."""
    room: int = eqx.field(static=True, default=0)
    """Scale to which clouds are padded at least; events padded alike share their compiled code."""

    @property
    def region(self) -> Volumes:
        """Where it is sensitive."""
        return self.volumes

    def layout(self, segments: Segments) -> Layout:
        """Index tables for concrete `segments`; to be made outside `jit` and gradients."""
        if isinstance(segments.start, jax.core.Tracer) or isinstance(self.field.nominal(), jax.core.Tracer):
            raise ValueError(
                "layout needs concrete numbers: make it before jit or grad, "
                "layout = detector.layout(segments), and call detector(segments, layout=layout)"
            )
        segments = self._pad(segments)
        deposits = self.cut(segments)
        electrons = jax.tree.map(np.asarray, arrive(self, segments, deposits))
        speed = float(self.drift.speed(self.field.nominal()))
        planes = {plane.name: plane.layout(electrons, speed) for plane in self.planes}
        # one scale for all planes: their shapes change together, so few combinations compile
        scales = zip_longest(*(layout.scale for layout in planes.values()), fillvalue=0)
        scale = tuple(max(each) for each in scales)
        for plane in self.planes:
            if planes[plane.name].scale != scale:
                planes[plane.name] = plane.layout(electrons, speed, scale)
        return Layout(deposits, planes, None if self.light is None else self.light_times(segments))

    def __call__(self, segments: Segments, key: Array | None = None, layout: Layout | None = None) -> Readout:
        """Read-out of every plane by name; `layout` is needed under `jit` and `grad`."""
        if layout is None:
            layout = self.layout(segments)
        segments = self._pad(segments)
        readout = _simulate(self, segments, layout, key)
        if self.light is not None and layout.light is not None:
            light_key = None if key is None else jax.random.fold_in(key, len(self.planes) + 1)
            readout[self.light.name] = _shine(self, segments, layout.deposits, layout.light, light_key)
        return readout

    def cut(self, segments: Segments) -> DepositLayout:
        """How concrete segments are cut and merged into clouds."""
        lengths = {"step": self.step, "dedx_length": self.dedx_length}
        return deposit_layout(self._pad(segments), self.volumes, **lengths, scale=self.room)

    def light_times(self, segments: Segments) -> LightTimes:
        """For concrete segments."""
        first = first_times(segments)
        start = np.pad(first, (0, bucket(len(first), 1) - len(first)))
        return LightTimes(start, np.asarray(len(first)))

    def flashes(self, segments: Segments, deposits: DepositLayout) -> Flashes:
        """The scintillation of every piece of a segment that is in a drift volume."""
        _, photons = self.freed(segments, deposits)
        segment, real = jnp.asarray(deposits.segment), photons.dtype
        low, high = (jnp.asarray(part, real) for part in (deposits.low, deposits.high))
        start, end = segments.start[segment], segments.end[segment]
        return Flashes(
            photons=photons[segment] * (high - low),
            point=start + ((low + high) / 2)[:, None] * (end - start),
            t0=segments.t0[segment],
            volume=jnp.asarray(deposits.piece_volume),
            event=segments.event[segment],
        )

    def shine(
        self, segments: Segments, deposits: DepositLayout, times: LightTimes, key: Array | None = None
    ) -> SensorHits:
        """The light on all plates."""
        if self.light is None:
            raise ValueError(f"detector {self.name!r} has no light")
        flashes = self.flashes(segments, deposits)
        start = jnp.asarray(times.start, flashes.photons.dtype)
        light = self.light(flashes, self.volumes, start, key)
        return eqx.tree_at(lambda hits: hits.valid, light, light.event < times.n_events)

    def given(self, layout: Layout, observed: Readout) -> Layout:
        """The layout for predictions of every hit given the `observed` ones before it on its channel.

        `observed` has the rows of a prediction with this layout, and maybe more behind them.
        """
        planes = {
            plane.name: plane.given(layout.planes[plane.name], observed[plane.name]) for plane in self.planes
        }
        return Layout(layout.deposits, planes, layout.light)

    def without_noise(self) -> "LArTPC":
        """The same detector with ideal electronics."""
        quiet = tuple(plane.without_noise() for plane in self.planes)
        return eqx.tree_at(lambda d: d.planes, self, quiet)

    def freed(
        self, segments: Segments, layout: DepositLayout
    ) -> tuple[Float[Array, " s"], Float[Array, " s"]]:
        """(electrons, scintillation photons) of every segment."""
        survival = self._survival(segments, layout)
        de = jnp.where(segments.valid, segments.de, 0.0)
        return self.quanta.electrons(de, survival), self.quanta.photons(de, survival)

    def electrons_at_anode(self, segments: Segments, layout: DepositLayout) -> Electrons:
        """Expected clouds of electrons at the reference plane of the anode."""
        segments = self._pad(segments)
        freed, _ = self.freed(segments, layout)
        ionised = self.quanta.electrons(jnp.where(segments.valid, segments.de, 0.0), jnp.ones_like(freed))
        return drift_to_anode(
            segments, freed, ionised, layout, self.volumes, self.field, self.drift, self.diffusion
        )

    def _survival(self, segments: Segments, layout: DepositLayout) -> Float[Array, " s"]:
        middle = (segments.start + segments.end) / 2
        volume = jnp.asarray(layout.segment_volume)
        efield = self.field.local(middle, volume, self.volumes)
        strength = jnp.sqrt(jnp.sum(efield**2, axis=1))
        cosine = jnp.sum(efield * segments.direction, axis=1) / strength
        return self.recombination(averaged_dedx(segments, layout), strength, cosine)

    def _pad(self, segments: Segments) -> Segments:
        return pad(segments, bucket(len(segments)))


@eqx.filter_jit
def arrive(detector: LArTPC, segments: Segments, layout: DepositLayout) -> Electrons:
    """`detector.electrons_at_anode`, compiled."""
    return detector.electrons_at_anode(segments, layout)


@eqx.filter_jit
def _simulate(detector: LArTPC, segments: Segments, layout: Layout, key: Array | None) -> Readout:
    electrons = detector.electrons_at_anode(segments, layout.deposits)
    keys: list[Array | None] = [None] * len(detector.planes)
    if key is not None:
        of_clouds, *keys = jax.random.split(key, len(detector.planes) + 1)
        electrons = fluctuate(electrons, of_clouds)
    speed = detector.drift.speed(detector.field.nominal())
    return {
        plane.name: plane(electrons, layout.planes[plane.name], speed, plane_key)
        for plane, plane_key in zip(detector.planes, keys, strict=True)
    }


@eqx.filter_jit
def _shine(
    detector: LArTPC, segments: Segments, deposits: DepositLayout, times: LightTimes, key: Array | None
) -> SensorHits:
    """Compiled by itself: its shapes change less often than those of the planes."""
    return detector.shine(segments, deposits, times, key)
