"""Energy loss and ranges in argon against tables of PDG and NIST, and against themselves."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.params import replace
from dptoolkit.sources.species import ELECTRON, KAON, MUON, PION, PROTON, SPECIES, Species
from dptoolkit.sources.stopping import Argon, RangeTable, range_straggling, range_table
from tests.data.test_stopping import table

TABLES = {
    "muon": (MUON, "muE_liquid_argon.table", 4000, 0.01),
    "pion": (PION, "piE_liquid_argon_bethe.table", 4000, 0.005),
    "kaon": (KAON, "kaE_liquid_argon_bethe.table", 4000, 0.005),
    "proton, Bethe": (PROTON, "pE_liquid_argon_bethe.table", 4000, 0.01),
    "proton, NIST": (PROTON, "pE_liquid_argon.table", 1000, 0.004),
}
RANGES = {
    MUON: {20: 2.38, 40: 7.58, 100: 30.44, 200: 76.15, 300: 123.6, 400: 170.9, 1000: 441.5, 4000: 1645},
    PROTON: {50: 2.30, 100: 7.82, 200: 25.98, 300: 51.2, 500: 115.6},
}
"""CSDA ranges [cm] by kinetic energy [MeV], PDG and PSTAR."""


@partial(jax.jit, static_argnums=1)
def ranges_of(argon: Argon, species: Species) -> RangeTable:
    return range_table(argon, species)


@partial(jax.jit, static_argnums=1)
def range_of(argon: Argon, species: Species, energy: jax.Array) -> jax.Array:
    return range_table(argon, species).range(energy)


@partial(jax.jit, static_argnums=1)
def round_trip(argon: Argon, species: Species, energy: jax.Array) -> jax.Array:
    ranges = range_table(argon, species)
    return ranges.energy(ranges.range(energy))


@pytest.fixture(scope="module")
def argon() -> Argon:
    return Argon()


@pytest.mark.data
@pytest.mark.parametrize("name", TABLES)
def test_energy_loss_is_that_of_the_tables(name: str, data: Path, argon: Argon):
    species, file, highest, tolerance = TABLES[name]
    energy, dedx, _ = table(data / "stopping" / file, "T", "dE/dx", "CSDARange")
    chosen = (energy >= 20) & (energy <= highest)
    ours = argon.dedx(jnp.asarray(energy[chosen]), species)
    np.testing.assert_allclose(ours, dedx[chosen], rtol=tolerance)


@pytest.mark.parametrize("species", RANGES, ids=lambda species: species.name)
def test_ranges_are_those_of_pdg_and_nist(species: Species, argon: Argon):
    energy, length = np.array(list(RANGES[species].items())).T
    ours = range_of(argon, species, jnp.asarray(energy))
    np.testing.assert_allclose(ours, length, rtol=0.006)


def test_slow_protons_need_the_shell_correction(argon: Argon):
    """PSTAR at 5 and 10 MeV [MeV cm2/g]; the Bethe formula alone is 3 and 1.5 % too high."""
    ours = argon.dedx(jnp.asarray([5.0, 10.0]), PROTON) / argon.density
    np.testing.assert_allclose(ours, [51.41, 30.61], rtol=0.008)


@pytest.mark.parametrize("name", SPECIES)
def test_energy_of_the_range_is_the_energy(name: str, argon: Argon):
    energy = jnp.asarray(np.concatenate([np.zeros(1), np.geomspace(1e-3, 1e4, 200)]))
    np.testing.assert_allclose(round_trip(argon, SPECIES[name], energy), energy, rtol=1e-6)


@pytest.mark.parametrize("species", [MUON, ELECTRON], ids=["muon", "electron"])
def test_the_range_falls_as_fast_as_energy_is_lost(species: Species, argon: Argon):
    """dT/dR of the table is dE/dx of the formula."""
    ranges = ranges_of(argon, species)
    energy = jnp.asarray(np.geomspace(1, 2000, 50))
    slope = jax.jit(jax.vmap(jax.grad(lambda length: ranges.energy(length))))(
        range_of(argon, species, energy)
    )
    np.testing.assert_allclose(slope, argon.dedx(energy, species), rtol=1e-4)


def test_a_larger_mean_excitation_means_less_loss_until_the_density_effect_saturates(argon: Argon):
    """0.7 % for a minimum-ionising muon between 188 and 203 eV; nothing at 1 TeV."""
    energy = jnp.asarray([270.0, 1e6])
    liquid = replace(argon, {"mean_excitation": 203.0})
    change = liquid.bethe(energy, MUON.mass) / argon.bethe(energy, MUON.mass) - 1
    assert float(change[0]) == pytest.approx(-0.007, abs=0.002)
    assert float(change[1]) == pytest.approx(0, abs=1e-5)


def test_range_has_the_gradient_of_its_finite_difference_by_the_mean_excitation(argon: Argon):
    def length(excitation):
        return range_table(replace(argon, {"mean_excitation": excitation}), MUON).range(jnp.asarray(300.0))

    length = jax.jit(length)
    difference = (length(188.01) - length(187.99)) / 0.02
    assert float(jax.grad(length)(188.0)) == pytest.approx(float(difference), rel=1e-6)


def test_electrons_radiate_as_much_as_they_ionise_near_the_critical_energy(argon: Argon):
    """Rossi's critical energy of argon, where ionisation over a radiation length is E: 32.8 MeV."""
    energy = jnp.asarray(32.8)
    assert float(argon.collision(energy) * 14.0 / energy) == pytest.approx(1, abs=0.02)
    ratio = argon.radiation(jnp.asarray(1e4)) / 1e4 * 14.0
    assert 0.93 < float(ratio) < 1


def test_ranges_straggle_as_the_root_of_the_mass() -> None:
    """At one speed ranges go as the mass, and so do their variances: sigma / R as 1 / sqrt(mass)."""
    argon, found = Argon(), {}
    for species in (MUON, PROTON):
        energy = jnp.asarray(0.2 * species.mass)
        width = range_straggling(argon, energy, species)
        found[species.name] = float(width / range_table(argon, species).range(energy)) * species.mass**0.5
    assert found["muon"] == pytest.approx(found["proton"], rel=0.1)


def test_protons_of_100_mev_straggle_by_about_one_per_cent() -> None:
    """In water sigma = 0.012 R^0.935 cm (T. Bortfeld, Med. Phys. 24 (1997) 2024): 1.05 %; more with Z."""
    argon, energy = Argon(), jnp.asarray(100.0)
    width = range_straggling(argon, energy, PROTON) / range_table(argon, PROTON).range(energy)
    assert 0.010 < float(width) < 0.014
