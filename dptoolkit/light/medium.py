"""Transparent media: refractive index, group index, absorption and scattering against wavelength.

Water: index of Daimon and Masumura, Appl. Opt. 46 (2007) 3811 (20 C); absorption and scattering as measured
in Super-Kamiokande, NIM A 737 (2014) 253 (arXiv:1307.0162), with the absorption of Pope and Fry, Appl.
Opt. 36 (1997) 8710, above 464 nm.
"""

from abc import abstractmethod

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dptoolkit.params import Component, param

Spectrum = Float[Array, " w"]

SELLMEIER = (
    (5.684027565e-1, 5.101829712e-3),
    (1.726177391e-1, 1.821153936e-2),
    (2.086189578e-2, 2.620722293e-2),
    (1.130748688e-1, 1.069792721e1),
)
"""n^2 - 1 = sum of A l^2 / (l^2 - B), l in um: (A, B [um2]). Daimon and Masumura, water of 20 C."""

POPE_FRY_NM = tuple(range(460, 701, 10))
POPE_FRY = (
    0.00979, 0.0106, 0.0127, 0.0150, 0.0204, 0.0325, 0.0409, 0.0434, 0.0474, 0.0565, 0.0619, 0.0695, 0.0896,
    0.1351, 0.2224, 0.2644, 0.2755, 0.2916, 0.3108, 0.340, 0.410, 0.439, 0.465, 0.516, 0.624,
)  # fmt: skip
"""Absorption of pure water [1/m] at `POPE_FRY_NM`. Pope and Fry, Appl. Opt. 36 (1997) 8710, table 3."""

JOINT_NM = 464.0
"""Below, absorption is Super-Kamiokande's formula; above, Pope and Fry's."""

SYMMETRIC, SYMMETRIC_2 = 8.51e7, 1.14e5
"""Symmetric scattering 8.51e7 / l^4 (1 + 1.14e5 / l^2) [1/m], l in nm. arXiv:1307.0162."""
ASYMMETRIC, ASYMMETRIC_NM = 4.62e6, 392.0
"""Asymmetric scattering proportional to 1 + 4.62e6 / l^4 (l - 392)^2, l in nm. arXiv:1307.0162."""

CM_PER_M = 100.0


class AbstractMedium(Component):
    """What light meets between emission and sensor. Lengths are in cm."""

    @abstractmethod
    def index(self, wavelength_nm: Spectrum) -> Spectrum:
        """Refractive index."""

    @abstractmethod
    def group_index(self, wavelength_nm: Spectrum) -> Spectrum:
        """N - lambda dn/dlambda: light pulses travel at c over this."""

    @abstractmethod
    def absorption(self, wavelength_nm: Spectrum) -> Spectrum:
        """Per length [1/cm]."""

    @abstractmethod
    def scattering(self, wavelength_nm: Spectrum) -> Spectrum:
        """Of all kinds together [1/cm]."""

    def extinction(self, wavelength_nm: Spectrum) -> Spectrum:
        """What direct light loses [1/cm]: scattered light is no longer direct."""
        return self.absorption(wavelength_nm) + self.scattering(wavelength_nm)


class Clear(AbstractMedium):
    """One index and one attenuation length at every wavelength: for limits that can be computed by hand."""

    n: Array = param(1.33, "1", bounds=(1.0, 2.0), symbol="n")
    attenuation_length: Array = param(1e9, "cm", bounds=(1.0, 1e12), symbol="L", scale="inverse")

    def index(self, wavelength_nm: Spectrum) -> Spectrum:
        return jnp.broadcast_to(self.n, wavelength_nm.shape)

    def group_index(self, wavelength_nm: Spectrum) -> Spectrum:
        return self.index(wavelength_nm)

    def absorption(self, wavelength_nm: Spectrum) -> Spectrum:
        return jnp.broadcast_to(1 / self.attenuation_length, wavelength_nm.shape)

    def scattering(self, wavelength_nm: Spectrum) -> Spectrum:
        return jnp.zeros_like(wavelength_nm)


class Water(AbstractMedium):
    """Purified water; see the module for the formulas."""

    index_shift: Array = param(
        0.0, "1", bounds=(-0.02, 0.02), symbol="dn", reference="added to Daimon and Masumura 2007, 20 C",
    )  # fmt: skip
    absorption_scale: Array = param(
        0.624, "1", bounds=(0.05, 5.0), symbol="P0", typical=(0.4, 0.9), scale="log",
        reference="arXiv:1307.0162; relative to its value also above 464 nm",
    )  # fmt: skip
    absorption_uv: Array = param(
        2.96e7, "nm**4/m", bounds=(0.0, 1e9), symbol="P1", reference="arXiv:1307.0162"
    )
    absorption_blue: Array = param(
        3.24e-2, "1/m", bounds=(0.0, 1.0), symbol="P2", reference="arXiv:1307.0162"
    )
    absorption_power: Array = param(10.9, "1", bounds=(2.0, 20.0), symbol="P3", reference="arXiv:1307.0162")
    symmetric: Array = param(
        1.0, "1", bounds=(0.1, 10.0), symbol="S_sym", typical=(0.7, 1.4), scale="log",
        reference="scale of arXiv:1307.0162",
    )  # fmt: skip
    asymmetric: Array = param(1e-4, "1/m", bounds=(0.0, 1e-1), symbol="S_asym", reference="arXiv:1307.0162")

    def index(self, wavelength_nm: Spectrum) -> Spectrum:
        square, _ = _sellmeier(wavelength_nm)
        return jnp.sqrt(square) + self.index_shift

    def group_index(self, wavelength_nm: Spectrum) -> Spectrum:
        square, slope = _sellmeier(wavelength_nm)
        n = jnp.sqrt(square)
        return n + self.index_shift - slope / (2 * n)

    def absorption(self, wavelength_nm: Spectrum) -> Spectrum:
        uv = self.absorption_uv / wavelength_nm**4
        blue = self.absorption_blue * (wavelength_nm / 500) ** self.absorption_power
        red = jnp.interp(wavelength_nm, np.array(POPE_FRY_NM, float), np.array(POPE_FRY)) / _P0
        return self.absorption_scale * jnp.where(wavelength_nm < JOINT_NM, uv + blue, red) / CM_PER_M

    def scattering(self, wavelength_nm: Spectrum) -> Spectrum:
        symmetric = self.symmetric * SYMMETRIC / wavelength_nm**4 * (1 + SYMMETRIC_2 / wavelength_nm**2)
        forward = 1 + ASYMMETRIC / wavelength_nm**4 * (wavelength_nm - ASYMMETRIC_NM) ** 2
        return (symmetric + self.asymmetric * forward) / CM_PER_M


_P0 = 0.624
"""`absorption_scale` for which absorption above `JOINT_NM` is that of pure water. arXiv:1307.0162."""


def _sellmeier(wavelength_nm: Spectrum) -> tuple[Spectrum, Spectrum]:
    """n^2, and its slope l d(n^2)/dl."""
    square = (wavelength_nm / 1000) ** 2
    value = 1 + sum(a * square / (square - b) for a, b in SELLMEIER)
    slope = sum(-2 * a * b * square / (square - b) ** 2 for a, b in SELLMEIER)
    return jnp.asarray(value), jnp.asarray(slope)
