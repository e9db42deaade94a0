"""Truth of pixel hits: which segment made which share of a hit's charge.

A hit integrates from the last reset to the end of the hold. What a cloud contributes is the charge
that it brings to the pad in that time, from its Gaussian in space and time; a hit that is only induced,
with nothing collected in its time, is shared among the charge collected next to it and whenever.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr

from dptoolkit.charge.deposits import DepositLayout
from dptoolkit.charge.larpix import RESET_TICKS
from dptoolkit.charge.pixels import PixelPlane
from dptoolkit.events import Electrons, Hits

Shares = tuple[Int[np.ndarray, "n 2"], Int[np.ndarray, " n"], Float[np.ndarray, " n"]]
"""((pixel, hit) as positions in `Hits`, segment, share); the shares of a hit sum to 1."""

NEIGHBOUR = 1e-6
"""Weight of charge on the pads around a hit, and of charge at another time: where there is no other."""
LEAST = 1e-3
"""Smaller shares are left out."""


def hit_shares(plane: PixelPlane, hits: Hits, electrons: Electrons, layout: DepositLayout) -> Shares:
    """Shares of the segments in every hit of at least one half probability; on the host."""
    front_end = plane.front_end
    real = np.asarray(hits.valid)[:, None] & (np.asarray(hits.probability) >= 0.5)
    pixel, number = np.nonzero(real)
    end = np.asarray(hits.time, float) + float(front_end.hold)
    begin = np.concatenate(
        [np.full((len(end), 1), -np.inf), end[:, :-1] + RESET_TICKS * front_end.tick], axis=1
    )

    cloud, pad, charge = _on_pads(plane, hits, electrons)
    # every (hit, cloud on its pad or beside it)
    order = np.argsort(pad, kind="stable")
    first = np.searchsorted(pad[order], pixel)
    count = np.searchsorted(pad[order], pixel, side="right") - first
    row = np.repeat(np.arange(len(pixel)), count)
    entry = order[np.repeat(first - (np.cumsum(count) - count), count) + np.arange(count.sum())]
    time = np.asarray(electrons.time, float)[cloud[entry]]
    sigma = np.sqrt(np.maximum(np.asarray(electrons.var_time, float)[cloud[entry]], 1e-6))
    start, stop = begin[pixel[row], number[row]], end[pixel[row], number[row]]
    inside = ndtr((stop - time) / sigma) - ndtr((start - time) / sigma)
    weight = charge[entry] * np.maximum(inside, NEIGHBOUR)
    hit, segment, weight = _by_segment(row, cloud[entry], weight, layout)
    hit, segment, share = _normalised(hit, segment, weight, len(pixel))
    return np.stack([pixel[hit], number[hit]], axis=1), segment, share


def _on_pads(
    plane: PixelPlane, hits: Hits, electrons: Electrons
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(cloud, pixel as a position in `hits`, charge brought there) for the pads under and around a cloud."""
    column, row = (np.asarray(c, float) for c in plane.pad_number(electrons))
    wide = np.sqrt(np.maximum(np.asarray(electrons.var_across, float), 1e-8)) / plane.pitch
    high = np.sqrt(np.maximum(np.asarray(electrons.var_up, float), 1e-8)) / plane.pitch
    table = _pad_ids(plane, *(np.asarray(c) for c in (hits.event, hits.volume, hits.column, hits.row)))
    table = np.where(np.asarray(hits.valid), table, -1)
    order = np.argsort(table)
    parts = []
    live = np.flatnonzero(np.asarray(electrons.n) > 0)
    event, volume, n = (np.asarray(a)[live] for a in (electrons.event, electrons.volume, electrons.n))
    for dc in range(-2, 3):
        for dr in range(-2, 3):
            c = np.rint(column[live]).astype(int) + dc
            r = np.rint(row[live]).astype(int) + dr
            across = _within(c - column[live], wide[live]) * _within(r - row[live], high[live])
            wanted = _pad_ids(plane, event, volume, c, r)
            position = np.minimum(np.searchsorted(table[order], wanted), len(order) - 1)
            found = (table[order][position] == wanted) & (c >= 0) & (r >= 0)
            charge = n * np.maximum(across, NEIGHBOUR)
            parts.append((live[found], order[position][found], charge[found]))
    cloud, pad, charge = (np.concatenate(column) for column in zip(*parts, strict=True))
    return cloud, pad, charge


def _within(offset: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Share of a Gaussian in the unit cell at this offset."""
    return ndtr((offset + 0.5) / sigma) - ndtr((offset - 0.5) / sigma)


def _pad_ids(
    plane: PixelPlane, event: np.ndarray, volume: np.ndarray, column: np.ndarray, row: np.ndarray
) -> np.ndarray:
    wide = event.astype(np.int64) * 4096 + volume
    return (wide * plane.n_columns + column) * plane.n_rows + row


def _by_segment(
    hit: np.ndarray, cloud: np.ndarray, weight: np.ndarray, layout: DepositLayout
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clouds dealt to the segments that they came from, in proportion to length."""
    cloud = cloud % len(layout.volume)  # a line is two clouds
    length = layout.high - layout.low
    used = np.flatnonzero(length > 0)
    piece_cloud = layout.cloud[used]
    order = used[np.argsort(piece_cloud, kind="stable")]
    n_pieces = np.bincount(piece_cloud, minlength=len(layout.volume))
    first = (np.cumsum(n_pieces) - n_pieces)[cloud]
    count = n_pieces[cloud]
    row = np.repeat(np.arange(len(cloud)), count)
    piece = order[np.repeat(first - (np.cumsum(count) - count), count) + np.arange(count.sum())]
    total = np.bincount(layout.cloud[used], length[used], minlength=len(layout.volume))
    return hit[row], layout.segment[piece], weight[row] * length[piece] / total[cloud[row]]


def _normalised(
    hit: np.ndarray, segment: np.ndarray, weight: np.ndarray, n_hits: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pair = hit.astype(np.int64) * 2**32 + segment
    distinct, inverse = np.unique(pair, return_inverse=True)
    weight = np.bincount(inverse, weight, minlength=len(distinct))
    hit, segment = np.divmod(distinct, 2**32)
    for least in (LEAST, 0.0):
        total = np.bincount(hit, weight, minlength=n_hits)
        share = weight / np.where(total[hit] > 0, total[hit], 1.0)
        keep = share > least
        hit, segment, weight, share = hit[keep], segment[keep], weight[keep], share[keep]
    return hit, segment, share
