"""Space charge by ions that drift to the cathode, and its field by Poisson's equation."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dptoolkit.charge.field import AbstractPotentialField, sizes, strength_of
from dptoolkit.geometry import Volumes
from dptoolkit.params import param


class PoissonField(AbstractPotentialField):
    """Ions freed evenly drift to the cathode: their density grows as w / L, w the distance to the anode.

        rho = rho_0 (w / L) (1 + c_u 2u/U) (1 + c_v 2v/V),    laplace psi = - rho / epsilon,

    and psi = 0 on cathode, anode and field cage. Sines sin(m pi (u/U + 1/2)) sin(n pi (v/V + 1/2)) across
    the drift, `modes` of each; along it every one of them is closed, with k^2 = (m pi/U)^2 + (n pi/V)^2

        psi_mn = rho_mn / (epsilon k^2) [w / L - sinh(k w) / sinh(k L)].

    a = rho_0 L / (3 epsilon E_0) is by how much the field is stronger at the cathode of a volume without
    field cage (and a/2 weaker at the anode): one number, or one for each volume.
    """

    strength: Array = strength_of()
    amplitude: Array = param(
        0.05, "1", bounds=(-0.3, 0.3), symbol="a", reference="about 0.1 in MicroBooNE, JINST 15 P07010"
    )
    tilt_across: Array = param(0.3, "1", bounds=(-1.0, 1.0), symbol="c_u", reference="flow of the argon")
    tilt_up: Array = param(-0.4, "1", bounds=(-1.0, 1.0), symbol="c_v", reference="flow of the argon")
    modes: int = eqx.field(static=True, default=16)

    def __check_init__(self) -> None:
        if self.modes < 1:
            raise ValueError(f"PoissonField.modes = {self.modes}: expected a whole number above 0")

    def integrated(self, place: Float[Array, "n 3"], volume: Array, volumes: Volumes) -> Float[Array, " n"]:
        size = sizes(volume, volumes, place.dtype)
        length, away = size[:, 2, None, None], place[:, 2, None, None]
        number = np.arange(1, self.modes + 1)
        wave = np.pi * number / size[:, :2, None]
        square = wave[:, 0, :, None] ** 2 + wave[:, 1, None, :] ** 2
        across, up = (
            jnp.sin(wave[:, axis] * (place[:, axis] + size[:, axis] / 2)[:, None]) * _linear(number, tilt)
            for axis, tilt in enumerate((self.tilt_across, self.tilt_up))
        )
        density = 3 * jnp.broadcast_to(self.amplitude, (len(volumes),))[volume] / size[:, 2]
        swing = away**2 / (2 * length) - _bent(jnp.sqrt(square), away, length)
        return density * jnp.einsum("nm,no,nmo->n", across, up, swing / square)


def _bent(k: Array, away: Array, length: Array) -> Array:
    """(cosh(k w) - 1) / (k sinh(k L)), without large numbers."""
    here = jnp.exp(k * (away - length)) * (1 + jnp.exp(-2 * k * away)) - 2 * jnp.exp(-k * length)
    return here / (k * (1 - jnp.exp(-2 * k * length)))


def _linear(number: np.ndarray, tilt: Float[Array, ""]) -> Float[Array, " m"]:
    """Sine coefficients of 1 + tilt x on -1 < x < 1: those of 1 are odd, those of x even."""
    odd = number % 2
    even, size = 1 - odd, 4 / (np.pi * number)
    return jnp.asarray(size * odd) - tilt * (size * even)
