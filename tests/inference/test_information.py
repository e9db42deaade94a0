"""Information budgets: matrices of batches add up, and say what each class of events is worth."""

import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.inference import Experiment, GaussianChi2, Problem, information_budget
from tests.inference.decay import NOISE, Charge, Decay


@pytest.fixture(scope="module")
def problem() -> Problem:
    """Two batches of small charge, one of large."""
    batches = [Experiment(Decay(), Charge(charge=jnp.asarray(charge))) for charge in (1.0, 1.0, 3.0)]
    observed = [Decay()(jnp.asarray(charge)) for charge in (1.0, 1.0, 3.0)]
    return Problem(batches, ("height", "lifetime"), GaussianChi2(noise=NOISE), observed)


CLASSES = ("small", "small", "large")


def test_the_information_of_batches_adds_up_to_that_of_the_fit(problem: Problem):
    z = problem.start
    parts = problem.informations(z)
    assert len(parts) == 3
    np.testing.assert_allclose(np.sum(parts, axis=0), problem.normal(z).matrix, rtol=1e-5)


def test_three_times_the_charge_is_worth_nine_batches(problem: Problem):
    """Errors go as 1 / (charge sqrt(batches)): information 2 x 1 of the small, 9 of the large, 11 of all."""
    found = information_budget(problem, problem.start, CLASSES)
    assert found.labels == ("large", "small") and found.batches == (1, 2)
    ratio = found.alone / found.errors
    np.testing.assert_allclose(ratio, np.sqrt([[11 / 9] * 2, [11 / 2] * 2]), rtol=1e-3)
    np.testing.assert_allclose(found.without, found.alone[::-1], rtol=1e-5)
    np.testing.assert_allclose(
        found.after_one_more / found.errors, np.sqrt([[11 / 20] * 2, [11 / 12] * 2]), rtol=1e-3
    )
    assert set(found.collect_next.values()) == {"large"}


def test_a_class_that_says_nothing_leaves_parameters_undetermined(problem: Problem):
    dark = Experiment(Decay(), Charge(charge=jnp.asarray(0.0)))
    both = Problem(
        [Experiment(problem.detector, problem.sources[0]), dark],
        ("height", "lifetime"), problem.loss, [problem.observed[0], Decay()(jnp.asarray(0.0))],
    )  # fmt: skip
    found = information_budget(both, both.start, ("lit", "dark"))
    assert np.isinf(found.alone[0]).all() and np.isfinite(found.alone[1]).all()


def test_labels_must_match_the_batches(problem: Problem):
    with pytest.raises(ValueError, match="a label for each of 3 batches, got 1"):
        information_budget(problem, problem.start, ("small",))


def test_classes_with_numbers_are_in_the_order_of_these(problem: Problem):
    classes = ("134.3 to 201.4 cm", "0 to 67.1 cm", "67.1 to 134.3 cm")
    found = information_budget(problem, problem.start, classes)
    assert found.labels == ("0 to 67.1 cm", "67.1 to 134.3 cm", "134.3 to 201.4 cm")
