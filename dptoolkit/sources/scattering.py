"""Multiple scattering in liquid argon: the width of the angle that many small deflections add up to."""

from typing import Any

from dptoolkit.constants import ARGON_RADIATION_LENGTH

KAPPA = 11.004 * 1.5**0.5
"""[MeV]: theta_0 = KAPPA / (beta p) over one radiation length. arXiv:1703.06187 finds 11.004 for Geant4
muons in liquid argon, for the angle between chords of 14 cm, which is smaller than that between tangents
by sqrt(2/3). Its other term, 0.105/p^2, is the momentum lost over 14 cm: steps follow that by themselves."""


def scattering_angle(kinetic_energy: Any, mass: Any, length: Any) -> Any:
    """Width of the projected angle [rad] after `length` [cm]; arrays of JAX or NumPy."""
    beta_p = kinetic_energy * (kinetic_energy + 2 * mass) / (kinetic_energy + mass)
    return KAPPA / beta_p * (length / ARGON_RADIATION_LENGTH) ** 0.5
