"""Drift along the lines of a field instead of along nominal ones."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dptoolkit.charge.field import AbstractField, Speed, in_detector
from dptoolkit.geometry import Volumes


class FullPath(AbstractField):
    """Another field, whose electrons are followed to the anode: dr/dt = v(|F|) F / |F|.

    Runge-Kutta of fourth order in the distance to the anode. First order in the distortion, which other
    fields take, is short of the product of two distortions: 5 % of a displacement where the field is 5 % off.
    """

    field: AbstractField
    steps: int = eqx.field(static=True, default=8)

    def __check_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"FullPath.steps = {self.steps}: expected a whole number above 0")

    def nominal(self) -> Float[Array, ""]:
        return self.field.nominal()

    def local(self, points: Float[Array, "n 3"], volume: Array, volumes: Volumes) -> Float[Array, "n 3"]:
        return self.field.local(points, volume, volumes)

    def displacement(
        self, points: Float[Array, "n 3"], volume: Array, volumes: Volumes, speed: Speed
    ) -> Float[Array, "n 3"]:
        place = jnp.stack(volumes.to_local(points, volume), axis=1)
        axes = [jnp.asarray(a, points.dtype)[volume] for a in (volumes.across, volumes.up, -volumes.drift)]
        anode = jnp.asarray(volumes.anode, points.dtype)[volume]
        away, nominal = place[:, 2], speed(self.nominal())

        def slope(state: Float[Array, "n 3"], share: Array) -> Float[Array, "n 3"]:
            """D (across, up, nominal speed x time) as the `share` of the way to the anode grows."""
            coordinates = (state[:, 0], state[:, 1], away * (1 - share))
            where = anode + sum(c[:, None] * axis for c, axis in zip(coordinates, axes, strict=True))
            field = self.field.local(where, volume, volumes)
            across, up, towards = (jnp.sum(field * axis, axis=1) for axis in axes)
            size = jnp.sqrt(jnp.sum(field**2, axis=1))
            late = nominal * size / speed(size)
            return -(away / towards)[:, None] * jnp.stack([across, up, late], axis=1)

        def step(state: Float[Array, "n 3"], share: Array) -> tuple[Float[Array, "n 3"], None]:
            h = 1 / self.steps
            first = slope(state, share)
            second = slope(state + h / 2 * first, share + h / 2)
            third = slope(state + h / 2 * second, share + h / 2)
            fourth = slope(state + h * third, share + h)
            return state + h / 6 * (first + 2 * second + 2 * third + fourth), None

        begin = place.at[:, 2].set(0.0)
        shares = jnp.arange(self.steps, dtype=points.dtype) / self.steps
        end, _ = jax.lax.scan(step, begin, shares)
        moved = end - place
        return in_detector([moved[:, 0], moved[:, 1], moved[:, 2]], volume, volumes)
