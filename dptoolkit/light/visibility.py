"""Visibility: the probability that a photon made at a point arrives at a light collector."""

from abc import abstractmethod

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

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

    absorption_length: Array = param(
        4000.0, "cm", bounds=(50.0, 1e6), symbol="L_abs", scale="inverse", reference="20 to 66 m at 128 nm"
    )
    speed: Array = param(
        13.4, "cm/ns", bounds=(5.0, 30.0), symbol="v_g", reference="group velocity at 128 nm"
    )

    def __call__(
        self, points: Float[Array, "n 3"], plates: Plates
    ) -> tuple[Float[Array, "n p"], Float[Array, "n p"]]:
        offset = points[:, None] - jnp.asarray(plates.center, points.dtype)
        way = jnp.sqrt(jnp.sum(offset**2, axis=2))
        share = plates.solid_angle(points) / (4 * np.pi)
        return share * jnp.exp(-way / self.absorption_length), way / self.speed
