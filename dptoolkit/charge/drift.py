"""Drift of electrons to the anode: velocity, attachment, diffusion."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from dptoolkit.constants import MOBILITY, MOBILITY_TEMPERATURE
from dptoolkit.params import Component, param

_LIFETIME_SOURCE = "larnd-sim 2x2 configuration; up to 10 ms and more in large detectors"


class AbstractDrift(Component):
    """How fast electrons drift and how many are lost on the way."""

    lifetime: eqx.AbstractVar[Array]

    @abstractmethod
    def speed(self, efield: Float[Array, "..."]) -> Float[Array, "..."]:
        """Drift velocity [cm/us] in the field [kV/cm]."""

    def surviving(self, time: Float[Array, "..."]) -> Float[Array, "..."]:
        """Fraction exp(-t / tau) of electrons that is not attached after `time` [us]."""
        return jnp.exp(-time / self.lifetime)


def _lifetime() -> Any:
    """The field that every drift declares."""
    return param(
        2200.0,
        "us",
        bounds=(50.0, 1e6),
        symbol="tau_e",
        reference=_LIFETIME_SOURCE,
        typical=(500.0, 5000.0),
        scale="inverse",
    )


class MobilityDrift(AbstractDrift):
    """v = mu(E, T) E with the mobility fit of Li et al., NIM A 816 (2016) 160."""

    temperature: Array = param(87.17, "K", bounds=(84.0, 94.0), symbol="T", reference="larnd-sim module0")
    lifetime: Array = _lifetime()

    def speed(self, efield: Float[Array, "..."]) -> Float[Array, "..."]:
        return mobility(efield, self.temperature) * efield * 1e-3


class ConstantDrift(AbstractDrift):
    """A free drift velocity, the same everywhere."""

    velocity: Array = param(
        0.15965,
        "cm/us",
        bounds=(0.05, 0.3),
        symbol="v_d",
        reference="0.5 kV/cm, 87.17 K",
        typical=(0.15, 0.168),
    )
    lifetime: Array = _lifetime()

    def speed(self, efield: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.broadcast_to(self.velocity, jnp.shape(efield))


class Diffusion(Component):
    """sigma^2 = 2 D t, along and across the drift."""

    longitudinal: Array = param(
        4.0e-6,
        "cm2/us",
        bounds=(1e-7, 3e-5),
        symbol="D_L",
        reference="larnd-sim; 7.2e-6 in JAXTPC",
        typical=(2.5e-6, 9e-6),
    )
    transverse: Array = param(
        8.8e-6,
        "cm2/us",
        bounds=(1e-7, 5e-5),
        symbol="D_T",
        reference="larnd-sim; 12.0e-6 in JAXTPC",
        typical=(4e-6, 1.4e-5),
    )


def mobility(efield: Float[Array, "..."], temperature: Float[Array, ""]) -> Float[Array, "..."]:
    """Electron mobility in liquid argon [cm2/V/s]; field in kV/cm, temperature in K."""
    a0, a1, a2, a3, a4, a5 = MOBILITY
    above = a0 + a1 * efield + a2 * efield * jnp.sqrt(efield) + a3 * efield**2 * jnp.sqrt(efield)
    below = 1 + a1 / a0 * efield + a4 * efield**2 + a5 * efield**3
    return above / below * (temperature / MOBILITY_TEMPERATURE) ** -1.5
