"""Sources with parameters of their own: eliminated event by event, the answer is that of one big fit."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from dptoolkit.inference import Experiment, GaussianChi2, Problem, fit
from dptoolkit.inference.profiled import Own, ProfiledProblem
from tests.inference.decay import NOISE, Charge, Decay

CHARGES = (0.7, 1.0, 1.6)
WIDTH = 0.2
FREE = ["height", "lifetime"]


def data(seed: int = 0) -> list:
    truth = eqx.tree_at(lambda d: (d.height, d.lifetime), Decay(), (jnp.asarray(5.0), jnp.asarray(11.0)))
    keys = jax.random.split(jax.random.key(seed), len(CHARGES))
    return [truth(jnp.asarray(charge), key=key) for charge, key in zip(CHARGES, keys, strict=True)]


def profiled(width: float = WIDTH) -> ProfiledProblem:
    experiments = [Experiment(Decay(), Charge()) for _ in CHARGES]
    own = [Own({"charge": np.array(width)}, {"charge": np.array(0.05)}) for _ in CHARGES]
    return ProfiledProblem(experiments, FREE, GaussianChi2(noise=NOISE), data(), own)


def dense(z: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """J^T r and J^T J in the coordinates and all charges, priors included, from the definition."""
    problem, observed = (
        Problem(Experiment(Decay(), Charge()), FREE, GaussianChi2(noise=NOISE), data()[0]),
        data(),
    )

    def residuals(zn: Array) -> Array:
        parts = []
        for number, one in enumerate(observed):
            model = problem.coordinates.values(zn[:2])
            detector = Decay(height=model["detector.height"], lifetime=model["detector.lifetime"])
            predicted = detector(zn[2 + number])
            parts.append(problem.loss.residuals(predicted, one))
        return jnp.concatenate([*parts, (zn[2:] - 1.0) / WIDTH])

    zn = jnp.concatenate([jnp.asarray(z), jnp.asarray(n)])
    slope, r = np.asarray(jax.jacfwd(residuals)(zn)), np.asarray(residuals(zn))
    return slope.T @ r, slope.T @ slope


def test_its_covariance_is_that_of_one_fit_of_everything() -> None:
    problem = profiled()
    result = fit(problem)
    assert result.converged
    z = jnp.asarray(result.history[-1].z)
    charges = [float(problem.own_values(z, number)["source.charge"]) for number in range(3)]
    gradient, matrix = dense(np.asarray(z), np.array(charges))
    assert (np.abs(gradient) < 0.1 * np.sqrt(np.diag(matrix))).all(), "the minimum of everything together"
    assert problem.normal(z).matrix == pytest.approx(np.linalg.inv(np.linalg.inv(matrix)[:2, :2]), rel=3e-3)


def test_a_profiled_fit_goes_on_exactly_where_it_was_stopped(tmp_path: Path) -> None:
    whole = fit(profiled(), max_steps=4)
    fit(profiled(), max_steps=2, checkpoint=tmp_path / "c.npz")
    problem = profiled()
    rest = fit(problem, max_steps=4, checkpoint=tmp_path / "c.npz")
    assert [s.loss for s in rest.history] == [s.loss for s in whole.history]
    assert rest.estimate == whole.estimate and problem.unfitted(jnp.asarray(rest.history[-1].z)) == []


def test_sources_that_are_not_at_their_best_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dptoolkit.inference.profiled.TRIES", 0)
    assert set(profiled().unfitted(jnp.zeros(2))) >= {1, 2}


def test_without_the_freedom_of_its_sources_errors_are_smaller() -> None:
    held, open_ = fit(profiled(0.0)), fit(profiled())
    assert held.error["detector.height"] < 0.7 * open_.error["detector.height"]
    assert profiled(0.0).own_values(jnp.zeros(2), 0)["source.charge"] == 1.0


def test_a_loss_with_free_sources_is_the_least_over_them_and_its_gradient_the_slope() -> None:
    problem = profiled()
    z = jnp.array([0.3, -0.2])
    loss, gradient = problem.gradient(z)
    for axis in range(2):
        step = 1e-3 * np.eye(2)[axis]
        slope = (problem.value(z + step) - problem.value(z - step)) / 2e-3
        assert gradient[axis] == pytest.approx(slope, rel=2e-2, abs=0.05)
        assert problem.normal(z).gradient[axis] == pytest.approx(gradient[axis], rel=2e-2, abs=0.05)
    assert loss == pytest.approx(problem.value(z), abs=0.1)


def test_parts_and_other_losses_share_the_sources() -> None:
    problem = profiled()
    assert len(problem.part(2).own) == 2 and problem.part(2).value(problem.start) < problem.value(
        problem.start
    )
    assert (
        problem.with_loss(GaussianChi2(noise=2 * NOISE)).identity != problem.identity == profiled().identity
    )
    assert len(problem.residuals(problem.start)) == sum(map(len, map(np.ravel, _residuals(problem))))


def _residuals(problem: ProfiledProblem) -> list:
    pairs = [problem.compared(problem.start, number) for number in range(3)]
    return [problem.loss.residuals(*pair) for pair in pairs]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ([Own({"charge": np.array(0.1)}, {"charge": np.array(0.1)})], "an entry for each of 3"),
        ([Own({}, {})] * 2 + [Own({"charge": np.array(0.1)}, {"charge": np.array(0.1)})], "same paths"),
    ],
)
def test_own_parameters_fit_the_experiments(own: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ProfiledProblem(
            [Experiment(Decay(), Charge()) for _ in CHARGES], FREE, GaussianChi2(noise=NOISE), data(), own
        )


def test_a_negative_width_is_refused() -> None:
    with pytest.raises(ValueError, match="zero \\(held\\) or more"):
        Own({"charge": np.array(-0.1)}, {"charge": np.array(0.1)})
