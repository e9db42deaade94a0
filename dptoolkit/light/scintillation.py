"""When scintillation light is made: two states of excited argon that decay at their own pace."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dptoolkit.light.sensor import gamma
from dptoolkit.params import Component, param


class Scintillation(Component):
    """A fraction `singlet` of the photons with the short lifetime, the others with the long one."""

    singlet: Array = param(
        0.3, "1", bounds=(0.0, 1.0), symbol="f_s", reference="electrons and muons; larnd-sim"
    )
    singlet_ns: Array = param(
        6.5, "ns", bounds=(0.1, 100.0), symbol="tau_s", reference="6 to 7 ns measured; larnd-sim takes 1 ns"
    )
    triplet_ns: Array = param(1530.0, "ns", bounds=(100.0, 5000.0), symbol="tau_t", reference="larnd-sim")

    def moments(self) -> tuple[Array, Array]:
        """(mean, variance) of the time from excitation to photon [ns, ns2]."""
        mean = self.singlet * self.singlet_ns + (1 - self.singlet) * self.triplet_ns
        square = 2 * (self.singlet * self.singlet_ns**2 + (1 - self.singlet) * self.triplet_ns**2)
        return mean, square - mean**2

    def draw(self, number: Float[Array, " r"], key: Array) -> tuple[Float[Array, " r"], Array]:
        """(mean delay of `number` photons, variance of one of them): a sample [ns, ns2]."""
        for_kind, for_singlet, for_triplet = jax.random.split(key, 3)
        singlet = jax.random.binomial(for_kind, number, self.singlet).astype(number.dtype)
        triplet = number - singlet
        total = self.singlet_ns * _sum_of_decays(singlet, for_singlet)
        total += self.triplet_ns * _sum_of_decays(triplet, for_triplet)
        return total / jnp.maximum(number, 1.0), self.moments()[1]


def _sum_of_decays(number: Float[Array, " r"], key: Array) -> Float[Array, " r"]:
    """Of as many times of mean 1."""
    drawn = gamma(jnp.maximum(number, 1.0), jax.random.normal(key, number.shape, number.dtype))
    return jnp.where(number > 0, drawn, 0.0)
