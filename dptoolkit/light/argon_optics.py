"""What liquid argon and the walls around it do to light of 128 nm: declared here for all that need it."""

from typing import Any

from jaxtyping import Array

from dptoolkit.params import Component, param


def absorption() -> Any:
    """Field of an absorption length."""
    return param(
        4000.0, "cm", bounds=(50.0, 1e6), symbol="L_abs", scale="inverse", reference="20 to 66 m at 128 nm"
    )


def rayleigh() -> Any:
    """Field of a length of Rayleigh scattering."""
    return param(
        99.0,
        "cm",
        bounds=(10.0, 1e6),
        symbol="L_R",
        scale="inverse",
        reference="99.1 +- 2.3 cm, arXiv:2002.09346",
    )


def group_speed() -> Any:
    """Field of the speed of light pulses."""
    return param(13.4, "cm/ns", bounds=(5.0, 30.0), symbol="v_g", reference="group velocity at 128 nm")


def interaction_length(absorption_length: Array, rayleigh_length: Array) -> Array:
    """Until absorption or scattering, whichever is first [cm]."""
    return 1 / (1 / absorption_length + 1 / rayleigh_length)


class ArgonOptics(Component):
    """Absorption, scattering, and walls that reflect: a share `specular` as mirrors, the rest diffusely."""

    absorption_length: Array = absorption()
    rayleigh_length: Array = rayleigh()
    speed: Array = group_speed()
    reflectivity: Array = param(
        0.1,
        "1",
        bounds=(0.0, 1.0),
        symbol="R_w",
        reference="assumed; 0.10 to 0.15 measured for aluminium and steel, arXiv:2601.16293",
    )
    specular: Array = param(
        0.5, "1", bounds=(0.0, 1.0), symbol="f_spec", reference="assumed; share of what is reflected"
    )

    @property
    def interaction_length(self) -> Array:
        """Until absorption or scattering, whichever is first [cm]."""
        return interaction_length(self.absorption_length, self.rayleigh_length)
