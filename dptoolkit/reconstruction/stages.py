"""How the fit of a track goes: from losses that are felt from far to the likelihood of its read-out.

Blurred signals bring a track to where its signals overlap with those of the data, the likelihood with wide
widths to within a wire. Whether a track has one wire more or less makes steps along its ends, which no slope
shows: they are moved along the track by lengths around a wire, and the best place is kept before the last
stage.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from dptoolkit.charge.pixels import PixelPlane
from dptoolkit.charge.wires import WirePlane
from dptoolkit.detector import LArTPC
from dptoolkit.inference.evaluation import Vector
from dptoolkit.inference.fit import FitResult, fit
from dptoolkit.inference.losses import AbstractResidualLoss, MultiScale
from dptoolkit.inference.optimise import GaussNewton
from dptoolkit.inference.problem import Problem
from dptoolkit.inference.straggling import StragglingHits
from dptoolkit.inference.straggling_waveforms import Rectified, StragglingWaveforms

BLUR = ((16.0, 8),)
"""Stages with blurred waveforms: time [us] and wires."""
WIDE: Mapping[str, float] = {"relative": 0.3, "time_noise": 2.0, "otherwise": 1e-6}
"""Widths of the likelihood that comes before the last."""
COARSE = GaussNewton(max_steps=5, tolerance=1.0, longest=10.0, tries=4, near=0.0)
FINE = GaussNewton(max_steps=20, tolerance=0.1, tries=6, near=0.0)
HITS = GaussNewton(max_steps=20, tolerance=0.1, tries=6)
"""Of pixel hits, whose widths are held: judged by what is left to fall."""
ALONG = (0.15, 0.3, 0.6, 1.0, 1.5)
"""By how much ends are moved along the track, to both sides [cm]."""


def likelihood(detector: LArTPC, **widths: float) -> AbstractResidualLoss:
    """The loss of fluctuating tracks that suits what a detector reads out; `widths` are of waveforms."""
    if isinstance(detector.planes[0], PixelPlane):
        plane: Any = detector.planes[0]
        return StragglingHits(charge_noise=float(plane.front_end.hit_noise))
    planes: Any = detector.planes
    return StragglingWaveforms.of({plane.name: plane.noise_statistics() for plane in planes}, **widths)


def blurred(detector: LArTPC, time: float, wires: int) -> AbstractResidualLoss:
    """The loss of the sizes of waveforms after averaging over a time [us] and wires."""
    noise = max(float(plane.noise_statistics()[0].max()) for plane in detector.planes)  # type: ignore[attr-defined]
    return Rectified(MultiScale(time, wires, noise=4 * noise), least=4 * noise)


def fit_in_stages(
    problem: Problem,
    detector: LArTPC,
    blur: Sequence[tuple[float, int]] = BLUR,
    start: Vector | None = None,
    **options: Any,
) -> FitResult:
    """Blurred waveforms first, the problem itself last; each stage starts where the one before ended."""
    z = problem.start if start is None else jnp.asarray(start, problem.start.dtype)
    wires = all(isinstance(plane, WirePlane) for plane in detector.planes)
    coarse = (
        [blurred(detector, time, n) for time, n in blur] + [likelihood(detector, **WIDE)] if wires else []
    )
    past = []
    for number, loss in enumerate(coarse):
        stage = fit(problem.with_loss(problem.loss.around(loss)), method=COARSE, start=np.asarray(z))
        past += [dataclasses.replace(snapshot, stage=number) for snapshot in stage.history]
        z = jnp.asarray(stage.history[-1].z, z.dtype)
    z = along_the_track(problem, z)
    last = fit(problem, method=FINE if wires else HITS, start=np.asarray(z), **options)
    history = past + [dataclasses.replace(snapshot, stage=len(coarse)) for snapshot in last.history]
    return dataclasses.replace(
        last, history=[dataclasses.replace(one, step=step) for step, one in enumerate(history)]
    )


def along_the_track(problem: Problem, z: Vector) -> Vector:
    """The coordinates z with each end at the best of some places along the track around it."""
    values = {path: np.asarray(value, float) for path, value in problem.values(z).items()}
    chord = values["source.end"] - values["source.start"]
    unit, length = chord / np.linalg.norm(chord), float(np.linalg.norm(chord))
    steps = np.array([0.0] + [side * x for x in ALONG for side in (1, -1) if 4 * x < length])
    for name in ("source.start", "source.end"):
        moved = [{**values, name: values[name] + step * unit} for step in steps]
        losses = problem.losses(np.stack([np.asarray(problem.coordinates.of(one)) for one in moved]))
        values = moved[int(np.argmin(losses))]
    return jnp.asarray(problem.coordinates.of(values), z.dtype)
