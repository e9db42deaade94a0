"""One muon, pion or proton from its read-out: where it enters, its direction and momentum, with errors.

The track is a `Line`: its two ends, kinks of multiple scattering under their prior, and the scale of its
energy loss. A `Problem` is fitted in stages, first with blurred signals where there are waveforms, then with
the likelihood of fluctuating tracks, of which errors come. Momentum is that of the range (CSDA) of a particle
that stops; its error has the straggling of the range in it, that of the direction the scattering before a
kink. The time of the event is taken as known.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dptoolkit.detector import LArTPC, Readout
from dptoolkit.events import Segments, SensorHits
from dptoolkit.inference.evaluation import Vector
from dptoolkit.inference.experiment import Experiment, made
from dptoolkit.inference.fit import FitResult
from dptoolkit.inference.priors import Known, WithPrior, log_widths
from dptoolkit.inference.problem import Problem
from dptoolkit.reconstruction.result import Reconstructed
from dptoolkit.reconstruction.seed import Seed, find_seed
from dptoolkit.reconstruction.stages import BLUR, fit_in_stages, likelihood
from dptoolkit.reconstruction.views import path_seen, views_of
from dptoolkit.sources.line import SOFT, Line, MeanLoss, TypicalLoss, kink_places
from dptoolkit.sources.scattering import scattering_angle
from dptoolkit.sources.species import species_named
from dptoolkit.sources.stopping import Argon, range_straggling, range_table

FREE = ("source.start", "source.end", "source.kinks", "source.scale")
N_KINKS, N_SEGMENTS = 12, 256
"""Of every track, whatever its length: nothing recompiles from one to the next."""
SCALE_WIDTH = 0.03
"""Of the energy loss over that of the model."""
CLOUD_STEP = 0.15
"""Length of the lines into which a fitted track is cut [cm], where its detector has shorter ones: two clouds
each keep the moments, and straggling is larger than what is left."""
UNSEEN = 1e-6
"""Eigenvalues of the information, in its own errors, are at least this part of the largest."""
SPECIES_BY_LETTER = {"mu": "muon", "pi": "pion", "K": "kaon", "p": "proton"}


def reconstruct_track(
    event: Readout,
    detector: LArTPC,
    number: int = 0,
    hypotheses: Sequence[str] = ("muon",),
    t0: float = 0.0,
) -> Reconstructed:
    """The one track of an event, made at `t0` [us]; `NoLine` says why there is none.

    It is followed as the first of the `hypotheses`, names of species; the others begin where that fit ended.
    """
    event = {name: part for name, part in event.items() if not isinstance(part, SensorHits)}
    model, first = quick(detector), hypotheses[0]
    seed = find_seed(views_of(event, model, t0), N_KINKS, first, model.volumes)
    found: dict[str, tuple[Problem, FitResult]] = {}
    for particle in hypotheses:
        problem = track_problem(seed, model, event, particle, t0)
        blur = BLUR if particle == first else ()
        found[particle] = problem, fit_in_stages(problem, model, blur, start_of(problem, seed))
        if particle == first:
            seed = _seed_at(problem, found[first][1])
    likely = {particle: log_likelihood(*fitted) for particle, fitted in found.items()}
    best = max(likely, key=lambda particle: likely[particle])
    return dataclasses.replace(described(*found[best], number), log_likelihoods=likely)


def quick(detector: LArTPC) -> LArTPC:
    """The detector as fits of tracks simulate it: without light, and with longer lines of charge."""
    return dataclasses.replace(detector, light=None, step=max(detector.step, CLOUD_STEP))


def track_problem(
    seed: Seed, detector: LArTPC, event: Readout, particle: str = "muon", t0: float = 0.0
) -> Problem:
    """The likelihood of one event, whose track begins at the seed."""
    real = jnp.result_type(float)
    line = seed.line(particle, N_SEGMENTS)
    share = TypicalLoss(thickness=jnp.asarray(path_seen(seed.direction, detector), real))
    line = dataclasses.replace(line, t0=jnp.asarray(t0, real), share=share, kinks=0 * line.kinks)
    widths = jnp.asarray(kink_widths(seed, particle)[:, None], real)
    scattered = Known("source.kinks", line.kinks, widths)
    scale = Known("source.scale", line.scale, jnp.asarray(SCALE_WIDTH, real))
    loss = WithPrior(WithPrior(likelihood(detector), scattered), scale)
    return Problem(Experiment(detector, line), FREE, loss, event)


def start_of(problem: Problem, seed: Seed) -> Vector:
    """Coordinates of a seed: the kinks of the problem's source are the mean of their prior, straight."""
    values = dict(problem.values(problem.start))
    found = {"source.start": seed.start, "source.end": seed.end, "source.kinks": seed.kinks}
    return problem.coordinates.of({**values, **found})


def kink_widths(seed: Seed, particle: str) -> Float[np.ndarray, " m"]:
    """Scattering angles [rad] of half the ways to the neighbours of every kink."""
    species, place = species_named(particle), kink_places(len(seed.kinks), seed.crowding)
    around = np.concatenate([[0.0], place, [1.0]])
    left = jnp.asarray(seed.length * (1 - place), jnp.result_type(float))
    energy = SOFT if seed.beyond else np.asarray(_energy(left, particle), float)
    return scattering_angle(energy, species.mass, seed.length * (around[2:] - around[:-2]) / 2)


def log_likelihood(problem: Problem, result: FitResult) -> float:
    """Of a hypothesis with its kinks integrated out, by the curvature at the best (Laplace).

    Particles scatter by different angles: one that scatters less would else pay for its kinks, and not gain
    by expecting them to be small.
    """
    information = problem.normal(jnp.asarray(result.history[-1].z, problem.start.dtype)).matrix
    size = np.linalg.eigvalsh(information)
    felt = np.maximum(size, UNSEEN * size.max())
    return -result.loss - log_widths(problem.loss) - 0.5 * float(np.log(felt).sum())


def _seed_at(problem: Problem, result: FitResult) -> Seed:
    """The fitted track as the seed of another hypothesis."""
    source: Any = problem.sources[0]
    values = {name.removeprefix("source."): np.asarray(x, float) for name, x in result.estimate.items()}
    return Seed(values["start"], values["end"], values["kinks"], float(source.beyond))


def described(problem: Problem, result: FitResult, number: int) -> Reconstructed:
    """The fit as parameters with covariance, and its segments."""
    source: Any = problem.sources[0]
    z = jnp.asarray(result.history[-1].z, problem.start.dtype)
    fitted: Any = problem.model(z).source
    line = dataclasses.replace(fitted, share=MeanLoss())  # the fit is at the typical loss, energies are not
    stops = float(source.beyond) == 0
    values, slopes = _parameters(problem.coordinates, source, z)
    slopes = np.asarray(slopes, float)
    covariance = slopes @ _inverse(problem.normal(z).matrix) @ slopes.T
    covariance = covariance + unmodelled(line, np.asarray(values, float))
    names = [name for name, _ in PARAMETERS]
    kept = [i for i, name in enumerate(names) if stops or name != "momentum"]
    segments = made(line)
    return Reconstructed(
        number=number,
        segments=_with_kinetic(segments, line),
        names=tuple(names[i] for i in kept),
        units=tuple(PARAMETERS[i][1] for i in kept),
        values=np.asarray(values, float)[kept],
        covariance=covariance[np.ix_(kept, kept)],
        hypothesis=line.particle,
        loss=result.loss,
        converged=result.converged,
        stopped=result.stopped,
    )


def _inverse(information: np.ndarray) -> np.ndarray:
    """Covariance of the coordinates; what single precision cannot tell from nothing has a large variance."""
    scale = np.sqrt(np.maximum(np.diag(information), 1e-30))
    size, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    size = np.maximum(size, UNSEEN * size.max())
    return (vectors / size) @ vectors.T / np.outer(scale, scale)


PARAMETERS = (
    ("x", "cm"),
    ("y", "cm"),
    ("z", "cm"),
    ("theta", "rad"),
    ("phi", "rad"),
    ("momentum", "MeV"),
    ("x_end", "cm"),
    ("y_end", "cm"),
    ("z_end", "cm"),
    ("scale", "1"),
)
"""Theta is the angle to x, phi turns from z towards y: those of `Track`."""


@eqx.filter_jit
def _parameters(coordinates: Any, source: Line, z: Vector) -> tuple[Float[Array, " p"], Float[Array, "p k"]]:
    """(values of `PARAMETERS`, their slopes by the coordinates)."""
    of = partial(_derived, coordinates, source)
    return of(z), jax.jacfwd(of)(z)


def _derived(coordinates: Any, source: Line, z: Vector) -> Float[Array, " p"]:
    values = {path.removeprefix("source."): value for path, value in coordinates.values(z).items()}
    line: Line = eqx.tree_at(
        lambda one: [getattr(one, name) for name in values], source, list(values.values())
    )
    points = line.points()
    steps = jnp.diff(points, axis=0)
    lengths = jnp.sqrt(jnp.sum(steps**2, axis=1))
    forward = steps[0] / lengths[0]
    species = species_named(line.particle)
    energy = range_table(line.argon, species).energy(line.beyond + jnp.sum(lengths))
    momentum = jnp.sqrt(energy * (energy + 2 * species.mass))
    angles = jnp.stack([jnp.arccos(jnp.clip(forward[0], -1, 1)), jnp.arctan2(forward[1], forward[2])])
    return jnp.concatenate([line.start, angles, momentum[None], line.end, line.scale[None]])


def unmodelled(line: Line, values: np.ndarray) -> Float[np.ndarray, "p p"]:
    """Covariance by what no fit of a mean track knows: scattering between kinks, straggling of the range.

    The best line through a path that scatters by theta over its length L misses its beginning by 0.124 theta
    L and the direction there by 0.663 theta: what a simulation of such paths gives, with kinks at every L.
    """
    species, covariance = species_named(line.particle), np.zeros((len(values), len(values)))
    theta, momentum = values[3], values[5]
    energy = np.hypot(momentum, species.mass) - species.mass
    ends = np.asarray(line.start, float), np.asarray(line.end, float)
    chord, places = float(np.linalg.norm(ends[1] - ends[0])), kink_places(len(line.kinks), line.crowding)
    last = chord * (1 - places[-1])
    beyond = jnp.asarray([float(line.beyond) + last / 2], jnp.result_type(float))
    stretches = (energy, chord * places[0]), (float(_energy(beyond, line.particle)[0]), last)
    across = np.eye(3) - np.outer(ends[1] - ends[0], ends[1] - ends[0]) / chord**2
    for first, (soft, length) in zip((0, 6), stretches, strict=True):
        scattered = float(scattering_angle(soft, species.mass, length))
        covariance[first : first + 3, first : first + 3] = (0.124 * scattered * length) ** 2 * across
    scattered = 0.663 * float(scattering_angle(energy, species.mass, chord * places[0]))
    covariance[3, 3], covariance[4, 4] = scattered**2, (scattered / max(np.sin(theta), 1e-2)) ** 2
    spread = float(_range_width(jnp.asarray(energy, jnp.result_type(float)), line.particle))
    covariance[5, 5] = (spread * (energy + species.mass) / momentum) ** 2
    return covariance


@eqx.filter_jit
def _range_width(energy: Float[Array, ""], particle: str) -> Float[Array, ""]:
    """Width of the energy [MeV] that a known range gives."""
    argon, species = Argon(), species_named(particle)
    return range_straggling(argon, energy, species) * argon.dedx(energy, species)


@eqx.filter_jit
def _energy(left: Float[Array, " m"], particle: str) -> Float[Array, " m"]:
    return range_table(Argon(), species_named(particle)).energy(left)


def _with_kinetic(segments: Segments, line: Line) -> Segments:
    """The same with the kinetic energy at both ends, from the residual range."""
    passed = np.concatenate([[0.0], np.cumsum(np.asarray(segments.dx, float))])
    left = jnp.asarray(float(line.beyond) + np.maximum(passed[-1] - passed, 0.0), jnp.result_type(float))
    energy = _energy(left, line.particle)
    return dataclasses.replace(segments, kinetic=jnp.stack([energy[:-1], energy[1:]], axis=1))
