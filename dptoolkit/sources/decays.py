"""What becomes of particles that stop, and of neutral pions.

mu+ decays (2197 ns); mu- in argon decays in 25.5 % of the cases and is captured otherwise (568 ns);
pi+ -> mu+ nu (26 ns); K+ -> mu+ nu or pi+ pi0 (12.4 ns), in the ratio of these two; positrons annihilate.
What the capture of mu-, pi- and K- by a nucleus makes is not modelled, nor other decays of the kaon.
"""

from typing import Any

import numpy as np

from dptoolkit.constants import (
    ELECTRON_MASS,
    KAON_MASS,
    MUON_MASS,
    NEUTRAL_PION_MASS,
    PION_MASS,
)
from dptoolkit.sources.dice import Dice, turned
from dptoolkit.sources.labels import Process
from dptoolkit.sources.particles import Brood, Particles

LIFETIME = {-13: 2.197, 13: 0.568, 211: 0.026033, 321: 0.01238}
"""At rest in argon [us]; PDG 2024, mu-: arXiv:1703.06187 and references there."""
MUON_DECAYS = 0.255
"""Share of stopped mu- that decay before a nucleus captures them."""
KAON_TO_MUON = 0.6356 / (0.6356 + 0.2067)
"""PDG 2024, of the two modes modelled."""
MICHEL_NODES = np.linspace(0, 1, 2001)
"""Energy over its end point; the spectrum is x^2 (3 - 2x), its integral 2x^3 - x^4."""
MICHEL_END = (MUON_MASS**2 + ELECTRON_MASS**2) / (2 * MUON_MASS)
"""Largest total energy of the electron [MeV]."""


def at_rest(stopped: Particles) -> list[Brood]:
    """The products of particles that have stopped."""
    made: list[Brood] = []
    if not len(stopped):
        return made
    for pdg, decay in ((-11, _annihilate), (13, _michel), (-13, _michel), (211, _pion), (321, _kaon)):
        chosen = stopped.pdg == pdg
        if chosen.any():
            mother = stopped[chosen]
            made += decay(mother, mother.dice().branch(7))
    return made


def decay_in_flight(live: Particles, deposits: Any, box: Any) -> tuple[list[Particles], list[Brood]]:
    """Neutral pions, at once, to two photons."""
    dice = live.dice()
    gamma = 1 + live.energy / NEUTRAL_PION_MASS
    beta = np.sqrt(1 - 1 / gamma**2)
    cosine, azimuth = 2 * dice.uniform() - 1, 2 * np.pi * dice.uniform()
    made = []
    for sign in (1.0, -1.0):
        energy = NEUTRAL_PION_MASS / 2 * gamma * (1 + sign * beta * cosine)
        forward = (sign * cosine + beta) / (1 + sign * beta * cosine)
        way = turned(live.direction, np.clip(forward, -1, 1), azimuth + (0.0 if sign > 0 else np.pi))
        made.append(_product(live, dice, 22, energy, way))
    return [], made


def _michel(mother: Particles, dice: Dice) -> list[Brood]:
    decays = (mother.pdg < 0) | (dice.uniform() < MUON_DECAYS)
    mother, dice = mother[decays], dice.of(decays)
    if not len(mother):
        return []
    mother.real[7] += dice.exponential() * np.where(mother.pdg < 0, LIFETIME[-13], LIFETIME[13])
    x = np.interp(dice.uniform(), 2 * MICHEL_NODES**3 - MICHEL_NODES**4, MICHEL_NODES)
    energy = np.maximum(x * MICHEL_END - ELECTRON_MASS, 1e-3)
    pdg = np.where(mother.pdg > 0, 11, -11)
    return [_product(mother, dice, pdg, energy, dice.direction())]


def _pion(mother: Particles, dice: Dice) -> list[Brood]:
    mother.real[7] += dice.exponential() * LIFETIME[211]
    energy = np.full(len(mother), (PION_MASS - MUON_MASS) ** 2 / (2 * PION_MASS))
    return [_product(mother, dice, -13, energy, dice.direction())]


def _kaon(mother: Particles, dice: Dice) -> list[Brood]:
    mother.real[7] += dice.exponential() * LIFETIME[321]
    to_muon = dice.uniform() < KAON_TO_MUON
    energy = np.full(len(mother), (KAON_MASS - MUON_MASS) ** 2 / (2 * KAON_MASS))
    way = dice.direction()
    made = []
    if to_muon.any():
        some = tuple(one[to_muon] for one in way)
        made.append(_product(mother[to_muon], dice.of(to_muon), -13, energy[to_muon], some))
    if not to_muon.all():
        pions, own = mother[~to_muon], dice.of(~to_muon)
        some = tuple(one[~to_muon] for one in way)
        for sign, pdg, mass, other in (
            (1, 211, PION_MASS, NEUTRAL_PION_MASS),
            (-1, 111, NEUTRAL_PION_MASS, PION_MASS),
        ):
            total = (KAON_MASS**2 + mass**2 - other**2) / (2 * KAON_MASS)
            back = tuple(sign * one for one in some)
            made.append(_product(pions, own, pdg, np.full(len(pions), total - mass), back))
    return made


def _annihilate(mother: Particles, dice: Dice) -> list[Brood]:
    """Two photons of 511 keV, back to back."""
    way = dice.direction()
    energy = np.full(len(mother), ELECTRON_MASS)
    return [
        _product(mother, dice, 22, energy, tuple(sign * one for one in way), Process.ANNIHILATION)
        for sign in (1.0, -1.0)
    ]


def _product(
    mother: Particles,
    dice: Dice,
    pdg: np.ndarray | int,
    energy: np.ndarray,
    way: tuple[np.ndarray, ...],
    process: Process = Process.DECAY,
) -> Brood:
    return Brood.of(mother, process, pdg, dice.bits(), energy=energy).moving(way)
