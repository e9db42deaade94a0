"""Pixel signals against a slow and obvious reference: the closed form, integrated over the cloud.

Convention of `pad_response`: Q(x, y, z) = w(x, y, z) c(z), w the weighting potential, c a switch that
starts the signal at four pitches; over the last node spacing of height Q goes linearly to the pitch cell
that collects. The cloud is summed on a fine grid across, and its arrival on a fine grid of times.
"""

import equinox as eqx
import jax
import numpy as np
import pytest
from scipy.special import ndtr

from dptoolkit.charge.pad_response import pad_weighting_potential
from dptoolkit.detector import arrive
from dptoolkit.events import bucket, pad, segments_from_arrays

PITCH, PAD, TICK, LENGTH, N = 0.4434, 0.36, 0.1, 20.0, 80
D_L, D_T, LIFETIME, SPEED = 4.0e-6, 8.8e-6, 2200.0, 0.15965
REACH = 4 * PITCH
DZ = REACH / np.ceil(REACH / 0.016)
TOLERANCE = 6e-4
"""Relative L2 of the cumulative charge."""


@pytest.fixture(scope="module")
def speed(small_pixel) -> float:
    return float(small_pixel.drift.speed(small_pixel.field.nominal()))


def reference(place: np.ndarray, distance: float, n: float, speed: float, pads, times) -> np.ndarray:
    """Charge induced until each time [electrons] on each of the pads, centred at (x, y)."""
    drift_time = distance / speed
    sigma, sigma_t = np.sqrt(2 * D_T * drift_time), np.sqrt(2 * D_L * drift_time) / speed
    grid = np.linspace(-4.5, 4.5, 45)
    density = np.exp(-0.5 * grid**2)
    density /= density.sum()
    heights = np.concatenate([np.arange(DZ, 0.4, 0.004), np.linspace(0.4, REACH, 80)])
    switch = np.cos(np.pi / 2 * np.clip(2 * heights / REACH - 1, 0, 1)) ** 2
    answer = []
    for pad_place in pads:
        x, y = (place - pad_place)[:, None] + sigma * grid
        w = pad_weighting_potential(x[:, None, None], y[:, None], heights, PAD)
        near = np.einsum("i,j,ijz->z", density, density, w) * switch
        u, v = place - pad_place
        cell = np.prod([ndtr((c + PITCH / 2) / sigma) - ndtr((c - PITCH / 2) / sigma) for c in (u, v)])
        late = times[:, None] - drift_time - sigma_t * np.linspace(-5, 5, 101)
        weight = np.exp(-0.5 * np.linspace(-5, 5, 101) ** 2)
        q = np.interp(-late * speed, np.append(0.0, heights), np.append(cell, near), left=cell, right=0.0)
        answer.append(q @ weight / weight.sum())
    return n * np.exp(-drift_time / LIFETIME) * np.array(answer)


@eqx.filter_jit
def induce(detector, segments, deposits, layout):
    clouds = detector.electrons_at_anode(segments, deposits)
    speed = detector.drift.speed(detector.field.nominal())
    return detector.planes[0].induce(clouds, layout, speed)


@pytest.mark.parametrize("drift", [0.3, 1.0, 5.0, 10.0, 19.0])
@pytest.mark.parametrize("cell", [(0.0, 0.0), (0.21, -0.13), (0.5, 0.3), (0.46, 0.47)])
def test_cumulative_charge_is_the_closed_form_convolved_with_the_cloud(small_pixel, speed, drift, cell):
    """On the pad of the cell and its eight neighbours, relative to the largest of them."""
    centre = (np.array([41, 38]) - (N - 1) / 2) * PITCH
    across, up = centre + np.array(cell) * PITCH
    point = np.array([[drift - LENGTH / 2, up, -across]])
    segments = pad(segments_from_arrays(point, point, np.array([1.0]), dx=np.array([0.4])), bucket(1))
    deposits = small_pixel.layout(segments).deposits
    layout = small_pixel.planes[0].every_pad(arrive(small_pixel, segments, deposits))
    blocks = jax.tree.map(np.asarray, induce(small_pixel, segments, deposits, layout))
    table = layout.pad
    freed = 0.8 / (1 + 0.0486 * 2.5 / (1.396 * 0.5)) * 1e6 / 23.6
    around = [(41 + i, 38 + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    found, rows = {}, {}
    for pads, block in zip(table, blocks, strict=True):
        for row, charge in zip(pads, block, strict=True):
            if row[5]:
                found[row[2], row[3]], rows[row[2], row[3]] = charge, row[4]
    times = TICK * (rows[around[0]] + np.arange(len(found[around[0]])))
    expected = reference(
        np.array([across, up]),
        drift,
        freed,
        speed,
        [(np.array(p) - (N - 1) / 2) * PITCH for p in around],
        times,
    )
    seen = np.array([found[p] for p in around])
    norm = np.linalg.norm(expected, axis=1).max()
    worst = np.linalg.norm(seen - expected, axis=1).max() / norm
    assert worst < TOLERANCE
