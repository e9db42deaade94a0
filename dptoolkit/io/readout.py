"""Readout and back-tracking as flat columns of the native format, and back.

A kind of readout is a `Codec`: how its rows are flattened, sorted by event, and padded again. Which
fields there are is taken from the class itself, so a field added to `Hits` is stored by itself.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from dptoolkit.events import Hits, SensorHits, Waveforms
from dptoolkit.io.event_file import Table

Readout = Waveforms | Hits | SensorHits
INT16_MAX = 32767
SHARE_TOLERANCE = 1e-4
"""Shares are stored in single precision; a sum of thousands of them is 1 to about this."""


@dataclass(frozen=True)
class Truth:
    """Back-tracking of a plane: which segment made which share of a hit or sample.

    `place` is (pixel, hit) for `Hits` and (block, row, tick) for `Waveforms`: positions in the arrays
    of the readout. `segment` is a position in the segments it was simulated from.
    """

    place: np.ndarray
    segment: np.ndarray
    share: np.ndarray


@dataclass(frozen=True)
class Flat:
    """A readout as rows sorted by event."""

    columns: dict[str, np.ndarray]
    attributes: dict[str, Any]
    place: np.ndarray
    """For each row, where it was in the readout: (pixel, hit) or (block,)."""


class Codec(ABC):
    """One kind of readout."""

    readout: ClassVar[type]
    truth_columns: ClassVar[tuple[str, ...]]
    units: ClassVar[Mapping[str, str]]

    @staticmethod
    @abstractmethod
    def flatten(readout: Any, sampled: bool) -> Flat:
        """Rows of what exists; padding is left out."""

    @staticmethod
    @abstractmethod
    def rebuild(columns: Table, attributes: Mapping[str, Any]) -> tuple[Any, np.ndarray]:
        """The readout, and for each row its place there."""


class WaveformsCodec(Codec):
    """A row a block; digitised samples are int16, others float32."""

    readout = Waveforms
    truth_columns = ("row", "tick")
    units: ClassVar = {"tick": "tick"}

    @staticmethod
    def flatten(readout: Waveforms, sampled: bool) -> Flat:
        block = np.flatnonzero(np.asarray(readout.valid))
        block = block[np.argsort(np.asarray(readout.event)[block], kind="stable")]
        columns = {name: np.asarray(getattr(readout, name))[block] for name in _array_fields(Waveforms)}
        samples = columns["samples"]
        counts = sampled and readout.unit.lower() == "adc" and bool((samples == np.round(samples)).all())
        counts = counts and (samples.size == 0 or np.abs(samples).max() <= INT16_MAX)
        columns["samples"] = samples.astype(np.int16 if counts else np.float32)
        shape = {"wires_per_block": samples.shape[1], "ticks_per_block": samples.shape[2]}
        return Flat(columns, _static_fields(readout) | shape, block[:, None])

    @staticmethod
    def rebuild(columns: Table, attributes: Mapping[str, Any]) -> tuple[Waveforms, np.ndarray]:
        n = len(columns["event"])
        arrays = {name: _array(columns[name]) for name in _array_fields(Waveforms)}
        arrays["samples"] = jnp.asarray(columns["samples"], jnp.result_type(float))
        static = {name: attributes[name] for name in _static_names(Waveforms)}
        return Waveforms(**arrays, valid=jnp.ones(n, bool), **static), np.arange(n)[:, None]


class HitsCodec(Codec):
    """A row a hit of probability above zero; `hit` counts the hits of a pixel from 0."""

    readout = Hits
    truth_columns = ()
    units: ClassVar = {
        "charge": "electron",
        "charge_sigma": "electron",
        "total": "electron",
        "time": "us",
        "time_sigma": "us",
    }

    @staticmethod
    def flatten(readout: Hits, sampled: bool) -> Flat:
        real = (np.asarray(readout.probability) > 0) & np.asarray(readout.valid)[:, None]
        place = np.argwhere(real)
        place = place[np.argsort(np.asarray(readout.event)[place[:, 0]], kind="stable")]
        pixel, column = place.T
        columns = {}
        for name in _stored_of_hits():
            array = np.asarray(getattr(readout, name))
            columns[name] = array[pixel, column] if array.ndim == 2 else array[pixel]
        columns["hit"] = (np.cumsum(real, axis=1) - 1)[pixel, column].astype(np.int32)
        return Flat(columns, _static_fields(readout) | {"hits_per_pixel": real.shape[1]}, place)

    @staticmethod
    def rebuild(columns: Table, attributes: Mapping[str, Any]) -> tuple[Hits, np.ndarray]:
        first = columns["hit"] == 0
        place = np.stack([np.cumsum(first) - 1, columns["hit"]], axis=1).astype(int)
        shape = (int(first.sum()), int(attributes["hits_per_pixel"]))
        arrays = {}
        for name in _stored_of_hits():
            if _is_per_hit(name):
                values = columns.get(name, np.float32(0))  # recorded hits have no expected widths
                padded = np.zeros(shape, values.dtype)
                padded[tuple(place.T)] = values
                arrays[name] = _array(padded)
            else:
                arrays[name] = _array(columns[name][first])
        static = {name: attributes[name] for name in _static_names(Hits)}
        return Hits(**arrays, left=arrays["total"], valid=jnp.ones(shape[0], bool), **static), place


class SensorHitsCodec(Codec):
    """A row a sensor with light."""

    readout = SensorHits
    truth_columns = ()
    units: ClassVar = {
        "pe": "photoelectron",
        "charge": "photoelectron",
        "time_ns": "ns",
        "time_sigma_ns": "ns",
        "start": "us",
    }

    @staticmethod
    def flatten(readout: SensorHits, sampled: bool) -> Flat:
        row = np.flatnonzero(np.asarray(readout.valid) & (np.asarray(readout.pe) > 0))
        row = row[np.argsort(np.asarray(readout.event)[row], kind="stable")]
        columns = {name: np.asarray(getattr(readout, name))[row] for name in _array_fields(SensorHits)}
        return Flat(columns, _static_fields(readout), row[:, None])

    @staticmethod
    def rebuild(columns: Table, attributes: Mapping[str, Any]) -> tuple[SensorHits, np.ndarray]:
        n = len(columns["event"])
        arrays = {name: _array(columns[name]) for name in _array_fields(SensorHits)}
        return SensorHits(**arrays, valid=jnp.ones(n, bool)), np.arange(n)[:, None]


CODECS: dict[str, type[Codec]] = {
    codec.readout.__name__: codec for codec in (WaveformsCodec, HitsCodec, SensorHitsCodec)
}


def flatten_truth(
    truth: Truth, flat: Flat, codec: type[Codec], segment_row: np.ndarray
) -> dict[str, np.ndarray]:
    """Columns `item` (row of the readout), `segment` (row of the segments), `share`; checked.

    `segment_row` gives the row of each segment in the file, -1 for padding.
    """
    n = flat.place.shape[1]
    place = np.atleast_2d(np.asarray(truth.place, np.int64)).reshape(-1, n + len(codec.truth_columns))
    shape = tuple(flat.place.max(axis=0, initial=-1) + 1)
    row_of = np.full(shape, -1)
    row_of[tuple(flat.place.T)] = np.arange(len(flat.place))
    inside = ((place[:, :n] >= 0) & (place[:, :n] < shape)).all(axis=1)
    item = np.full(len(place), -1)
    item[inside] = row_of[tuple(place[inside, :n].T)]
    segment = segment_row[np.asarray(truth.segment, np.int64)]
    if (item < 0).any() or (segment < 0).any():
        raise ValueError("truth: points at a hit, block or segment that is padding or does not exist")
    columns = {"event": flat.columns["event"][item], "item": item, "segment": segment}
    for column, name in enumerate(codec.truth_columns, start=n):
        columns[name] = place[:, column].astype(np.int32)
    columns["share"] = np.asarray(truth.share, np.float32)
    _check_shares(columns, codec.truth_columns)
    order = np.argsort(item, kind="stable")
    return {name: column[order] for name, column in columns.items()}


def rebuild_truth(columns: Table, place: np.ndarray, codec: type[Codec]) -> Truth:
    """The inverse of `flatten_truth`; `place` is where each row of the readout now is."""
    more = [columns[name].astype(int)[:, None] for name in codec.truth_columns]
    where = np.concatenate([place[columns["item"]], *more], axis=1)
    return Truth(where, columns["segment"], columns["share"])


def _check_shares(columns: Table, more: tuple[str, ...]) -> None:
    if len(columns["share"]) == 0:
        return
    keys = np.stack([columns["item"], *(columns[name] for name in more)], axis=1)
    _, which = np.unique(keys, axis=0, return_inverse=True)
    sums = np.bincount(which.ravel(), columns["share"])
    if (np.abs(sums - 1) > SHARE_TOLERANCE).any():
        worst = sums[np.argmax(np.abs(sums - 1))]
        raise ValueError(f"truth: the shares of a hit or sample must sum to 1; one sums to {worst:g}")


def _array_fields(kind: type) -> list[str]:
    return [f.name for f in dataclasses.fields(kind) if f.name != "valid" and not f.metadata.get("static")]


def _stored_of_hits() -> list[str]:
    """What files hold of hits; what is left after them only a prediction knows."""
    return [name for name in _array_fields(Hits) if name != "left"]


def _static_names(kind: type) -> list[str]:
    return [f.name for f in dataclasses.fields(kind) if f.metadata.get("static")]


def _static_fields(readout: Any) -> dict[str, Any]:
    return {name: getattr(readout, name) for name in _static_names(type(readout))}


def _is_per_hit(name: str) -> bool:
    return name not in ("total", "event", "volume", "column", "row")


def _array(column: np.ndarray) -> Any:
    return jnp.asarray(column, jnp.result_type(float) if column.dtype.kind == "f" else jnp.int32)
