"""Lines of a control sample: energy, place, kinks."""

import jax
import numpy as np
import pytest

from dptoolkit.sources.line import Line, RestrictedLoss
from dptoolkit.sources.species import MUON
from dptoolkit.sources.stopping import Argon, range_table

ENDS = {"start": (-5.0, 1.0, 2.0), "end": (4.0, -8.0, 9.0)}


def test_a_stopping_line_deposits_the_energy_of_its_range() -> None:
    line = Line(**ENDS)
    length = float(np.linalg.norm(np.subtract(ENDS["end"], ENDS["start"])))
    energy = float(range_table(Argon(), MUON).energy(jax.numpy.array([length]))[0])
    assert float(line().de.sum()) == pytest.approx(energy, rel=1e-6)
    assert float(Line(**ENDS, scale=1.1)().de.sum()) == pytest.approx(1.1 * energy, rel=1e-6)


def test_kinks_bend_it_between_ends_that_stay() -> None:
    straight, bent = Line(**ENDS, kinks=np.zeros((2, 2))), Line(**ENDS, kinks=np.full((2, 2), 0.02))
    assert straight.points() == pytest.approx(Line(**ENDS).points())
    moved = np.linalg.norm(bent.points() - straight.points(), axis=1)
    assert moved[0] < 1e-12 and moved[-1] < 1e-12 and 0.05 < moved.max() < 0.5
    steps = np.diff(np.asarray(bent.points()), axis=0)
    angles = np.arccos(np.clip(np.sum(steps[1:] * steps[:-1], axis=1) / np.prod(np.linalg.norm(
        np.stack([steps[1:], steps[:-1]]), axis=2), axis=0), -1, 1))  # fmt: skip
    assert angles.sum() == pytest.approx(2 * np.hypot(0.02, 0.02), rel=0.02)


def test_the_restricted_loss_leaves_out_hard_delta_rays() -> None:
    """1.99 MeV/cm for a muon of 2.4 GeV; all the loss of a slow one, or below a cut that nothing reaches."""
    crossing = Line(**ENDS, beyond=1000.0, share=RestrictedLoss())()
    assert float(crossing.de.sum() / crossing.dx.sum()) == pytest.approx(1.99, abs=0.03)
    mean, restricted = Line(**ENDS)(), Line(**ENDS, share=RestrictedLoss())()
    assert (restricted.de <= mean.de * (1 + 1e-9)).all() and restricted.de[-1] == pytest.approx(mean.de[-1])
    everything = Line(**ENDS, share=RestrictedLoss(cut=1e4))()
    assert np.asarray(everything.de) == pytest.approx(np.asarray(mean.de))


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
    with pytest.raises(ValueError, match=r"Line\.kinks"):
        Line(kinks=np.zeros(3))
