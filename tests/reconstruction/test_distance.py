"""Distances between reconstructed and true segments."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.detector import LArTPC
from dptoolkit.events import segments_from_arrays, shift
from dptoolkit.reconstruction.distance import distances, energy_nearest, quantile


def line(n: int = 20, length: float = 10.0, energy: float = 20.0):
    points = np.linspace([-length / 2, 0.0, 0.0], [length / 2, 0.0, 0.0], n + 1)
    return segments_from_arrays(points[:-1], points[1:], np.full(n, energy / n))


def test_the_truth_is_at_no_distance_from_itself() -> None:
    found = distances(line(), line())
    assert found.charge_fraction == pytest.approx(0)
    assert found.median < 1e-3 and found.p68 < 1e-3 and found.coverage_p68 < 1e-3 and found.covered == 1


def test_how_a_line_is_cut_changes_nothing() -> None:
    found = distances(line(7), line(20))
    assert found.charge_fraction == pytest.approx(0)
    assert found.median < 0.1  # pieces of 0.1 mm


def test_a_shift_across_is_the_distance() -> None:
    found = distances(shift(line(), jnp.array([0.0, 0.3, 0.4])), line())
    assert found.median == pytest.approx(5, abs=0.01) and found.coverage_median == pytest.approx(5, abs=0.01)


def test_what_was_not_found_is_missing_in_charge_and_coverage_not_in_distance() -> None:
    half = line(10, 5.0, 10.0)
    found = distances(half, line())
    assert found.charge_fraction == pytest.approx(-0.5)
    assert found.p68 < 0.1
    assert found.covered == pytest.approx(0.6, abs=0.01)  # half of it, and 0.5 cm beyond each end
    assert found.coverage_p68 > found.coverage_median


def test_a_ghost_far_away_raises_the_mean_and_not_the_median() -> None:
    true = line()
    ghost = segments_from_arrays(np.array([[0.0, 9, 0]]), np.array([[0.1, 9, 0]]), np.array([2.0]))
    both = segments_from_arrays(
        np.concatenate([true.start, ghost.start]),
        np.concatenate([true.end, ghost.end]),
        np.concatenate([true.de, ghost.de]),
    )
    found = distances(both, true)
    assert found.charge_fraction == pytest.approx(0.1)
    assert found.median < 1e-3 and found.mean == pytest.approx(90 * 2 / 22, rel=0.01)


def test_with_a_detector_only_electrons_in_its_volume_count(small_pixel: LArTPC) -> None:
    inside, across_wall = line(), shift(line(), jnp.array([10.0, 0.0, 0.0]))
    found = distances(inside, across_wall, small_pixel)
    assert found.unit == "electrons"
    assert found.charge_fraction == pytest.approx(1.0, abs=0.02)


def test_late_charge_is_compared_where_it_appears(small_pixel: LArTPC) -> None:
    late = 3.0
    speed = float(small_pixel.drift.speed(small_pixel.field.nominal()))
    true = eqx.tree_at(lambda s: s.t0, line(), jnp.full(20, late))
    appears = shift(line(), jnp.asarray(-late * speed * small_pixel.volumes.drift[0]))
    assert distances(appears, true, small_pixel).p68 < 1e-2
    assert distances(line(), line(), small_pixel).p68 < 1e-2


def test_no_charge_is_an_error_that_says_where() -> None:
    with pytest.raises(ValueError, match="found: holds no charge"):
        distances(line(energy=0.0), line())


def test_a_quantile_is_that_of_the_weights() -> None:
    values, weight = np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 6.0])
    assert quantile(values, weight, 0.5) == 2.0 and quantile(values, weight, 0.95) == 3.0


def test_the_true_energy_is_dealt_to_what_is_nearest_and_none_is_lost() -> None:
    """Four segments of a line found 1 mm beside it; the last is 1 cm too short and gets what is beyond it."""
    found = shift(line(4), jnp.array([0.0, 0.1, 0.0]))
    found = eqx.tree_at(lambda s: s.end, found, found.end.at[3, 0].add(-1.0))
    assert energy_nearest(found, line(200)) == pytest.approx([5.0] * 4, abs=0.06)
    alone = energy_nearest(line(1, 1.0, 1.0), line(200))
    assert alone == pytest.approx([20.0])
