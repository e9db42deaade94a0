"""Cherenkov light of charged steps (I. Frank and I. Tamm, C. R. Acad. Sci. URSS 14 (1937) 109).

    dN / dx dlambda = 2 pi alpha z^2 sin^2(theta) / lambda^2,     cos(theta) = 1 / (n(lambda) beta)

What a sensor sees of a step depends on wavelength by four numbers only: how much of its light arrives over
a path R, the mean and the variance of its cos(theta), and its mean group index. They are smooth in R,
so each is a polynomial in R, exact at a few nodes, whose coefficients are computed once a step.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dptoolkit import constants
from dptoolkit.events import Segments
from dptoolkit.light.medium import AbstractMedium
from dptoolkit.light.spectrum import BAND_NM, WAVELENGTHS_NM, widths_nm
from dptoolkit.light.steps import Pieces
from dptoolkit.params import Component, param

NM_PER_CM = 1e7
LIGHT_SPEED_NS = constants.LIGHT_SPEED / 1e3
"""[cm/ns]"""
PATHS = 6
"""Path lengths at which the light that is left is computed exactly."""
SHAPE_TERMS = 3
"""Coefficients of the polynomials of angle and group index."""
HIGHLAND, HIGHLAND_LOG = 13.6, 0.038
"""Multiple scattering: theta_0 = 13.6 MeV / (beta p) sqrt(x/X0) (1 + 0.038 ln(x/X0)). PDG 2024."""
THINNEST = 1e-6
"""x / X0 below which the logarithm of that formula is no longer followed."""

SHARED = ("x", "y", "z", "dx", "dy", "dz", "length", "time_ns")
"""What a piece is as a motion and as a source of light."""

PerPiece = Float[Array, " m"]


class Emission(eqx.Module):
    """Pieces of steps as sources of light: one array a coordinate.

    Polynomials are in u = 2 R / longest - 1, R the path of the light and `longest` that of the tank.
    """

    x: PerPiece
    y: PerPiece
    z: PerPiece
    dx: PerPiece
    dy: PerPiece
    dz: PerPiece
    """Direction of the particle, a unit vector."""
    length: PerPiece
    """[cm]"""
    time_ns: PerPiece
    pe: PerPiece
    """Photoelectrons of all its light, if it hit sensors head on before any is lost."""
    log_left: Float[Array, "m a"]
    """Logarithm of the fraction that is left after a path."""
    cosine: Float[Array, "m b"]
    """Mean of cos(theta)."""
    variance: Float[Array, "m b"]
    """Of cos(theta)."""
    group_index: Float[Array, "m b"]


class Cherenkov(Component):
    """Light of charged steps above the threshold."""

    radiation_length: Array = param(
        36.08, "cm", bounds=(1.0, 1e12), symbol="X0", scale="inverse",
        reference="water, PDG 2024; particles scatter inside a step",
    )  # fmt: skip

    def photons(self, beta: PerPiece, medium: AbstractMedium) -> Float[Array, "m w"]:
        """Photons per length and wavelength [1/(cm nm)] of unit charges at `WAVELENGTHS_NM`."""
        wavelength = jnp.asarray(WAVELENGTHS_NM, beta.dtype)
        sine2 = 1 - 1 / (medium.index(wavelength) * beta[:, None]) ** 2
        return 2 * np.pi * constants.FINE_STRUCTURE * NM_PER_CM * jnp.maximum(sine2, 0.0) / wavelength**2

    def counted(self, segments: Segments, pieces: Pieces, medium: AbstractMedium) -> PerPiece:
        """Photons within `BAND_NM` of every piece."""
        motion = _motion(segments, pieces)
        band = (BAND_NM[0] <= WAVELENGTHS_NM) & (BAND_NM[1] >= WAVELENGTHS_NM)
        width = np.gradient(WAVELENGTHS_NM)[band]
        width[[0, -1]] /= 2
        return motion.length * (self.photons(motion.beta, medium)[:, band] @ width.astype(motion.beta.dtype))

    def __call__(
        self,
        segments: Segments,
        pieces: Pieces,
        medium: AbstractMedium,
        efficiency: Float[Array, " w"],
        longest_path: float,
    ) -> Emission:
        """Emission of `pieces` (of one chunk) of `segments`, for sensors of this `efficiency`."""
        motion = _motion(segments, pieces)
        wavelength = jnp.asarray(WAVELENGTHS_NM, efficiency.dtype)
        weight = self.photons(motion.beta, medium) * efficiency * widths_nm().astype(efficiency.dtype)
        u, full, few = _path_nodes()
        path = jnp.asarray((u + 1) / 2 * longest_path, efficiency.dtype)
        left = jnp.exp(-medium.extinction(wavelength)[:, None] * path)
        cosine = 1 / (medium.index(wavelength) * motion.beta[:, None])
        total = weight @ left
        shines = total[:, :1] > 0
        some = jnp.where(shines, total, 1.0)
        mean = jnp.where(shines, (weight * cosine) @ left / some, 0.0)
        # about the mean at R = 0: the difference of two large moments would lose its digits
        offset = cosine - mean[:, :1]
        variance = (weight * offset**2) @ left / some - ((weight * offset) @ left / some) ** 2
        mean, variance = self._scattered(motion, mean, jnp.maximum(variance, 0.0))
        group_index = (weight * medium.group_index(wavelength)) @ left / some
        few, full = jnp.asarray(few, path.dtype), jnp.asarray(full, path.dtype)
        return Emission(
            **{
                name: getattr(motion, name) for name in ("x", "y", "z", "dx", "dy", "dz", "length", "time_ns")
            },
            pe=motion.length * total[:, 0],
            log_left=jnp.log(some / some[:, :1]) @ full,
            cosine=mean @ few,
            variance=variance @ few,
            group_index=group_index @ few,
        )

    def _scattered(
        self, motion: "Motion", cosine: Float[Array, "m k"], variance: Float[Array, "m k"]
    ) -> tuple[Array, Array]:
        """Mean and variance of cos(theta) about the chord of a piece, whose inside directions scatter.

        The direction of a Wiener process about its own chord has theta_0^2 / 6 in each plane.
        """
        thickness = jnp.maximum(motion.length / self.radiation_length, THINNEST)
        theta = HIGHLAND / motion.momentum_beta * (1 + HIGHLAND_LOG * jnp.log(thickness))
        plane = (theta**2 * motion.length / self.radiation_length / 6)[:, None]
        plane = jnp.minimum(plane, 0.5)
        return cosine * (1 - plane), variance + (1 - cosine**2) * plane


class Motion(eqx.Module):
    """Where a piece is, where it goes and how fast."""

    x: PerPiece
    y: PerPiece
    z: PerPiece
    dx: PerPiece
    dy: PerPiece
    dz: PerPiece
    length: PerPiece
    time_ns: PerPiece
    beta: PerPiece
    momentum_beta: PerPiece
    """[MeV]"""


def _motion(segments: Segments, pieces: Pieces) -> Motion:
    """Of the middle of every piece; padding is at rest and has no length."""
    which, real = pieces.segment, segments.start.dtype
    low, high, mass = (jnp.asarray(part, real) for part in (pieces.low, pieces.high, pieces.mass))
    middle = (low + high) / 2
    assert segments.kinetic is not None
    kinetic = segments.kinetic[which]
    energy = kinetic[:, 0] + (kinetic[:, 1] - kinetic[:, 0]) * middle
    on_the_way = kinetic[:, 0] + (kinetic[:, 1] - kinetic[:, 0]) * middle / 2
    gamma = 1 + jnp.where(pieces.live, energy, 1.0) / mass
    beta = jnp.sqrt(1 - 1 / gamma**2)
    before = jnp.sqrt(1 - 1 / (1 + jnp.where(pieces.live, on_the_way, 1.0) / mass) ** 2)
    point = segments.start[which] + (segments.end - segments.start)[which] * middle[:, None]
    direction = segments.direction[which]
    path = segments.dx[which]
    return Motion(
        *(point[:, axis] for axis in range(3)),
        *(direction[:, axis] for axis in range(3)),
        length=jnp.where(pieces.live, path * (high - low), 0.0),
        time_ns=1e3 * segments.t0[which] + path * middle / (before * LIGHT_SPEED_NS),
        beta=beta,
        momentum_beta=mass * gamma * beta**2,
    )


def _path_nodes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(nodes u in [-1, 1] with both ends, values -> all coefficients, values -> the first few of a fit)."""
    u = -np.cos(np.pi * np.arange(PATHS) / (PATHS - 1))
    powers = np.vander(u, PATHS, increasing=True)
    return u, np.linalg.inv(powers).T, np.linalg.pinv(powers[:, :SHAPE_TERMS]).T
