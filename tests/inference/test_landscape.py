"""Landscapes and profiles: their shape is that of the likelihood."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.inference import GaussNewton, SquaredDifference, fit, landscape, profile, whitened
from tests.inference.decay import TRUTH, toy

NAMES = ("height", "lifetime")


@pytest.fixture(scope="module")
def fitted():
    problem = toy()
    return problem, fit(problem, method=GaussNewton(tolerance=1e-9))


@pytest.fixture(scope="module")
def linear():
    """One wire sees height (1 + slope), the other height: bent only by the relative error of the height."""
    problem = toy(jax.random.key(1), free=("height", "slope[0]"))
    result = fit(problem, method=GaussNewton(tolerance=1e-9))
    return problem, result, result.error["detector.height"] / result.estimate["detector.height"]


def test_a_grid_holds_the_loss_itself(fitted):
    problem, result = fitted
    found = landscape(problem, NAMES, at=result.estimate, n=5)
    for i, j in ((0, 0), (2, 3), (4, 1)):
        values = {"height": found.axes[0].values[i], "lifetime": found.axes[1].values[j]}
        z = problem.coordinates.of({f"detector.{name}": value for name, value in values.items()})
        assert found.losses[i, j] == pytest.approx(problem.value(z), rel=1e-6, abs=1e-9)


def test_the_least_loss_of_a_map_is_at_the_truth_of_data_without_noise(fitted):
    problem, result = fitted
    found = landscape(problem, NAMES, at=result.estimate, n=7)
    np.testing.assert_allclose(found.lowest, [TRUTH["height"], TRUTH["lifetime"]], rtol=1e-4)
    assert [axis.unit for axis in found.axes] == ["1", "us"]


def test_a_scan_is_a_row_of_the_map(fitted):
    problem, result = fitted
    ranges = {"height": (4.0, 6.0), "lifetime": (10.0, 12.0)}
    both = landscape(problem, NAMES, at=result.estimate, ranges=ranges, n=5)
    middle = {**result.estimate, "detector.lifetime": 11.0}
    row = landscape(problem, NAMES[:1], at=middle, ranges=ranges, n=5)
    np.testing.assert_allclose(row.losses, both.losses[:, 2], rtol=1e-6)


def test_the_loss_on_the_ellipse_of_one_sigma_is_one_half_above_the_least(fitted):
    """With two parameters both ellipses agree; the loss is a parabola but for its cubic terms."""
    problem, result = fitted
    found = landscape(problem, NAMES, at=result.estimate, n=2)
    np.testing.assert_allclose(found.covariance, found.conditional, rtol=1e-5)
    np.testing.assert_allclose(found.covariance, result.uncertainty.covariance, rtol=1e-3)
    root = np.linalg.cholesky(found.covariance)
    for angle in np.linspace(0, 6, 7):
        place = found.place(result.history[-1].z) + root @ [np.cos(angle), np.sin(angle)]
        z = problem.coordinates.of(dict(zip(problem.paths, place, strict=True)))
        assert problem.value(z) - result.loss == pytest.approx(0.5, rel=0.03)


def test_whitened_map_of_a_gaussian_problem_is_round(linear):
    """A valley of correlation beyond 0.5 becomes |w|^2 / 2, but for the cubic terms."""
    problem, result, bent = linear
    assert abs(result.correlation[0, 1]) > 0.5
    found = whitened(problem, problem.names, at=result.history[-1].z, n=9)
    w = found.axes[0].values
    expected = 0.5 * (w[:, None] ** 2 + w[None, :] ** 2)
    np.testing.assert_allclose(found.losses - result.loss, expected, rtol=2 * 3 * bent, atol=1e-6)


def test_a_descent_on_the_map_ends_at_the_estimate(fitted):
    problem, result = fitted
    for found in (
        landscape(problem, NAMES, at=result.estimate, n=3),
        whitened(problem, NAMES, at=result.estimate, n=3),
    ):
        way = found.descent(result)
        assert way.shape == (result.steps + 1, 2)
        np.testing.assert_allclose(way[-1], found.place(result.estimate), rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(way[-1], 0, atol=1e-5)


def test_a_loss_without_residuals_has_a_map_and_no_profile(fitted):
    problem, result = fitted
    other = problem.with_loss(SquaredDifference())
    found = landscape(other, NAMES, at=result.estimate, n=5)
    assert found.covariance is None and np.isfinite(found.losses).all()
    with pytest.raises(ValueError, match="no profile"):
        profile(other, "height", at=result.estimate)


def test_progress_counts_every_point(fitted):
    problem, result = fitted
    seen = []
    landscape(problem, NAMES, at=result.estimate, n=5, progress=lambda *x: seen.append(x))
    assert seen == [(16, 25), (25, 25)]


def test_many_points_at_once_are_the_points_one_by_one(fitted):
    problem, _ = fitted
    points = np.random.default_rng(0).normal(size=(5, 2))
    np.testing.assert_allclose(
        problem.losses(points), [problem.value(jnp.asarray(z)) for z in points], rtol=1e-9
    )
    for z, found in zip(points, problem.normals(points), strict=True):
        np.testing.assert_allclose(found.matrix, problem.normal(jnp.asarray(z)).matrix, rtol=1e-9)


def test_the_profile_of_a_linear_problem_is_a_parabola_with_the_fisher_error(linear):
    problem, result, bent = linear
    found = profile(problem, "slope[0]", at=result.estimate, n=13)
    for sigmas in (1, 2):
        low, high = found.interval(sigmas)
        error = result.error["detector.slope[0]"]
        assert (high - low) / 2 == pytest.approx(sigmas * error, rel=2 * sigmas * bent)


def test_a_profile_lies_below_the_scan_and_touches_it_at_the_estimate():
    """Fitting the others anew can only lower the loss: the profile is wider than the slice."""
    problem = toy(jax.random.key(2))
    result = fit(problem, method=GaussNewton(tolerance=1e-9))
    found = profile(problem, "lifetime", at=result.estimate, n=9)
    ends = {"lifetime": (found.axis.values[0], found.axis.values[-1])}
    cut = landscape(problem, ["lifetime"], at=result.estimate, ranges=ends, n=9)
    scan = np.interp(found.axis.values, cut.axes[0].values, cut.losses)
    assert (found.losses[[0, 1, -2, -1]] < scan[[0, 1, -2, -1]]).all()
    assert found.losses.min() == pytest.approx(result.loss, abs=1e-4)


@pytest.mark.slow
def test_profile_intervals_cover_the_truth_as_often_as_they_say():
    """100 toys: 68.3 % within 4 standard deviations of a binomial, 4.7 %."""
    inside = 0
    for seed in range(100):
        problem = toy(jax.random.key(seed))
        result = fit(problem)
        low, high = profile(problem, "lifetime", at=result.estimate, reach=1.5, n=3).interval()
        inside += low < TRUTH["lifetime"] < high
    assert abs(inside - 68.3) < 4 * 4.7


def test_an_open_interval_is_infinite():
    problem = toy(jax.random.key(2))
    found = profile(problem, "lifetime", at=fit(problem).estimate, reach=0.5, n=3)
    assert found.interval() == (-np.inf, np.inf)


def test_held_coordinates_do_not_move(fitted):
    problem, _ = fitted
    result = fit(problem.holding({1: 0.4}), start=np.array([0.0, 0.4]))
    assert result.converged and result.history[-1].z[1] == pytest.approx(0.4, abs=1e-12)


def test_names_that_are_not_free_are_told(fitted):
    problem, _ = fitted
    with pytest.raises(ValueError, match="'partner' is not free"):
        landscape(problem, ["partner"])
    with pytest.raises(ValueError, match="two different"):
        landscape(problem, ["height", "height"])
    product = toy(free=("height", "partner"))
    with pytest.raises(ValueError, match="no whitening"):
        whitened(product, ["height", "partner"])
    with pytest.raises(ValueError, match="do not determine"):
        profile(product, "height", at=None)
