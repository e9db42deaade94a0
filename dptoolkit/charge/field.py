"""The drift field: its strength where charge is freed, and where distortions carry the charge.

A distorted field moves electrons sideways and makes them early or late. Both are one displacement
of the place where a deposit appears to be, together with the local field for recombination.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dptoolkit.geometry import Volumes
from dptoolkit.params import Component, param

Speed = Callable[[Array], Array]
"""Drift velocity [cm/us] in a field [kV/cm]."""


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
        self, points: Float[Array, "n 3"], volume: Array, volumes: Volumes, speed: Speed
    ) -> Float[Array, "n 3"]:
        """Apparent minus true position of charge freed at `points` [cm].

        Apparent is where the arrival says that charge was freed if it drifted at the nominal `speed`.
        """


def strength_of() -> Any:
    """The field that every distorted field declares."""
    return param(0.5, "kV/cm", bounds=(0.05, 2.0), symbol="E", reference="nominal", typical=(0.45, 0.55))


class UniformField(AbstractField):
    """The same field everywhere, from cathode to anode."""

    strength: Array = strength_of()

    def nominal(self) -> Float[Array, ""]:
        return self.strength

    def local(self, points: Float[Array, "n 3"], volume: Array, volumes: Volumes) -> Float[Array, "n 3"]:
        return self.strength * jnp.asarray(volumes.drift, points.dtype)[volume]

    def displacement(
        self, points: Float[Array, "n 3"], volume: Array, volumes: Volumes, speed: Speed
    ) -> Float[Array, "n 3"]:
        return jnp.zeros_like(points)


class AbstractPotentialField(AbstractField):
    """E = E_0 - grad psi by a potential psi that vanishes on cathode and anode: no curl.

    It is given by its integral along the drift, Psi = int_0^w psi dw' / E_0 (w: distance to the anode):
    electrons that drift along nominal lines are displaced across by the gradient of Psi and seem further
    away by psi / E_0 x d ln v / d ln E. So in first order no path has to be integrated; psi = E_0 dPsi/dw.
    `FullPath` follows the lines of the field instead.
    """

    strength: eqx.AbstractVar[Array]

    @abstractmethod
    def integrated(self, place: Float[Array, "n 3"], volume: Array, volumes: Volumes) -> Float[Array, " n"]:
        """Psi [cm2] at (across, up, distance to the anode) [cm]."""

    def nominal(self) -> Float[Array, ""]:
        return self.strength

    def local(self, points: Float[Array, "n 3"], volume: Array, volumes: Volumes) -> Float[Array, "n 3"]:
        def potential(place: Float[Array, "n 3"]) -> Float[Array, " n"]:
            return _slope(lambda x: self.integrated(x, volume, volumes), place, 2)

        place = jnp.stack(volumes.to_local(points, volume), axis=1)
        relative = [_slope(potential, place, axis) for axis in range(3)]
        straight = jnp.asarray(volumes.drift, points.dtype)[volume]
        return self.strength * (straight + in_detector(relative, volume, volumes))

    def displacement(
        self, points: Float[Array, "n 3"], volume: Array, volumes: Volumes, speed: Speed
    ) -> Float[Array, "n 3"]:
        place = jnp.stack(volumes.to_local(points, volume), axis=1)
        across, up, away = (
            _slope(lambda x: self.integrated(x, volume, volumes), place, axis) for axis in range(3)
        )
        return in_detector([across, up, steepness(speed, self.strength) * away], volume, volumes)


class SpaceChargeField(AbstractPotentialField):
    """The first mode of a space charge in a grounded box.

    The potential psi = a E L sin(pi w / L) cos(pi u / U) cos(pi v / V) vanishes on cathode, anode
    and field cage (w: distance to the anode, u, v: from the centre of the face); delta E = - grad psi, and
    electrons drift along -E. Positive ions, a > 0, make E stronger at the cathode and pull electrons inwards.
    """

    strength: Array = strength_of()
    amplitude: Array = param(0.02, "1", bounds=(-0.2, 0.2), symbol="a", reference="relative, per cent of E")

    def integrated(self, place: Float[Array, "n 3"], volume: Array, volumes: Volumes) -> Float[Array, " n"]:
        u, v, w = place.T
        ku, kv, kw = jnp.pi / sizes(volume, volumes, place.dtype).T
        profile = jnp.pi / kw**2 * (1 - jnp.cos(kw * w))
        return self.amplitude * profile * jnp.cos(ku * u) * jnp.cos(kv * v)


def steepness(speed: Speed, efield: Float[Array, ""]) -> Float[Array, ""]:
    """D ln v / d ln E; 1 for a constant mobility, about 0.5 in liquid argon at 0.5 kV/cm."""
    velocity, slope = jax.jvp(speed, (efield,), (jnp.ones_like(efield),))
    return slope * efield / velocity


def sizes(volume: Array, volumes: Volumes, dtype: jnp.dtype) -> Float[Array, "n 3"]:
    """Extent of the volumes (across, up, along the drift) [cm]."""
    extent = volumes.high - volumes.low
    axes = (volumes.across, volumes.up, volumes.drift)
    table = jnp.stack([jnp.abs(jnp.sum(jnp.asarray(extent * axis, dtype), axis=1)) for axis in axes], axis=1)
    return table[volume]


def in_detector(parts: list[Float[Array, " n"]], volume: Array, volumes: Volumes) -> Float[Array, "n 3"]:
    """A vector of parts (across, up, away from the anode) in the frame of the detector."""
    axes = (volumes.across, volumes.up, -volumes.drift)
    return sum(
        part[:, None] * jnp.asarray(axis, part.dtype)[volume] for part, axis in zip(parts, axes, strict=True)
    )  # type: ignore[return-value]


def _slope(function: Callable[[Array], Array], place: Float[Array, "n 3"], axis: int) -> Float[Array, " n"]:
    """Derivative of a function of single points along an axis, for all of them at once."""
    direction = jnp.zeros_like(place).at[:, axis].set(1.0)
    return jax.jvp(function, (place,), (direction,))[1]
