"""Particles step by step through liquid argon: all that are alive in a batch of events at once.

A charged step loses the continuous energy with its fluctuation, makes delta rays and bremsstrahlung, and
is deflected at its end (`scattering`; 1 - cos is exponential). Particles end at rest, in `decays`, or at
the wall of the box. An event is the same in any batch: numbers come from `dice`, order from the event.
"""

from dataclasses import dataclass, field

import numpy as np

from dptoolkit.constants import ELECTRON_MASS, LIGHT_SPEED
from dptoolkit.sources.decays import at_rest, decay_in_flight
from dptoolkit.sources.dice import Dice, turned
from dptoolkit.sources.labels import Process
from dptoolkit.sources.loss_tables import (
    CUT,
    MASS,
    MOLLER_MOST,
    PHOTON_CUT,
    loss_tables,
    moller,
)
from dptoolkit.sources.particles import NEUTRAL_PION, PHOTON, Brood, Family, Particles, joined
from dptoolkit.sources.photons import photon_step
from dptoolkit.sources.scattering import scattering_angle
from dptoolkit.sources.straggling import fluctuation

LONGEST = np.array([0.25, 0.25, 0.4, 0.4, 0.4, 0.4])
"""Longest step of electron, positron, muon, pion, kaon, proton [cm]."""
SHARE = 0.25
"""Longest step relative to the residual range."""
LAST = 0.02
"""Residual range of the last step [cm]."""
MOST_STEPS = 200_000

Box = tuple[np.ndarray, np.ndarray]


def _no_segments() -> dict[str, list[np.ndarray]]:
    whole = {name: [np.zeros(0, np.int64)] for name in ("event", "track", "pdg")}
    points = {name: [np.zeros((0, 3))] for name in ("start", "end")}
    return whole | points | {name: [np.zeros(0)] for name in ("de", "dx", "t0")}


@dataclass
class Deposits:
    """Segments as they are made, a list of arrays by column."""

    columns: dict[str, list[np.ndarray]] = field(default_factory=_no_segments)

    def add(self, **columns: np.ndarray) -> None:
        """More segments."""
        for name, column in columns.items():
            self.columns[name].append(column)

    def sorted(self) -> dict[str, np.ndarray]:
        """All columns, by event, then track, then in the order they were made."""
        table = {name: np.concatenate(parts) for name, parts in self.columns.items()}
        order = np.lexsort((table["track"], table["event"]))
        return {name: column[order] for name, column in table.items()}


def transport(primaries: Particles, n_events: int, box: Box) -> tuple[dict[str, np.ndarray], Particles]:
    """Follow all particles to their end; segments, and the particles as they were born."""
    family, deposits = Family(np.zeros(n_events, np.int64)), Deposits()
    live = family.primaries(primaries)
    for _ in range(MOST_STEPS):
        if not len(live):
            break
        kind = live.kind
        onward: list[Particles] = []
        broods: list[Brood] = []
        for chosen, step in (
            (kind < PHOTON, charged_step),
            (kind == PHOTON, photon_step),
            (kind == NEUTRAL_PION, decay_in_flight),
        ):
            if chosen.any():
                went, made = step(live[chosen], deposits, box)
                onward, broods = onward + went, broods + made
        if broods:
            onward.append(family.enter(broods))
        live = joined(onward) if onward else live[kind < 0]
    else:
        raise RuntimeError(f"particles still move after {MOST_STEPS} steps")
    born = joined(family.born)
    return deposits.sorted(), born[np.lexsort((born.track, born.event))]


def charged_step(live: Particles, deposits: Deposits, box: Box) -> tuple[list[Particles], list[Brood]]:
    """One step of all charged particles; those that go on, and daughters to be born."""
    dice, kind, before = live.dice(), live.kind, live.energy
    mass, range_, wall = MASS[kind], loss_tables().range(kind, before), distance_to_wall(live, box)
    step = np.where(range_ < LAST, range_, np.maximum(LAST, np.minimum(LONGEST[kind], SHARE * range_)))
    step = np.minimum(step, wall)
    beta2 = before * (before + 2 * mass) / (before + mass) ** 2
    xi = loss_tables().xi / beta2 * step
    stops = (step >= range_) & (step < wall)
    loss = np.where(stops, before, _continuous_loss(live, range_, step, xi, dice))
    after = before - loss
    broods, after = _delta_rays(live, dice, step, xi, after)
    light = np.flatnonzero((kind < 2) & (before > PHOTON_CUT))
    if len(light):
        photons, after[light] = _bremsstrahlung(live[light], dice.of(light), step[light], after[light])
        broods += photons
    dt = step / (LIGHT_SPEED * np.sqrt(beta2))
    _deposit(live, deposits, loss, step, dt)
    inside = step < wall
    going = inside & (after > 0)
    moved = _moved(live, step, dt)
    broods += at_rest(moved[inside & ~going])
    onward = moved[going]
    theta = scattering_angle((before + after)[going] / 2, mass[going], step[going])
    onward.real[6] = after[going]
    onward.real[3:6] = deflected(onward, dice.of(going).branch(3), theta)
    return [onward], broods


def _continuous_loss(
    live: Particles, range_: np.ndarray, step: np.ndarray, xi: np.ndarray, dice: Dice
) -> np.ndarray:
    """Mean and fluctuation of what is lost to collisions and photons below the cuts."""
    tables, kind, energy = loss_tables(), live.kind, live.energy
    rest = tables.energy(kind, np.maximum(range_ - step, 1e-9 * range_))
    mean = np.where(step < range_, tables.energy(kind, range_) - rest, energy)
    cut = np.minimum(CUT, largest_transfer(kind, energy, MASS[kind]))
    return np.clip(mean + fluctuation(xi, cut, dice.uniform()), 0.0, energy)


def largest_transfer(kind: np.ndarray, energy: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Largest energy given to one electron [MeV]; identical electrons share, the faster one goes on."""
    gamma, ratio = 1 + energy / mass, ELECTRON_MASS / mass
    heavy = 2 * ELECTRON_MASS * (gamma**2 - 1) / (1 + 2 * gamma * ratio + ratio**2)
    return np.where(kind < 2, energy / 2, heavy)


def deflected(live: Particles, dice: Dice, theta: np.ndarray) -> np.ndarray:
    """Directions after scattering of projected width `theta`: 1 - cos is exponential, up to 2."""
    square, (polar, azimuth) = theta**2, dice.uniforms(2)
    one_minus_cosine = -square * np.log1p(polar * np.expm1(-2 / square))
    return np.stack(turned(live.direction, 1 - one_minus_cosine, 2 * np.pi * azimuth))


def distance_to_wall(live: Particles, box: Box) -> np.ndarray:
    """Path to the wall of the box along the direction [cm]."""
    distance = np.full(len(live), np.inf)
    for axis in range(3):
        place, slope = live.real[axis], live.real[3 + axis]
        ahead = np.where(slope > 0, box[1][axis], box[0][axis]) - place
        safe = np.where(np.abs(slope) > 1e-12, slope, 1e-12)
        distance = np.minimum(distance, np.where(np.abs(slope) > 1e-12, ahead / safe, np.inf))
    return np.maximum(distance, 1e-6)


def _delta_rays(
    live: Particles, dice: Dice, step: np.ndarray, xi: np.ndarray, after: np.ndarray
) -> tuple[list[Brood], np.ndarray]:
    """Electrons above the cut, and the energy left. Candidates come from xi / T^2 and are thinned."""
    kind = live.kind
    limit = largest_transfer(kind, live.energy, MASS[kind])
    weight = np.where(kind < 2, MOLLER_MOST, 1.0)
    rate = np.where(limit > CUT, weight * xi * (1 / CUT - 1 / np.maximum(limit, CUT)), 0.0)
    count = dice.poisson(rate)
    made: list[Brood] = []
    for number in range(1, int(count.max(initial=0)) + 1):
        some = np.flatnonzero(count >= number)
        mother, own = live[some], dice.of(some).branch(10 + number)
        flat, accept = own.uniforms(2)
        transfer = 1 / (1 / CUT - flat * (1 / CUT - 1 / limit[some]))
        keep = accept * weight[some] < _spectrum(mother, transfer, limit[some])
        keep &= transfer < np.where(kind[some] < 2, after[some] / 2, after[some])
        some, mother, own, transfer = some[keep], mother[keep], own.of(keep), transfer[keep]
        after[some] -= transfer
        if len(some):
            made.append(_knocked_on(mother, own, transfer, step[some]))
    return made, after


def _spectrum(mother: Particles, transfer: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Relative to xi / T^2."""
    energy, mass = mother.energy, MASS[mother.kind]
    beta2 = energy * (energy + 2 * mass) / (energy + mass) ** 2
    return np.where(mother.kind < 2, moller(transfer, energy), 1 - beta2 * transfer / limit)


def _knocked_on(mother: Particles, dice: Dice, transfer: np.ndarray, step: np.ndarray) -> Brood:
    """Delta rays at the angle that energy and momentum leave them."""
    energy, mass = mother.energy, MASS[mother.kind]
    momentum = np.sqrt(energy * (energy + 2 * mass))
    cosine = transfer * (energy + mass + ELECTRON_MASS) / momentum
    cosine = np.minimum(cosine / np.sqrt(transfer * (transfer + 2 * ELECTRON_MASS)), 1.0)
    azimuth, along = dice.uniforms(2)
    brood = Brood.of(mother, Process.IONISATION, 11, dice.bits(), energy=transfer)
    brood.moving(turned(mother.direction, cosine, 2 * np.pi * azimuth))
    return _along(brood, along * step)


def _bremsstrahlung(
    live: Particles, dice: Dice, step: np.ndarray, after: np.ndarray
) -> tuple[list[Brood], np.ndarray]:
    """Photons above the cut, and the energy left."""
    after = after.copy()
    span = np.log(live.energy / PHOTON_CUT)
    count = dice.poisson(4 / 3 * loss_tables().radiation_of(live.energy) * span * step)
    made: list[Brood] = []
    for number in range(1, int(count.max(initial=0)) + 1):
        some = np.flatnonzero(count >= number)
        mother, own = live[some], dice.of(some).branch(20 + number)
        flat, accept = own.uniforms(2)
        photon = PHOTON_CUT * np.exp(span[some] * flat)
        y = photon / mother.energy
        keep = (accept < 1 - y + 0.75 * y**2) & (photon < after[some])
        some, mother, own, photon = some[keep], mother[keep], own.of(keep), photon[keep]
        after[some] -= photon
        if len(some):
            width, azimuth, along = own.uniforms(3)
            angle = np.minimum(-np.log(width) * ELECTRON_MASS / (mother.energy + ELECTRON_MASS), np.pi)
            brood = Brood.of(mother, Process.BREMSSTRAHLUNG, 22, own.bits(), energy=photon)
            brood.moving(turned(mother.direction, np.cos(angle), 2 * np.pi * azimuth))
            made.append(_along(brood, along * step[some]))
    return made, after


def _along(brood: Brood, path: np.ndarray) -> Brood:
    """The same daughters, made this far along the step of their mothers [cm]."""
    for axis in range(3):
        brood.real[axis] += path * brood.mother.real[3 + axis]
    return brood


def _moved(live: Particles, step: np.ndarray, dt: np.ndarray) -> Particles:
    """The particles at the end of the step, one step older."""
    moved = Particles(live.real.copy(), live.whole.copy(), live.key)
    for axis in range(3):
        moved.real[axis] += step * live.real[3 + axis]
    moved.real[7] += dt
    moved.whole[-1] += 1
    return moved


def _deposit(live: Particles, deposits: Deposits, loss: np.ndarray, step: np.ndarray, dt: np.ndarray) -> None:
    some = loss > 0
    start = live.real[:3, some]
    deposits.add(
        event=live.event[some],
        track=live.track[some],
        pdg=live.pdg[some],
        start=start.T.copy(),
        end=(start + step[some] * live.real[3:6, some]).T.copy(),
        de=loss[some],
        dx=step[some],
        t0=live.time[some] + dt[some] / 2,
    )
