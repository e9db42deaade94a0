"""Expected direct light: the integral over the track of emission x solid angle x transmission x acceptance.

A ring is singular in angle, what a sensor receives is not. Three things spread the light of a piece of a
step in c = cos(theta): the wavelengths and the scattering inside the piece (`Emission.variance`), the length
of the piece, whose ends see the sensor under different angles (a range of l sin^2(theta) / R), and the size
of the sensor. The first two make a uniform density of their variance; the projection of a disc on the
direction of theta is a semicircle, whose average over that density is a difference of cumulative functions.
Every part is normalised, so all sensors of a closed wall together receive all the light. No random numbers.

Direct only: what was absorbed or scattered on the way is gone; scattered and reflected light is not added.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dptoolkit.light.cherenkov import LIGHT_SPEED_NS, Emission
from dptoolkit.light.sensor import Light, Photosensor
from dptoolkit.tanks import SensorArray

PerSensor = Float[Array, " k"]
Pairs = Float[Array, "m k"]
FINEST = 0.02
"""Widths of the uniform density below this part of the sensor's are rounded up to it: the difference of two
cumulative functions would lose its digits in single precision. It adds 1e-4 of the sensor's variance."""
NEAREST = 0.5
"""(radius / distance)^2 above which the expansion of a disc's solid angle is no longer followed."""


class Sums(eqx.Module):
    """Photoelectrons of every sensor, and the sums of their times and squared times."""

    pe: Float[Array, "*k"]
    time: Float[Array, "*k"]
    """[pe ns]"""
    square: Float[Array, "*k"]
    """[pe ns2]"""

    def light(self) -> Light:
        """(photoelectrons, mean time, variance of the times)."""
        some = jnp.where(self.pe > 0, self.pe, 1.0)
        mean = self.time / some
        return self.pe, mean, jnp.maximum(self.square / some - mean**2, 0.0)


def direct_light(emission: Emission, sensors: SensorArray, sensor: Photosensor, longest_path: float) -> Sums:
    """Light of the pieces of a chunk on all sensors.

    Arrays are (piece, sensor), one a coordinate. They live inside this function only; in reverse mode they
    are computed again instead of kept.
    """
    real = emission.x.dtype
    places = [jnp.asarray(getattr(sensors, name), real) for name in ("x", "y", "z", "nx", "ny", "nz")]

    @jax.checkpoint
    def received(emission: Emission, places: list[PerSensor], sensor: Photosensor) -> Sums:
        column = jax.tree.map(lambda part: part[..., None] if part.ndim == 1 else part.T[..., None], emission)
        pe, time, variance = _of_pieces(column, places, sensor, longest_path)
        return Sums(
            jnp.sum(pe, axis=0), jnp.sum(pe * time, axis=0), jnp.sum(pe * (time**2 + variance), axis=0)
        )

    return received(emission, places, sensor)


def _of_pieces(
    piece: Emission, places: list[PerSensor], sensor: Photosensor, longest_path: float
) -> tuple[Pairs, Pairs, Pairs]:
    """(photoelectrons, mean time [ns], variance of the time [ns2]) of every piece on every sensor."""
    x, y, z, nx, ny, nz = places
    rx, ry, rz = x - piece.x, y - piece.y, z - piece.z
    square = rx * rx + ry * ry + rz * rz
    path = jnp.sqrt(square)
    inverse = 1 / path
    facing = -(rx * nx + ry * ny + rz * nz) * inverse
    cosine = (rx * piece.dx + ry * piece.dy + rz * piece.dz) * inverse
    along = piece.dx * nx + piece.dy * ny + piece.dz * nz
    u = path * (2 / longest_path) - 1
    size = sensor.radius**2 * inverse**2
    solid_angle = _solid_angle(size, facing) * sensor.acceptance(facing)
    offset = cosine + _bend(size, facing, cosine, along) - _polynomial(piece.cosine, u)
    reach2, half2 = _widths(piece, size, cosine, facing * cosine + along, inverse, u)
    left = jnp.exp(_polynomial(piece.log_left, u))
    pe = piece.pe / (2 * np.pi) * left * solid_angle * _density(offset, reach2, half2)
    delay, variance = _colours(piece, offset, reach2 / 4 + half2 / 3, u)
    speed = 1 / LIGHT_SPEED_NS
    return (
        jnp.where(facing > 0, pe, 0.0),
        piece.time_ns + path * (_polynomial(piece.group_index, u) + delay) * speed,
        square * variance * speed**2,
    )


def _solid_angle(size: Pairs, facing: Pairs) -> Pairs:
    """Of a disc, `size` = (radius / distance)^2: exact on its axis, else to the second order in `size`."""
    facing = jnp.maximum(facing, 0.0)
    near = jnp.minimum(size, NEAREST)
    on_axis = size * facing * (1 + 0.75 * near * (1.5 + facing - 2.5 * facing**2))
    root = jnp.sqrt(1 + on_axis)
    return 2 * np.pi * on_axis / (root * (root + 1))


def _bend(size: Pairs, facing: Pairs, cosine: Pairs, along: Pairs) -> Pairs:
    """What the mean of cos(theta) over the solid angle of a disc differs from that of its centre.

    To the second order in radius / distance; rings bend across a sensor.
    """
    near = jnp.minimum(size, NEAREST)
    return -near / 8 * (cosine * (1 + 9 * facing**2) + 8 * facing * along)


def _widths(
    piece: Emission, size: Pairs, cosine: Pairs, tilt: Pairs, inverse: Pairs, u: Pairs
) -> tuple[Pairs, Pairs]:
    """Squared half widths in cos(theta): of the disc's semicircle, and of the uniform density of the light.

    Across the line of sight the disc reaches a sqrt(1 - (n e)^2) in the direction e of growing theta, and
    `tilt` = -n e sin(theta). Where light goes straight ahead, theta is stationary and the next order counts.
    """
    sine2 = jnp.maximum(1 - cosine**2, 0.0)
    reach2 = size * jnp.maximum(sine2 - tilt**2, 0.0) + size**2 / 16
    spread2 = jnp.maximum(_polynomial(piece.variance, u), 0.0)
    range2 = (piece.length * sine2 * inverse) ** 2
    return reach2, 3 * spread2 + range2 / 4 + FINEST**2 / 4 * reach2


def _density(offset: Pairs, reach2: Pairs, half2: Pairs) -> Pairs:
    """Density of the light in cos(theta), averaged over a disc `offset` from its middle."""
    half, scale = jnp.sqrt(half2), 1 / jnp.sqrt(reach2)
    return (below((offset + half) * scale) - below((offset - half) * scale)) / (2 * half)


def _colours(piece: Emission, offset: Pairs, variance: Pairs, u: Pairs) -> tuple[Pairs, Pairs]:
    """(mean, variance) of the group index of the light that a sensor at `offset` gets, less all light's.

    The linear regression of group index on cos(theta), whose `variance` is that of light and sensor together.
    """
    covariance = _polynomial(piece.group_covariance, u)
    slope = covariance / variance
    rest = _polynomial(piece.group_variance, u) - slope * covariance
    return slope * offset, jnp.maximum(rest, 0.0)


def _polynomial(coefficients: Float[Array, "a m 1"], u: Pairs) -> Pairs:
    value = jnp.broadcast_to(coefficients[-1], u.shape)
    for term in coefficients[-2::-1]:
        value = value * u + term
    return value


BEYOND = (
    0.5000000014, 0.1133800408, -0.0174255246, 0.006155676838, -0.002826943224, 0.001303409134,
    -0.000456944153, 8.116232887e-05,
)  # fmt: skip
"""Polynomial Q with (1 - u)^(3/2) Q(u) the part of a disc beyond the chord at u in [0, 1], to 1.4e-9 (a fit
at Chebyshev points): an order of magnitude quicker than an arcsine."""


@jax.custom_jvp
def below(u: Float[Array, "*m"]) -> Float[Array, "*m"]:
    """Fraction of a disc of radius 1 on one side of the chord at `u`: 0 below -1, 1 above 1.

    1/2 + (u sqrt(1 - u^2) + arcsin u) / pi. Its derivative is given: those of
    the terms are infinite at the edge.
    """
    size = jnp.minimum(jnp.abs(u), 1.0)
    rest = 1 - size
    value = jnp.full_like(u, BEYOND[-1])
    for term in BEYOND[-2::-1]:
        value = value * size + term
    beyond = rest * jnp.sqrt(rest) * value
    return jnp.where(u > 0, 1 - beyond, beyond)


@below.defjvp
def _below_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (u,), (du,) = primals, tangents
    return below(u), du * (2 / np.pi) * jnp.sqrt(jnp.maximum(1 - u * u, 0.0))
