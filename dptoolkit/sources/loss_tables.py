"""What a step of the generator needs to look up: continuous loss, range, rates of delta rays and photons.

The mean loss of `stopping` is divided at `CUT` and `PHOTON_CUT`: what is above is made as particles of
its own, the rest is continuous. Spectra: 1/T^2 (1 - beta^2 T/T_max) for heavy particles, Moller for
electrons (and positrons), Tsai's 1/k (4/3 (1 - y) + y^2) for bremsstrahlung; Klein-Nishina, Bethe-Heitler
with screening (Maximon's series) and a power law of the photoelectric effect for photons.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dptoolkit.constants import (
    ARGON_A,
    ARGON_Z,
    AVOGADRO,
    ELECTRON_MASS,
    ELECTRON_RADIUS,
    FINE_STRUCTURE,
)
from dptoolkit.sources.species import ELECTRON, HEAVY
from dptoolkit.sources.stopping import ABSCISSAE, WEIGHTS, Argon, max_transfer

CUT = 0.25
"""Electrons above this kinetic energy are delta rays [MeV]; their range is 0.06 cm."""
PHOTON_CUT = 0.1
"""Bremsstrahlung above this energy makes a photon [MeV]."""
KINDS = (ELECTRON, ELECTRON, *HEAVY)
"""Charged particles by their index: electron, positron, muon, pion, kaon, proton."""
MASS = np.array([kind.mass for kind in KINDS])
N_NODES = 2048
LOWEST, HIGHEST = 1e-3, 1e6
"""Kinetic energies of the tables [MeV]."""
PHOTOELECTRIC = (0.053, 3.2)
"""[cm2/g] at 0.1 MeV, and the power of 1/k: follows the total attenuation of XCOM between 50 and 100 keV."""
MOLLER_MOST = 2.25
"""Largest value of Moller's spectrum relative to 1/T^2."""


@dataclass(frozen=True)
class LossTables:
    """Values on equidistant nodes of a logarithm; a row is a kind of particle."""

    xi: float
    """xi beta^2 per length [MeV/cm]."""
    radiation: np.ndarray
    """Bremsstrahlung of electrons: loss over energy [1/cm]."""
    log_range: np.ndarray
    log_energy: np.ndarray
    """ln T at equidistant nodes of ln R."""
    range_span: tuple[np.ndarray, np.ndarray]
    """ln R of the first and the last node, and of each kind."""
    attenuation: np.ndarray
    """Compton scattering, pairs, photoelectric effect [1/cm] of photons."""

    def range(self, kind: np.ndarray, energy: np.ndarray) -> np.ndarray:
        """Path length to the end if only the continuous loss acted [cm]."""
        return np.exp(_lookup(self.log_range, kind, _energy_node(energy)))

    def energy(self, kind: np.ndarray, range_: np.ndarray) -> np.ndarray:
        """The inverse of `range` [MeV]."""
        low, high = self.range_span
        node = (np.log(range_) - low[kind]) / (high[kind] - low[kind]) * (N_NODES - 1)
        return np.exp(_lookup(self.log_energy, kind, node))

    def radiation_of(self, energy: np.ndarray) -> np.ndarray:
        """Bremsstrahlung loss over kinetic energy [1/cm]."""
        return _lookup(self.radiation[None], np.zeros(len(energy), int), _energy_node(energy))

    def photon_rates(self, energy: np.ndarray) -> np.ndarray:
        """(Compton, pairs, photoelectric) per length [1/cm]."""
        node = _energy_node(energy)
        return np.stack([_lookup(self.attenuation, np.full(len(energy), row), node) for row in range(3)])


@cache
def loss_tables() -> LossTables:
    """The tables of liquid argon, always in double precision and on the CPU."""
    with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
        found = jax.jit(_mean_losses)()
    xi, radiation, ranges = (np.asarray(one) for one in found)
    log_range = np.log(ranges[[0, 0, 1, 2, 3, 4]])
    span = log_range[:, 0], log_range[:, -1]
    log_energy = np.stack(
        [np.interp(np.linspace(row[0], row[-1], N_NODES), row, np.log(energies())) for row in log_range]
    )
    return LossTables(float(xi), radiation, log_range, log_energy, span, attenuation(energies()))


def energies() -> np.ndarray:
    """Kinetic energies of the nodes [MeV]."""
    return np.geomspace(LOWEST, HIGHEST, N_NODES)


def moller(transfer: Any, energy: Any) -> Any:
    """Spectrum of delta rays of electrons relative to xi / T^2, at a `transfer` up to half the energy."""
    gamma = 1 + energy / ELECTRON_MASS
    share = transfer / energy
    slope = (2 * gamma - 1) / gamma**2
    return (
        1
        - share * slope
        + (share * (gamma - 1) / gamma) ** 2
        + share**2 / (1 - share) * (1 / (1 - share) - slope)
    )


def attenuation(k: np.ndarray) -> np.ndarray:
    """Rates of Compton scattering, pair production and photoelectric effect [1/cm] at energy `k` [MeV]."""
    density = 1.396
    atoms = density * AVOGADRO / ARGON_A
    coupling = atoms * FINE_STRUCTURE * ELECTRON_RADIUS**2 * ARGON_Z * (ARGON_Z + 1)
    photo = density * PHOTOELECTRIC[0] * (0.1 / k) ** PHOTOELECTRIC[1]
    return np.stack([atoms * ARGON_Z * klein_nishina(k), coupling * _pair_logarithm(k), photo])


def klein_nishina(k: np.ndarray) -> np.ndarray:
    """Cross-section of an electron [cm2]."""
    a = np.maximum(k / ELECTRON_MASS, 0.02)
    log = np.log1p(2 * a)
    first = (1 + a) / a**2 * (2 * (1 + a) / (1 + 2 * a) - log / a)
    return 2 * np.pi * ELECTRON_RADIUS**2 * (first + log / (2 * a) - (1 + 3 * a) / (1 + 2 * a) ** 2)


def _pair_logarithm(k: np.ndarray) -> np.ndarray:
    """Cross-section of pairs over alpha r_e^2 Z (Z + 1): Maximon's series, then full screening."""
    x = np.maximum(k / ELECTRON_MASS, 2.0)
    rho = (2 * x - 4) / (2 + x + 2 * np.sqrt(2 * x))
    near = 2 * np.pi / 3 * ((x - 2) / x) ** 3 * (1 + rho / 2 + 23 / 40 * rho**2 + 11 / 60 * rho**3)
    y = np.maximum(x, 4.0)
    log = np.log(2 * y)
    bracket = 6 * log - 3.5 + 2 / 3 * log**3 - log**2 - np.pi**2 / 3 * log + 2 * 1.2020569 + np.pi**2 / 6
    far = 28 / 9 * log - 218 / 27 + (2 / y) ** 2 * bracket - (2 / y) ** 4 * (3 / 16 * log + 1 / 8)
    full = 28 / 9 * np.log(183 * ARGON_Z ** (-1 / 3)) - 2 / 27
    screened = full - 14 / 9 * np.log1p(np.exp(9 / 14 * (full - far)))
    return np.where(x < 4, near, screened)


def _mean_losses() -> tuple[jax.Array, jax.Array, jax.Array]:
    """(xi beta^2, radiation / T, continuous ranges) at the nodes."""
    argon, t = Argon(), jnp.asarray(energies())
    radiation = argon.radiation(t) / t
    soft = _soft_photons(t) * radiation * t
    electron = (
        argon.collision(jnp.where(t > 0.01, t, 0.01)) + soft - argon.transfers(_beta2(t, MASS[0])) * _hard(t)
    )
    losses = [electron]
    for species in HEAVY:
        most = max_transfer(t, species.mass)
        share = jnp.where(most > CUT, CUT / most, 1.0)
        beta2 = _beta2(t, species.mass)
        hard = argon.transfers(beta2) * (-jnp.log(share) - beta2 * (1 - share))
        losses.append(argon.dedx(t, species) - hard)
    step = jnp.log(t[1] / t[0])
    return argon.transfers(jnp.ones(())), radiation, jnp.stack([_integral(t, loss, step) for loss in losses])


def _integral(t: jax.Array, loss: jax.Array, step: jax.Array) -> jax.Array:
    """Range at the nodes: ln(T / loss) is taken as linear in ln T between them."""
    value = t / loss
    ratio = jnp.log(value[1:] / value[:-1])
    safe = jnp.where(jnp.abs(ratio) > 1e-9, ratio, 1e-9)
    pieces = step * value[:-1] * jnp.expm1(safe) / safe
    return value[0] + jnp.concatenate([jnp.zeros(1), jnp.cumsum(pieces)])


def _hard(t: jax.Array) -> jax.Array:
    """Int T' (spectrum / xi) dT' of Moller above the cut, by quadrature in ln T'."""
    top = jnp.where(t > 2 * CUT, t / 2, CUT)
    span = jnp.log(top / CUT)[:, None]
    edges = (np.arange(16)[:, None] + (1 + ABSCISSAE) / 2).ravel() / 16
    transfer = CUT * jnp.exp(span * edges)
    values = jnp.where(span > 0, moller(transfer, jnp.where(t > 2 * CUT, t, 2 * CUT)[:, None]), 0.0)
    return jnp.sum(values * span * np.tile(WEIGHTS, 16) / 32, axis=1)


def _soft_photons(t: jax.Array) -> jax.Array:
    """Share of the radiated energy in photons below the cut."""
    y = jnp.where(t > PHOTON_CUT, PHOTON_CUT / t, 1.0)
    return 4 / 3 * (y - y**2 / 2) + y**3 / 3


def _beta2(energy: jax.Array, mass: float) -> jax.Array:
    return energy * (energy + 2 * mass) / (energy + mass) ** 2


def _energy_node(energy: np.ndarray) -> np.ndarray:
    return np.log(energy / LOWEST) / np.log(HIGHEST / LOWEST) * (N_NODES - 1)


def _lookup(table: np.ndarray, row: np.ndarray, node: np.ndarray) -> np.ndarray:
    """Linear between nodes, and beyond them."""
    i = np.clip(node.astype(int), 0, N_NODES - 2)
    low = table[row, i]
    return low + (table[row, i + 1] - low) * (node - i)
