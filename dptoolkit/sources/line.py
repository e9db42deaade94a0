"""Muons of a control sample: a line between two points that bends a little, with a known energy loss.

A calibration with recorded tracks fits where each of them ran. Two points, which may lie on walls of the
detector, say that with the least correlation; the kinks of multiple scattering are offsets from the chord
that vanish at both ends. Energy comes from the residual range: of one that stops, or is minimum-ionising.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import exp1
from jaxtyping import Array, Float

from dptoolkit.events import Segments
from dptoolkit.params import Component, param
from dptoolkit.sources.species import species_named
from dptoolkit.sources.stopping import Argon, max_transfer, range_table

CROSSING = 1000.0
"""Residual range [cm] at the end of a track that leaves: 2.4 GeV of a muon, whose loss is flat there."""
SOFT = 1000.0
"""Kinetic energy [MeV] that the kinks of a track that leaves are allowed for: most muons are harder."""


class AbstractLossShare(Component):
    """Which part of the mean energy loss a fit expects to see."""

    @abstractmethod
    def __call__(self, argon: Argon, energy: Float[Array, " n"], mass: float) -> Float[Array, " n"]:
        """In (0, 1], at kinetic `energy` [MeV]."""


class MeanLoss(AbstractLossShare):
    """All of it: for tracks without fluctuations."""

    def __call__(self, argon: Argon, energy: Float[Array, " n"], mass: float) -> Float[Array, " n"]:
        return jnp.ones_like(energy)


class TypicalLoss(AbstractLossShare):
    """What is typical of the loss D on a path `thickness` seen at once: D_typ = -xi ln <exp(-D / xi)>.

    It is where Moyal's form pulls to neither side. Of Vavilov's distribution (JETP 5 (1957) 749), collisions
    xi (1 - beta^2 T / T_max) dT / T^2 up to T_max, it is with y = T_max / xi and the entire exponential
    integral Ein(y) = int_0^y (1 - e^-t) dt / t

        D_typ = mean - xi [Ein(y) - 1 + (1 - e^-y) / y - beta^2 (1 - Ein(y) / y)].

    For T_max >> xi that is 0.223 xi above the most probable loss of Landau, whose formula (PDG, Passage of
    particles through matter) fails for slow particles: theirs nears the mean. xi and with it D_typ / path
    grow with the path.
    """

    thickness: Array = param(0.44, "cm", bounds=(1e-3, 1e3), symbol="t", reference="a pad")

    def __call__(self, argon: Argon, energy: Float[Array, " n"], mass: float) -> Float[Array, " n"]:
        beta2 = 1 - (mass / (energy + mass)) ** 2
        transfers = argon.transfers(beta2)
        y = max_transfer(energy, mass) / (transfers * self.thickness)
        ein = exp1(y) + jnp.log(y) + np.euler_gamma
        above = ein - 1 - jnp.expm1(-y) / y - beta2 * (1 - ein / y)
        return 1 - transfers * above / argon.bethe(energy, mass)


class Line(Component):
    """One particle from `start` to `end`, where it has `beyond` of its range left."""

    start: Array = param((0.0, 0.0, 0.0), "cm", typical=(-10.0, 10.0))
    end: Array = param((0.0, 0.0, 10.0), "cm", typical=(-10.0, 10.0))
    scale: Array = param(1.0, "1", bounds=(0.1, 10.0), symbol="s")
    """Of the energy loss."""
    kinks: Array = param((), "rad")
    """Scattering angles, pairs for two planes across the track, at `kink_places` along it."""
    t0: Array = param(0.0, "us", symbol="t_0")
    beyond: Array = param(0.0, "cm", bounds=(0.0, 1e6))
    """Residual range at the end: 0 where the particle stops."""
    share: AbstractLossShare = eqx.field(default_factory=MeanLoss)
    argon: Argon = eqx.field(default_factory=Argon)
    particle: str = eqx.field(default="muon", static=True)
    n_segments: int = eqx.field(default=128, static=True)
    crowding: float = eqx.field(default=1.0, static=True)
    """Of the kinks at the end; 1: they are spread evenly."""

    def __check_init__(self) -> None:
        species_named(self.particle)
        if not self.crowding > 0:
            raise ValueError(f"Line.crowding = {self.crowding}: expected a number above 0")
        if self.n_segments < 1:
            raise ValueError(f"Line.n_segments = {self.n_segments}: expected a whole number above 0")
        for name in ("start", "end"):
            if jnp.shape(getattr(self, name)) != (3,):
                raise ValueError(f"Line.{name}: expected x, y, z, got shape {jnp.shape(getattr(self, name))}")
        if self.kinks.size and (self.kinks.ndim != 2 or self.kinks.shape[1] != 2):
            raise ValueError(f"Line.kinks: expected pairs of angles, got shape {self.kinks.shape}")

    def __call__(self) -> Segments:
        """Its segments, from start to end."""
        points = self.points()
        step = jnp.sqrt(jnp.sum(jnp.diff(points, axis=0) ** 2, axis=1))
        passed = jnp.concatenate([jnp.zeros(1, step.dtype), jnp.cumsum(step)])
        species = species_named(self.particle)
        energy = range_table(self.argon, species).energy(self.beyond + passed[-1] - passed)
        share = self.share(self.argon, (energy[1:] + energy[:-1]) / 2, species.mass)
        n = self.n_segments
        return Segments(
            start=points[:-1],
            end=points[1:],
            de=self.scale * share * (energy[:-1] - energy[1:]),
            dx=step,
            t0=jnp.broadcast_to(self.t0, n),
            event=jnp.zeros(n, jnp.int32),
            track=jnp.ones(n, jnp.int32),
            pdg=jnp.full(n, species.pdg, jnp.int32),
            valid=jnp.ones(n, bool),
        )

    def points(self) -> Float[Array, "m 3"]:
        """The ends of the segments [cm]."""
        along = np.arange(self.n_segments + 1) / self.n_segments
        chord = self.end - self.start
        points = self.start + along[:, None] * chord
        if not self.kinks.size:
            return points
        length = jnp.sqrt(jnp.sum(chord**2))
        shares = bend_shares(along, len(self.kinks), self.crowding)
        return points + length * shares @ self.kinks @ across(chord / length)


def kink_places(n_kinks: int, crowding: float = 1.0) -> Float[np.ndarray, " m"]:
    """Parts of the chord at which kinks are: 1 - (1 - k / (m + 1))^crowding."""
    return 1 - (1 - np.arange(1, n_kinks + 1) / (n_kinks + 1)) ** crowding


def bend_shares(
    along: Float[np.ndarray, " n"], n_kinks: int, crowding: float = 1.0
) -> Float[np.ndarray, "n m"]:
    """How far a kink moves the line at parts of its chord, over the kink and the length of the chord."""
    place = kink_places(n_kinks, crowding)
    bridge = np.minimum(place[:, None], place) * (1 - np.maximum(place[:, None], place))
    nodes = np.concatenate([[0.0], place, [1.0]])
    hats = [np.interp(along, nodes, row) for row in np.eye(n_kinks + 2)[1:-1]]
    return np.stack(hats, axis=1) @ bridge


def across(direction: Float[Array, " 3"]) -> Float[Array, "2 3"]:
    """Two unit vectors across a direction and each other."""
    away = jnp.eye(3, dtype=direction.dtype)[jnp.argmin(jnp.abs(jax.lax.stop_gradient(direction)))]
    side = jnp.cross(direction, away)
    side = side / jnp.sqrt(jnp.sum(side**2))
    return jnp.stack([side, jnp.cross(direction, side)])
