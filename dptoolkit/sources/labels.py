"""What a particle is called: how it was made, and the class of the picture it leaves."""

from enum import IntEnum

import numpy as np


class Process(IntEnum):
    """How a particle came about (column `process`)."""

    PRIMARY = 0
    IONISATION = 1
    BREMSSTRAHLUNG = 2
    PAIR = 3
    COMPTON = 4
    PHOTOELECTRIC = 5
    ANNIHILATION = 6
    DECAY = 7


class Semantic(IntEnum):
    """Class of the picture a particle leaves (column `semantic`), numbered as in reconstruction chains."""

    SHOWER = 0
    TRACK = 1
    MICHEL = 2
    DELTA = 3
    LOW_ENERGY = 4


def semantic_of(
    process: np.ndarray, pdg: np.ndarray, mother_pdg: np.ndarray, mother: np.ndarray
) -> np.ndarray:
    """Class of daughters: a delta ray and a Michel electron begin their own, a shower passes it on.

    What photons of a delta ray or a Michel electron make elsewhere is LOW_ENERGY.
    """
    found = mother.copy()
    heavy = (np.abs(mother_pdg) != 11) & (mother_pdg != 22)
    found[(mother_pdg == 22) & (mother != Semantic.SHOWER)] = Semantic.LOW_ENERGY
    found[(process == Process.IONISATION) & heavy] = Semantic.DELTA
    decay = process == Process.DECAY
    if decay.any():
        light = (np.abs(pdg) == 11) | (pdg == 22)
        found[decay] = Semantic.TRACK
        found[decay & light] = Semantic.SHOWER
        found[decay & light & (np.abs(mother_pdg) == 13)] = Semantic.MICHEL
    return found


def begins_group(process: np.ndarray, mother_pdg: np.ndarray) -> np.ndarray:
    """Whether daughters begin a group of their own; else they belong to the mother's."""
    delta = (process == Process.IONISATION) & (np.abs(mother_pdg) != 11)
    return (process == Process.DECAY) | delta


def semantic_of_primary(pdg: np.ndarray) -> np.ndarray:
    """Electrons, photons and neutral pions begin showers, the others tracks."""
    return np.where(np.isin(np.abs(pdg), (11, 22, 111)), Semantic.SHOWER, Semantic.TRACK)
