"""Wire planes: induced signals of electron clouds on occupied blocks of wires and ticks.

Signal(wire, tick) = sum over clouds of charge x (response * Gaussian)(wire - s, tick - t). Along
the wire number s the response is known at sub-wire nodes and integrated exactly against the
Gaussian (`hat_weights`); along time everything happens in the frequency domain, where a shift is a
phase, a Gaussian a Gaussian and the electronics a factor. Clouds on one group of wires share the
response, so a group is two matrix products: nodes x clouds x frequencies, then wires x nodes per
frequency. A cloud that reaches over several groups is on the list of each.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int

from dptoolkit import units
from dptoolkit.charge.electronics import ColdElectronics, Digitiser, RCCoupling, WireNoise, shaped_noise
from dptoolkit.charge.nominal import Nominal
from dptoolkit.charge.tiles import UNWANTED, Items, deal, padded, padded_items, slots
from dptoolkit.charge.wire_lengths import channel_lengths, wire_lengths
from dptoolkit.charge.wire_response import (
    GROUP,
    REACH,
    TICKS,
    WIDTHS,
    WIRES,
    WireResponse,
    induced_currents,
    wire_response,
)
from dptoolkit.charge.wire_spectra import node_spectra, sampled
from dptoolkit.events import Electrons, Waveforms, growth, scale_of
from dptoolkit.params import Component, param, setting

CLOUDS = 32
"""Clouds of a work item."""
CHUNK = 32
"""Work items computed at once: bounds the memory."""
ITEMS, BLOCKS = 192, 192
"""Smallest padded numbers of work items and of blocks."""
READ = 64
"""Blocks read out at once: bounds the memory."""
BLOCKS_OF_WINDOW = (GROUP + 2 * REACH - 2) // WIRES + 2
"""Blocks of wires that the wires around a group can touch."""
MARGIN = 1.0
"""Wires by which a cloud may move before the layout must be made anew."""

PerCloud = Float[Array | np.ndarray, " d"]


class WireLayout(eqx.Module):
    """Work items of one plane, and the blocks of the read-out around each."""

    items: Items
    """Clouds on one group of wires in one block of ticks."""
    slot: Int[np.ndarray, "i c k"]
    """To which block of the read-out the signal on a block of wires in a block of ticks is added."""
    block: Int[np.ndarray, "b 4"]
    """(event, group, channel block, tick block) of every block of the read-out."""
    n_blocks: Int[np.ndarray, ""]
    scale: tuple[int, int] = eqx.field(static=True)
    """Of the padded numbers of items and of blocks; see `events.growth`."""


class WirePlane(Component):
    """Parallel wires with one pitch; wire k at s = k, s = (across cos a + up sin a) / pitch + offset."""

    response: WireResponse
    electronics: ColdElectronics
    coupling: RCCoupling
    digitiser: Digitiser
    noise: WireNoise
    wire_length: Float[np.ndarray, " w"]
    """[cm]"""
    noise_taps: Float[np.ndarray, " k"]
    gain: Array = param(1.0, "1", bounds=(0.2, 5.0), symbol="g", reference="relative to nominal")
    name: str = eqx.field(static=True, default="Y")
    pitch: float = setting("cm", default=0.3)
    angle: float = setting("rad", default=0.0)
    """Of the wires from the vertical [rad]."""
    distance: float = setting("cm", default=0.0)
    """Behind the reference plane of the anode [cm]."""
    tick_period: float = setting("us", default=0.5)
    """[us]"""
    n_ticks: int = eqx.field(static=True, default=4096)
    n_wires: int = eqx.field(static=True, default=256)
    wrapped: int = eqx.field(static=True, default=0)
    """Channels of an anode assembly around which the wires are wrapped; 0: a channel a wire."""
    assembly: tuple[tuple[int, int], ...] = eqx.field(static=True, default=())
    """For wrapped wires: (assembly, face) of every drift volume."""

    @classmethod
    def from_config(cls, config: dict[str, Any], position: int, nominal: Nominal, where: str) -> "WirePlane":
        """The plane at `position`; `nominal.anode` holds what the planes share (see `wire_anode`)."""
        config = dict(config)
        pitch = units.parse(config.pop("pitch", None), "cm")
        angle = units.parse(config.pop("angle", 0.0), "rad")
        tick_period = units.parse(config.pop("tick_period", 0.5), "us")
        width, height = nominal.volumes.face
        extent = width * abs(np.cos(angle)) + height * abs(np.sin(angle))
        n_wires = int(config.pop("n_wires", extent / pitch + 1e-6))
        wrapped = int(config.pop("wrapped", 0))
        if wrapped % (2 * WIRES):
            raise ValueError(f"{where}: wrapped: expected a multiple of {2 * WIRES} channels, got {wrapped}")
        faces = tuple((int(a), int(b)) for a, b in nominal.anode.get("faces", ())) if wrapped else ()
        offsets, times, currents, distance = induced_currents(config.pop("response", None), position, nominal)
        parts = {
            key: nominal.build(kind, config.pop(key, None), f"{where}.{key}")
            for key, kind in (
                ("electronics", ColdElectronics),
                ("coupling", RCCoupling),
                ("digitiser", Digitiser),
                ("noise", WireNoise),
            )
        }
        response = wire_response(
            offsets,
            times,
            currents,
            tick_period=tick_period,
            longest=nominal.longest / tick_period,
            electronics=parts["electronics"],
        )
        lengths = wire_lengths(n_wires, pitch, angle, (width, height))
        return cls(
            response=response,
            wire_length=channel_lengths(lengths, wrapped),
            noise_taps=shaped_noise(parts["electronics"], tick_period),
            name=str(config.pop("name", position)),
            pitch=pitch,
            angle=angle,
            distance=distance,
            tick_period=tick_period,
            n_ticks=int(config.pop("n_ticks", 4096)),
            n_wires=n_wires,
            wrapped=wrapped,
            assembly=faces,
            **parts,
            **nominal.leftover(config, where, ("gain",)),
        )

    @property
    def n_channels(self) -> int:
        return self.wrapped or self.n_wires

    def given(self, layout: WireLayout, observed: Waveforms) -> WireLayout:
        """The same layout: what a wire reads does not depend on what it has read."""
        return layout

    def without_noise(self) -> "WirePlane":
        """The same plane with amplifiers free of noise."""
        noise = self.noise
        zeros = [jnp.zeros_like(value) for value in (noise.floor, noise.base, noise.slope)]
        where = lambda plane: (plane.noise.floor, plane.noise.base, plane.noise.slope)  # noqa: E731
        return eqx.tree_at(where, self, tuple(zeros))

    def noise_statistics(self) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, " k"]]:
        """(rms of every channel [ADC], correlation of samples 0, 1, ... ticks apart); rounding included."""
        rms = np.asarray(self.noise.rms(jnp.asarray(self.wire_length)), float)
        lags = np.correlate(self.noise_taps, self.noise_taps, "full")[len(self.noise_taps) - 1 :]
        total = rms**2 + 1 / 12
        white = np.mean(rms**2 / total)
        return np.sqrt(total), np.where(np.arange(len(lags)) == 0, 1.0, white * lags / lags[0])

    def wire_number(self, electrons: Electrons) -> PerCloud:
        """Continuous wire coordinate s of the clouds."""
        return self.wire_at(electrons.across, electrons.up)

    def wire_at(self, across: PerCloud, up: PerCloud) -> PerCloud:
        """Continuous wire coordinate s of places on the anode [cm]."""
        along = across * np.cos(self.angle) + up * np.sin(self.angle)
        return along / self.pitch + (self.n_wires - 1) / 2

    def wire_variance(self, electrons: Electrons) -> PerCloud:
        """Variance of the clouds in s [pitch2]."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        along = c**2 * electrons.var_across + s**2 * electrons.var_up + 2 * c * s * electrons.cov_across_up
        return along / self.pitch**2

    def layout(self, electrons: Electrons, speed: float, scale: tuple[int, ...] = (0, 0)) -> WireLayout:
        """Deal concrete clouds to work items, padded to `scale` at least; on the host."""
        items = self._items(electrons, speed)
        tile = items.tile.astype(int)[:, None, None, :]
        first, last = tile[..., 2] * GROUP - REACH, tile[..., 2] * GROUP + GROUP + REACH - 1
        wires = first // WIRES + np.arange(BLOCKS_OF_WINDOW)[:, None]
        ticks = tile[..., 3] - self.response.lead + np.arange(self.response.window // TICKS)
        on_plane = (wires >= 0) & (wires * WIRES < self.n_wires) & (wires * WIRES <= last)
        on_plane = on_plane & (ticks >= 0) & (ticks * TICKS < self.n_ticks)
        group, channel = self._channel_block(tile[..., 1], wires)
        key = np.stack(np.broadcast_arrays(tile[..., 0], group, channel, ticks), axis=-1)
        slot, block = slots(key, on_plane)
        scale = (max(scale[0], scale_of(len(slot), ITEMS)), max(scale[1], scale_of(len(block), BLOCKS)))
        n_items, n_blocks = ITEMS * growth(scale[0]), BLOCKS * growth(scale[1])
        return WireLayout(
            items=padded_items(items, n_items),
            slot=padded(slot, n_items, fill=UNWANTED),
            block=padded(block, n_blocks),
            n_blocks=np.array(len(block), np.int32),
            scale=scale,
        )

    def _items(self, electrons: Electrons, speed: float) -> Items:
        """Work items of concrete clouds: each is dealt to all groups of wires that it reaches."""
        s = np.asarray(self.wire_number(electrons))
        tick = np.asarray(self._tick(electrons, jnp.asarray(speed)))
        reach = WIDTHS * np.sqrt(np.maximum(np.asarray(self.wire_variance(electrons)), 0.0)) + MARGIN
        valid = (np.asarray(electrons.n) > 0) & (s > -1) & (s < self.n_wires)
        first = np.floor((s - reach + 0.5) / GROUP).astype(int)
        n_groups = np.where(valid, np.floor((s + reach + 0.5) / GROUP).astype(int) - first + 1, 0)
        cloud = np.repeat(np.arange(len(s)), n_groups)
        group = first[cloud] + np.arange(len(cloud)) - np.repeat(np.cumsum(n_groups) - n_groups, n_groups)
        volume, event = np.asarray(electrons.volume), np.asarray(electrons.event)
        tick_block = np.floor(tick / TICKS).astype(int)
        keys = np.stack([event[cloud], volume[cloud], group, tick_block[cloud]], axis=1)
        items = deal(keys, np.ones(len(cloud), bool), CLOUDS)
        held = cloud[items.cloud] if len(cloud) else items.cloud
        return Items(held.astype(np.int32), items.filled, items.tile)

    def __call__(
        self, electrons: Electrons, layout: WireLayout, speed: Float[Array, ""], key: Array | None = None
    ) -> Waveforms:
        """Signals in ADC counts above pedestal on the occupied blocks."""
        event, group, channel, tick = (jnp.asarray(layout.block[:, k]) for k in range(4))
        waveforms = Waveforms(
            samples=self.collect(electrons, layout, speed),
            event=event,
            group=group,
            channel=channel * WIRES,
            tick=tick * TICKS,
            valid=jnp.arange(len(layout.block)) < layout.n_blocks,
            n_channels=self.n_channels,
            tick_period=self.tick_period,
            unit="ADC",
        )

        def read_unless_empty(part: Waveforms) -> Array:
            occupied, nothing = jnp.any(part.valid), jnp.zeros_like(part.samples)
            return jax.lax.cond(occupied, lambda: self._read_out(part, key), lambda: nothing)

        parts = jax.tree.map(lambda a: a.reshape(-1, READ, *a.shape[1:]), waveforms)
        counts = jax.lax.map(jax.checkpoint(read_unless_empty), parts)
        return eqx.tree_at(lambda w: w.samples, waveforms, counts.reshape(-1, WIRES, TICKS))

    def _read_out(self, waveforms: Waveforms, key: Array | None) -> Float[Array, "b w t"]:
        """ADC counts of shaped signals [mV]."""
        counts = self.coupling(waveforms.samples, self.tick_period)
        if key is not None:
            counts = counts + self._noise(waveforms, key) / self.digitiser.counts_per_mv
        return jnp.where(waveforms.mask(), self.digitiser(counts, key), 0.0)

    def collect(
        self, electrons: Electrons, layout: WireLayout, speed: Float[Array, ""]
    ) -> Float[Array, "b w t"]:
        """Shaped signals [mV] on the occupied blocks, before coupling and digitisation."""
        response = self.response
        frequency = jnp.arange(response.n_frequencies)
        omega = 2 * jnp.pi * frequency / (response.window * self.tick_period)
        shaping = self.gain * self.electronics.spectrum(omega) / self.tick_period
        place = (self.wire_number(electrons), self.wire_variance(electrons))
        time = (self._tick(electrons, speed), electrons.var_time / self.tick_period**2)
        clouds = jnp.stack([electrons.n, *place, *time])
        matrices = [jax.lax.stop_gradient(band.matrix) for band in response.bands]

        def add_chunk(rows: Array, chunk: tuple[Items, Array]) -> Array:
            items, slot = chunk
            signal = self._signals(clouds[:, items.cloud], items, matrices, shaping)
            row = self._rows(items, slot)
            return rows.at[row].add(signal.reshape(*row.shape, TICKS), mode="drop")

        def add_unless_empty(rows: Array, chunk: tuple[Items, Array]) -> tuple[Array, None]:
            occupied = jnp.any(chunk[0].filled)
            return jax.lax.cond(occupied, add_chunk, lambda rows, _: rows, rows, chunk), None

        empty = jnp.zeros((len(layout.block) * WIRES, TICKS), clouds.dtype)
        chunks = jax.tree.map(
            lambda a: jnp.reshape(a, (-1, CHUNK, *a.shape[1:])), (layout.items, layout.slot)
        )
        rows, _ = jax.lax.scan(jax.checkpoint(add_unless_empty), empty, chunks)
        return rows.reshape(-1, WIRES, TICKS)

    def _rows(self, items: Items, slot: Int[Array, "i c k"]) -> Int[Array, "i w k"]:
        """The row of the read-out to which the signal of every wire and block of ticks is added."""
        wire = items.tile[:, 2, None] * GROUP + jnp.arange(-REACH, GROUP + REACH)
        block = wire // WIRES - wire[:, :1] // WIRES
        slot = jnp.take_along_axis(slot, block[..., None], axis=1)
        wanted = (slot != UNWANTED) & ((wire >= 0) & (wire < self.n_wires))[..., None]
        return jnp.where(wanted, slot * WIRES + (wire % WIRES)[..., None], UNWANTED)

    def _signals(
        self,
        clouds: Float[Array, "5 i d"],
        items: Items,
        matrices: list[Float[Array, "_ cx _"]],
        shaping: Complex[Array, " f"],
    ) -> Float[Array, "i w t"]:
        """Signals of a chunk of items on the wires and ticks around each."""
        r = self.response
        n, s, s_variance, tick, t_variance = clouds
        first = items.tile[:, 2, None] * GROUP - 0.5
        on_nodes = (s - first) * r.nodes_per_wire, s_variance * r.nodes_per_wire**2
        in_window = tick - items.tile[:, 3, None] * TICKS, t_variance
        charge = node_spectra(
            r.n_nodes,
            r.n_frequencies,
            r.window,
            (jnp.where(items.filled, n, 0.0), *on_nodes, *in_window),
        )
        answers = []
        for band, matrix in zip(r.bands, matrices, strict=True):
            part = charge[:, :, band.first : band.first + len(matrix)]
            matrix = matrix.reshape(len(matrix), 2, r.n_nodes, -1)
            answer = jnp.einsum("icfx,fcxw->fiw", part, matrix, precision=jax.lax.Precision.HIGHEST)
            answer = answer.reshape(*answer.shape[:2], 2, -1)
            answers.append(jnp.pad(answer, ((0, 0), (0, 0), (0, 0), (band.margin, band.margin))))
        answer = jnp.concatenate(answers)
        shaped = shaping[:, None, None] * jax.lax.complex(answer[:, :, 0], answer[:, :, 1])
        return sampled(shaped, r.window)

    def _tick(self, electrons: Electrons, speed: Float[Array, ""]) -> PerCloud:
        return (electrons.time + self.distance / speed) / self.tick_period

    def _channel_block(self, volume: np.ndarray, wires: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not self.wrapped:
            return volume, wires
        table = np.asarray(self.assembly)
        turn = self.wrapped // 2 // WIRES
        return table[volume, 0], (wires + turn * table[volume, 1]) % (self.wrapped // WIRES)

    def _noise(self, waveforms: Waveforms, key: Array) -> Float[Array, "b w t"]:
        """Noise of every sample [ADC], the same whichever other blocks are read out.

        White noise belongs to (event, group, channel, block of ticks); the filter reaches into the
        block before, so neighbouring blocks join with the right correlation.
        """
        taps = jnp.asarray(self.noise_taps, waveforms.samples.dtype)
        ids = (waveforms.event, waveforms.group, waveforms.channel // WIRES, waveforms.tick // TICKS)

        def white(event: Array, group: Array, channel: Array, tick: Array) -> Array:
            block = key
            for number in (event, group, channel, tick):
                block = jax.random.fold_in(block, number)
            return jax.random.normal(block, (WIRES, TICKS), taps.dtype)

        before = jax.vmap(white)(*ids[:3], ids[3] - 1)
        both = jnp.concatenate([before, jax.vmap(white)(*ids)], axis=-1)
        filtered = _convolve(both, taps)
        rows = jnp.clip(waveforms.channel[:, None] + jnp.arange(WIRES), 0, self.n_channels - 1)
        length = jnp.asarray(self.wire_length, taps.dtype)[rows]
        return filtered * self.noise.rms(length)[..., None]


def _convolve(both: Float[Array, "b w t"], taps: Float[Array, " k"]) -> Float[Array, "b w s"]:
    """The last half of `both`, each sample a sum over the `taps` before it."""
    n = both.shape[-1] // 2
    toeplitz = jnp.stack([jnp.pad(taps[::-1], (n - len(taps) + 1 + t, n - 1 - t)) for t in range(n)])
    return jnp.einsum("bwk,tk->bwt", both, toeplitz, precision=jax.lax.Precision.HIGHEST)
