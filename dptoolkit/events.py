"""What travels through the simulation: padded pytrees of arrays with a `valid` flag.

Padding and order never change a result. Arrays of one object share their first axis.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

PerSegment = Float[Array, " n"]


class Segments(eqx.Module):
    """Energy deposits along straight steps of charged particles.

    Units: cm, MeV, MeV/cm, us. `event` is an index 0, 1, ... into `event_numbers` of the file.
    """

    start: Float[Array, "n 3"]
    end: Float[Array, "n 3"]
    de: PerSegment
    dx: PerSegment
    """Path length of the step [cm]; 0 marks a deposit at a point."""
    t0: PerSegment
    event: Int[Array, " n"]
    track: Int[Array, " n"]
    pdg: Int[Array, " n"]
    valid: Bool[Array, " n"]
    kinetic: Float[Array, "n 2"] | None = None
    """Kinetic energy of the particle at both ends [MeV], if known; Cherenkov light needs it."""

    @property
    def dedx(self) -> PerSegment:
        """Energy loss per length [MeV/cm]; see `deposit_length` for deposits at a point."""
        return self.de / jnp.where(self.dx > 0, self.dx, deposit_length(self.de))

    @property
    def direction(self) -> Float[Array, "n 3"]:
        """Unit vector of the step; zero for a deposit at a point."""
        step = self.end - self.start
        square = jnp.sum(step**2, axis=-1, keepdims=True)
        return jnp.where(square > 0, step / jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)

    def __len__(self) -> int:
        return self.de.shape[0]


class Electrons(eqx.Module):
    """Clouds of ionisation electrons as they reach the anode, in the frame of their drift volume.

    `across` and `up` [cm] are measured in the anode plane from the centre of the volume's face;
    `time` [us] is the arrival at the reference plane of the anode (where the active volume ends).
    """

    n: Float[Array, " n"]
    across: Float[Array, " n"]
    up: Float[Array, " n"]
    time: Float[Array, " n"]
    var_across: Float[Array, " n"]
    var_up: Float[Array, " n"]
    cov_across_up: Float[Array, " n"]
    """Covariance of the cloud in the anode plane [cm2]."""
    var_time: Float[Array, " n"]
    """Variance of the arrival time [us2]."""
    survival: Float[Array, " n"]
    """Fraction of the ionisation electrons that neither recombined nor was attached."""
    event: Int[Array, " n"]
    volume: Int[Array, " n"]


class Waveforms(eqx.Module):
    """Occupied blocks of a wire plane's read-out: `wires_per_block` x `ticks_per_block` samples each.

    A block lies on the grid of its plane; what is in no block is pedestal (and noise) only.
    """

    samples: Float[Array, "b w t"]
    event: Int[Array, " b"]
    group: Int[Array, " b"]
    """Drift volume, or anode assembly where wires are wrapped around it."""
    channel: Int[Array, " b"]
    """Channel of the block's first row within its plane and group."""
    tick: Int[Array, " b"]
    """Tick of the block's first column."""
    valid: Bool[Array, " b"]
    n_channels: int = eqx.field(static=True)
    tick_period: float = eqx.field(static=True)
    """[us]"""
    unit: str = eqx.field(static=True)

    def mask(self) -> Bool[Array, "b w t"]:
        """True for samples that exist: valid blocks, channels on the plane."""
        rows = self.channel[:, None] + jnp.arange(self.samples.shape[1])
        on_plane = (rows >= 0) & (rows < self.n_channels) & self.valid[:, None]
        return jnp.broadcast_to(on_plane[:, :, None], self.samples.shape)


class Hits(eqx.Module):
    """Self-triggered pixel hits: a row a pixel, a column a hit of that pixel.

    An expectation holds the hit's probability and its charge and time given that it happens; a
    sample holds probabilities 0 or 1 and digitised values.
    """

    charge: Float[Array, "p h"]
    """[electrons]"""
    time: Float[Array, "p h"]
    """[us]"""
    probability: Float[Array, "p h"]
    charge_sigma: Float[Array, "p h"]
    """Standard deviation of the charge given the hit [electrons]; 0 in a sample."""
    time_sigma: Float[Array, "p h"]
    """Of the time given the hit [us]."""
    correlation: Float[Array, "p h"]
    """Of charge and time given the hit."""
    total: Float[Array, " p"]
    """Charge collected by the pixel before the threshold [electrons]; in a prediction given known hits only
    what it integrates in their windows."""
    left: Float[Array, " p"]
    """What follows the last of the hits that are known, up to the end [electrons]: where none is, the total.
    A prediction's; not stored in files."""
    event: Int[Array, " p"]
    volume: Int[Array, " p"]
    column: Int[Array, " p"]
    row: Int[Array, " p"]
    valid: Bool[Array, " p"]


class SensorHits(eqx.Module):
    """Light on photosensors: a row a sensor of an event.

    An expectation holds expected photoelectrons and charge, and the mean time of a photoelectron; a sample
    holds their drawn number, the charge they make and the mean of their times.
    """

    pe: Float[Array, " r"]
    """Photoelectrons, before the gain."""
    charge: Float[Array, " r"]
    """[photoelectrons], with gain and single-photoelectron spread"""
    time_ns: Float[Array, " r"]
    """Mean time of the photoelectrons, from `start` on."""
    time_sigma_ns: Float[Array, " r"]
    """Standard deviation of the time of one photoelectron; of their mean in a sample."""
    start: Float[Array, " r"]
    """From when times are counted: the first step of the event [us]."""
    sensor: Int[Array, " r"]
    event: Int[Array, " r"]
    valid: Bool[Array, " r"]


class Combinations(eqx.Module):
    """Measurements combined to independent numbers of unit variance: a row a number."""

    value: Float[Array, " r"]
    event: Int[Array, " r"]
    number: Int[Array, " r"]
    """Within its event."""
    valid: Bool[Array, " r"]


def first_times(segments: Segments) -> Float[np.ndarray, " e"]:
    """When the first step of every event begins [us]; 0 for an event without any."""
    valid, event = np.asarray(segments.valid), np.asarray(segments.event)
    first = np.full(event[valid].max(initial=0) + 1, np.inf)
    np.minimum.at(first, event[valid], np.asarray(segments.t0, float)[valid])
    return np.where(np.isfinite(first), first, 0.0)


def deposit_length(de: Float[Array, " n"]) -> Float[Array, " n"]:
    """Length over which a deposit at a point is taken to have lost its energy [cm].

    A step without length is a low-energy electron that stops where it is made: its practical range
    R = 0.412 T^(1.265 - 0.0954 ln T) g/cm2, T in MeV (Katz and Penfold, Rev. Mod. Phys. 24 (1952)
    28), in argon of 1.396 g/cm3.
    """
    energy = jnp.clip(de, 1e-3, 2.5)
    return 0.412 * energy ** (1.265 - 0.0954 * jnp.log(energy)) / 1.396


def segments_from_arrays(
    start: np.ndarray,
    end: np.ndarray,
    de: np.ndarray,
    *,
    dx: np.ndarray | None = None,
    t0: np.ndarray | float = 0.0,
    event: np.ndarray | int = 0,
    track: np.ndarray | int = 0,
    pdg: np.ndarray | int = 13,
    kinetic: np.ndarray | None = None,
) -> Segments:
    """Segments from plain arrays; `dx` defaults to the distance from start to end."""
    start, end = np.atleast_2d(np.asarray(start, float)), np.atleast_2d(np.asarray(end, float))
    n = len(start)
    if start.shape != (n, 3) or end.shape != (n, 3):
        raise ValueError(f"start and end: expected shape (n, 3), got {start.shape} and {end.shape}")
    length = np.linalg.norm(end - start, axis=1) if dx is None else dx
    ints = {"event": event, "track": track, "pdg": pdg}
    real = jnp.result_type(float)
    columns = {
        "start": start.astype(real),
        "end": end.astype(real),
        **{name: np.broadcast_to(x, n).astype(real) for name, x in (("de", de), ("dx", length), ("t0", t0))},
        "valid": np.ones(n, bool),
        **{name: np.broadcast_to(value, n).astype(np.int32) for name, value in ints.items()},
    }
    if kinetic is not None:
        columns["kinetic"] = np.asarray(kinetic).astype(real)
        if columns["kinetic"].shape != (n, 2):
            raise ValueError(f"kinetic: expected shape ({n}, 2), got {columns['kinetic'].shape}")
    return Segments(**{name: jnp.asarray(column) for name, column in columns.items()})


def pad(segments: Segments, n: int) -> Segments:
    """`segments` with invalid ones appended up to `n`; they carry no energy."""
    extra = n - len(segments)
    if extra < 0:
        raise ValueError(f"cannot pad {len(segments)} segments to {n}")
    return Segments(**{name: _pad(column, extra) for name, column in _columns(segments).items()})


def take(segments: Segments, index: Any) -> Segments:
    """The segments selected by `index` (a mask or positions)."""
    index = np.asarray(index)
    return Segments(**{name: column[index] for name, column in _columns(segments).items()})


def shift(segments: Segments, by: Float[Array, " 3"]) -> Segments:
    """The segments moved by `by` [cm]."""
    return eqx.tree_at(lambda s: (s.start, s.end), segments, (segments.start + by, segments.end + by))


def growth(scale: int) -> int:
    """How much larger than the smallest a padded array of this scale is: 1, 4, 16, 32, 64, ...

    Few sizes mean few compilations; all arrays of a layout share one scale, so that their sizes
    change together. Padding costs memory, but work on it is skipped.
    """
    return 4**scale if scale <= 2 else 2 ** (scale + 2)


def scale_of(n: int, smallest: int) -> int:
    """The scale whose padded size, `smallest` x `growth`, holds `n` items."""
    scale = 0
    while smallest * growth(scale) < n:
        scale += 1
    return scale


def bucket(n: int, smallest: int = 256) -> int:
    """The padded size for `n` items."""
    return smallest * growth(scale_of(n, smallest))


def distinct_rows(
    keys: Int[np.ndarray, "n k"],
) -> tuple[Int[np.ndarray, "m k"], Int[np.ndarray, " n"], Int[np.ndarray, " m"]]:
    """(distinct rows in order, which of them every row is, how often each occurs).

    As `np.unique` along an axis, but by one number a row, which sorts many times faster.
    """
    if len(keys) == 0:
        return keys, np.zeros(0, int), np.zeros(0, int)
    low = keys.min(axis=0).astype(np.int64)
    span = keys.max(axis=0).astype(np.int64) - low + 1
    if np.prod(span.astype(float)) > 2.0**62:
        return np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    code = np.ravel_multi_index(tuple((keys - low).T), tuple(span))
    _, first, inverse, counts = np.unique(code, return_index=True, return_inverse=True, return_counts=True)
    return keys[first], inverse, counts


def _columns(segments: Segments) -> dict[str, Array]:
    """Those that there are."""
    every = {field.name: getattr(segments, field.name) for field in dataclasses.fields(segments)}
    return {name: column for name, column in every.items() if column is not None}


def _pad(array: Array, extra: int) -> Array:
    """On the host where values are known: JAX would compile a program for every length."""
    width = [(0, extra)] + [(0, 0)] * (array.ndim - 1)
    if isinstance(array, Tracer):
        return jnp.pad(array, width)
    return jnp.asarray(np.pad(np.asarray(array), width))
