"""Many starts: the same fits as one by one, and every basin is told."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from dptoolkit.events import Waveforms
from dptoolkit.inference import Experiment, GaussianChi2, Problem, fit, multistart, spread_starts
from dptoolkit.params import Component, param
from tests.inference.decay import TRUTH, Charge, toy


class Wave(Component):
    """A sine: its chi-squared has a minimum for every beat of frequencies."""

    frequency: Array = param(1.0, "1", bounds=(0.1, 3.0), typical=(0.3, 2.5))

    def layout(self, inputs: Any) -> np.ndarray:
        return np.arange(1)

    def __call__(self, inputs: Any, key: Array | None = None, layout: Any = None) -> dict[str, Waveforms]:
        samples = jnp.sin(self.frequency * jnp.arange(32.0) * inputs / 2)[None, None, :]
        row = jnp.zeros(1, jnp.int32)
        return {
            "trace": Waveforms(
                samples=samples, event=row, group=row, channel=row, tick=row, valid=jnp.ones(1, bool),
                n_channels=1, tick_period=1.0, unit="ADC",
            )
        }  # fmt: skip


def waves() -> Problem:
    observed = Wave(frequency=jnp.asarray(1.4))(jnp.asarray(1.0))
    return Problem(Experiment(Wave(), Charge()), ["frequency"], GaussianChi2(noise=0.1), observed)


def test_all_starts_of_a_problem_with_one_minimum_find_it():
    problem = toy()
    found = multistart(problem, spread_starts(problem, 4, seed=1))
    assert len(found.basins) == 1 and found.share == 1 and all(r.converged for r in found.results)
    assert found.best.estimate["detector.lifetime"] == pytest.approx(TRUTH["lifetime"], rel=1e-3)


def test_in_step_a_fit_goes_the_way_it_goes_alone():
    problem, starts = toy(), [{"height": 1.0, "lifetime": 3.0}, {"height": 30.0, "lifetime": 200.0}]
    for start, together in zip(starts, multistart(problem, starts).results, strict=True):
        alone = fit(problem, start=start)
        assert [s.loss for s in together.history] == pytest.approx([s.loss for s in alone.history], rel=1e-6)
        assert together.stopped.split(" of the loss")[0] == alone.stopped.split(" of the loss")[0]
        np.testing.assert_allclose(together.uncertainty.errors, alone.uncertainty.errors, rtol=1e-6)


def test_the_deepest_of_several_basins_comes_first():
    problem = waves()
    found = multistart(problem, spread_starts(problem, 16))
    assert len(found.basins) > 1 and 0 < found.share < 1
    losses = [basin.result.loss for basin in found.basins]
    assert losses == sorted(losses) and losses[1] > 10
    assert found.best.estimate["detector.frequency"] == pytest.approx(1.4, rel=1e-4)
    assert sorted(i for basin in found.basins for i in basin.starts) == list(range(16))


def test_starts_are_spread_over_typical_values_and_reproducible():
    problem = toy()
    starts = spread_starts(problem, 200, seed=3)
    values = np.array([[float(v) for v in problem.values(jnp.asarray(z)).values()] for z in starts])
    for column, (low, high) in zip(values.T, ((2.0, 8.0), (4.0, 16.0)), strict=True):
        assert low - 1e-6 <= column.min() < low * 1.1 and high * 0.9 < column.max() <= high + 1e-6
    np.testing.assert_array_equal(starts, spread_starts(problem, 200, seed=3))


def test_no_start_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        multistart(toy(), [])
