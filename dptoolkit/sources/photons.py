"""Photons between the charged particles: Compton scattering, pairs, photoelectric effect."""

from typing import Any

import numpy as np

from dptoolkit.constants import ELECTRON_MASS, LIGHT_SPEED
from dptoolkit.sources.dice import Dice, turned
from dptoolkit.sources.labels import Process
from dptoolkit.sources.loss_tables import loss_tables
from dptoolkit.sources.particles import Brood, Particles

ABSORBED = 0.02
"""A photon below this energy is absorbed where it is [MeV]."""
TRIES = 64
"""Of the rejection that samples Klein and Nishina; each succeeds with more than 1/2."""


def photon_step(live: Particles, deposits: Any, box: Any) -> tuple[list[Particles], list[Brood]]:
    """Every photon flies to its next interaction; scattered photons, and electrons to be born."""
    dice = live.dice()
    flight, choice = dice.uniforms(2)
    rates = loss_tables().photon_rates(live.energy)
    total = rates[0] + rates[1] + rates[2]
    soft = live.energy < ABSORBED
    path = np.where(soft, 0.0, -np.log(flight) / total)
    there = Particles(live.real.copy(), live.whole.copy(), live.key)
    for axis in range(3):
        there.real[axis] += path * live.real[3 + axis]
    there.real[7] += path / LIGHT_SPEED
    there.whole[-1] += 1
    inside = np.all((there.real[:3] >= box[0][:, None]) & (there.real[:3] <= box[1][:, None]), axis=0)
    choice = choice * total
    compton = inside & ~soft & (choice < rates[0])
    pair = inside & ~soft & ~compton & (choice < rates[0] + rates[1])
    absorbed = inside & ~compton & ~pair
    broods: list[Brood] = []
    scattered = there[compton]
    for chosen, interact in ((compton, _compton), (pair, _pair), (absorbed, _photoelectric)):
        if chosen.any():
            photon = scattered if interact is _compton else there[chosen]
            broods += interact(photon, dice.of(chosen))
    return [scattered], broods


def _compton(photon: Particles, dice: Dice) -> list[Brood]:
    """The electron; the photon goes on with what is left."""
    k = photon.energy.copy()
    share = klein_nishina_share(k, dice.branch(1))
    cosine = np.clip(1 - ELECTRON_MASS / k * (1 / share - 1), -1.0, 1.0)
    way = turned(photon.direction, cosine, 2 * np.pi * dice.uniform())
    recoil = [before - share * after for before, after in zip(photon.direction, way, strict=True)]
    norm = np.maximum(np.sqrt(recoil[0] ** 2 + recoil[1] ** 2 + recoil[2] ** 2), 1e-12)
    energy = np.maximum(k * (1 - share), 1e-9)
    electron = Brood.of(photon, Process.COMPTON, 11, dice.bits(), energy=energy)
    electron.moving(tuple(one / norm for one in recoil))
    photon.real[6] = k * share
    for row, component in zip((3, 4, 5), way, strict=True):
        photon.real[row] = component
    return [electron]


def klein_nishina_share(k: np.ndarray, dice: Dice) -> np.ndarray:
    """Energy of the scattered photon over `k`: J. C. Butcher and H. Messel, Nucl. Phys. 20 (1960) 15."""
    least = 1 / (1 + 2 * k / ELECTRON_MASS)
    first, second = -np.log(least), 0.5 * (1 - least**2)
    share, waiting = np.ones(len(k)), np.ones(len(k), bool)
    for _ in range(TRIES):
        flat, branch, accept = dice.uniforms(3)
        trial = np.where(
            branch * (first + second) < first,
            np.exp(-first * flat),
            np.sqrt(least**2 + (1 - least**2) * flat),
        )
        t = ELECTRON_MASS / k * (1 / trial - 1)
        accepted = waiting & (accept < 1 - trial * t * (2 - t) / (1 + trial**2))
        share = np.where(accepted, trial, share)
        waiting &= ~accepted
        if not waiting.any():
            break
    return share


def _pair(photon: Particles, dice: Dice) -> list[Brood]:
    """Electron and positron; how they share the energy is taken as uniform."""
    kinetic = photon.energy - 2 * ELECTRON_MASS
    share, azimuth, *width = dice.uniforms(4)
    made = []
    for pdg, part, side, u in ((11, share, 0.0, width[0]), (-11, 1 - share, np.pi, width[1])):
        energy = np.maximum(kinetic * part, 1e-9)
        angle = np.minimum(-np.log(u) * ELECTRON_MASS / (energy + ELECTRON_MASS), np.pi / 2)
        way = turned(photon.direction, np.cos(angle), 2 * np.pi * azimuth + side)
        made.append(Brood.of(photon, Process.PAIR, pdg, dice.bits(), energy=energy).moving(way))
    return made


def _photoelectric(photon: Particles, dice: Dice) -> list[Brood]:
    """The electron gets all of the energy; the binding energy is released at the same place."""
    return [Brood.of(photon, Process.PHOTOELECTRIC, 11, dice.bits())]
