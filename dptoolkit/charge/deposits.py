"""From energy deposits to clouds of electrons at the anode.

A step is a line, not a point: `DepositLayout` cuts long steps into pieces and merges consecutive
short ones, on the host, once; recombination happens before, on the steps as given. What is merged becomes
two equal clouds, one standard deviation before and behind the middle of the line: they keep the charge,
the mean and the second moments of its pieces in space and in time, and the covariance of the two, so that
the error of a straight step goes as the fourth power of its length.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dptoolkit.charge.drift import AbstractDrift, Diffusion
from dptoolkit.charge.field import AbstractField
from dptoolkit.events import Electrons, Segments, deposit_length, growth, scale_of
from dptoolkit.geometry import Volumes

PIECES, CLOUDS = 1024, 1024
"""Smallest padded numbers of pieces of segments and of clouds."""


STEEP = 2.0
"""Slope (drift over transverse) above which the two clouds of a line carry its whole length: then no
correlation of place and time is left in them. Below it each is as wide as its half, which tiles wires and
pads evenly, until diffusion does. Chosen for the least error at any slope: 1.7e-4 of a wire signal for lines
of 0.4 mm."""


class DepositLayout(eqx.Module):
    """Which part of which segment goes into which cloud; fixed while gradients are taken."""

    segment: Int[np.ndarray, " p"]
    low: Float[np.ndarray, " p"]
    high: Float[np.ndarray, " p"]
    """The piece is the part [low, high] of its segment; empty for padding."""
    cloud: Int[np.ndarray, " p"]
    piece_volume: Int[np.ndarray, " p"]
    volume: Int[np.ndarray, " d"]
    event: Int[np.ndarray, " d"]
    dedx_group: Int[np.ndarray, " s"]
    """Segments with one number share one dE/dx."""
    segment_volume: Int[np.ndarray, " s"]
    """Volume of the middle of every segment; 0 where that lies outside of all."""

    @property
    def scale(self) -> int:
        """Of the padded numbers of clouds and pieces; see `events.growth`."""
        return scale_of(len(self.volume), CLOUDS)


def deposit_layout(
    segments: Segments, volumes: Volumes, *, step: float, dedx_length: float, scale: int = 0
) -> DepositLayout:
    """Cut and merge concrete `segments` into lines about `step` [cm] long.

    `dedx_length` [cm] is the length over which dE/dx is averaged before recombination; 0 takes
    every step as it is. Padded to `scale` at least.
    """
    start, end = np.asarray(segments.start, float), np.asarray(segments.end, float)
    valid = np.asarray(segments.valid)
    event, track = np.asarray(segments.event), np.asarray(segments.track)
    length = np.linalg.norm(end - start, axis=1)

    counts = np.where(valid, np.maximum(1, np.ceil(2 * length / step - 1e-6)), 0).astype(int)
    segment = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(segment)) - np.repeat(np.cumsum(counts) - counts, counts)
    low, high = number / counts[segment], (number + 1) / counts[segment]
    middle = start[segment] + ((low + high) / 2)[:, None] * (end - start)[segment]
    volume = volumes.locate(middle)

    inside = volume >= 0
    segment, volume, low, high, middle = (
        segment[inside],
        volume[inside],
        low[inside],
        high[inside],
        middle[inside],
    )
    keys = (event[segment], track[segment], volume)
    cloud = _runs(keys, middle, length[segment] * (high - low), step)
    n_clouds = int(cloud[-1]) + 1 if len(cloud) else 0
    first = np.searchsorted(cloud, np.arange(n_clouds))

    scale = max(scale, scale_of(n_clouds, CLOUDS), scale_of(len(cloud), PIECES))
    size, n_pieces = CLOUDS * growth(scale), PIECES * growth(scale)
    segment_volume = np.maximum(volumes.locate((start + end) / 2), 0)
    dedx_group = _runs((event, track), (start + end) / 2, length, dedx_length)
    return DepositLayout(
        segment=_padded(segment, n_pieces),
        low=_padded(low, n_pieces),
        high=_padded(high, n_pieces),
        cloud=_padded(cloud, n_pieces, fill=size - 1),
        piece_volume=_padded(volume, n_pieces),
        volume=_padded(volume[first], size),
        event=_padded(event[segment[first]], size),
        dedx_group=dedx_group.astype(np.int32),
        segment_volume=segment_volume.astype(np.int32),
    )


def _runs(keys: tuple[np.ndarray, ...], middle: np.ndarray, length: np.ndarray, step: float) -> np.ndarray:
    """Numbers of groups of consecutive pieces with equal keys, close together, `step` long in all."""
    if len(middle) == 0:
        return np.zeros(0, int)
    if step <= 0:
        return np.arange(len(middle))
    gap = np.linalg.norm(np.diff(middle, axis=0), axis=1)
    breaks = gap > step + (length[1:] + length[:-1]) / 2
    for key in keys:
        breaks |= np.diff(key) != 0
    run = np.concatenate([[0], np.cumsum(breaks)])
    along = np.cumsum(length) - length / 2
    run_start = (np.cumsum(length) - length)[np.searchsorted(run, np.arange(run[-1] + 1))]
    cell = np.floor((along - run_start[run]) / step * (1 + 1e-9)).astype(int)
    changes = (np.diff(run) != 0) | (np.diff(cell) != 0)
    return np.concatenate([[0], np.cumsum(changes)])


def _padded(array: np.ndarray, size: int, fill: int = 0) -> np.ndarray:
    out = np.full(size, fill, dtype=np.float32 if array.dtype.kind == "f" else np.int32)
    out[: len(array)] = array
    return out


def averaged_dedx(segments: Segments, layout: DepositLayout) -> Float[Array, " s"]:
    """dE/dx of every segment [MeV/cm], averaged over its group."""
    group = layout.dedx_group
    add = partial(jax.ops.segment_sum, segment_ids=group, num_segments=len(group))
    de = jnp.where(segments.valid, segments.de, 0.0)
    dx = jnp.where(segments.valid, segments.dx, 0.0)
    total, path = add(de)[group], add(dx)[group]
    point = total / jnp.maximum(deposit_length(total), 1e-9)
    return jnp.where(path > 0, total / jnp.where(path > 0, path, 1.0), point)


def drift_to_anode(
    segments: Segments,
    freed: Float[Array, " s"],
    ionised: Float[Array, " s"],
    layout: DepositLayout,
    volumes: Volumes,
    field: AbstractField,
    drift: AbstractDrift,
    diffusion: Diffusion,
) -> Electrons:
    """Clouds at the anode from the electrons `freed` on every segment, of those `ionised`."""
    index, in_volume = layout.segment, jnp.asarray(layout.piece_volume)
    low, high = (jnp.asarray(f, segments.start.dtype) for f in (layout.low, layout.high))
    charge = freed[index] * (high - low)
    step = (segments.end - segments.start)[index]
    points = segments.start[index] + ((low + high) / 2)[:, None] * step
    points = points + field.displacement(points, in_volume, volumes, drift.speed)
    across, up, distance = volumes.to_local(points, in_volume)
    half = (high - low)[:, None] * step
    d_across, d_up, d_distance = (
        jnp.sum(half * jnp.asarray(axis, half.dtype)[layout.piece_volume], axis=1)
        for axis in (volumes.across, volumes.up, -volumes.drift)
    )
    speed = drift.speed(field.nominal())
    drift_time = jnp.maximum(distance, 0.0) / speed
    arrived = charge * drift.surviving(drift_time)
    time = segments.t0[index] + distance / speed

    merge = _Merger(arrived, layout)
    places = ((across, d_across), (up, d_up), (time, d_distance / speed))
    centre = [merge.mean(place) for place, _ in places]
    lines = [(place, mean, extent) for (place, extent), mean in zip(places, centre, strict=True)]
    extent = jnp.stack([jnp.stack([merge.moment(a, b) for b in lines], axis=-1) for a in lines], axis=-1)
    along = jnp.stack([merge.sum(arrived * part) for _, part in places], axis=-1)
    mean_drift = merge.mean(drift_time)
    spread = 2 * diffusion.transverse * mean_drift
    offset = _halves(_principal(extent, jax.lax.stop_gradient(along)), speed, spread)
    extent = extent - offset[:, :, None] * offset[:, None, :]
    whole = Electrons(
        n=merge.total / 2,
        across=centre[0],
        up=centre[1],
        time=centre[2],
        var_across=spread + extent[:, 0, 0],
        var_up=spread + extent[:, 1, 1],
        cov_across_up=extent[:, 0, 1],
        var_time=2 * diffusion.longitudinal * mean_drift / speed**2 + extent[:, 2, 2],
        survival=merge.total / jnp.maximum(merge.sum((high - low) * ionised[index]), 1e-12),
        event=jnp.asarray(layout.event),
        volume=jnp.asarray(layout.volume),
    )
    return jax.tree.map(
        lambda *half: jnp.concatenate(half), *(_moved(whole, side * offset) for side in (-1, 1))
    )


def _principal(covariance: Float[Array, "d 3 3"], along: Float[Array, "d 3"]) -> Float[Array, "d 3"]:
    """One standard deviation v = C a / sqrt(a C a) along the line `a`; C - v v is what is left across it."""
    tilted = jnp.einsum("dij,dj->di", covariance, along)
    square = jnp.sum(along * tilted, axis=1, keepdims=True)
    return jnp.where(square > 0, tilted / jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)


def _halves(
    deviation: Float[Array, "d 3"], speed: Float[Array, ""], spread: Float[Array, " d"]
) -> Float[Array, "d 3"]:
    """How far the two clouds of a line lie from its middle, given its standard `deviation`.

    `spread` is the variance by diffusion across: clouds that it blurs need not be as wide as their halves.
    """
    flat = jnp.sum(deviation[:, :2] ** 2, axis=1)
    steep = (STEEP * speed * deviation[:, 2]) ** 2
    safe = jnp.where(flat > 0, flat, 1.0)
    level = jnp.where(flat > 0, jnp.exp(-spread / safe) * flat / (safe + steep), 0.0)
    return deviation * jnp.sqrt(1 - level / 4)[:, None]


def _moved(electrons: Electrons, by: Float[Array, "d 3"]) -> Electrons:
    places = (electrons.across + by[:, 0], electrons.up + by[:, 1], electrons.time + by[:, 2])
    return eqx.tree_at(lambda e: (e.across, e.up, e.time), electrons, places)


_Line = tuple[Float[Array, " p"], Float[Array, " d"], Float[Array, " p"]]
"""A coordinate of the pieces: middles, means over clouds, extents."""


class _Merger:
    """Charge-weighted moments over the pieces of each cloud."""

    def __init__(self, weight: Float[Array, " p"], layout: DepositLayout):
        self.cloud = layout.cloud
        self.size = len(layout.volume)
        self.weight = weight
        self.total = self.sum(weight)
        self.scale = jnp.where(self.total > 0, self.total, 1.0)

    def sum(self, values: Float[Array, " p"]) -> Float[Array, " d"]:
        return jax.ops.segment_sum(values, self.cloud, self.size, indices_are_sorted=True)

    def mean(self, values: Float[Array, " p"]) -> Float[Array, " d"]:
        # moments about the first piece keep float32 exact far from the origin
        origin = jax.lax.stop_gradient(
            jax.ops.segment_max(values, self.cloud, self.size, indices_are_sorted=True)
        )
        origin = jnp.where(jnp.isfinite(origin), origin, 0.0)
        return origin + self.sum(self.weight * (values - origin[self.cloud])) / self.scale

    def moment(self, first: _Line, second: _Line) -> Float[Array, " d"]:
        (a, mean_a, extent_a), (b, mean_b, extent_b) = first, second
        product = (a - mean_a[self.cloud]) * (b - mean_b[self.cloud]) + extent_a * extent_b / 12
        return self.sum(self.weight * product) / self.scale


def fluctuate(electrons: Electrons, key: Array) -> Electrons:
    """A sample of the clouds: Poisson counts (as a Gaussian) and centroids that jitter by sigma / sqrt(n).

    What the jitter adds to the variance is taken off the cloud, so the mean over samples is the
    expectation exactly. Of the electrons freed a fraction recombines or is attached, at random and
    one by one: binomial, in the approximation of a Gaussian of variance n (1 - n / n_freed); a
    Gaussian that falls below zero is not cut, which would bias the mean.
    """
    keys = jax.random.split(key, 4)
    shape = electrons.n.shape
    unit = [jax.random.normal(k, shape, electrons.n.dtype) for k in keys]
    count = jnp.maximum(electrons.n, 1.0)
    lost = 1 - electrons.survival
    n = electrons.n + jnp.sqrt(jnp.maximum(electrons.n * lost, 0.0)) * unit[0]
    sigma_a = jnp.sqrt(jnp.maximum(electrons.var_across, 1e-12))
    along = electrons.cov_across_up / sigma_a
    rest = jnp.sqrt(jnp.maximum(electrons.var_up - along**2, 0.0))
    shrink = 1 - 1 / count
    return Electrons(
        n=n,
        across=electrons.across + sigma_a * unit[1] / jnp.sqrt(count),
        up=electrons.up + (along * unit[1] + rest * unit[2]) / jnp.sqrt(count),
        time=electrons.time + jnp.sqrt(jnp.maximum(electrons.var_time, 0.0) / count) * unit[3],
        var_across=electrons.var_across * shrink,
        var_up=electrons.var_up * shrink,
        cov_across_up=electrons.cov_across_up * shrink,
        var_time=electrons.var_time * shrink,
        survival=electrons.survival,
        event=electrons.event,
        volume=electrons.volume,
    )
