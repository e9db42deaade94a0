"""Fits: the truth comes back, within its errors, by every method; and what a user may do to a fit."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.inference import (
    METHODS,
    Experiment,
    FirstOrder,
    GaussianChi2,
    GaussNewton,
    MultiScale,
    Problem,
    fit,
    from_hessian,
    graduated,
)
from dptoolkit.inference.optimise import NO_DIRECTION, ConjugateGaussNewton, State, better
from dptoolkit.inference.uncertainty import Uncertainty
from tests.inference.decay import NOISE, TRUTH, Charge, Decay, toy

FULL = {f"detector.{path}": value for path, value in TRUTH.items()}


def assert_truth(estimate: dict, rtol: float) -> None:
    for path, value in FULL.items():
        np.testing.assert_allclose(estimate[path], value, rtol=rtol)


@pytest.mark.parametrize("start", [{"height": 1.0, "lifetime": 3.0}, {"height": 30.0, "lifetime": 200.0}])
def test_gauss_newton_finds_the_truth_in_few_steps_from_far(start):
    result = fit(toy(**start), method=GaussNewton(tolerance=1e-9))
    assert result.converged and result.steps <= 12, result.stopped
    assert_truth(result.estimate, 1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_goes_to_the_same_minimum(method, problem):
    result = fit(
        problem, method=FirstOrder(rule="sgd", learning_rate=1e-5) if method == "gradient-descent" else method
    )
    assert result.loss < 0.1 * result.history[0].loss
    if method in ("gauss-newton", "gauss-newton-cg", "lbfgs"):
        assert result.converged
        assert_truth(result.estimate, 2e-3)


def test_a_step_of_which_rounding_leaves_nothing_ends_the_fit_and_is_no_success(problem):
    """Taken as a step that did not raise the loss it came back for ever."""
    method = GaussNewton(near=0.0)
    state = method.begin(problem, jnp.array([3.0, -2.0]))
    assert state.expected_decrease > 1
    following = method.judged(problem, state, state.z + 0.0, problem.normal(state.z))
    assert following.stopped == NO_DIRECTION and not following.converged


def test_gradient_normal_matrix_and_finite_difference_agree(problem):
    z = jnp.array([0.3, -0.2])
    loss, gradient = problem.gradient(z)
    normal = problem.normal(z)
    step = 1e-5
    finite = [
        (problem.value(z.at[i].add(step)) - problem.value(z.at[i].add(-step))) / (2 * step) for i in range(2)
    ]
    np.testing.assert_allclose(gradient, finite, rtol=1e-6)
    np.testing.assert_allclose(normal.gradient, gradient, rtol=1e-9)
    assert normal.loss == pytest.approx(loss)
    np.testing.assert_allclose(
        problem.curvature(z)(np.array([1.0, 2.0])), normal.matrix @ [1.0, 2.0], rtol=1e-9
    )


def test_pulls_have_mean_zero_and_width_one():
    """400 toys with noise; the mean is known to 0.05 and the width to 0.035."""
    pulls = []
    for seed in range(400):
        result = fit(toy(jax.random.key(seed)))
        pulls.append([(result.estimate[path] - value) / result.error[path] for path, value in FULL.items()])
    np.testing.assert_allclose(np.mean(pulls, axis=0), 0, atol=0.2)
    np.testing.assert_allclose(np.std(pulls, axis=0), 1, atol=0.12)


def test_fisher_information_and_hessian_agree_at_the_minimum_of_good_data(problem):
    result = fit(problem, method=GaussNewton(tolerance=1e-9))
    z = jnp.asarray(result.history[-1].z)
    np.testing.assert_allclose(from_hessian(problem, z).errors, result.uncertainty.errors, rtol=1e-3)


def test_a_product_that_alone_is_seen_is_named_and_gets_no_error():
    problem = toy(free=("height", "partner", "lifetime"))
    result = fit(problem)
    (direction,) = result.uncertainty.unidentifiable
    assert "height" in direction and "partner" in direction and "lifetime" not in direction
    assert np.isinf(result.error["detector.height"]) and np.isfinite(result.error["detector.lifetime"])
    product = result.estimate["detector.height"] * result.estimate["detector.partner"]
    assert product == pytest.approx(TRUTH["height"], rel=1e-3)


def test_batches_add_up():
    model, truth = Decay(), Decay(height=jnp.asarray(5.0))
    sources = [Charge(jnp.asarray(1.0)), Charge(jnp.asarray(3.0))]
    data = [truth(source()) for source in sources]
    alone = [
        Problem(Experiment(model, s), ["height"], GaussianChi2(noise=NOISE), d)
        for s, d in zip(sources, data, strict=True)
    ]
    both = Problem([Experiment(model, s) for s in sources], ["height"], GaussianChi2(noise=NOISE), data)
    z = jnp.array([0.1])
    assert both.value(z) == pytest.approx(sum(p.value(z) for p in alone))
    np.testing.assert_allclose(both.normal(z).matrix, sum(p.normal(z).matrix for p in alone))
    assert both.part(1).value(z) == pytest.approx(alone[0].value(z))


def test_a_source_can_be_free():
    truth = Decay()(jnp.asarray(2.5))
    problem = Problem(Experiment(Decay(), Charge()), ["source.charge"], GaussianChi2(noise=NOISE), truth)
    assert fit(problem).estimate["source.charge"] == pytest.approx(2.5, rel=1e-4)


def test_a_truth_beyond_the_bounds_leaves_the_parameter_at_its_edge():
    observed = Decay(height=jnp.asarray(49.9))(jnp.asarray(3.0))
    problem = Problem(Experiment(Decay(), Charge()), ["height"], GaussianChi2(noise=NOISE), observed)
    result = fit(problem)
    assert result.converged and 49.5 < result.estimate["detector.height"] <= 50.0
    assert problem.at_edge(jnp.asarray(result.history[-1].z)) == ["detector.height"]
    assert problem.at_edge(problem.start) == problem.holding({0: 0.0}).at_edge(problem.start) == []


@pytest.mark.parametrize("method", ["gauss-newton", "gauss-newton-cg", "lbfgs", "adam"])
def test_a_fit_goes_on_exactly_where_it_was_stopped(method, tmp_path: Path):
    whole = fit(toy(), method=method, max_steps=6)
    fit(toy(), method=method, max_steps=3, checkpoint=tmp_path / "c.npz")
    rest = fit(toy(), method=method, max_steps=6, checkpoint=tmp_path / "c.npz")
    assert [s.loss for s in rest.history] == [s.loss for s in whole.history]
    assert rest.estimate == whole.estimate


def test_a_caller_that_ends_a_fit_by_its_steps_so_far_ends_the_resumed_one_there_too(tmp_path: Path):
    def patient():
        losses = []

        def tell(snapshot):
            losses.append(snapshot.loss)
            if len(losses) == 4:
                raise StopIteration

        return tell

    first = fit(toy(), method="adam", callback=patient(), checkpoint=tmp_path / "c.npz")
    again = fit(toy(), method="adam", callback=patient(), checkpoint=tmp_path / "c.npz")
    assert first.steps == again.steps == 3 and first.estimate == again.estimate


def test_stages_with_checkpoints_go_on_exactly_where_one_was_interrupted(problem, tmp_path: Path):
    easy = problem.with_loss(MultiScale(time=8.0, noise=NOISE))
    whole = graduated([easy, problem])
    for stop_at in (1, whole.steps - 1):

        def interrupted(snapshot, stop_at=stop_at):
            if snapshot.step == stop_at:
                raise KeyboardInterrupt

        name = tmp_path / f"c{stop_at}.npz"
        part = graduated([easy, problem], callback=interrupted, checkpoint=name)
        assert part.stopped == "interrupted" and part.steps == stop_at
        rest = graduated([easy, problem], checkpoint=name)
        assert [s.loss for s in rest.history] == [s.loss for s in whole.history]
        assert rest.estimate == whole.estimate and rest.converged


def test_a_first_order_fit_returns_to_its_best_point_and_a_loss_that_only_rose_is_no_minimum(problem):
    loud = fit(problem, method=FirstOrder(rule="adam", learning_rate=1.0, patience=20))
    assert loud.converged and loud.loss == min(snapshot.loss for snapshot in loud.history)
    lowest = fit(problem).history[-1].z
    wild = fit(problem, start=lowest, method=FirstOrder(rule="adam", learning_rate=0.5, patience=5))
    assert not wild.converged and "lower the learning rate" in wild.stopped
    assert wild.loss == wild.history[0].loss and (wild.history[-1].z == wild.history[0].z).all()


def test_a_checkpoint_of_another_fit_is_refused(tmp_path: Path):
    fit(toy(), max_steps=1, checkpoint=tmp_path / "c.npz")
    with pytest.raises(ValueError, match="checkpoint of the method"):
        fit(toy(), method="adam", checkpoint=tmp_path / "c.npz")
    with pytest.raises(ValueError, match="checkpoint of another fit"):
        fit(toy(free=("height",)), checkpoint=tmp_path / "c.npz")


@pytest.mark.parametrize(
    ("error", "why"), [(KeyboardInterrupt, "interrupted"), (StopIteration, "by the caller")]
)
def test_a_stopped_fit_returns_what_there_is(error, why, problem):
    def stop(snapshot):
        if snapshot.step == 1:
            raise error

    result = fit(problem, callback=stop)
    assert not result.converged and why in result.stopped and result.steps == 1


def test_too_few_steps_are_told(problem):
    result = fit(problem, max_steps=1)
    assert not result.converged and result.stopped == "no convergence in 1 steps"


def test_every_step_is_told_once(problem):
    seen = []
    result = fit(problem, callback=lambda s: seen.append(s.step))
    assert seen == list(range(result.steps + 1))


def test_stages_share_one_history_and_end_with_the_exact_loss(problem):
    seen = []
    easy = problem.with_loss(MultiScale(time=8.0, noise=NOISE))
    result = graduated([easy, problem], callback=lambda s: seen.append((s.stage, s.step)))
    assert result.converged and seen == sorted(set(seen))
    last_easy = max(step for stage, step in seen if stage == 0)
    assert [step for stage, step in seen if stage == 1] == list(range(last_easy, result.steps + 1))
    assert_truth(result.estimate, 1e-3)
    assert [s.step for s in result.history] == list(range(len(result.history)))


def test_a_step_across_a_jump_of_the_loss_is_not_taken_back_and_forth():
    """Near the end a loss may rise only where what is left to fall is halved, and that never grows."""
    before = State(jnp.zeros(1), 1.18, None, expected_decrease=0.376)
    assert not better(replace(before, loss=31.5, expected_decrease=0.325), before)
    assert better(replace(before, loss=1.3, expected_decrease=0.002), before)
    assert better(replace(before, loss=0.9, expected_decrease=0.325), before)
    assert not better(replace(before, loss=0.1, expected_decrease=0.9), before), "a jump, not a step"


@pytest.mark.parametrize("left, converged", [(0.005, True), (0.5, False)])
def test_where_no_step_helps_a_fit_has_converged_only_if_little_is_left(problem, left, converged):
    """A loss that jumps hides the last of its way down."""
    method, z = GaussNewton(), problem.start
    normal = problem.normal(z)
    worse = replace(normal, loss=normal.loss + 100.0)
    state = replace(method.begin(problem, z), expected_decrease=left)
    while not state.stopped:
        state = method.judged(problem, state, z + 0.1, worse)
    assert state.converged == converged and "lowers the loss" in state.stopped
    assert state.z is z


@pytest.mark.parametrize("loss, left, converged", [(1e8, 0.2, True), (1e8, 0.5, False), (1e3, 0.2, False)])
def test_what_single_precision_hides_of_a_large_loss_ends_a_fit_at_the_first_vain_step(
    problem, loss, left, converged
):
    """Hundreds of events of waveforms have a loss of 1e8, and a step there takes minutes."""
    method, z = GaussNewton(), problem.start
    normal = replace(problem.normal(z), loss=loss)
    state = replace(method.at(problem, z, normal, 1e-3), expected_decrease=left)
    following = method.judged(problem, state, z + 0.1, replace(normal, loss=1.01 * loss))
    assert following.converged == converged and ("rounding" in following.stopped) == converged


def test_misuse_is_named(problem):
    with pytest.raises(ValueError, match="method 'newton' is unknown"):
        fit(problem, method="newton")
    with pytest.raises(ValueError, match="not free"):
        fit(problem, start={"partner": 2.0})
    with pytest.raises(ValueError, match="expected one for each"):
        Problem([Experiment(Decay(), Charge())] * 2, ["height"], GaussianChi2(noise=1.0), [{}])


@pytest.mark.parametrize("method", ["gauss-newton", "gauss-newton-cg", "lbfgs", "adam"])
def test_a_held_coordinate_stays_with_every_method_and_the_others_find_their_minimum(method):
    problem = toy(height=4.0, lifetime=8.0)
    held = problem.holding({0: 0.0})
    result = fit(held, method=method)
    assert result.estimate["detector.height"] == 4.0
    assert result.loss < 0.9 * result.history[0].loss
    alone = fit(toy(free=("lifetime",), height=4.0, lifetime=8.0))
    assert result.estimate["detector.lifetime"] == pytest.approx(
        alone.estimate["detector.lifetime"], rel=5e-3
    )


def test_a_held_parameter_has_no_error_and_adds_none_to_the_others():
    held = fit(toy(height=4.0, lifetime=8.0).holding({0: 0.0}))
    alone = fit(toy(free=("lifetime",), height=4.0, lifetime=8.0))
    assert held.error["detector.lifetime"] == pytest.approx(alone.error["detector.lifetime"], rel=0.02)
    assert np.isnan(held.error["detector.height"]) and np.isnan(held.correlation[0]).all()
    assert held.uncertainty is not None and len(held.uncertainty.eigenvalues) == 1


def test_a_small_part_in_a_direction_that_nothing_determines_makes_an_error_infinite():
    """The flat direction has 9 % of b: its variance, at least a million, is not left out."""
    flat = np.array([np.sqrt(1 - 0.09**2), 0.09])
    across = np.array([-flat[1], flat[0]])
    matrix = np.outer(across, across) + 1e-12 * np.outer(flat, flat)
    known = Uncertainty(("a", "b"), matrix, np.ones(2), {"a": (), "b": ()})
    assert np.isinf(known.errors).all() and np.isnan(known.correlation).all()
    apart = Uncertainty(("a", "b"), np.diag([0.0, 4.0]), np.ones(2), {"a": (), "b": ()})
    assert np.isinf(apart.errors[0]) and apart.errors[1] == pytest.approx(0.5)


def test_damping_from_steps_that_failed_is_not_taken_for_convergence(problem):
    method = ConjugateGaussNewton()
    begun = method.begin(problem, problem.start + 1.0)
    gradient, _ = begun.memory
    following = method.step(problem, replace(begun, memory=(gradient, 1e9)))
    assert not following.converged and following.expected_decrease > 1


def test_an_interrupt_while_a_later_stage_begins_returns_what_the_stages_before_found(problem):
    easy = problem.with_loss(MultiScale(time=8.0, noise=NOISE))

    def interrupted(*_):
        raise KeyboardInterrupt

    exact = problem.with_loss(GaussianChi2(noise=NOISE))
    exact.watch = interrupted
    result = graduated([easy, exact])
    assert not result.converged and result.stopped == "interrupted" and result.uncertainty is None
    alone = fit(easy)
    assert result.estimate == alone.estimate and result.steps == alone.steps


def test_problems_with_other_settings_are_not_the_same(problem):
    other = problem.with_loss(GaussianChi2(noise=2 * NOISE))
    assert other.identity != problem.identity == toy().identity


def test_the_errors_of_a_fit_whose_last_trial_failed_cost_no_further_derivatives(problem: Problem):
    computed = []
    problem.watch = lambda what, done, total: computed.append(what)
    start, trial = problem.start, problem.start + 0.1
    first = problem.normal(start)
    problem.normal(trial)
    before = computed.count("computing derivatives")
    again = problem.normal(start)
    assert computed.count("computing derivatives") == before == 2
    assert again.loss == first.loss and (again.matrix == first.matrix).all()


def test_stages_before_the_last_end_near_their_minimum_and_the_last_at_its(problem):
    easy = problem.with_loss(MultiScale(time=8.0, noise=NOISE))
    whole, quick = (graduated([easy, problem], near=near) for near in (None, 1e6))
    assert quick.converged and quick.uncertainty is not None
    assert {snapshot.stage for snapshot in whole.history} == {0, 1}
    assert {snapshot.stage for snapshot in quick.history} == {1}, "the first began near enough"
    assert_truth(quick.estimate, 1e-3)
