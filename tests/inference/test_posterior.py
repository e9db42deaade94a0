"""The posterior of a nearly Gaussian problem is what the Fisher information says."""

import jax
import numpy as np
import pytest

from dptoolkit.inference import GaussNewton, fit
from tests.inference.decay import toy

pytest.importorskip("blackjax")
from dptoolkit.inference.posterior import posterior


def test_samples_have_the_mean_and_covariance_of_the_fit():
    """At least 300 of 1000 samples count as independent: widths to 4 %, means and correlations to 0.06."""
    problem = toy(jax.random.key(3))
    result = fit(problem, method=GaussNewton(tolerance=1e-9))
    found = posterior(problem, result.estimate, n=1000, warmup=300)
    errors = result.uncertainty.errors
    assert found.divergent == 0 and found.acceptance > 0.6
    np.testing.assert_allclose(found.samples.std(axis=0, ddof=1), errors, rtol=4 * 0.041)
    best = np.array([result.estimate[path] for path in problem.paths])
    np.testing.assert_allclose((found.mean - best) / errors, 0, atol=4 * 0.058)
    correlation = np.corrcoef(found.samples.T)[0, 1]
    assert correlation == pytest.approx(result.correlation[0, 1], abs=4 * 0.058)


def test_a_direction_that_data_do_not_determine_is_refused_by_name():
    with pytest.raises(ValueError, match="height"):
        posterior(toy(free=("height", "partner")), None)
