"""The drift field: its strength where charge is freed, and where distortions carry the charge.

A distorted field moves electrons sideways and makes them early or late. Both are one displacement
of the place where a deposit appears to be, together with the local field for recombination.
"""

from abc import abstractmethod

import jax.numpy as jnp
from jaxtyping import Array, Float

from dptoolkit.geometry import Volumes
from dptoolkit.params import Component, param


class AbstractField(Component):
    """Electric field in the drift volumes."""

    @abstractmethod
    def nominal(self) -> Float[Array, ""]:
        """Strength without distortion [kV/cm]; sets the drift velocity."""

    @abstractmethod
    def local(self, points: Float[Array, "n 3"], volume: Array, volumes: Volumes) -> Float[Array, "n 3"]:
        """Field vector at `points`, along the drift of electrons [kV/cm]."""

    @abstractmethod
    def displacement(
        self, points: Float[Array, "n 3"], volume: Array, volumes: Volumes
    ) -> Float[Array, "n 3"]:
        """Apparent minus true position of charge freed at `points` [cm]."""


class UniformField(AbstractField):
    """The same field everywhere, from cathode to anode."""

    strength: Array = param(
        0.5, "kV/cm", bounds=(0.05, 2.0), symbol="E", reference="nominal", typical=(0.45, 0.55)
    )

    def nominal(self) -> Float[Array, ""]:
        return self.strength

    def local(self, points: Float[Array, "n 3"], volume: Array, volumes: Volumes) -> Float[Array, "n 3"]:
        return self.strength * jnp.asarray(volumes.drift, points.dtype)[volume]

    def displacement(
        self, points: Float[Array, "n 3"], volume: Array, volumes: Volumes
    ) -> Float[Array, "n 3"]:
        return jnp.zeros_like(points)


class SpaceChargeField(AbstractField):
    """The first mode of a space charge in a grounded box, in first order.

    The potential psi = a E L sin(pi w / L) cos(pi u / U) cos(pi v / V) vanishes on cathode, anode
    and field cage (w: distance to the anode, u, v: from the centre of the face); delta E = - grad psi, and
    electrons drift along -E. Positive ions, a > 0, make E stronger at the cathode and pull electrons inwards.
    Electrons from w drift along the nominal field and integrate delta E / E: closed form.
    """

    strength: Array = param(
        0.5, "kV/cm", bounds=(0.05, 2.0), symbol="E", reference="nominal", typical=(0.45, 0.55)
    )
    amplitude: Array = param(0.02, "1", bounds=(-0.2, 0.2), symbol="a", reference="relative, per cent of E")

    def nominal(self) -> Float[Array, ""]:
        return self.strength

    def local(self, points: Float[Array, "n 3"], volume: Array, volumes: Volumes) -> Float[Array, "n 3"]:
        (u, v, w), (ku, kv, kw), frame = self._phases(points, volume, volumes)
        scale = self.amplitude * self.strength / kw * jnp.pi
        along_u = scale * ku * jnp.sin(kw * w) * jnp.sin(ku * u) * jnp.cos(kv * v)
        along_v = scale * kv * jnp.sin(kw * w) * jnp.cos(ku * u) * jnp.sin(kv * v)
        along_drift = scale * kw * jnp.cos(kw * w) * jnp.cos(ku * u) * jnp.cos(kv * v)
        across, up, drift = frame
        return (
            (self.strength - along_drift)[:, None] * drift - along_u[:, None] * across - along_v[:, None] * up
        )

    def displacement(
        self, points: Float[Array, "n 3"], volume: Array, volumes: Volumes
    ) -> Float[Array, "n 3"]:
        (u, v, w), (ku, kv, kw), (across, up, drift) = self._phases(points, volume, volumes)
        scale = self.amplitude * jnp.pi / kw
        swing = (1 - jnp.cos(kw * w)) / kw
        by_u = scale * ku * swing * jnp.sin(ku * u) * jnp.cos(kv * v)
        by_v = scale * kv * swing * jnp.cos(ku * u) * jnp.sin(kv * v)
        by_drift = scale * jnp.sin(kw * w) * jnp.cos(ku * u) * jnp.cos(kv * v)
        return -by_drift[:, None] * drift - by_u[:, None] * across - by_v[:, None] * up

    def _phases(self, points: Float[Array, "n 3"], volume: Array, volumes: Volumes):
        size, drift = jnp.asarray(volumes.high - volumes.low, points.dtype)[volume], volumes.drift
        frame = tuple(jnp.asarray(axes, points.dtype)[volume] for axes in (volumes.across, volumes.up, drift))
        wave_numbers = tuple(jnp.pi / jnp.abs(jnp.sum(size * axis, axis=1)) for axis in frame)
        return volumes.to_local(points, volume), wave_numbers, frame
