"""Differentiable tracks: a charged particle as a line of segments with the mean energy loss.

The kinetic energy gives the range R(T); a step from residual range r to r' deposits T(r) - T(r'), so
the deposits of a track that stops sum to its kinetic energy exactly. Nothing fluctuates here: the
scattering of a real track is followed by `kinks`, free angles between the steps.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dptoolkit.constants import LIGHT_SPEED
from dptoolkit.events import Segments
from dptoolkit.params import Component, param
from dptoolkit.sources.scattering import scattering_angle
from dptoolkit.sources.species import species_named
from dptoolkit.sources.stopping import Argon, range_table


class Track(Component):
    """One charged particle from its vertex until it stops, or until `longest` [cm] of path.

    Direction: (cos theta, sin theta sin phi, sin theta cos phi); theta is the angle to x, where most
    detectors drift, and phi turns from z towards y. The poles, where phi has no meaning, are along x.
    """

    x: Array = param(0.0, "cm", symbol="x")
    y: Array = param(0.0, "cm", symbol="y")
    z: Array = param(0.0, "cm", symbol="z")
    theta: Array = param(np.pi / 2, "rad", symbol="theta")
    phi: Array = param(0.0, "rad", symbol="phi")
    kinetic_energy: Array = param(300.0, "MeV", bounds=(1.0, 1e5), symbol="T")
    t0: Array = param(0.0, "us", symbol="t_0")
    kinks: Array = param((), "rad")
    """Scattering angles, pairs for two planes across the track, at places evenly spread along it."""
    argon: Argon = eqx.field(default_factory=Argon)
    particle: str = eqx.field(default="muon", static=True)
    n_segments: int = eqx.field(default=256, static=True)
    longest: float = eqx.field(default=np.inf, static=True)
    """Where a track that leaves the detector may end [cm]."""
    track: int = eqx.field(default=1, static=True)
    """Number of the track in its event."""

    def __check_init__(self) -> None:
        species_named(self.particle)
        if self.n_segments < 1:
            raise ValueError(f"Track.n_segments = {self.n_segments}: expected a whole number above 0")
        fits = self.kinks.size == 0 or (self.kinks.ndim == 2 and self.kinks.shape[1] == 2)
        if not fits or len(self.kinks) >= self.n_segments:
            raise ValueError(
                f"Track.kinks: expected pairs of angles, fewer than the {self.n_segments} segments, "
                f"got shape {self.kinks.shape}"
            )
        if not self.longest > 0:
            raise ValueError(f"Track.longest = {self.longest} cm: expected a length above 0")

    @property
    def direction(self) -> Float[Array, " 3"]:
        """Unit vector at the vertex."""
        return jnp.stack(
            [
                jnp.cos(self.theta),
                jnp.sin(self.theta) * jnp.sin(self.phi),
                jnp.sin(self.theta) * jnp.cos(self.phi),
            ]
        )

    def __call__(self) -> Segments:
        """The segments of the track, all of the same length."""
        energy, length = self._energies()
        step = length / self.n_segments
        steps = step * self._directions()
        points = jnp.stack([self.x, self.y, self.z]) + jnp.concatenate(
            [jnp.zeros_like(steps[:1]), jnp.cumsum(steps, axis=0)]
        )
        middle = (energy[1:] + energy[:-1]) / 2
        mass = species_named(self.particle).mass
        speed = LIGHT_SPEED * jnp.sqrt(middle * (middle + 2 * mass)) / (middle + mass)
        passed = jnp.cumsum(step / speed)
        return self._labelled(points, energy, step, self.t0 + passed - step / speed / 2)

    def kink_scale(self) -> Float[Array, " k"]:
        """Expected size of each kink: the scattering angle of its stretch of the track [rad]."""
        energy, length = self._energies()
        here = energy[self._joints()]
        stretch = length / (len(self.kinks) + 1)
        return scattering_angle(here, species_named(self.particle).mass, stretch)

    def _energies(self) -> tuple[Float[Array, " m"], Float[Array, ""]]:
        """Kinetic energy at the ends of the segments, and the length of the track [cm]."""
        table = range_table(self.argon, species_named(self.particle))
        whole = table.range(self.kinetic_energy)
        length = jnp.where(whole < self.longest, whole, self.longest)
        residual = whole - length * jnp.arange(1, self.n_segments + 1) / self.n_segments
        residual = residual.at[-1].set(jnp.where(whole < self.longest, 0.0, whole - length))
        return jnp.concatenate([self.kinetic_energy[None], table.energy(residual)]), length

    def _joints(self) -> np.ndarray:
        """First segment after each kink."""
        n = len(self.kinks)
        return np.arange(1, n + 1) * self.n_segments // (n + 1)

    def _directions(self) -> Float[Array, "n 3"]:
        """Unit vector of every segment."""
        forward = self.direction
        sideways = jnp.stack([jnp.zeros_like(self.phi), jnp.cos(self.phi), -jnp.sin(self.phi)])
        frame = jnp.stack([sideways, jnp.cross(forward, sideways), forward])
        _, turned = jax.lax.scan(_turn, frame, self.kinks.reshape(-1, 2))
        pieces = jnp.concatenate([forward[None], turned])
        return jnp.repeat(
            pieces,
            np.diff(np.concatenate([[0], self._joints(), [self.n_segments]])),
            axis=0,
            total_repeat_length=self.n_segments,
        )

    def _labelled(
        self, points: Float[Array, "m 3"], energy: Float[Array, " m"], step: Array, time: Float[Array, " n"]
    ) -> Segments:
        n = self.n_segments
        return Segments(
            start=points[:-1],
            end=points[1:],
            de=energy[:-1] - energy[1:],
            dx=jnp.broadcast_to(step, n),
            t0=time,
            event=jnp.zeros(n, jnp.int32),
            track=jnp.full(n, self.track, jnp.int32),
            pdg=jnp.full(n, species_named(self.particle).pdg, jnp.int32),
            valid=jnp.ones(n, bool),
        )


class Together(Component):
    """Several sources in one event, such as the tracks of a vertex; paths are `tracks.0.theta`."""

    tracks: tuple[Track, ...]

    def __call__(self) -> Segments:
        """All segments; track 1, 2, ... in the order of the sources."""
        made = [one() for one in self.tracks]
        made = [
            eqx.tree_at(lambda s: s.track, one, jnp.full_like(one.track, i)) for i, one in enumerate(made, 1)
        ]
        names = [field.name for field in dataclasses.fields(Segments)]
        return Segments(
            **{
                name: jnp.concatenate([getattr(one, name) for one in made])
                for name in names
                if getattr(made[0], name) is not None
            }
        )


def _turn(frame: Float[Array, "3 3"], angles: Float[Array, " 2"]) -> tuple[Array, Array]:
    """The frame (side, up, forward) after a rotation by both angles, and its forward direction."""
    side, up, forward = frame
    forward, side = _rotated(forward, side, angles[0])
    forward, up = _rotated(forward, up, angles[1])
    return jnp.stack([side, up, forward]), forward


def _rotated(forward: Array, side: Array, angle: Array) -> tuple[Array, Array]:
    """Both unit vectors turned by `angle` in their plane, `forward` towards `side`."""
    return (
        jnp.cos(angle) * forward + jnp.sin(angle) * side,
        jnp.cos(angle) * side - jnp.sin(angle) * forward,
    )
