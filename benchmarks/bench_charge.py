"""Speed and memory of the charge simulation: medians of five with a warm cache.

Each case runs in its own process; the two largest run once.

    dptoolkit bench charge [--json]      python benchmarks/bench_charge.py CASE

Floor: see `dptoolkit.benchmarking`. The ratio is CPU time over floor. Real events are read from the folder
DPTOOLKIT_DATA (default ../shared/data); a case whose file is absent is skipped.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from dptoolkit import benchmarking
from dptoolkit.config import load_tpc
from dptoolkit.detector import LArTPC, Layout
from dptoolkit.events import Segments, bucket, pad
from dptoolkit.io import EventFile, place, read_segments
from dptoolkit.params import free, infos


def run(case: str | None) -> list[dict[str, Any]]:
    """One row a case: case, cpu_s, wall_s, compile_s, peak_mb, floor [s], ratio."""
    return benchmarking.run_cases(__file__, CASES, case)


def muon_forward() -> dict[str, Any]:
    """The 5 335-step Geant4 muon in sbnd, three planes, expectation; index tables made before."""
    detector, segments, layout = _muon()
    return _measure(lambda: detector(segments, layout=layout), len(segments), 3)


def muon_layout() -> dict[str, Any]:
    """Its index tables, on the host."""
    detector, segments, _ = _muon()
    return _measure(lambda: detector.layout(segments), len(segments), 3)


def muon_gradient() -> dict[str, Any]:
    """Value and gradient by every parameter, all positions and all energies."""
    detector, segments, layout = _muon()
    selected = free(detector, list(infos(detector)))

    def loss(values: dict[str, Any], start: Any, de: Any) -> Any:
        ends = start + (segments.end - segments.start)
        moved = eqx.tree_at(lambda s: (s.start, s.end, s.de), segments, (start, ends, de))
        planes = selected.merge(values)(moved, layout=layout)
        return sum(jnp.sum(waveforms.samples**2) for waveforms in planes.values())

    gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))
    return _measure(lambda: gradient(selected.values, segments.start, segments.de), len(segments), 3)


def module0_events() -> dict[str, Any]:
    """Sixteen events of the mixed sample in module0 pixels, sampled one by one, index tables included."""
    detector = load_tpc("module0")
    events = _events("segments/module0_mixed_mu_pi_p.h5", detector)
    singles = [events.select(slice(i, i + 1)).segments for i in range(16)]
    padded = [pad(segments, bucket(len(segments))) for segments in singles]
    key = jax.random.key(0)
    row = _measure(lambda: [detector(s, key=key) for s in padded], sum(map(len, singles)), 1)
    return {**row, "events": 16, "events_per_s": 16 / row["wall_s"]}


def dune_many() -> dict[str, Any]:
    """10^5 segments of 3 mm on 300 straight tracks in dune-fd-hd, expectation, index tables included."""
    detector = load_tpc("dune-fd-hd")
    segments = benchmarking.straight_tracks(detector, n_tracks=300, n_steps=334)
    return _measure(lambda: detector(segments), len(segments), 3, repeats=1)


def ndlar_spill() -> dict[str, Any]:
    """A spill of 60 tracks of one metre, 2 x 10^4 segments, in all of ndlar, sampled."""
    detector = load_tpc("ndlar")
    segments = benchmarking.straight_tracks(detector, n_tracks=60, n_steps=334)
    return _measure(lambda: detector(segments, key=jax.random.key(0)), len(segments), 1, repeats=1)


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    "sbnd-muon-forward": muon_forward,
    "sbnd-muon-layout": muon_layout,
    "sbnd-muon-gradient": muon_gradient,
    "module0-mixed-16-events": module0_events,
    "dune-fd-hd-1e5-segments": dune_many,
    "ndlar-spill": ndlar_spill,
}


def _muon() -> tuple[LArTPC, Segments, Layout]:
    detector = load_tpc("sbnd")
    events = _events("segments/geant4_lar_muon.h5", detector)
    return detector, events.segments, detector.layout(events.segments)


def _events(name: str, detector: LArTPC) -> EventFile:
    return place(read_segments(benchmarking.data_file(name)), detector.volumes, "auto")[0]


def _measure(
    action: Callable[[], Any], n_deposits: int, n_planes: int, repeats: int = benchmarking.REPEATS
) -> dict[str, Any]:
    floor = benchmarking.simulation_floor(n_deposits, n_planes)
    return {**benchmarking.row(*benchmarking.timed(action, repeats), floor), "deposits": n_deposits}


if __name__ == "__main__":
    benchmarking.main(__file__, CASES)
