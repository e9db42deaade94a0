"""Speed and memory of the light simulation: medians of five with a warm cache.

Each case runs in its own process. Events are read from the folder DPTOOLKIT_DATA (default ../shared/data);
cases whose file is absent are skipped.

    dptoolkit bench light [--json]      python benchmarks/bench_light.py CASE

Floor: 128 nodes along a track describe its light to a per cent (`NODES`), so 128 x sensors evaluations of 100
flop (a distance, two cosines, a solid angle, a ring, a transmission, a time), at the speed that a matrix
product reaches here; three times that for a gradient, one and a half times for a column of a Jacobian.
What is measured takes every step of the event; `pieces` says how many. The ratio is CPU time over floor.

Visibility in a drift volume of 2x2 with its 16 collectors: photons have a floor of 200 flop a flight (an
exponential, a direction, three walls), `FLIGHTS` flights each, and another 100 flop a collector where every
flight asks all of them; a network two flop a weight and point, three times that with its gradient.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from dptoolkit import benchmarking
from dptoolkit.config import load_detector, load_tpc_with_light
from dptoolkit.events import Segments
from dptoolkit.io import place, read_segments
from dptoolkit.light.box import LightBox
from dptoolkit.light.plates import Plates
from dptoolkit.light.visibility import ScatteredSource
from dptoolkit.optical import LightLayout, OpticalDetector
from dptoolkit.params import free, infos
from dptoolkit.surrogates.siren import SirenVisibility
from dptoolkit.surrogates.table import Filling
from dptoolkit.surrogates.train import Training

NODES, FLOP = 128, 100
FLIGHTS = 1.5
"""Of a photon, to a wall or with a scatter on the way."""
PLACES = 16_384
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


def counted() -> dict[str, Any]:
    """Photons of argon one by one, from all over a drift volume."""
    return _photons("photons")


def expected() -> dict[str, Any]:
    """The same photons, asking every collector at each vertex."""
    return _photons("expected")


def network() -> dict[str, Any]:
    """Visibility of `PLACES` points by a network."""
    visibility, plates, points = _network()
    return _network_row(lambda: visibility(points, plates), visibility, 1.0)


def network_gradient() -> dict[str, Any]:
    """Value and gradient by its weights and all positions, as a step of training or of a fit takes."""
    visibility, plates, points = _network()

    def total(network: Any, points: Any) -> Any:
        return jnp.sum(eqx.tree_at(lambda v: v.network, visibility, network)(points, plates)[0])

    both = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))
    return _network_row(lambda: both(visibility.network, points), visibility, 3.0)


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    "super-k-muon-value": value,
    "super-k-muon-layout": layout,
    "super-k-muon-gradient": gradient,
    "super-k-muon-jacobian-6": jacobian,
    "super-k-muon-sample": sample,
    "2x2-photons-counted": counted,
    "2x2-photons-expected": expected,
    "2x2-network-value": network,
    "2x2-network-gradient": network_gradient,
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


def _box() -> LightBox:
    detector = load_tpc_with_light("2x2")
    assert detector.light is not None
    return LightBox.around(detector.volumes.high[0] - detector.volumes.low[0], detector.light.plates)


def _photons(estimator: str) -> dict[str, Any]:
    box, n, photons = _box(), 8192, 128
    points = np.random.default_rng(0).uniform(box.low, box.high, (n, 3))
    filling = Filling(box, estimator=estimator, photons=photons)
    flop = FLIGHTS * (200 + (100 * len(box.plates) if estimator == "expected" else 0))
    floor = n * photons * flop / benchmarking.flop_rate()
    times = benchmarking.timed(lambda: filling.at(points, np.arange(n)).probability)
    return {**benchmarking.row(*times, floor), "photons": n * photons}


def _network() -> tuple[SirenVisibility, Plates, Any]:
    box = _box()
    hidden = (Training.width,) * Training.depth
    start = SirenVisibility.untrained(
        ScatteredSource(), box.high, box.plates, hidden, 10.0, jax.random.key(0)
    )
    return start, box.plates, jax.random.uniform(jax.random.key(1), (PLACES, 3), minval=-10.0, maxval=10.0)


def _network_row(action: Callable[[], Any], visibility: SirenVisibility, passes: float) -> dict[str, Any]:
    floor = passes * PLACES * 2 * visibility.network.size / benchmarking.flop_rate()
    return {**benchmarking.row(*benchmarking.timed(jax.jit(action)), floor), "places": PLACES}


if __name__ == "__main__":
    benchmarking.main(__file__, CASES)
