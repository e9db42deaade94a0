"""Cherenkov light of charged steps (I. Frank and I. Tamm, C. R. Acad. Sci. URSS 14 (1937) 109).

    dN / dx dlambda = 2 pi alpha z^2 sin^2(theta) / lambda^2,     cos(theta) = 1 / (n(lambda) beta)

What a sensor sees of a step depends on wavelength by four numbers only: how much of its light arrives over
a path R, the mean and the variance of its cos(theta), and its mean group index. They are smooth in R,
so each is a polynomial in R, exact at a few nodes, whose coefficients are computed once a step.
"""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dptoolkit import constants
from dptoolkit.events import Segments
from dptoolkit.light.medium import AbstractMedium, Spectrum
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
RATE = 2 * np.pi * constants.FINE_STRUCTURE * NM_PER_CM
"""Photons per length, wavelength, sin^2(theta) and 1 / wavelength^2 [nm/cm]."""
HIGHLAND, HIGHLAND_LOG = 13.6, 0.038
"""Multiple scattering: theta_0 = 13.6 MeV / (beta p) sqrt(x/X0) (1 + 0.038 ln(x / (X0 beta^2))). PDG 2024."""
THINNEST = 1e-6
"""x / X0 below which the logarithm of that formula is no longer followed."""

LEAST_LEFT = 1e-30
"""Fraction of the light below which a path absorbs it all."""

SHAPES = ("cosine", "variance", "group_index", "group_variance", "group_covariance")
"""What is a short polynomial in the path."""

PerPiece = Float[Array, " m"]


class Line(eqx.Module):
    """The middle of every piece of a step, its direction, length and time: one array a coordinate."""

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


class Emission(Line):
    """Pieces of steps as sources of light.

    Polynomials are in u = 2 R / longest - 1, R the path of the light and `longest` that of the tank.
    """

    pe: PerPiece
    """Photoelectrons of all its light, if it hit sensors head on before any is lost."""
    log_left: Float[Array, "m a"]
    """Logarithm of the fraction that is left after a path."""
    cosine: Float[Array, "m b"]
    """Mean of cos(theta)."""
    variance: Float[Array, "m b"]
    """Of cos(theta)."""
    group_index: Float[Array, "m b"]
    """Mean group index."""
    group_variance: Float[Array, "m b"]
    group_covariance: Float[Array, "m b"]
    """Of group index and cos(theta): blue light goes wider and comes later."""


class Optics(eqx.Module):
    """What light of every wavelength meets, the same for all steps."""

    index: Spectrum
    group_index: Spectrum
    rate: Spectrum
    """Photoelectrons per length of track and sin^2(theta) [1/cm], if all light hit sensors head on."""
    left: Float[Array, "w k"]
    """Fraction that is left after each of the path lengths of the polynomials."""

    @classmethod
    def of(cls, medium: AbstractMedium, efficiency: Spectrum, longest_path: float) -> "Optics":
        """For sensors of this `efficiency` at `WAVELENGTHS_NM`."""
        wavelength = jnp.asarray(WAVELENGTHS_NM, efficiency.dtype)
        path = (_path_nodes()[0] + 1) / 2 * longest_path
        return cls(
            medium.index(wavelength),
            medium.group_index(wavelength),
            efficiency * (RATE * widths_nm() / WAVELENGTHS_NM**2).astype(efficiency.dtype),
            jnp.exp(-medium.extinction(wavelength)[:, None] * path.astype(efficiency.dtype)),
        )


class Cherenkov(Component):
    """Light of charged steps above the threshold."""

    radiation_length: Array = param(
        36.08, "cm", bounds=(1.0, 1e12), symbol="X0", scale="inverse",
        reference="water, PDG 2024; particles scatter inside a step",
    )  # fmt: skip

    def counted(self, segments: Segments, pieces: Pieces, medium: AbstractMedium) -> PerPiece:
        """Photons within `BAND_NM` of every piece."""
        motion = _motion(segments, pieces)
        band = WAVELENGTHS_NM[(BAND_NM[0] <= WAVELENGTHS_NM) & (BAND_NM[1] >= WAVELENGTHS_NM)]
        rate = (RATE * widths_nm(band) / band**2).astype(motion.beta.dtype)
        index = medium.index(jnp.asarray(band, motion.beta.dtype))
        return motion.length * (_sine2(1 / (index * motion.beta[:, None])) @ rate)

    def __call__(self, segments: Segments, pieces: Pieces, optics: Optics) -> Emission:
        """Emission of `pieces` (of one chunk) of `segments`."""
        motion = _motion(segments, pieces)
        cosine = 1 / (optics.index * motion.beta[:, None])
        weight = optics.rate * _sine2(cosine)
        near = jnp.sum(weight, axis=1, keepdims=True)
        # about means: the difference of two large moments would lose its digits
        middle = jnp.sum(weight * cosine, axis=1, keepdims=True) / jnp.where(near > 0, near, 1.0)
        group_middle = jnp.mean(optics.group_index)
        angle, group = cosine - middle, optics.group_index - group_middle
        terms = [weight, weight * angle, weight * angle**2]
        terms += [weight * group, weight * group**2, weight * group * angle]
        total, *moments = jnp.stack(terms) @ optics.left
        some = jnp.where(near > 0, jnp.maximum(total, LEAST_LEFT * near), 1.0)
        shift, square, later, group_square, product = (moment / some for moment in moments)
        mean, variance = self._scattered(motion, middle + shift, jnp.maximum(square - shift**2, 0.0))
        shapes = (mean, variance, group_middle + later, group_square - later**2, product - later * shift)
        _, full, few = (table.astype(total.dtype) for table in _path_nodes())
        return Emission(
            **{field.name: getattr(motion, field.name) for field in dataclasses.fields(Line)},
            pe=motion.length * total[:, 0],
            log_left=jnp.log(some / some[:, :1]) @ full,
            **dict(zip(SHAPES, jnp.stack(shapes) @ few, strict=True)),
        )

    def _scattered(
        self, motion: "Motion", cosine: Float[Array, "m k"], variance: Float[Array, "m k"]
    ) -> tuple[Array, Array]:
        """Mean and variance of cos(theta) about the chord of a piece, whose inside directions scatter.

        The direction of a Wiener process about its own chord has theta_0^2 / 6 in each plane.
        """
        thickness = jnp.maximum(motion.length / self.radiation_length, THINNEST)
        logarithm = jnp.log(thickness / motion.beta**2)
        theta = HIGHLAND / motion.momentum_beta * (1 + HIGHLAND_LOG * logarithm)
        plane = (theta**2 * motion.length / self.radiation_length / 6)[:, None]
        plane = jnp.minimum(plane, 0.5)
        return cosine * (1 - plane), variance + (1 - cosine**2) * plane


class Motion(Line):
    """Where a piece is, where it goes and how fast."""

    beta: PerPiece
    momentum_beta: PerPiece
    """[MeV]"""


def _sine2(cosine: Float[Array, "m w"]) -> Float[Array, "m w"]:
    """sin^2(theta), 0 below the threshold."""
    return jnp.maximum(1 - cosine**2, 0.0)


def _motion(segments: Segments, pieces: Pieces) -> Motion:
    """Of the middle of every piece; padding moves but has no length."""
    assert segments.kinetic is not None
    which, live, real = pieces.segment, pieces.live, segments.start.dtype
    low, high, mass = (jnp.asarray(part, real) for part in (pieces.low, pieces.high, pieces.mass))
    middle = (low + high) / 2
    start, step = segments.start[which], (segments.end - segments.start)[which]
    path = jnp.where(live, segments.dx[which], 1.0)
    first, last = jnp.where(live[:, None], segments.kinetic[which], 1.0).T
    gamma = 1 + (first + (last - first) * middle) / mass
    before = 1 + (first + (last - first) * middle / 2) / mass
    beta = jnp.sqrt(1 - 1 / gamma**2)
    unit = step / jnp.sqrt(jnp.where(live, jnp.sum(step**2, axis=1), 1.0))[:, None]
    on_the_way = path * middle / (jnp.sqrt(1 - 1 / before**2) * LIGHT_SPEED_NS)
    return Motion(
        *(start + step * middle[:, None]).T,
        *unit.T,
        length=jnp.where(live, path * (high - low), 0.0),
        time_ns=1e3 * segments.t0[which] + on_the_way,
        beta=beta,
        momentum_beta=mass * gamma * beta**2,
    )


def _path_nodes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(nodes u in [-1, 1] with both ends, values -> all coefficients, values -> the first few of a fit)."""
    u = -np.cos(np.pi * np.arange(PATHS) / (PATHS - 1))
    powers = np.vander(u, PATHS, increasing=True)
    return u, np.linalg.inv(powers).T, np.linalg.pinv(powers[:, :SHAPE_TERMS]).T
