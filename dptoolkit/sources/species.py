"""The particles that sources know: mass, charge, PDG number."""

from dataclasses import dataclass

from dptoolkit import constants


@dataclass(frozen=True)
class Species:
    """A kind of particle and its antiparticle."""

    name: str
    mass: float
    """[MeV]"""
    pdg: int
    """Number of the particle that `name` means; its antiparticle has the opposite one."""


ELECTRON = Species("electron", constants.ELECTRON_MASS, 11)
MUON = Species("muon", constants.MUON_MASS, 13)
PION = Species("pion", constants.PION_MASS, 211)
KAON = Species("kaon", constants.KAON_MASS, 321)
PROTON = Species("proton", constants.PROTON_MASS, 2212)
SPECIES = {species.name: species for species in (ELECTRON, MUON, PION, KAON, PROTON)}
HEAVY = (MUON, PION, KAON, PROTON)
"""Charged particles that lose energy by Bethe's formula."""
PHOTON_PDG, NEUTRAL_PION_PDG = 22, 111


def species_named(name: str) -> Species:
    """The species of that name."""
    if name not in SPECIES:
        raise ValueError(f"species {name!r}: expected one of {', '.join(SPECIES)}")
    return SPECIES[name]
