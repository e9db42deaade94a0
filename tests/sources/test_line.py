"""Lines of a control sample: energy, place, kinks."""

import jax
import numpy as np
import pytest

from dptoolkit.constants import ELECTRON_MASS
from dptoolkit.sources.line import Line, TypicalLoss, kink_places
from dptoolkit.sources.species import MUON
from dptoolkit.sources.stopping import Argon, max_transfer, range_table

ENDS = {"start": (-5.0, 1.0, 2.0), "end": (4.0, -8.0, 9.0)}


def test_a_stopping_line_deposits_the_energy_of_its_range() -> None:
    line = Line(**ENDS)
    length = float(np.linalg.norm(np.subtract(ENDS["end"], ENDS["start"])))
    energy = float(range_table(Argon(), MUON).energy(jax.numpy.array([length]))[0])
    assert float(line().de.sum()) == pytest.approx(energy, rel=1e-6)
    assert float(Line(**ENDS, scale=1.1)().de.sum()) == pytest.approx(1.1 * energy, rel=1e-6)


@pytest.mark.parametrize("crowding", [1.0, 1.6, 0.5])
def test_a_kink_turns_it_by_its_angle_at_its_place(crowding: float) -> None:
    """And nowhere else: it is straight before and after."""
    kinks = np.zeros((3, 2))
    kinks[1, 0] = 0.01
    line = Line(**ENDS, kinks=kinks, crowding=crowding, n_segments=1000)
    unit = np.diff(np.asarray(line.points(), float), axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    turns = np.linalg.norm(np.diff(unit, axis=0), axis=1)
    place = kink_places(3, crowding)[1]
    assert abs((np.argmax(turns) + 1) / 1000 - place) <= 1.5e-3
    assert np.arccos(np.clip(unit[0] @ unit[-1], -1, 1)) == pytest.approx(0.01, rel=1e-3)
    assert np.sort(turns)[-3] < 1e-6


def test_kinks_bend_it_between_ends_that_stay() -> None:
    straight, bent = Line(**ENDS, kinks=np.zeros((2, 2))), Line(**ENDS, kinks=np.full((2, 2), 0.02))
    assert straight.points() == pytest.approx(Line(**ENDS).points())
    moved = np.linalg.norm(bent.points() - straight.points(), axis=1)
    assert moved[0] < 1e-12 and moved[-1] < 1e-12 and 0.05 < moved.max() < 0.5
    steps = np.diff(np.asarray(bent.points()), axis=0)
    angles = np.arccos(np.clip(np.sum(steps[1:] * steps[:-1], axis=1) / np.prod(np.linalg.norm(
        np.stack([steps[1:], steps[:-1]]), axis=2), axis=0), -1, 1))  # fmt: skip
    assert angles.sum() == pytest.approx(2 * np.hypot(0.02, 0.02), rel=0.02)


def typical(energy: float, thickness: float) -> tuple[float, float, float, float]:
    """(typical loss, mean loss, xi [MeV], largest transfer [MeV]) of a muon."""
    argon, t = Argon(), jax.numpy.array([energy])
    share = float(TypicalLoss(thickness=thickness)(argon, t, MUON.mass)[0])
    mean = float(argon.bethe(t, MUON.mass)[0]) * thickness
    beta2 = 1 - (MUON.mass / (energy + MUON.mass)) ** 2
    xi = float(argon.transfers(jax.numpy.asarray(beta2))) * thickness
    return share * mean, mean, xi, float(max_transfer(t, MUON.mass)[0])


@pytest.mark.parametrize("energy", [3.0, 30.0, 300.0, 3000.0])
@pytest.mark.parametrize("thickness", [0.1, 1.0])
def test_the_typical_loss_is_the_exponential_mean_of_all_collisions(energy: float, thickness: float) -> None:
    """ln <exp(-D / xi)> of a Poisson process, by quadrature over the collisions."""
    found, mean, xi, most = typical(energy, thickness)
    beta2 = 1 - (MUON.mass / (energy + MUON.mass)) ** 2
    edges = np.concatenate([[0.0], np.geomspace(1e-6 * most, most, 400)])
    nodes, weights = np.polynomial.legendre.leggauss(8)
    width = np.diff(edges)[:, None]
    t = edges[:-1, None] + width * (1 + nodes) / 2
    x = t / xi
    kept = np.where(x > 1e-4, (np.expm1(-x) + x) / np.maximum(x, 1e-4) ** 2, 0.5) / xi
    sum_ = np.sum(width * weights / 2 * kept * (1 - beta2 * t / most))
    assert found == pytest.approx(mean - xi * sum_, rel=1e-5)


def test_of_a_fast_muon_the_typical_loss_is_landaus_and_of_a_slow_one_the_mean() -> None:
    """PDG: most probable is xi (ln(2 m beta^2 gamma^2 / I) + ln(xi / I) + 0.200 - beta^2 - delta)."""
    energy, argon = 2400.0, Argon()
    found, _, xi, _ = typical(energy, 0.44)
    gamma = 1 + energy / MUON.mass
    eta2, excitation = gamma**2 - 1, 188e-6
    delta = float(argon.density_effect(jax.numpy.asarray(eta2)))
    logarithms = np.log(2 * ELECTRON_MASS * eta2 / excitation) + np.log(xi / excitation)
    most_probable = xi * (logarithms + 0.2 - eta2 / gamma**2 - delta)
    assert most_probable / 0.44 == pytest.approx(1.70, abs=0.02)
    assert found == pytest.approx(most_probable + 0.223 * xi, rel=0.003)
    slow, mean, _, _ = typical(3.0, 0.44)
    assert slow == pytest.approx(mean, rel=0.01)


def test_a_line_deposits_its_typical_loss() -> None:
    crossing = Line(**ENDS, beyond=1000.0, share=TypicalLoss(thickness=0.44))()
    assert float(crossing.de.sum() / crossing.dx.sum()) == pytest.approx(
        typical(2340.0, 0.44)[0] / 0.44, rel=2e-3
    )


def test_its_gradient_is_the_finite_difference() -> None:
    def height(kinks: np.ndarray, y: float) -> jax.Array:
        line = Line(start=(0.0, 0.0, 0.0), end=jax.numpy.stack([5.0 + 0 * y, y, 9.0 + 0 * y]), kinks=kinks)
        return (line().de * line().end[:, 1] ** 2).sum()

    kinks, y = np.full((1, 2), 0.01), 7.0
    slope = jax.grad(height, (0, 1))(jax.numpy.asarray(kinks), jax.numpy.asarray(y))
    for axis in range(2):
        step = np.zeros((1, 2))
        step[0, axis] = 1e-5
        finite = (height(kinks + step, y) - height(kinks - step, y)) / 2e-5
        assert float(slope[0][0, axis]) == pytest.approx(float(finite), rel=1e-4)
    assert float(slope[1]) == pytest.approx(
        float(height(kinks, y + 1e-5) - height(kinks, y - 1e-5)) / 2e-5, rel=1e-4
    )


def test_wrong_fields_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Line\.start"):
        Line(start=(0.0, 1.0))
    with pytest.raises(ValueError, match=r"Line\.crowding"):
        Line(crowding=0.0)
    with pytest.raises(ValueError, match=r"Line\.kinks"):
        Line(kinks=np.zeros(3))
