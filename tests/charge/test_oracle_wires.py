"""Wire signals against a slow and obvious reference: quadrature in plain numpy, float64.

Every step is cut into many points. A point's electrons drift, are attached and spread; the Gaussian is
summed on a fine grid of wire coordinates against the response table (linear between its offsets), and
on a fine grid of times against the amplifier. Nothing is merged, binned or cut.
"""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml

from dptoolkit.charge.electronics import ColdElectronics
from dptoolkit.charge.field_response import FieldResponse, WireAnode, cached_field_response
from dptoolkit.charge.wire_response import APPROACH
from dptoolkit.config import from_yaml, source_text
from dptoolkit.detector import LArTPC
from dptoolkit.events import Segments, bucket, pad, segments_from_arrays

LENGTH, SIDE, PITCH, TICK = 110.0, 60.0, 0.3, 0.5
DRIFTS = (1.0, 5.0, 10.0, 50.0, 105.0)
TOLERANCE = 2e-4
FIELD, TEMPERATURE, LIFETIME, D_L, D_T = 0.5, 87.17, 3000.0, 4.0e-6, 8.8e-6
ANGLES = {"U": np.pi / 3, "V": -np.pi / 3, "Y": 0.0}
N_WIRES = {name: int(SIDE * (abs(np.cos(a)) + abs(np.sin(a))) / PITCH + 1e-6) for name, a in ANGLES.items()}


def speed() -> float:
    a = (551.6, 7158.3, 4440.43, 4.29, 43.63, 0.2053)
    above = a[0] + a[1] * FIELD + a[2] * FIELD**1.5 + a[3] * FIELD**2.5
    below = 1 + a[1] / a[0] * FIELD + a[4] * FIELD**2 + a[5] * FIELD**3
    return above / below * (TEMPERATURE / 89.0) ** -1.5 * FIELD * 1e-3


def electrons(de: float, length: float) -> float:
    """Modified Box."""
    xi = 0.212 * de / length / (1.396 * FIELD)
    return np.log(0.93 + xi) / xi * de * 1e6 / 23.6


def reference(
    response: FieldResponse, start, end, n: float, plane: int, points: int
) -> dict[int, np.ndarray]:
    """{wire: signal [mV] at every tick} of `n` electrons freed uniformly from start to end."""
    name, angle = list(ANGLES.items())[plane]
    v, n_ticks = speed(), int(LENGTH / speed() / TICK) + 200
    signals = {}
    nodes, weights = np.polynomial.legendre.leggauss(points)
    dt = response.times[1] - response.times[0]
    table = np.pad(response.currents[plane], ((1, 1), (0, 0))) * dt
    offsets = np.pad(response.offsets, 1, constant_values=(-10.1, 10.1))
    for u, share in zip((nodes + 1) / 2, weights / 2, strict=True):
        x, y, z = np.asarray(start) + u * (np.asarray(end) - np.asarray(start))
        distance = x + LENGTH / 2
        drift_time = distance / v
        arrived = n * share * np.exp(-drift_time / LIFETIME)
        s = (-z * np.cos(angle) + y * np.sin(angle)) / PITCH + (N_WIRES[name] - 1) / 2
        sigma_s = np.sqrt(2 * D_T * drift_time) / PITCH
        sigma_t = np.sqrt(2 * D_L * drift_time) / v
        place, density = gaussian(sigma_s)
        shaping_times, shaping = shaped(sigma_t)
        arrival = drift_time + plane * 0.3 / v
        first = int((arrival + response.times[0]) / TICK) - 8
        ticks = np.arange(max(first, 0), min(first + 260, n_ticks))
        late = ticks[:, None] * TICK - arrival - response.times[None, :]
        kernel = np.interp(late, shaping_times, shaping, left=0.0, right=0.0)
        wires = np.arange(int(s) - 12, int(s) + 14)
        on_nodes = np.stack([linear_weights(s + place - wire, density, offsets) for wire in wires])
        answer = arrived * kernel @ (on_nodes @ table).T
        for wire, waveform in zip(wires, answer.T, strict=True):
            signals.setdefault(int(wire), np.zeros(n_ticks))[ticks] += waveform
    return signals


def linear_weights(offset: np.ndarray, density: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Shares of the nodes of the table in its linear interpolation at `offset`, summed with `density`."""
    position = (offset - offsets[0]) * 10
    inside = (position > 0) & (position < len(offsets) - 1)
    below, weight = np.floor(position[inside]).astype(int), density[inside]
    part = position[inside] - below
    low = np.bincount(below, weight * (1 - part), len(offsets))
    return low + np.bincount(below + 1, weight * part, len(offsets))


def gaussian(sigma: float) -> tuple[np.ndarray, np.ndarray]:
    x = np.linspace(-6, 6, 961)
    density = np.exp(-0.5 * x**2)
    return x * sigma, density / density.sum()


def shaped(sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """The amplifier's answer to an electron, smeared by a Gaussian of `sigma` [us]."""
    times = np.arange(-8, 40, 0.01)
    x, density = gaussian(sigma)
    x, density = x[::24], density[::24] / density[::24].sum()
    amplifier = np.asarray(ColdElectronics().impulse(jnp.asarray(np.arange(-16, 48, 0.0025))))
    fine = np.arange(-16, 48, 0.0025)
    return times, sum(
        d * np.interp(times - shift, fine, amplifier) for shift, d in zip(x, density, strict=True)
    )


@cache
def detector(step: str) -> LArTPC:
    """`small-wire` with a long drift."""
    config = yaml.safe_load(source_text("small-wire"))
    config["step"] = step
    config["volumes"]["size"] = [LENGTH, SIDE, SIDE]
    config["plane_defaults"]["n_ticks"] = int(LENGTH / speed() / TICK) + 200
    return from_yaml(yaml.safe_dump(config))


@eqx.filter_jit
def collect(detector, segments, layout):
    clouds = detector.electrons_at_anode(segments, layout.deposits)
    v = detector.drift.speed(detector.field.nominal())
    return {plane.name: plane.collect(clouds, layout.planes[plane.name], v) for plane in detector.planes}


def fast(detector: LArTPC, segments: Segments) -> dict[tuple[str, int], dict[int, np.ndarray]]:
    """{(plane, event): {wire: signal [mV] at every tick}}"""
    segments = pad(segments, bucket(len(segments)))
    layout = detector.layout(segments)
    blocks = jax.tree.map(np.asarray, collect(detector, segments, layout))
    signals = {}
    for plane in detector.planes:
        place = layout.planes[plane.name]
        n_ticks = plane.n_ticks + blocks[plane.name].shape[2]
        for i in range(int(place.n_blocks)):
            event, _, channel, tick = place.block[i]
            n_wires, width = blocks[plane.name].shape[1:]
            for row in range(n_wires):
                wires = signals.setdefault((plane.name, int(event)), {})
                waveform = wires.setdefault(int(channel) * n_wires + row, np.zeros(n_ticks))
                waveform[tick * width : (tick + 1) * width] += blocks[plane.name][i, row]
    return signals


def relative_l2(found: dict[int, np.ndarray], expected: dict[int, np.ndarray]) -> float:
    n = min(len(next(iter(found.values()))), len(next(iter(expected.values()))))
    nothing = np.zeros(n)
    wires = found.keys() | expected.keys()
    square = sum(np.sum((found.get(w, nothing)[:n] - expected.get(w, nothing)[:n]) ** 2) for w in wires)
    return float(np.sqrt(square / sum(np.sum(e[:n] ** 2) for e in expected.values())))


STEPS = {
    "point": np.array([0.0, 0.0, 0.0]),
    "flat": np.array([0.02, 0.21, 0.4]),
    "inclined": np.array([0.25, 0.1, 0.4]),
    "steep": np.array([0.7, 0.2, -0.3]),
}


@cache
def deposits(kind: str) -> tuple[Segments, dict[tuple[str, int], dict[int, np.ndarray]]]:
    """A deposit at every drift, an event each, and what the reference makes of it."""
    step, n = STEPS[kind], len(DRIFTS)
    de = 0.3 if kind == "point" else 2.1 * np.linalg.norm(step)
    length = 0.1 if kind == "point" else np.linalg.norm(step)
    start = np.array(
        [[drift - LENGTH / 2, 0.113 + 0.217 * k, -1.31 - 0.177 * k] for k, drift in enumerate(DRIFTS)]
    )
    segments = segments_from_arrays(
        start, start + step, np.full(n, de), dx=np.full(n, length), event=np.arange(n)
    )
    anode = WireAnode(PITCH, (0.3, 0.3, 3.0), None, 0.015, FIELD * 1000, TEMPERATURE, approach=APPROACH)
    response, points = cached_field_response(anode), 1 if kind == "point" else 30
    return segments, {
        (name, k): reference(response, start[k], start[k] + step, electrons(de, length), plane, points)
        for k in range(n)
        for plane, name in enumerate(ANGLES)
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", STEPS)
def test_signals_are_those_of_the_quadrature_at_any_drift(kind):
    """Relative L2 over all wires and ticks of a plane below 2e-4, at the length to which steps are merged."""
    segments, expected = deposits(kind)
    found = fast(detector("0.4 mm"), segments)
    errors = {key: relative_l2(found[key], expected[key]) for key in expected}
    assert max(errors.values()) < TOLERANCE, errors
