"""Occupied tiles of a read-out: which clouds go where, decided on the host from concrete numbers.

A read-out is cut into tiles; only occupied ones are computed. Clouds are sorted by tile and dealt
to work items of at most `per_item` clouds, so an item is a small dense matrix product. Shapes are
padded to few sizes: nothing recompiles from event to event. The layout is a constant while
gradients are taken; a cloud may move by the margin of a tile before it must be made anew.
"""

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Int

from dptoolkit.events import distinct_rows

UNWANTED = 2**31 - 1
"""A slot beyond any array: what is added there is dropped."""


class Items(eqx.Module):
    """Work items: up to `per_item` clouds of one tile each."""

    cloud: Int[np.ndarray, "i d"]
    filled: Bool[np.ndarray, "i d"]
    tile: Int[np.ndarray, "i k"]
    """Key of the tile (event, group, block, ..., time block)."""


def deal(keys: Int[np.ndarray, "d k"], valid: Bool[np.ndarray, " d"], per_item: int) -> Items:
    """Sort clouds by their tile `keys` and deal them to items."""
    index = np.flatnonzero(valid)
    tiles, inverse, counts = distinct_rows(keys[index])
    order = index[np.argsort(inverse.ravel(), kind="stable")]
    n_items_of = -(-counts // per_item)
    n_items = int(n_items_of.sum())
    owner = np.repeat(np.arange(len(counts)), n_items_of)
    within = np.arange(n_items) - np.repeat(np.cumsum(n_items_of) - n_items_of, n_items_of)
    first = (np.cumsum(counts) - counts)[owner] + within * per_item
    length = np.minimum(per_item, counts[owner] - within * per_item)

    slot = np.arange(per_item)
    filled = slot < length[:, None]
    position = np.minimum(first[:, None] + slot, max(len(order) - 1, 0))
    cloud = np.where(filled, order[position], 0) if len(order) else np.zeros(filled.shape)
    return Items(cloud.astype(np.int32), filled, tiles[owner].astype(np.int32))


def padded(array: np.ndarray, size: int, fill: float | bool = 0) -> np.ndarray:
    """`array` with rows of `fill` appended up to `size`."""
    out = np.full((size, *array.shape[1:]), fill, array.dtype)
    out[: len(array)] = array
    return out


def padded_items(items: Items, size: int) -> Items:
    """Items followed by empty ones."""
    return Items(*(padded(part, size) for part in (items.cloud, items.filled, items.tile)))


def slots(keys: Int[np.ndarray, "... k"], wanted: Bool[np.ndarray, "..."]) -> tuple[np.ndarray, np.ndarray]:
    """Number the distinct `keys` that are wanted.

    Returns (slot of every key, UNWANTED for the others; the distinct keys).
    """
    flat, mask = keys.reshape(-1, keys.shape[-1]), wanted.reshape(-1)
    distinct, inverse, _ = distinct_rows(flat[mask])
    slot = np.full(len(flat), UNWANTED, np.int32)
    slot[mask] = inverse.ravel()
    return slot.reshape(wanted.shape), distinct.astype(np.int32)
