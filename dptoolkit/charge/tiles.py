"""Occupied tiles of a read-out: which clouds go where, decided on the host from concrete numbers.

A read-out is cut into tiles; only occupied ones are computed. Clouds are sorted by tile and dealt
to work items of at most `per_item` clouds, so an item is a small dense matrix product. Shapes are
padded to few sizes: nothing recompiles from event to event. The layout is a constant while
gradients are taken; a cloud may move by the margin of a tile before it must be made anew.
"""

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Int

from dptoolkit.events import bucket


class Items(eqx.Module):
    """Work items: up to `per_item` clouds of one tile each."""

    cloud: Int[np.ndarray, "i d"]
    filled: Bool[np.ndarray, "i d"]
    tile: Int[np.ndarray, "i k"]
    """Key of the tile (event, group, block, ..., time block)."""


def deal(keys: Int[np.ndarray, "d k"], valid: Bool[np.ndarray, " d"], per_item: int, chunk: int) -> Items:
    """Sort clouds by their tile `keys` and deal them to items, padded to a multiple of `chunk`."""
    index = np.flatnonzero(valid)
    tiles, inverse, counts = np.unique(keys[index], axis=0, return_inverse=True, return_counts=True)
    order = index[np.argsort(inverse.ravel(), kind="stable")]
    n_items_of = -(-counts // per_item)
    n_items = int(n_items_of.sum())
    size = bucket(max(n_items, 1), smallest=chunk)
    size += -size % chunk
    owner = np.repeat(np.arange(len(counts)), n_items_of)
    within = np.arange(n_items) - np.repeat(np.cumsum(n_items_of) - n_items_of, n_items_of)
    first = (np.cumsum(counts) - counts)[owner] + within * per_item
    length = np.minimum(per_item, counts[owner] - within * per_item)

    slot = np.arange(per_item)
    filled = np.zeros((size, per_item), bool)
    cloud = np.zeros((size, per_item), np.int32)
    filled[:n_items] = slot < length[:, None]
    position = np.minimum(first[:, None] + slot, max(len(order) - 1, 0))
    if len(order):
        cloud[:n_items] = np.where(filled[:n_items], order[position], 0)
    tile = np.zeros((size, keys.shape[1]), np.int32)
    tile[:n_items] = tiles[owner]
    if n_items:
        tile[n_items:] = tile[n_items - 1]
    return Items(cloud, filled, tile)


def slots(keys: Int[np.ndarray, "... k"], wanted: Bool[np.ndarray, "..."]) -> tuple[np.ndarray, np.ndarray, int]:
    """Number the distinct `keys` that are wanted.

    Returns (slot of every key, with the padded size for the unwanted; the distinct keys padded to
    that size; how many there are).
    """
    flat, mask = keys.reshape(-1, keys.shape[-1]), wanted.reshape(-1)
    distinct, inverse = np.unique(flat[mask], axis=0, return_inverse=True)
    size = bucket(max(len(distinct), 1), smallest=16)
    slot = np.full(len(flat), size, np.int32)
    slot[mask] = inverse.ravel()
    padded = np.zeros((size, keys.shape[-1]), np.int32)
    padded[: len(distinct)] = distinct
    return slot.reshape(wanted.shape), padded, len(distinct)
