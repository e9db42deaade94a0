"""All segments of an event, without a model of a track: where which charge is, from nothing but the read-out.

Points with charge are found in the read-out (`pixel_points`, `wire_points`) and joined to a skeleton; its
nodes and the energy of every edge are then free in a fit through the detector, with what is expected of any
particle as a prior (`Smooth`). dE/dx, which decides how many electrons escape recombination, is that of
each edge: energy over length. What is measured is therefore the number of electrons; the energy follows
from it edge by edge.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from dptoolkit.charge.pixels import PixelPlane
from dptoolkit.charge.wire_response import TICKS
from dptoolkit.charge.wires import WirePlane
from dptoolkit.detector import LArTPC
from dptoolkit.events import Segments, bucket, pad, segments_from_arrays, take
from dptoolkit.inference.experiment import Experiment
from dptoolkit.inference.fit import FitResult, Snapshot, graduated
from dptoolkit.inference.local import LocalGaussNewton
from dptoolkit.inference.losses import AbstractLoss, ColouredChi2, MultiScale
from dptoolkit.inference.pad_hits import PadHits
from dptoolkit.inference.priors import WithPrior
from dptoolkit.inference.problem import Problem
from dptoolkit.reconstruction.lines import points_of
from dptoolkit.reconstruction.result import NotReconstructed, Reconstructed
from dptoolkit.reconstruction.segment_errors import energy_errors, neighbours
from dptoolkit.reconstruction.skeleton import Skeleton, skeleton
from dptoolkit.reconstruction.smoothness import Smooth
from dptoolkit.reconstruction.tomography import wire_points
from dptoolkit.sources.cloud import SegmentCloud
from dptoolkit.totals import Stopwatch

FREE = ("source.shift", "source.dedx")
"""What is fitted."""
LEAST_CHARGE = 6e3
"""Pieces of the skeleton with less in all are noise [electrons]: one pad above its threshold has more."""
OF_FRONT_END = ("threshold", "hit_noise", "helping_noise")
"""What a loss of hits knows of it."""
LEAST_POINTS = 2
"""An event needs so many points."""


@dataclass(frozen=True)
class SegmentSettings:
    """How segments are found and fitted. Lengths in cm unless they say so; None: by the pitch."""

    spacing: float | None = None
    """Distance of nodes: 1.3 pitches."""
    reach: float | None = None
    """Farthest points that belong together: 2.6 pitches, 1 cm at least."""
    step: float | None = None
    """Length of the lines into which segments are cut in the fit: a third of a pitch."""
    near: float = 2.2
    """Nodes and segments closer than this may act on the same data, for the preconditioner [pitches]."""
    apart: float = 4.5
    """The same of segments for their errors [pitches]."""
    coarse: bool = False
    """Whether a multi-scale loss comes first."""
    max_steps: int = 40


@dataclass(frozen=True)
class FoundSegments:
    """What is known before the fit: the skeleton and the cloud that the fit starts from."""

    skeleton: Skeleton
    cloud: SegmentCloud

    @property
    def segments(self) -> Segments:
        """Without padding."""
        return take(self.cloud(), np.asarray(self.cloud.valid))


def reconstruct_segments(
    readout: Mapping[str, Any],
    detector: LArTPC,
    *,
    number: int = 0,
    t0: float = 0.0,
    settings: SegmentSettings | None = None,
    callback: Callable[[Snapshot], Any] | None = None,
) -> Reconstructed | NotReconstructed:
    """The segments of one event, whose rows in `readout` have `event` 0; `t0` [us] is when it happened.

    `seconds` of the result are those of the clock without compiling.
    """
    settings = settings or SegmentSettings()
    with Stopwatch() as watch:
        try:
            found = find_segments(readout, detector, t0=t0, settings=settings)
        except NothingFound as why:
            return NotReconstructed(number, str(why))
        result, problem = fit_segments(found, readout, detector, settings=settings, callback=callback)
        z = jnp.asarray(result.history[-1].z)
        errors = energy_errors(problem, z, settings.apart * _pitch(detector))
    cloud: Any = problem.model(z).source
    return Reconstructed(
        number=number,
        segments=take(cloud(), np.asarray(cloud.valid)),
        columns=errors,
        loss=result.loss,
        converged=result.converged,
        stopped=result.stopped,
        seconds=watch.seconds,
    )


class NothingFound(ValueError):
    """Why an event has no segments."""


def find_segments(
    readout: Mapping[str, Any], detector: LArTPC, *, t0: float = 0.0, settings: SegmentSettings | None = None
) -> FoundSegments:
    """Seeds: points in the read-out, their skeleton, and the energy that made the charge of every edge."""
    settings = settings or SegmentSettings()
    points, charge = points_in(readout, detector, t0)
    if len(points) < LEAST_POINTS or charge.sum() < LEAST_CHARGE:
        raise NothingFound(f"{len(points)} points with {charge.sum():.0f} electrons; expected more")
    pitch = _pitch(detector)
    spacing = settings.spacing or 1.3 * pitch
    reach = settings.reach or max(1.0, 2.6 * pitch)
    found = _bright(skeleton(points, charge, spacing=spacing, reach=reach))
    if len(found.edges) == 0:
        raise NothingFound(f"no piece with {LEAST_CHARGE:.0f} electrons")
    found = dataclasses.replace(found, charge=np.maximum(found.charge, 0.05 * np.median(found.charge)))
    energy = energy_of(found, detector)
    return FoundSegments(found, SegmentCloud.of(found.nodes, found.edges, energy, t0))


def points_in(
    readout: Mapping[str, Any], detector: LArTPC, t0: float
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
    """(places [cm], electrons as they were freed) of what is in the read-out of an event."""
    speed = float(detector.drift.speed(detector.field.nominal()))
    planes = {plane.name: plane for plane in detector.planes}
    kinds = {type(plane) for plane in planes.values()}
    if kinds == {PixelPlane}:
        parts = [points_of(readout[p.name], p, detector.volumes, speed, t0) for p in planes.values()]
        points, charge = (np.concatenate(column) for column in zip(*parts, strict=True))
    elif kinds == {WirePlane}:
        points, charge = wire_points(readout, detector, t0)
    else:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(f"segments: expected planes of wires or of pixels, got {names}")
    used = charge > 0
    points, charge = points[used], charge[used]
    volume = np.maximum(detector.volumes.locate(points), 0)
    distance = np.sum((detector.volumes.anode[volume] - points) * detector.volumes.drift[volume], axis=1)
    survived = np.asarray(detector.drift.surviving(jnp.asarray(np.maximum(distance, 0.0) / speed)), float)
    return points, charge / survived


def energy_of(found: Skeleton, detector: LArTPC) -> Float[np.ndarray, " n"]:
    """The energies [MeV] of which the charges of the edges are what escapes recombination there."""
    size = bucket(len(found.edges))
    energy = found.charge / 3e4  # a minimum-ionising particle; corrected below
    start, end = found.nodes[found.edges[:, 0]], found.nodes[found.edges[:, 1]]
    for _ in range(8):
        segments = pad(segments_from_arrays(start, end, energy, track=np.arange(len(start))), size)
        freed, _ = detector.freed(segments, detector.cut(segments))
        energy = energy * found.charge / np.asarray(freed, float)[: len(energy)]
    return energy


def fit_segments(
    found: FoundSegments,
    readout: Mapping[str, Any],
    detector: LArTPC,
    *,
    settings: SegmentSettings | None = None,
    callback: Callable[[Snapshot], Any] | None = None,
) -> tuple[FitResult, Problem]:
    """Nodes and energies through the detector; the problem is that of the last stage."""
    settings = settings or SegmentSettings()
    model = dataclasses.replace(detector, step=settings.step or _pitch(detector) / 3, light=None)
    observed = {plane.name: jax.tree.map(jnp.asarray, readout[plane.name]) for plane in model.planes}
    prior = Smooth.of(found.skeleton, found.cloud)
    losses = [WithPrior(loss, prior) for loss in losses_for(model, settings.coarse)]
    first = Problem(Experiment(model, found.cloud), FREE, losses[0], observed)
    problems = [first, *(first.with_loss(loss) for loss in losses[1:])]
    near = neighbours(found.cloud, settings.near * _pitch(detector))
    method = LocalGaussNewton(near=near, max_steps=settings.max_steps)
    return graduated(problems, method=method, callback=callback), problems[-1]


def losses_for(detector: LArTPC, coarse: bool) -> list[AbstractLoss]:
    """What the read-out of this detector is compared with, one stage after the other."""
    wires = [plane for plane in detector.planes if isinstance(plane, WirePlane)]
    if not wires:
        planes: Any = detector.planes
        noise = {name: float(getattr(planes[0].front_end, name)) for name in OF_FRONT_END}
        return [PadHits(**noise)]
    statistics = {plane.name: plane.noise_statistics() for plane in wires}
    exact = ColouredChi2.of(statistics, TICKS)
    noise = float(np.mean([np.mean(rms) for rms, _ in statistics.values()]))
    return [MultiScale(4.0, 2, noise), exact] if coarse else [exact]


def _bright(found: Skeleton) -> Skeleton:
    """Without pieces that hold less than `LEAST_CHARGE`."""
    m = len(found.nodes)
    links = csr_array((np.ones(len(found.edges)), tuple(found.edges.T)), shape=(m, m))
    _, piece = connected_components(links, directed=False)
    charge = np.bincount(piece[found.edges[:, 0]], found.charge, minlength=piece.max() + 1)
    kept = charge[piece[found.edges[:, 0]]] >= LEAST_CHARGE
    used, edges = np.unique(found.edges[kept], return_inverse=True)
    return Skeleton(found.nodes[used], edges.reshape(-1, 2), found.charge[kept])


def _pitch(detector: LArTPC) -> float:
    planes: Any = detector.planes
    return float(np.mean([plane.pitch for plane in planes]))
