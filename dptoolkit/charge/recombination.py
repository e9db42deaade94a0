"""Charge recombination: which fraction of ionisation electrons escapes.

It is not linear in dE/dx, so the length over which that is taken matters (`dedx_length` of a detector). How
the electrons freed grow when dE/dx is averaged, at 0.5 kV/cm (per cent):

    length [cm]                                        0.03   0.1    0.3    1
    muon of 176 MeV in Geant4 steps of 0.1 mm, Birks    2.7    4.2    4.8    5.1
                                               boxes    3.0    5.0    5.8    6.1
    mu, pi, p in steps of up to 5 mm, Birks             0.0    0.0    0.2    0.4
                                     boxes              0.0    0.0    0.2    0.4
"""

from abc import abstractmethod

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dptoolkit.events import PerSegment
from dptoolkit.params import Component, param


class AbstractRecombination(Component):
    """Survival of ionisation electrons at the place they were freed."""

    @abstractmethod
    def __call__(self, dedx: PerSegment, efield: PerSegment, cosine: PerSegment) -> PerSegment:
        """Surviving fraction in [0, 1].

        `dedx` [MeV/cm], `efield` [kV/cm] the local field, `cosine` of the angle between track and
        field.
        """


class Birks(AbstractRecombination):
    """R = A / (1 + k dE/dx / (rho E)), NIM A 523 (2004) 275."""

    a: Array = param(
        0.800, "1", bounds=(0.5, 1.0), symbol="A", reference="NIM A 523 (2004) 275", typical=(0.78, 0.88)
    )
    k: Array = param(
        0.0486,
        "(kV/cm)(g/cm2)/MeV",
        bounds=(0.01, 0.2),
        symbol="k",
        reference="NIM A 523 (2004) 275",
        typical=(0.04, 0.07),
    )
    density: Array = param(1.396, "g/cm3", bounds=(1.3, 1.45), symbol="rho", reference="PDG, 87 K")

    def __call__(self, dedx: PerSegment, efield: PerSegment, cosine: PerSegment) -> PerSegment:
        return self.a / (1 + self.k * dedx / (self.density * efield))


class ModifiedBox(AbstractRecombination):
    """R = ln(alpha + xi) / xi, xi = beta dE/dx / (rho E), JINST 8 (2013) P08005."""

    alpha: Array = param(
        0.93, "1", bounds=(0.7, 0.999), symbol="alpha", reference="JINST 8 P08005", typical=(0.9, 0.96)
    )
    beta: Array = param(
        0.212,
        "(kV/cm)(g/cm2)/MeV",
        bounds=(0.1, 0.4),
        symbol="beta",
        reference="JINST 8 P08005",
        typical=(0.18, 0.25),
    )
    density: Array = param(1.396, "g/cm3", bounds=(1.3, 1.45), symbol="rho", reference="PDG, 87 K")

    def __call__(self, dedx: PerSegment, efield: PerSegment, cosine: PerSegment) -> PerSegment:
        return box_fraction(self.alpha, self.beta * dedx / (self.density * efield))


class EllipsoidModifiedBox(AbstractRecombination):
    """The box whose size depends on the angle phi between track and field, arXiv:2407.12969.

    beta = beta_90 / sqrt(sin^2 phi + cos^2 phi / R^2).
    """

    alpha: Array = param(
        0.904, "1", bounds=(0.7, 0.999), symbol="alpha", reference="arXiv:2407.12969", typical=(0.87, 0.94)
    )
    beta_90: Array = param(
        0.204,
        "(kV/cm)(g/cm2)/MeV",
        bounds=(0.1, 0.4),
        symbol="beta_90",
        reference="arXiv:2407.12969",
        typical=(0.17, 0.24),
    )
    anisotropy: Array = param(
        1.25, "1", bounds=(0.8, 2.0), symbol="R", reference="arXiv:2407.12969", typical=(1.1, 1.4)
    )
    density: Array = param(1.396, "g/cm3", bounds=(1.3, 1.45), symbol="rho", reference="PDG, 87 K")

    def __call__(self, dedx: PerSegment, efield: PerSegment, cosine: PerSegment) -> PerSegment:
        stretch = jnp.sqrt(1 - cosine**2 * (1 - 1 / self.anisotropy**2))
        return box_fraction(self.alpha, self.beta_90 / stretch * dedx / (self.density * efield))


def box_fraction(alpha: Array, xi: Float[Array, " n"]) -> Float[Array, " n"]:
    """ln(alpha + xi) / xi, held at its maximum below the xi where that lies.

    With alpha < 1 the formula falls, and turns negative, at dE/dx far below any ionising particle.
    It is stationary at its maximum, so holding it there is smooth, and the place of the maximum
    needs no derivative.
    """
    peak = jax.lax.stop_gradient(_peak(alpha))
    xi = jnp.maximum(xi, peak)
    return jnp.log(alpha + xi) / xi


def _peak(alpha: Array) -> Array:
    """Xi of the maximum of ln(alpha + xi) / xi: y = alpha + xi solves ln y = 1 - alpha / y."""
    y = alpha + 0.5
    for _ in range(12):
        y = y - (jnp.log(y) - 1 + alpha / y) / (1 / y - alpha / y**2)
    return y - alpha
