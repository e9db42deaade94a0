"""Pixel planes: the charge that electron clouds induce on pads, and the hits it triggers.

A pad's signal is a short sum of separable terms p_r(x) p_r(y) b_r(z) (`pad_response`), so a cloud costs
a few products per pad: p_r integrated against its Gaussian along columns and rows (`pad_table`), and b_r,
met at the drift velocity, against its Gaussian in time. Only pads near charge exist, each with a timeline
as long as its signal; `LArPix` turns timelines into hits.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dptoolkit import units
from dptoolkit.charge.larpix import LArPix
from dptoolkit.charge.nominal import Nominal
from dptoolkit.charge.pad_response import build_pad_response
from dptoolkit.charge.pad_table import PADS, TICKS, PadTable, TimeResponse, induced, pad_table
from dptoolkit.charge.pixel_hits import Before, PixelHits
from dptoolkit.charge.pixel_layout import PixelLayout, restricted, with_all_pads
from dptoolkit.charge.tiles import deal
from dptoolkit.events import Electrons, Hits
from dptoolkit.params import Component, setting

CLOUDS = 8
"""Clouds of a work item."""
CHUNK = 16
"""Work items computed at once: bounds the memory."""
FRONT_END = 64
"""Timelines given to the front end at once."""
FAINT = 30.0
"""Pads that collect less [electrons] and stay far below the threshold are left out."""
SAFE = 4.0
"""How many standard deviations of the noise are far below the threshold; then P(hit) < 3e-5."""
GLANCE = 4
"""Ticks between the looks at a pad's charge that decide whether it can matter."""
MISSED = 1.1
"""At least the highest charge over the highest of these looks."""

PerCloud = Float[Array | np.ndarray, " d"]


class PixelPlane(Component):
    """Square pads at one pitch: columns along `across`, rows along `up`, the middle one at the centre."""

    table: PadTable
    front_end: LArPix
    name: str = eqx.field(static=True, default="pixels")
    pitch: float = setting("cm", default=0.4434)
    n_columns: int = eqx.field(static=True, default=140)
    n_rows: int = eqx.field(static=True, default=280)
    drift_tiles: int = eqx.field(static=True, default=36)
    """Length of the longest timelines [tiles]: a full drift."""
    serves: tuple[int, ...] = eqx.field(static=True, default=())
    """Drift volumes that this plane reads out; none named: all."""

    @classmethod
    def from_config(cls, config: dict[str, Any], position: int, nominal: Nominal, where: str) -> "PixelPlane":
        """Keys: name, pitch, pad (side; the pitch by default), serves (volumes), front_end."""
        config = dict(config)
        if "pitch" not in config:
            raise ValueError(f"{where}: 'pitch' is missing")
        pitch = units.parse(config.pop("pitch"), "cm")
        pad = units.parse(config.pop("pad", pitch), "cm")
        front_end = nominal.build(LArPix, config.pop("front_end", None), f"{where}.front_end")
        response = build_pad_response(
            pitch, pad, nominal.volumes.drift_length, nodes_per_pitch=20
        ).sharpened()
        width, height = nominal.volumes.face
        table = pad_table(
            response,
            step=nominal.speed * front_end.tick,
            widest=nominal.widest / pitch,
            longest=nominal.longest / front_end.tick,
        )
        drift_ticks = nominal.volumes.drift_length / (nominal.speed * front_end.tick)
        return cls(
            table=table,
            drift_tiles=int((drift_ticks + table.window) / TICKS) + 2,
            front_end=front_end,
            name=str(config.pop("name", "pixels")),
            pitch=pitch,
            n_columns=round(width / pitch),
            n_rows=round(height / pitch),
            serves=tuple(config.pop("serves", ())),
            **nominal.leftover(config, where, ()),
        )

    @property
    def n_channels(self) -> int:
        """Pads of one drift volume."""
        return self.n_columns * self.n_rows

    def without_noise(self) -> "PixelPlane":
        """The same plane with comparators and resets free of noise."""
        zero = jnp.zeros_like(self.front_end.reset_noise)
        where = lambda plane: (plane.front_end.reset_noise, plane.front_end.uncorrelated_noise)  # noqa: E731
        return eqx.tree_at(where, self, (zero, zero))

    def pad_number(self, electrons: Electrons) -> tuple[PerCloud, PerCloud]:
        """Continuous (column, row) of the clouds; pads are centred on whole numbers."""
        column = electrons.across / self.pitch + (self.n_columns - 1) / 2
        return column, electrons.up / self.pitch + (self.n_rows - 1) / 2

    def layout(self, electrons: Electrons, speed: float, scale: tuple[int, ...] = (0,)) -> PixelLayout:
        """Deal concrete clouds to work items, padded to `scale` at least; on the host.

        Only pads that can matter get a timeline: most of those near charge never come close to a threshold.
        """
        everything = self.every_pad(electrons)
        return restricted(everything, self._that_matter(electrons, everything, speed), scale[0])

    def every_pad(self, electrons: Electrons) -> PixelLayout:
        """The layout with a timeline for every pad near charge."""
        column, row = (np.asarray(c, float) for c in self.pad_number(electrons))
        tick = np.asarray(electrons.time, float) / self.front_end.tick
        keys = np.stack(
            [
                np.asarray(electrons.event),
                np.asarray(electrons.volume),
                np.floor((column + 0.5) / PADS),
                np.floor((row + 0.5) / PADS),
                np.floor(tick / TICKS),
            ],
            axis=1,
        ).astype(int)
        on_plane = (column > -1) & (column < self.n_columns) & (row > -1) & (row < self.n_rows)
        if self.serves:
            on_plane &= np.isin(np.asarray(electrons.volume), self.serves)
        items = deal(keys, (np.asarray(electrons.n) > 0) & on_plane, CLOUDS)
        return with_all_pads(items, self.table, self.n_columns, self.n_rows, self.drift_tiles)

    def _that_matter(self, electrons: Electrons, layout: PixelLayout, speed: float) -> list[np.ndarray]:
        """Timelines of each table that can matter, the highest first: neighbours then have as many hits."""
        front_end = self.front_end
        noise = np.hypot(float(front_end.reset_noise), float(front_end.uncorrelated_noise))
        least = float(front_end.threshold) - SAFE * noise
        found = []
        for extremes in _extremes(self, electrons, layout, jnp.asarray(speed, electrons.n.dtype)):
            highest, last = (np.asarray(charge) for charge in extremes)
            matters = np.flatnonzero((MISSED * highest > least) | (last > FAINT))
            found.append(matters[np.argsort(-highest[matters], kind="stable")])
        return found

    def given(self, layout: PixelLayout, observed: Hits) -> PixelLayout:
        """The layout for predictions of every hit given the `observed` hits before it on its pad.

        `observed` has the rows of a prediction with this layout, and maybe more behind them.
        """
        n_pads = sum(len(pad) for pad in layout.pad)
        happened = observed.probability[:n_pads] > 0.5
        return dataclasses.replace(layout, before=Before(observed.time[:n_pads], happened))

    def __call__(
        self, electrons: Electrons, layout: PixelLayout, speed: Float[Array, ""], key: Array | None = None
    ) -> Hits:
        """Hits of every pad that sees charge."""
        timelines = self.induce(electrons, layout, speed)
        keys = [None] * len(timelines) if key is None else list(jax.random.split(key, len(timelines)))
        found, first = [], 0
        for charge, pad, pad_key in zip(timelines, layout.pad, keys, strict=True):
            rows = slice(first, first + len(pad))
            before = jax.tree.map(lambda known, rows=rows: jnp.asarray(known)[rows], layout.before)
            found.append(self._trigger(charge, pad, pad_key, before))
            first += len(pad)
        return jax.tree.map(lambda *parts: jnp.concatenate(parts), *found)

    def induce(
        self, electrons: Electrons, layout: PixelLayout, speed: Float[Array, ""], every: int = 1
    ) -> list[Float[Array, "p t"]]:
        """Cumulative induced charge [electrons] at the ticks of every timeline, a block a length.

        `every` > 1, a divisor of `TICKS`: only at the last of so many ticks, and so many times faster.
        """
        column, row = self.pad_number(electrons)
        tick = self.front_end.tick
        clouds = jnp.stack(
            [
                electrons.n,
                column,
                electrons.var_across / self.pitch**2,
                row,
                electrons.var_up / self.pitch**2,
                electrons.time / tick,
                electrons.var_time / tick**2,
            ],
            axis=-1,
        )
        response = self.table.in_time(speed * tick, every)
        window = response.kernel.shape[2]
        lengths = [length // every for length in layout.lengths]
        size = sum(len(pad) * length for pad, length in zip(layout.pad, lengths, strict=True))

        def add(buffer: Array, chunk: tuple[Array, ...]) -> Array:
            cloud, filled, tile, beside, place = chunk
            signal = self._signals(clouds[cloud], filled, tile, beside, response)
            return jax.lax.scatter_add(
                buffer,
                place.reshape(-1, 1),
                signal.reshape(-1, window),
                jax.lax.ScatterDimensionNumbers((1,), (), (0,)),
                mode=jax.lax.GatherScatterMode.FILL_OR_DROP,
            )

        @jax.checkpoint
        def add_chunk(buffer: Array, chunk: tuple[Array, ...]) -> tuple[Array, None]:
            occupied = jnp.any(chunk[1])
            return jax.lax.cond(occupied, add, lambda buffer, _: buffer, buffer, chunk), None

        chunks = jax.tree.map(
            lambda a: jnp.reshape(a, (-1, CHUNK, *a.shape[1:])),
            (
                layout.items.cloud,
                layout.items.filled,
                layout.items.tile,
                layout.beside,
                layout.place // every,
            ),
        )
        buffer = jax.lax.scan(add_chunk, jnp.zeros(size, clouds.dtype), chunks)[0]
        timelines, first = [], 0
        for pad, length in zip(layout.pad, lengths, strict=True):
            block = buffer[first : first + len(pad) * length].reshape(len(pad), length)
            timelines.append(jnp.cumsum(block, axis=1))
            first += len(pad) * length
        return timelines

    def _signals(
        self,
        clouds: Float[Array, "i d 7"],
        filled: Array,
        tile: Int[Array, "i 5"],
        beside: Int[Array, "i w"],
        response: TimeResponse,
    ) -> Float[Array, "i w t"]:
        """Charge per tick that the clouds of each item induce on its pads."""
        table = self.table
        n, column, column_variance, row, row_variance, tick, tick_variance = jnp.moveaxis(clouds, -1, 0)
        n = jnp.where(filled, n, 0.0)
        by_column = table.shares(column, column_variance, tile[:, 2] * PADS)
        by_row = table.shares(row, row_variance, tile[:, 3] * PADS)
        columns, rows = (part[:, None, None, :] for part in jnp.divmod(beside, table.n_pads))
        pads = n[..., None, None] * (
            jnp.take_along_axis(by_column, columns, axis=3) * jnp.take_along_axis(by_row, rows, axis=3)
        )
        moment = tick - tile[:, 4, None] * TICKS + table.late
        signal = induced(moment, tick_variance, response)
        return jnp.einsum("idrw,idrt->iwt", pads, signal, precision=jax.lax.Precision.HIGHEST)

    def _trigger(
        self,
        charge: Float[Array, "n t"],
        pad: Int[Array | np.ndarray, "n k"],
        key: Array | None,
        before: Before | None,
    ) -> Hits:
        event, volume, column, row, first, exists = jnp.moveaxis(jnp.asarray(pad), 1, 0)
        start = first * jnp.asarray(self.front_end.tick, charge.dtype)
        hits = self._in_groups(charge, start, exists > 0, key, before)
        valid = exists > 0
        total = left = charge[:, -1]
        if before is not None:
            total = self.front_end.integrated(charge, start, before)
            left = self.front_end.left(charge, start, before)
        return Hits(
            charge=hits.charge,
            time=hits.time,
            probability=jnp.where(valid[:, None], hits.probability, 0.0),
            charge_sigma=hits.charge_sigma,
            time_sigma=hits.time_sigma,
            correlation=hits.correlation,
            total=jnp.where(valid, total, 0.0),
            left=jnp.where(valid, left, 0.0),
            event=event,
            volume=volume,
            column=column,
            row=row,
            valid=valid,
        )

    def _in_groups(
        self,
        charge: Float[Array, "p t"],
        start: Float[Array, " p"],
        exists: Array,
        key: Array | None,
        before: Before | None,
    ) -> PixelHits:
        """The front end, a group of timelines at a time; groups without any are skipped."""
        n_groups = len(charge) // FRONT_END
        keys = None if key is None else jax.random.split(key, n_groups)

        def group(part: tuple[Any, ...]) -> PixelHits:
            (charge, start, exists, before), key = part
            run = lambda charge, start, before: self.front_end(charge, start, key, before)  # noqa: E731
            shapes = jax.eval_shape(run, charge, start, before)
            empty = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
            return jax.lax.cond(jnp.any(exists), run, lambda *_: empty, charge, start, before)

        rows = (charge, start, exists, before)
        parts = jax.tree.map(lambda a: a.reshape(n_groups, FRONT_END, *a.shape[1:]), rows)
        hits = jax.lax.map(jax.checkpoint(group), (parts, keys))
        return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), hits)


@eqx.filter_jit
def _extremes(
    plane: PixelPlane, electrons: Electrons, layout: PixelLayout, speed: Array
) -> list[tuple[Array, Array]]:
    """(highest, last) induced charge of every timeline, seen every `GLANCE` ticks."""
    charges = plane.induce(electrons, layout, speed, GLANCE)
    return [(charge.max(axis=1), charge[:, -1]) for charge in charges]
