"""Which pads a simulation computes: work items of clouds, and a timeline for every pad near charge.

Made on the host from concrete numbers; see `tiles`.
"""

import equinox as eqx
import numpy as np
from jaxtyping import Int

from dptoolkit.charge.pad_table import PADS, TICKS, PadTable
from dptoolkit.charge.pixel_hits import Before
from dptoolkit.charge.tiles import UNWANTED, Items, padded, padded_items
from dptoolkit.events import bucket, growth, scale_of

VOLUMES = 4096
"""More than the drift volumes of any detector."""
ITEMS = 384
"""Smallest padded number of work items."""
TOGETHER = 64
"""Pads of a work item; one that needs more becomes two."""
TIMELINES = ((6, 512), (16, 256), (0, 128))
"""Timelines: (length [tiles], 0 for the full drift; smallest padded number of them)."""


class PixelLayout(eqx.Module):
    """Work items, and where the signal of each of their pads goes in the row of all timelines."""

    items: Items
    beside: Int[np.ndarray, "i w"]
    """The pads of an item, numbered column by column among those around its tile."""
    place: Int[np.ndarray, "i w"]
    """Their first sample in the flat buffer of timelines; beyond its end for pads that do not exist."""
    pad: tuple[Int[np.ndarray, "_ 6"], ...]
    """(event, volume, column, row, first tick, exists) of every timeline, a table a length."""
    lengths: tuple[int, ...] = eqx.field(static=True)
    """Ticks of the timelines of each table."""
    scale: tuple[int] = eqx.field(static=True)
    """Of the padded sizes; see `events.growth`."""
    before: Before | None = None
    """Known hits of every pad, table after table: every hit is predicted given those before it."""


def with_all_pads(
    items: Items, table: PadTable, n_columns: int, n_rows: int, drift_tiles: int
) -> PixelLayout:
    """A timeline for every pad near an item, long enough for all its items."""
    margin = table.halo + table.reach
    around = np.arange(-margin, PADS + margin)
    tile = items.tile.astype(np.int64)
    column, row = np.meshgrid(around, around, indexing="ij")
    column = tile[:, 2, None] * PADS + column.ravel()
    row = tile[:, 3, None] * PADS + row.ravel()
    real = (column >= 0) & (column < n_columns) & (row >= 0) & (row < n_rows)
    number = ((tile[:, 0, None] * VOLUMES + tile[:, 1, None]) * n_columns + column) * n_rows + row
    distinct, inverse = np.unique(number[real], return_inverse=True)
    # windows of a pad's items: first and last tile in time
    start = np.broadcast_to(tile[:, 4, None], real.shape)[real]
    low = np.full(len(distinct), np.iinfo(np.int64).max)
    high = np.full(len(distinct), np.iinfo(np.int64).min)
    np.minimum.at(low, inverse, start)
    np.maximum.at(high, inverse, start + table.window // TICKS)
    spans = high - low
    lengths = [line[0] for line in TIMELINES]
    lengths[-1] = bucket(int(spans.max()) if len(spans) else 0, smallest=drift_tiles)
    edges = [0, *lengths]
    members = [
        np.flatnonzero((spans > low_edge) & (spans <= edge))
        for low_edge, edge in zip(edges[:-1], lengths, strict=True)
    ]
    needed = [scale_of(len(m), line[1]) for m, line in zip(members, TIMELINES, strict=True)]
    scale = max(scale_of(len(tile), ITEMS), *needed)

    offset = np.zeros(len(distinct), np.int64)
    pads, first_sample = [], 0
    for length, member, line in zip(lengths, members, TIMELINES, strict=True):
        rows = np.zeros((line[1] * growth(scale), 6), np.int32)
        plane, rows[: len(member), 3] = np.divmod(distinct[member], n_rows)
        plane, rows[: len(member), 2] = np.divmod(plane, n_columns)
        rows[: len(member), 0], rows[: len(member), 1] = np.divmod(plane, VOLUMES)
        rows[: len(member), 4] = low[member] * TICKS - table.late - table.lead
        rows[: len(member), 5] = 1
        offset[member] = first_sample + np.arange(len(member)) * length * TICKS - low[member] * TICKS
        first_sample += len(rows) * length * TICKS
        pads.append(rows)
    if first_sample >= UNWANTED:
        raise ValueError("too much charge for one call: simulate fewer events or segments at once")
    place = np.full(real.shape, UNWANTED, np.int64)
    place[real] = offset[inverse] + start * TICKS
    n_items = ITEMS * growth(scale)
    beside = np.broadcast_to(np.arange(real.shape[1], dtype=np.int32), (n_items, real.shape[1]))
    return PixelLayout(
        items=padded_items(items, n_items),
        beside=beside,
        place=padded(place.astype(np.int32), n_items, fill=UNWANTED),
        pad=tuple(pads),
        lengths=tuple(length * TICKS for length in lengths),
        scale=(scale,),
    )


def restricted(layout: PixelLayout, wanted: list[np.ndarray], scale: int) -> PixelLayout:
    """The part with the `wanted` timelines of each table, in that order, padded to `scale` at least."""
    n_items = int(np.count_nonzero(layout.items.filled.any(axis=1)))
    old = layout.place[:n_items]
    ends = np.cumsum([len(pad) * length for pad, length in zip(layout.pad, layout.lengths, strict=True)])
    table = np.searchsorted(ends, old, side="right")
    position, sample = np.full(old.shape, -1), np.zeros(old.shape, np.int64)
    for number, (rows, length) in enumerate(zip(wanted, layout.lengths, strict=True)):
        here = table == number
        new = np.full(len(layout.pad[number]), -1)
        new[rows] = np.arange(len(rows))
        first = ends[number] - len(layout.pad[number]) * length
        row, sample[here] = np.divmod(old[here] - first, length)
        position[here] = new[row]
    owner, beside, real = _dealt(position >= 0)
    needed = [scale_of(len(rows), line[1]) for rows, line in zip(wanted, TIMELINES, strict=True)]
    scale = max(scale, scale_of(len(owner), ITEMS), *needed)

    tables = [
        padded(pad[rows], line[1] * growth(scale))
        for pad, rows, line in zip(layout.pad, wanted, TIMELINES, strict=True)
    ]
    sizes = [len(pad) * length for pad, length in zip(tables, layout.lengths, strict=True)]
    first = np.array([0, *np.cumsum(sizes)])
    length = np.array([*layout.lengths, 0])
    place = np.where(position >= 0, first[table] + position * length[table] + sample, UNWANTED)
    place = np.where(real, np.take_along_axis(place[owner], beside, axis=1), UNWANTED)
    size = ITEMS * growth(scale)
    parts = (layout.items.cloud, layout.items.filled, layout.items.tile)
    return PixelLayout(
        items=padded_items(Items(*(part[owner] for part in parts)), size),
        beside=padded(beside.astype(np.int32), size),
        place=padded(place.astype(np.int32), size, fill=UNWANTED),
        pad=tuple(tables),
        lengths=layout.lengths,
        scale=(scale,),
    )


def _dealt(wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(item, pads, whether they are real) of rows with at most `TOGETHER` wanted pads of an item each."""
    counts = wanted.sum(axis=1)
    n_rows = -(-counts // TOGETHER)
    owner = np.repeat(np.arange(len(counts)), n_rows)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows)
    slot = within[:, None] * TOGETHER + np.arange(TOGETHER)
    order = np.argsort(~wanted, axis=1, kind="stable")
    beside = np.take_along_axis(order[owner], np.minimum(slot, wanted.shape[1] - 1), axis=1)
    return owner, beside, slot < counts[owner, None]
