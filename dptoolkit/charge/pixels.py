"""Pixel planes: the charge that electron clouds induce on pads, and the hits it triggers.

A pad's signal is a short sum of separable terms p_r(x) p_r(y) b_r(z) (`pad_response`), so a cloud costs
a few products per pad: p_r integrated against its Gaussian along columns and rows (`pad_table`), and b_r,
met at the drift velocity, against its Gaussian in time. Only pads near charge exist, each with a timeline
as long as its signal; `LArPix` turns timelines into hits.
"""

import dataclasses
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dptoolkit import units
from dptoolkit.charge.larpix import Before, LArPix, PixelHits
from dptoolkit.charge.nominal import Nominal
from dptoolkit.charge.pad_response import build_pad_response
from dptoolkit.charge.pad_table import PADS, TICKS, PadTable, pad_table
from dptoolkit.charge.spread import hat_weights
from dptoolkit.charge.tiles import UNWANTED, Items, deal, padded, padded_items
from dptoolkit.events import Electrons, Hits, bucket, growth, scale_of
from dptoolkit.params import Component

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
ITEMS = 384
"""Smallest padded number of work items."""
TIMELINES = ((6, 512), (16, 256), (0, 128))
"""Timelines: (length [tiles], 0 for the full drift; smallest padded number of them)."""


PerCloud = Float[Array | np.ndarray, " d"]


class PixelLayout(eqx.Module):
    """Work items, and where the signal of each of their pads goes in the row of all timelines."""

    items: Items
    place: Int[np.ndarray, "i a b"]
    """First sample in the flat buffer of timelines; beyond its end for pads that do not exist."""
    pad: tuple[Int[np.ndarray, "_ 6"], ...]
    """(event, volume, column, row, first tick, exists) of every timeline, a table a length."""
    lengths: tuple[int, ...] = eqx.field(static=True)
    """Ticks of the timelines of each table."""
    scale: tuple[int] = eqx.field(static=True)
    """Of the padded sizes; see `events.growth`."""
    before: Before | None = None
    """Known hits of every pad, table after table: every hit is predicted given those before it."""


class PixelPlane(Component):
    """Square pads at one pitch: columns along `across`, rows along `up`, the middle one at the centre."""

    table: PadTable
    front_end: LArPix
    name: str = eqx.field(static=True, default="pixels")
    pitch: float = eqx.field(static=True, default=0.4434)
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
        return self._of(everything, self._that_matter(electrons, everything, speed), scale[0])

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
        return self._timelines(deal(keys, (np.asarray(electrons.n) > 0) & on_plane, CLOUDS))

    def _of(self, layout: PixelLayout, wanted: list[np.ndarray], scale: int) -> PixelLayout:
        """The part of a layout with the `wanted` timelines of each table, in that order."""
        n_items = int(np.count_nonzero(layout.items.filled.any(axis=1)))
        needed = [scale_of(len(rows), line[1]) for rows, line in zip(wanted, TIMELINES, strict=True)]
        scale = max(scale, scale_of(n_items, ITEMS), *needed)
        size = ITEMS * growth(scale)
        place = np.full((size, *layout.place.shape[1:]), UNWANTED, np.int32)
        before, tables, old, new = layout.place[:n_items], [], 0, 0
        for rows, table, length, line in zip(wanted, layout.pad, layout.lengths, TIMELINES, strict=True):
            n_rows = line[1] * growth(scale)
            position = np.full(len(table), -1)
            position[rows] = np.arange(len(rows))
            here = (before >= old) & (before < old + len(table) * length)
            row, sample = np.divmod(np.where(here, before - old, 0), length)
            kept = here & (position[row] >= 0)
            place[:n_items] = np.where(kept, new + position[row] * length + sample, place[:n_items])
            tables.append(padded(table[rows], n_rows))
            old, new = old + len(table) * length, new + n_rows * length
        parts = (layout.items.cloud, layout.items.filled, layout.items.tile)
        items = padded_items(Items(*(part[:n_items] for part in parts)), size)
        return PixelLayout(items, place, tuple(tables), layout.lengths, (scale,))

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
        kernel = self.table.in_time(speed * self.front_end.tick)
        kernel = kernel.reshape(*kernel.shape[:2], -1, every).sum(axis=-1)
        window = kernel.shape[2]
        lengths = [length // every for length in layout.lengths]
        size = sum(len(pad) * length for pad, length in zip(layout.pad, lengths, strict=True))

        def add(buffer: Array, chunk: tuple[Array, ...]) -> Array:
            cloud, filled, tile, place = chunk
            signal = self._tile_signals(clouds[cloud], filled, tile, kernel)
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
            (layout.items.cloud, layout.items.filled, layout.items.tile, layout.place // every),
        )
        buffer = jax.lax.scan(add_chunk, jnp.zeros(size, clouds.dtype), chunks)[0]
        timelines, first = [], 0
        for pad, length in zip(layout.pad, lengths, strict=True):
            block = buffer[first : first + len(pad) * length].reshape(len(pad), length)
            timelines.append(jnp.cumsum(block, axis=1))
            first += len(pad) * length
        return timelines

    def _tile_signals(
        self,
        clouds: Float[Array, "i d 7"],
        filled: Array,
        tile: Int[Array, "i 5"],
        kernel: Float[Array, "n r t"],
    ) -> Float[Array, "i a b t"]:
        """Charge per tick that the clouds of each item induce on the pads around its tile."""
        table = self.table
        n, column, column_variance, row, row_variance, tick, tick_variance = jnp.moveaxis(clouds, -1, 0)
        n = jnp.where(filled, n, 0.0)
        multiply = partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)

        by_column = table.shares(column, column_variance, tile[:, 2] * PADS)
        by_row = table.shares(row, row_variance, tile[:, 3] * PADS)
        moment = tick - tile[:, 4, None] * TICKS + table.late
        arrivals = n[..., None] * hat_weights(moment, tick_variance, kernel.shape[0])
        signal = multiply("idn,nrt->idrt", arrivals, kernel)
        pads = by_column[..., :, None] * by_row[..., None, :]
        return multiply("idrab,idrt->iabt", pads, signal)

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
        return Hits(
            charge=hits.charge,
            time=hits.time,
            probability=jnp.where(valid[:, None], hits.probability, 0.0),
            charge_sigma=hits.charge_sigma,
            time_sigma=hits.time_sigma,
            correlation=hits.correlation,
            total=jnp.where(valid, charge[:, -1], 0.0),
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

    def _timelines(self, items: Items) -> PixelLayout:
        """Give every pad near an item a timeline that spans its items."""
        table = self.table
        margin = table.halo + table.reach
        around = np.arange(-margin, PADS + margin)
        tile = items.tile.astype(np.int64)
        column = tile[:, 2, None, None] * PADS + around[:, None]
        row = tile[:, 3, None, None] * PADS + around
        real = (column >= 0) & (column < self.n_columns) & (row >= 0) & (row < self.n_rows)
        event, volume = tile[:, 0, None, None], tile[:, 1, None, None]
        number = ((event * 4096 + volume) * self.n_columns + column) * self.n_rows + row
        number = np.broadcast_to(number, real.shape)
        distinct, inverse = np.unique(number[real], return_inverse=True)
        n_tiles = table.window // TICKS
        # windows of a pad's items: first and last tile in time
        start = np.broadcast_to(tile[:, 4, None, None], real.shape)[real]
        low = np.full(len(distinct), np.iinfo(np.int64).max)
        high = np.full(len(distinct), np.iinfo(np.int64).min)
        np.minimum.at(low, inverse, start)
        np.maximum.at(high, inverse, start + n_tiles)
        spans = high - low
        lengths = [line[0] for line in TIMELINES]
        lengths[-1] = bucket(int(spans.max()) if len(spans) else 0, smallest=self.drift_tiles)
        members, shortest = [], 0
        for length in lengths:
            members.append(np.flatnonzero((spans > shortest) & (spans <= length)))
            shortest = length
        needed = [scale_of(len(m), line[1]) for m, line in zip(members, TIMELINES, strict=True)]
        scale = max(scale_of(len(tile), ITEMS), *needed)

        offset = np.zeros(len(distinct), np.int64)
        pads, first_sample = [], 0
        for length, member, line in zip(lengths, members, TIMELINES, strict=True):
            size = line[1] * growth(scale)
            rows = np.zeros((size, 6), np.int32)
            plane, rows[: len(member), 3] = np.divmod(distinct[member], self.n_rows)
            plane, rows[: len(member), 2] = np.divmod(plane, self.n_columns)
            rows[: len(member), 0], rows[: len(member), 1] = np.divmod(plane, 4096)
            rows[: len(member), 4] = low[member] * TICKS - table.late - table.lead
            rows[: len(member), 5] = 1
            offset[member] = first_sample + np.arange(len(member)) * length * TICKS - low[member] * TICKS
            first_sample += size * length * TICKS
            pads.append(rows)
        place = np.full(real.shape, first_sample, np.int64)
        place[real] = offset[inverse] + start * TICKS
        if first_sample >= UNWANTED:
            raise ValueError("too much charge for one call: simulate fewer events or segments at once")
        n_items = ITEMS * growth(scale)
        return PixelLayout(
            items=padded_items(items, n_items),
            place=padded(place.astype(np.int32), n_items, fill=UNWANTED),
            pad=tuple(pads),
            lengths=tuple(length * TICKS for length in lengths),
            scale=(scale,),
        )


@eqx.filter_jit
def _extremes(
    plane: PixelPlane, electrons: Electrons, layout: PixelLayout, speed: Array
) -> list[tuple[Array, Array]]:
    """(highest, last) induced charge of every timeline, seen every `GLANCE` ticks."""
    charges = plane.induce(electrons, layout, speed, GLANCE)
    return [(charge.max(axis=1), charge[:, -1]) for charge in charges]
