"""The generator against formulas: loss, straggling, scattering, decays, labels, conservation."""

import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.geometry import Volumes
from dptoolkit.sources.decays import at_rest
from dptoolkit.sources.dice import Dice
from dptoolkit.sources.generator import generate
from dptoolkit.sources.labels import Process, Semantic
from dptoolkit.sources.loss_tables import CUT, attenuation, loss_tables
from dptoolkit.sources.samples import SAMPLES, cosmic_flux
from dptoolkit.sources.species import MUON
from dptoolkit.sources.stopping import Argon, max_transfer, range_table
from dptoolkit.sources.straggling import fluctuation
from tests.sources.makers import at_origin, chord_angles, shot

BOX = Volumes.from_boxes([[0.0, 10.0, -20.0]], [60.0, 80.0, 100.0], ["+x"])
U = (np.arange(20_000) + 0.5) / 20_000


@pytest.mark.parametrize("pdg, energy", [(11, 60.0), (22, 60.0), (2212, 150.0), (111, 100.0)])
def test_what_stays_in_argon_deposits_its_energy(pdg: int, energy: float):
    """A neutral pion gives its mass too; a positron takes an electron's mass and gives both back."""
    segments, _ = shot(pdg, energy, 12)
    expected = energy + (134.9768 if pdg == 111 else 0.0)
    np.testing.assert_allclose(np.bincount(segments["event"], segments["de"]), expected, rtol=1e-9)


def test_a_stopping_muon_deposits_its_energy_and_that_of_its_michel_electron():
    segments, born = shot(-13, 60.0, 40)
    michel = born[born.process == Process.DECAY]
    assert (michel.pdg == -11).all() and len(michel) == 40
    expected = 60.0 + michel.energy + 2 * 0.51099895
    np.testing.assert_allclose(np.bincount(segments["event"], segments["de"]), expected, rtol=1e-9)


def test_paths_of_muons_are_their_range():
    segments, _ = shot(13, 300.0, 100)
    own = segments["track"] == 1
    path = np.bincount(segments["event"][own], segments["dx"][own])
    expected = float(range_table(Argon(), MUON).range(jnp.asarray(300.0)))
    assert path.mean() == pytest.approx(expected, rel=0.01)
    assert 0.015 < path.std() / expected < 0.045


def test_mean_deposit_of_a_muon_is_the_bethe_loss_restricted_to_the_cut():
    """Over the first 40 cm of 1 GeV, without the delta rays above the cut."""
    segments, _ = shot(13, 1000.0, 60)
    own = (segments["track"] == 1) & (segments["end"][:, 2] < 40)
    energy = jnp.asarray(955.0)
    most, beta2 = float(max_transfer(energy, MUON.mass)), 1 - (MUON.mass / (955.0 + MUON.mass)) ** 2
    hard = loss_tables().xi / beta2 * (np.log(most / CUT) - beta2 * (1 - CUT / most))
    expected = float(Argon().dedx(energy, MUON)) - hard
    found = segments["de"][own].sum() / segments["dx"][own].sum()
    assert found == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("kappa", [0.01, 0.15, 1.0, 10.0])
def test_straggling_has_no_mean_and_the_variance_of_its_collisions(kappa: float):
    loss = fluctuation(np.full(len(U), kappa), np.ones(len(U)), U)
    assert abs(loss.mean()) < 0.01 * np.sqrt(kappa)
    assert loss.var() == pytest.approx(kappa, rel=0.02)
    assert (loss**3).mean() == pytest.approx(kappa / 2, rel=0.05)


def test_straggling_of_a_thin_layer_is_landau():
    """Most probable loss xi (ln kappa + 0.20) from the mean, full width at half maximum 4.02 xi."""
    kappa = 0.01
    loss = fluctuation(np.full(len(U), kappa), np.ones(len(U)), U) / kappa
    density, edges = np.histogram(loss, bins=np.arange(-8, 4, 0.25), density=True)
    middle = (edges[1:] + edges[:-1]) / 2
    assert middle[density.argmax()] == pytest.approx(np.log(kappa) + 0.2, abs=0.4)
    high = middle[density > density.max() / 2]
    assert high[-1] - high[0] == pytest.approx(4.02, abs=0.5)


def test_scattering_has_the_width_of_highland_between_chords_of_14_cm():
    segments, _ = shot(13, 1000.0, 60)
    angles = []
    for event in range(60):
        own = (segments["event"] == event) & (segments["track"] == 1)
        path = np.concatenate([[0.0], np.cumsum(segments["dx"][own])])
        points = np.concatenate([np.zeros((1, 3)), segments["end"][own]])
        angles.append(chord_angles(points, path, 14.0)[:16])
    energy = 1000 - 14 * (np.arange(16) + 1) * 2.25
    momentum = np.sqrt(energy * (energy + 2 * MUON.mass)) / 1e3
    beta = momentum * 1e3 / (energy + MUON.mass)
    theta = (0.105 / momentum**2 + 11.004) / (beta * momentum) / 1e3
    width = np.sqrt(np.mean((np.array(angles) / theta) ** 2) / 2)
    assert width == pytest.approx(1, abs=0.06)


def test_photons_are_attenuated_as_tabulated():
    """Total without coherent scattering, XCOM argon [cm2/g] at 1.5, 3 and 10 MeV, within 4 %."""
    found = attenuation(np.array([1.5, 3.0, 10.0])).sum(axis=0) / 1.396
    np.testing.assert_allclose(found, [0.0468, 0.0338, 0.0254], rtol=0.04)


def test_michel_electrons_have_their_spectrum():
    """Kinetic energy: mean 36.5 MeV, total energy up to 52.8 MeV; the mean of x^2 (3 - 2x) is 0.7."""
    (brood,) = at_rest(at_origin(-13, 0.0, 20_000))
    energy = brood.real[6]
    assert energy.mean() == pytest.approx(36.5, abs=0.3)
    assert 52.2 < energy.max() + 0.511 < 52.84
    assert brood.real[7].mean() == pytest.approx(2.197, rel=0.03)


def test_a_quarter_of_negative_muons_decays_before_it_is_captured():
    (brood,) = at_rest(at_origin(13, 0.0, 20_000))
    assert len(brood.key) / 20_000 == pytest.approx(0.255, abs=0.01)
    assert brood.real[7].mean() == pytest.approx(0.568, rel=0.04)


def test_a_positive_pion_makes_a_muon_of_4_mev():
    _, born = shot(211, 40.0, 10)
    muons = born[born.pdg == -13]
    assert len(muons) == 10
    np.testing.assert_allclose(muons.energy, 4.12, atol=0.01)
    assert (born.semantic[born.pdg == -11][: len(muons)] >= 0).all()


@pytest.mark.parametrize("sample", SAMPLES)
def test_labels_are_consistent(sample: str):
    made = generate(sample, BOX, np.array([4, 5, 9]), seed=2)
    particles = made.particles
    for event in range(3):
        here = {name: column[particles["event"] == event] for name, column in particles.items()}
        tracks = set(here["track"])
        primaries = set(here["track"][here["process"] == Process.PRIMARY])
        assert here["track"].tolist() == list(range(1, len(tracks) + 1))
        assert set(here["parent"]) <= tracks | {-1}
        assert (here["parent"] < here["track"]).all()
        assert set(here["ancestor"]) == primaries
        assert set(here["group"]) <= tracks
        assert set(here["semantic"]) <= set(Semantic)
        pdg = dict(zip(here["track"], here["pdg"], strict=True))
        own = made.segments["event"] == event
        assert [pdg[t] for t in made.segments["track"][own]] == made.segments["pdg"][own].tolist()
    assert (made.segments["de"] > 0).all() and (made.segments["dx"] > 0).all()


def test_delta_rays_and_michel_electrons_begin_groups_that_their_showers_keep():
    _, born = shot(-13, 60.0, 40)
    michel = born.semantic == Semantic.MICHEL
    charged = michel & (born.process == Process.DECAY)
    assert charged.sum() == 40 and (born.group[charged] == born.track[charged]).all()
    leader = {(e, t): s for e, t, s in zip(born.event, born.track, born.semantic, strict=True)}
    classes = [leader[key] for key in zip(born.event[michel], born.group[michel], strict=True)]
    assert set(classes) == {Semantic.MICHEL}


def test_an_event_is_the_same_alone_and_in_a_batch():
    together = generate("bomb", BOX, np.arange(12), seed=5)
    alone = generate("bomb", BOX, np.array([7]), seed=5)
    for table in ("segments", "particles"):
        here, there = getattr(together, table), getattr(alone, table)
        chosen = here["event"] == 7
        for name in set(here) - {"event"}:
            assert np.array_equal(here[name][chosen], there[name]), name


def test_another_seed_or_number_is_another_event():
    first = generate("muons", BOX, np.array([1]), seed=0).segments["de"]
    for numbers, seed in ((np.array([1]), 1), (np.array([2]), 0)):
        assert not np.array_equal(first, generate("muons", BOX, numbers, seed).segments["de"])


def test_nothing_is_deposited_outside_the_box():
    made = generate("cosmics", BOX, np.arange(40), seed=1)
    for end in ("start", "end"):
        assert (made.segments[end] > BOX.low[0] - 1e-5).all()
        assert (made.segments[end] < BOX.high[0] + 1e-5).all()


def test_an_event_from_which_everything_escapes_is_empty_but_there():
    thin = Volumes.from_boxes([[0.0, 0.0, 0.0]], [0.1, 0.1, 0.1], ["+x"])
    made = generate("photons", thin, np.arange(3), seed=0)
    assert made.numbers.tolist() == [0, 1, 2] and len(made.interactions["x"]) == 3
    assert made.segments["start"].shape == (len(made.segments["de"]), 3) == (0, 3)


def test_cosmic_muons_enter_through_the_walls_and_go_down():
    made = generate("cosmics", BOX, np.arange(300), seed=1)
    first = made.particles["process"] == Process.PRIMARY
    place = np.stack([made.particles[axis][first] for axis in "xyz"], axis=1)
    on_wall = np.isclose(place, BOX.low[0]) | np.isclose(place, BOX.high[0])
    assert (on_wall.sum(axis=1) == 1).all()
    assert (made.particles["py"][first] < 0).all()
    top = np.isclose(place[:, 1], BOX.high[0, 1])
    assert 0.3 < top.mean() < 0.8


def test_the_flux_of_vertical_muons_is_that_at_sea_level():
    """70 / (m2 s sr) above 1 GeV, PDG, within 20 %."""
    energy = np.geomspace(1, 1000, 2000)
    flux = np.trapezoid(cosmic_flux(energy, np.ones(2000)), energy) * 1e4
    assert flux == pytest.approx(70, rel=0.2)


def test_random_numbers_of_particles_are_uniform_and_independent():
    dice = Dice(np.arange(50_000, dtype=np.uint64) * np.uint64(2**32))
    first, second, third = dice.uniform(), dice.branch(3).uniform(), dice.uniform()
    for draw in (first, second, third):
        assert draw.mean() == pytest.approx(0.5, abs=0.006)
        assert draw.var() == pytest.approx(1 / 12, rel=0.02)
    assert np.abs(np.corrcoef([first, second, third]) - np.eye(3)).max() < 0.02
