"""Visibility: the probability that a photon made at a point arrives at a light collector."""

from abc import abstractmethod

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dptoolkit.light.argon_optics import absorption, group_speed, interaction_length, rayleigh
from dptoolkit.light.plates import Plates
from dptoolkit.params import Component, param


class AbstractVisibility(Component):
    """What the light of argon meets between emission and collector."""

    @abstractmethod
    def __call__(
        self, points: Float[Array, "n 3"], plates: Plates
    ) -> tuple[Float[Array, "n p"], Float[Array, "n p"]]:
        """(probability to arrive, mean delay [ns]); `points` from the middle of their drift volume [cm]."""


class PointSource(AbstractVisibility):
    """Straight ways: solid angle over 4 pi, less what is absorbed.

    Rayleigh scattering and reflections are left out. The way is that to the middle of the plate.
    """

    absorption_length: Array = absorption()
    speed: Array = group_speed()

    def __call__(
        self, points: Float[Array, "n 3"], plates: Plates
    ) -> tuple[Float[Array, "n p"], Float[Array, "n p"]]:
        offset = points[:, None] - jnp.asarray(plates.center, points.dtype)
        way = jnp.sqrt(jnp.sum(offset**2, axis=2))
        share = plates.solid_angle(points) / (4 * np.pi)
        return share * jnp.exp(-way / self.absorption_length), way / self.speed


class Uniform(AbstractVisibility):
    """The same everywhere: a start without any knowledge. Delays are 1 ns."""

    def __call__(
        self, points: Float[Array, "n 3"], plates: Plates
    ) -> tuple[Float[Array, "n p"], Float[Array, "n p"]]:
        ones = jnp.ones((len(points), len(plates)), points.dtype)
        return ones / len(plates), ones


class ScatteredSource(AbstractVisibility):
    """Straight ways and a guess of the scattered light: v = (W e^(-d/L) + W_s d / (d + L_R)) / 4 pi.

    d is the way to the middle of the plate, 1/L = 1/L_abs + 1/L_R, W the solid angle of the plate, and W_s
    that from `blur` further away from its wall: scattered light comes from around. The guess has the right
    size where walls are dark; it is meant to be corrected by a network.
    """

    absorption_length: Array = absorption()
    rayleigh_length: Array = rayleigh()
    speed: Array = group_speed()
    blur: Array = param(
        10.0,
        "cm",
        bounds=(1.0, 100.0),
        symbol="s",
        reference="chosen: 8 to 15 cm fit the photons of 2x2 alike",
    )

    def __call__(
        self, points: Float[Array, "n 3"], plates: Plates
    ) -> tuple[Float[Array, "n p"], Float[Array, "n p"]]:
        offset = points[:, None] - jnp.asarray(plates.center, points.dtype)
        way = jnp.sqrt(jnp.sum(offset**2, axis=2))
        length = interaction_length(self.absorption_length, self.rayleigh_length)
        straight = plates.solid_angle(points) * jnp.exp(-way / length)
        around = plates.solid_angle(points, self.blur) * way / (way + self.rayleigh_length)
        return (straight + around) / (4 * np.pi), way / self.speed
