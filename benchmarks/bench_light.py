"""Speed and memory of the light simulation: medians of five with a warm cache.

Each case runs in its own process. Events are read from the folder DPTOOLKIT_DATA (default ../shared/data);
cases whose file is absent are skipped.

    dptoolkit bench light [--json]      python benchmarks/bench_light.py CASE

Floor: 128 nodes along a track describe its light to a per cent (`NODES`), so 128 x sensors evaluations of 100
flop (a distance, two cosines, a solid angle, a ring, a transmission, a time), at the speed that a matrix
product reaches here; three times that for a gradient, one and a half times for a column of a Jacobian.
What is measured takes every step of the event; `pieces` says how many. The ratio is CPU time over floor.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from dptoolkit import benchmarking
from dptoolkit.config import load_detector
from dptoolkit.events import Segments
from dptoolkit.io import place, read_segments
from dptoolkit.optical import LightLayout, OpticalDetector
from dptoolkit.params import free, infos

NODES, FLOP = 128, 100
SIX = (
    "medium.absorption_scale", "medium.symmetric", "medium.asymmetric", "medium.index_shift",
    "sensor.collection", "sensor.slope",
)  # fmt: skip


def run(case: str | None) -> list[dict[str, Any]]:
    """One row a case: case, cpu_s, wall_s, compile_s, peak_mb, floor [s], ratio."""
    return benchmarking.run_cases(__file__, CASES, case)


def value() -> dict[str, Any]:
    """Expected light of a 500 MeV muon with its delta rays and decay electron on all of super-k."""
    found = _muon()
    detector, segments, layout = found
    return _measure(lambda: detector(segments, layout=layout), found, 1.0)


def layout() -> dict[str, Any]:
    """Its index tables, on the host."""
    found = _muon()
    detector, segments, _ = found
    return _measure(lambda: detector.layout(segments), found, 1.0)


def gradient() -> dict[str, Any]:
    """Value and gradient by every parameter, all positions and all energies."""
    found = _muon()
    detector, segments, layout = found
    selected = free(detector, list(infos(detector)))

    def loss(values: dict[str, Any], places: tuple[Any, Any, Any]) -> Any:
        moved = eqx.tree_at(lambda s: (s.start, s.end, s.kinetic), segments, places)
        light = selected.merge(values)(moved, layout=layout)["pmt"]
        return jnp.sum(light.charge**2) + jnp.sum(light.pe * light.time_ns)

    both = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    places = (segments.start, segments.end, segments.kinetic)
    return _measure(lambda: both(selected.values, places), found, 3.0)


def jacobian() -> dict[str, Any]:
    """Six columns, one forward pass each: charge and time of every sensor by six parameters."""
    found = _muon()
    detector, segments, layout = found
    selected = free(detector, list(SIX))

    def observed(values: dict[str, Any]) -> Any:
        light = selected.merge(values)(segments, layout=layout)["pmt"]
        return light.charge, light.time_ns

    @jax.jit
    def column(values: dict[str, Any], direction: dict[str, Any]) -> Any:
        return jax.jvp(observed, (values,), (direction,))[1]

    def columns() -> list[Any]:
        zero = jax.tree.map(jnp.zeros_like, selected.values)
        return [column(selected.values, zero | {path: jnp.ones_like(zero[path])}) for path in SIX]

    return _measure(columns, found, 1.5 * len(SIX))


def sample() -> dict[str, Any]:
    """A sample of the same: expected light, photoelectrons, charges and times."""
    found = _muon()
    detector, segments, layout = found
    return _measure(lambda: detector(segments, layout=layout, key=jax.random.key(0)), found, 1.0)


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    "super-k-muon-value": value,
    "super-k-muon-layout": layout,
    "super-k-muon-gradient": gradient,
    "super-k-muon-jacobian-6": jacobian,
    "super-k-muon-sample": sample,
}

Muon = tuple[OpticalDetector, Segments, LightLayout]


def _muon() -> Muon:
    detector = load_detector("super-k")
    assert isinstance(detector, OpticalDetector)
    file = read_segments(benchmarking.data_file("geant4/water_mu_500.h5"))
    events, _ = place(file.select("0:1"), detector.region, "auto")
    return detector, events.segments, detector.layout(events.segments)


def _measure(action: Callable[[], Any], found: Muon, passes: float) -> dict[str, Any]:
    detector, _, layout = found
    floor = passes * NODES * len(detector.tank.sensors) * FLOP / benchmarking.flop_rate()
    row = benchmarking.row(*benchmarking.timed(action), floor)
    return {**row, "pieces": int(layout.pieces.live.sum()), "sensors": len(detector.tank.sensors)}


if __name__ == "__main__":
    benchmarking.main(__file__, CASES)
