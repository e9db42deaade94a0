"""Totals of a simulation: where the energy, the electrons and the time went."""

import time
from dataclasses import asdict, dataclass, fields, replace
from functools import cache, singledispatch
from types import TracebackType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dptoolkit.charge.backtrack import hit_shares
from dptoolkit.charge.deposits import DepositLayout
from dptoolkit.charge.pixels import PixelPlane
from dptoolkit.charge.wires import WireLayout, WirePlane
from dptoolkit.detector import LArTPC, Layout, Readout, arrive
from dptoolkit.events import Electrons, Hits, Segments, SensorHits, first_times
from dptoolkit.io import Truth, count_outside
from dptoolkit.optical import OpticalDetector


@dataclass(frozen=True)
class Totals:
    """Sums over events; None where a number has no meaning for the detector."""

    segments: int = 0
    segments_outside: int = 0
    energy_MeV: float = 0.0
    """Of all segments."""
    electrons_freed: float | None = None
    """In the drift volumes."""
    photons_made: float | None = None
    """Scintillation in drift volumes, or Cherenkov light of 300 to 700 nm in a tank."""
    electrons_at_anode: float | None = None
    electrons_collected: float | None = None
    """Wires: expected charge of the collection planes, before RC tails and noise. Pads: before threshold."""
    hits: float | None = None
    """Of pixels; the sum of the probabilities in an expectation."""
    hit_charge: float = 0.0
    hit_charge_time: float = 0.0
    """Sum of charge times time from the t0 of the event [electron us]."""
    pe: float | None = None
    """Photoelectrons on all sensors."""
    sensors_hit: float | None = None
    """Sensors with a photoelectron; the sum of the probabilities in an expectation."""
    seconds: float = 0.0
    compile_seconds: float = 0.0

    def __add__(self, other: "Totals") -> "Totals":
        sums: dict[str, Any] = {
            f.name: _add(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)
        }
        return Totals(**sums)

    def timed(self, watch: "Stopwatch") -> "Totals":
        """The same with the times of a stopwatch."""
        return replace(self, seconds=watch.seconds, compile_seconds=watch.compile_seconds)

    def report(self) -> dict[str, Any]:
        """What is shown and stored: the mean time of the hits in place of its sums."""
        values = asdict(self)
        charge, moment = values.pop("hit_charge"), values.pop("hit_charge_time")
        mean = moment / charge if self.hits is not None and charge > 0 else None
        keys = list(values)
        keys.insert(keys.index("hits"), "mean_hit_time_us")
        return {key: values.get(key) if key != "mean_hit_time_us" else mean for key in keys}


def measure(detector: Any, segments: Segments, layout: Any, readout: Any) -> Totals:
    """The totals of the events in `segments`; `layout` and `readout` are what the detector made of them."""
    valid = np.asarray(segments.valid)
    own = counted(detector, segments, layout, readout)
    return replace(
        own,
        segments=int(valid.sum()),
        segments_outside=count_outside(segments, detector.region)[0],
        energy_MeV=float(np.asarray(segments.de, float)[valid].sum()),
    )


@singledispatch
def counted(detector: Any, segments: Segments, layout: Any, readout: Any) -> Totals:
    """What a kind of detector counts."""
    raise TypeError(f"no totals are known of a {type(detector).__name__}")


@singledispatch
def truth(detector: Any, segments: Segments, layout: Any, readout: Any) -> dict[str, Truth]:
    """Which segment made what, by plane, where that is known."""
    return {}


@counted.register
def _(detector: OpticalDetector, segments: Segments, layout: Any, readout: Any) -> Totals:
    return Totals(photons_made=float(detector.photons(segments, layout)), **_light_sums(readout))


@truth.register
def _(detector: LArTPC, segments: Segments, layout: Layout, readout: Readout) -> dict[str, Truth]:
    electrons = jax.tree.map(np.asarray, arrive(detector, segments, layout.deposits))
    found = {}
    for plane in detector.planes:
        hits = readout[plane.name]
        if isinstance(plane, PixelPlane) and isinstance(hits, Hits):
            found[plane.name] = Truth(*hit_shares(plane, hits, electrons, layout.deposits))
    return found


@counted.register
def _(detector: LArTPC, segments: Segments, layout: Layout, readout: Readout) -> Totals:
    freed, photons, electrons = _budget(detector, segments, layout.deposits)
    return Totals(
        electrons_freed=float(np.asarray(freed, float).sum()),
        photons_made=float(np.asarray(photons, float).sum()),
        electrons_at_anode=float(np.asarray(electrons.n, float).sum()),
        electrons_collected=_collected(detector, electrons, layout, readout),
        **_hit_sums(readout, segments),
        **_light_sums(readout),
    )


def collection_planes(detector: LArTPC) -> list[str]:
    """Names of the wire planes that collect the charge: those that it reaches last."""
    wires = {plane.name: plane.distance for plane in detector.planes if isinstance(plane, WirePlane)}
    return [name for name, distance in wires.items() if distance == max(wires.values())]


@eqx.filter_jit
def collected_by_wires(
    plane: WirePlane, electrons: Electrons, layout: WireLayout, speed: Float[Array, ""]
) -> Float[Array, " b"]:
    """Charge of every block [electrons]: the integral of the shaped signal over that of one electron."""
    shaped = plane.collect(electrons, layout, speed)
    one_electron = plane.gain * jnp.real(plane.electronics.spectrum(jnp.zeros(1)))[0]
    return jnp.sum(shaped, axis=(1, 2)) * plane.tick_period / one_electron


class Stopwatch:
    """Wall clock time, and how much of it JAX spent compiling."""

    seconds = 0.0
    """[s] without compiling."""
    compile_seconds = 0.0

    def __enter__(self) -> "Stopwatch":
        self._compiled = _compile_clock().total
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        wall = time.perf_counter() - self._start
        self.compile_seconds = min(_compile_clock().total - self._compiled, wall)
        self.seconds = wall - self.compile_seconds


class _CompileClock:
    """Seconds in which this process traced or compiled; JAX reports each such interval as it ends."""

    def __init__(self) -> None:
        self.total = 0.0
        self._intervals: list[tuple[float, float]] = []
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **_: str | int) -> None:
        if not event.startswith("/jax/core/compile/"):
            return
        start = time.perf_counter() - duration_secs
        while self._intervals and self._intervals[-1][0] >= start:  # nested in the one that ends now
            self.total -= self._intervals.pop()[1]
        self._intervals.append((start, duration_secs))
        self.total += duration_secs


@cache
def _compile_clock() -> _CompileClock:
    return _CompileClock()


@eqx.filter_jit
def _budget(
    detector: LArTPC, segments: Segments, layout: DepositLayout
) -> tuple[Float[Array, " p"], Float[Array, " p"], Electrons]:
    freed, photons = detector.freed(segments, layout)
    part = jnp.asarray(layout.high - layout.low, freed.dtype)
    electrons = arrive(detector, segments, layout)
    return freed[layout.segment] * part, photons[layout.segment] * part, electrons


def _collected(detector: LArTPC, electrons: Electrons, layout: Layout, readout: Readout) -> float | None:
    total: float | None = None
    speed = detector.drift.speed(detector.field.nominal())
    for plane in detector.planes:
        plane_readout = readout[plane.name]
        if isinstance(plane_readout, Hits):
            charge = np.asarray(plane_readout.total, float)[np.asarray(plane_readout.valid)]
        elif isinstance(plane, WirePlane) and plane.name in collection_planes(detector):
            charge = np.asarray(collected_by_wires(plane, electrons, layout.planes[plane.name], speed), float)
        else:
            continue
        total = float(charge.sum()) + (total or 0.0)
    return total


def _hit_sums(readout: Readout, segments: Segments) -> dict[str, Any]:
    pixels = [plane for plane in readout.values() if isinstance(plane, Hits)]
    if not pixels:
        return {}
    t0 = first_times(segments)
    hits, charge, moment = 0.0, 0.0, 0.0
    for plane in pixels:
        happens = np.asarray(plane.probability, float) * np.asarray(plane.valid)[:, None]
        since = np.asarray(plane.time, float) - t0[np.asarray(plane.event)][:, None]
        weight = happens * np.asarray(plane.charge, float)
        hits += float(happens.sum())
        charge += float(weight.sum())
        moment += float((weight * np.where(happens > 0, since, 0.0)).sum())
    return {"hits": hits, "hit_charge": charge, "hit_charge_time": moment}


def _light_sums(readout: Readout) -> dict[str, Any]:
    light = [part for part in readout.values() if isinstance(part, SensorHits)]
    if not light:
        return {}
    pe = np.concatenate([np.asarray(part.pe, float)[np.asarray(part.valid)] for part in light])
    sampled = bool((pe == np.round(pe)).all())
    return {"pe": float(pe.sum()), "sensors_hit": float((pe > 0).sum() if sampled else -np.expm1(-pe).sum())}


def _add(first: float | None, second: float | None) -> float | None:
    return second if first is None else first if second is None else first + second
