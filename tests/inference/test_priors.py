"""Priors are residuals beside those of the data."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from dptoolkit.events import Waveforms
from dptoolkit.inference import Experiment, GaussianChi2, GaussNewton, Problem, SquaredDifference, fit
from dptoolkit.inference.losses import soft_residual
from dptoolkit.inference.priors import Known, WithPrior, informed, log_widths
from dptoolkit.params import Component, param
from tests.inference.decay import toy


class Level(Component):
    """A detector that reads a number four times."""

    offset: Array = param(0.0, "1", bounds=(-100.0, 100.0))

    def layout(self, inputs: Any, /) -> Any:
        return None

    def __call__(self, inputs: Any, /, key: Array | None = None, layout: Any = None) -> dict[str, Waveforms]:
        one = jnp.zeros(1, jnp.int32)
        samples = jnp.full((1, 1, 4), 1.0) * (self.offset + inputs)
        return {"Y": Waveforms(samples, one, one, one, one, one == 0, 1, 0.5, "ADC")}


class Number(Component):
    """A source."""

    value: Array = param(0.0, "1", bounds=(-100.0, 100.0))

    def __call__(self) -> Array:
        return self.value


def problem(prior_width: float, noise: float = 1.0) -> Problem:
    observed = Level(offset=jnp.asarray(3.0))(jnp.asarray(0.0))
    prior = Known("source.value", jnp.asarray(0.0), jnp.asarray(prior_width))
    return Problem(
        Experiment(Level(), Number()), ["source.value"], WithPrior(GaussianChi2(noise), prior), observed
    )


def test_a_fit_with_a_prior_is_the_weighted_mean() -> None:
    found = fit(problem(0.5), method=GaussNewton(tolerance=1e-8))
    # four samples of 3 +- 1 and one of 0 +- 0.5
    error = 1 / np.sqrt(8)
    assert found.estimate["source.value"] == pytest.approx(12 / (4 + 4), abs=0.01 * error)
    assert found.error["source.value"] == pytest.approx(error, rel=1e-5)


def test_what_is_known_of_one_parameter_tells_apart_what_data_see_as_a_product() -> None:
    product = toy(free=("height", "partner"))
    blind = fit(product)
    assert blind.uncertainty is not None and len(blind.uncertainty.unidentifiable) == 1
    known = informed(product, {"partner": (1.02, 0.05)})
    found = fit(known, method=GaussNewton(tolerance=1e-8))
    assert found.converged and found.uncertainty is not None and found.uncertainty.unidentifiable == []
    assert found.estimate["detector.partner"] == pytest.approx(1.02, abs=5e-4)
    assert found.error["detector.partner"] == pytest.approx(0.05, rel=0.01)
    relative = found.error["detector.height"] / found.estimate["detector.height"]
    assert relative == pytest.approx(0.05 / 1.02, rel=0.1), "the product is known far better than its parts"
    assert type(known.loss.alone) is type(product.loss) and product.loss.alone is product.loss


@pytest.mark.parametrize(
    ("known", "message"), [({"slope": (0.0, 1.0)}, "not free"), ({"partner": (1.0, 0.0)}, "positive")]
)
def test_a_prior_names_what_is_free_and_has_an_error(known: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        informed(toy(free=("height", "partner")), known)


def test_value_gradient_and_curvature_hold_the_prior() -> None:
    one = problem(0.5)
    z = one.start + 0.3
    loss, gradient = one.gradient(z)
    normal = one.normal(z)
    assert one.value(z) == pytest.approx(loss) == pytest.approx(normal.loss)
    assert loss == pytest.approx(0.5 * np.sum(one.residuals(z) ** 2))
    assert gradient == pytest.approx(normal.gradient)
    assert one.curvature(z)(np.ones(1)) == pytest.approx(normal.matrix[0])
    h = 1e-5
    assert gradient[0] == pytest.approx((one.value(z + h) - one.value(z - h)) / (2 * h), rel=1e-6)
    data = problem(1e9).curvature(z)(np.ones(1))
    assert one.prior_curvature(z)(np.ones(1)) + data == pytest.approx(normal.matrix[0], rel=1e-6)


def test_many_batches_count_a_prior_of_the_detector_once() -> None:
    """Three batches of four samples of 3 +- 1, and once 0 +- 0.5."""
    observed = Level(offset=jnp.asarray(3.0))(jnp.asarray(0.0))
    prior = Known("detector.offset", jnp.asarray(0.0), jnp.asarray(0.5))
    whole = Problem(
        [Experiment(Level(), Number())] * 3, ["offset"], WithPrior(GaussianChi2(1.0), prior), [observed] * 3
    )
    for n, one in ((3, whole), (2, whole.part(2))):
        found = fit(one, method=GaussNewton(tolerance=1e-8))
        error = 1 / np.sqrt(4 * n + 4)
        assert found.estimate["detector.offset"] == pytest.approx(12 * n * error**2, abs=0.01 * error)
        assert found.error["detector.offset"] == pytest.approx(error, rel=1e-5)


def test_a_loss_without_residuals_says_so() -> None:
    prior = Known("source.value", jnp.asarray(0.0), jnp.asarray(1.0))
    one = problem(1.0).with_loss(WithPrior(SquaredDifference(), prior))
    assert np.isfinite(one.value(one.start))
    with pytest.raises(ValueError, match="SquaredDifference has no residuals"):
        one.residuals(one.start)


def test_a_soft_residual_is_linear_near_zero_and_its_square_linear_far_off() -> None:
    assert float(soft_residual(jnp.asarray(1e-3))) == pytest.approx(1e-3, rel=1e-6)
    far = 0.5 * soft_residual(jnp.asarray([1e4, 2e4])) ** 2
    assert float(far[1] / far[0]) == pytest.approx(2, rel=1e-3)
    assert eqx.is_array(far)


def test_another_loss_keeps_all_priors() -> None:
    loss = problem(0.5).loss
    two = WithPrior(loss, Known("detector.offset", jnp.asarray(0.0), jnp.asarray(2.0)))
    other = two.around(SquaredDifference())
    one = problem(0.5).with_loss(two)
    assert other.prior(one.model(one.start + 1.0)) == pytest.approx(two.prior(one.model(one.start + 1.0)))
    assert len(other.prior(one.model(one.start))) == 2


def test_the_widths_of_what_is_known_add_up() -> None:
    """One width for three numbers, and a width each of two; the loss inside has none."""
    one = Known("source.value", jnp.zeros(3), jnp.asarray(0.1))
    two = Known("detector.offset", jnp.zeros(2), jnp.asarray([2.0, 5.0]))
    loss = WithPrior(WithPrior(GaussianChi2(noise=1.0), one), two)
    assert log_widths(loss) == pytest.approx(3 * np.log(0.1) + np.log(10.0))
    assert log_widths(GaussianChi2(noise=1.0)) == 0.0
