"""Curvature of many local parameters by probing, and fits with it."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array
from scipy.sparse import csr_array, diags_array

from dptoolkit.events import Combinations
from dptoolkit.inference import Experiment, GaussianChi2, GaussNewton, Problem, fit
from dptoolkit.inference.local import LocalGaussNewton, colours, probed, solver
from dptoolkit.inference.steps import conjugate, learnt
from dptoolkit.params import Component, param


def banded(n: int, width: int, seed: int = 0) -> tuple[np.ndarray, csr_array]:
    """(a positive matrix that is zero beyond `width` from its diagonal, where it is not)."""
    rng = np.random.default_rng(seed)
    near = diags_array([np.ones(n)] * (2 * width + 1), offsets=range(-width, width + 1), shape=(n, n))
    half = rng.normal(size=(n, n)) * (np.abs(np.subtract.outer(np.arange(n), np.arange(n))) <= width // 2)
    return half @ half.T + 0.1 * np.eye(n), csr_array(near)


def test_probing_finds_a_banded_matrix_exactly_in_few_products() -> None:
    matrix, near = banded(60, 4)
    asked = []
    found = probed(lambda v: (asked.append(1), matrix @ v)[1], near)
    assert found.toarray() == pytest.approx(matrix, abs=1e-12)
    assert len(asked) == 9


def test_two_parameters_of_one_colour_have_no_neighbour_in_common() -> None:
    _, near = banded(40, 3)
    colour = colours(near)
    for one in range(40):
        for other in range(one):
            shared = (near[[one]].toarray() * near[[other]].toarray()).any()
            assert not (shared and colour[one] == colour[other])


def test_a_good_preconditioner_solves_in_one_product() -> None:
    matrix, _ = banded(60, 4)
    b = np.arange(60.0)
    products = []
    product = lambda v: (products.append(1), matrix @ v)[1]  # noqa: E731
    x, fall = conjugate(product, b, 30, solver(csr_array(matrix), 0.0))
    assert x == pytest.approx(np.linalg.solve(matrix, b), rel=1e-6)
    assert fall == pytest.approx(0.5 * b @ x) and len(products) <= 2


def test_products_that_are_known_need_not_be_asked_for_again() -> None:
    """The vectors of one solution solve the next system with another right-hand side better than none."""
    matrix, _ = banded(60, 4)
    pairs: list = []
    b = np.arange(60.0)

    def product(v: np.ndarray) -> np.ndarray:
        pairs.append((v, matrix @ v))
        return pairs[-1][1]

    conjugate(product, b, 8, enough=0.0)
    improved = learnt(lambda r: r, pairs)
    for v, av in pairs:
        assert improved(av) == pytest.approx(v, rel=1e-6, abs=1e-8 * np.abs(v).max())
    other = b + np.sin(b)
    errors = []
    for solve in (lambda r: r, improved):
        y, _ = conjugate(lambda v: matrix @ v, other, 5, solve)
        errors.append(np.linalg.norm(matrix @ y - other))
    assert errors[1] < errors[0]


def test_an_indefinite_matrix_still_preconditions() -> None:
    matrix, _ = banded(20, 2)
    wrong = matrix - 0.5 * np.diag(np.diag(matrix))
    solve = solver(csr_array(wrong), 0.0)
    v = np.ones(20)
    assert v @ solve(v) > 0


N = 24


class Blurred(Component):
    """Sources in a row; each detector sees exp(height) of its own and a part of its neighbours'.

    One more detector sees none of them.
    """

    heights: Array = param((0.0,) * N, "1", bounds=(-20.0, 20.0), typical=(-2.0, 2.0))

    def layout(self, inputs: Any) -> np.ndarray:
        return np.arange(N + 1)

    def __call__(self, inputs: Any, key: Any = None, layout: Any = None) -> dict[str, Combinations]:
        bright = jnp.pad(jnp.exp(self.heights), 1)
        seen = bright[1:-1] + 0.4 * (bright[:-2] + bright[2:])
        number = jnp.arange(N + 1)
        value = jnp.append(seen, 0.0)
        return {"row": Combinations(value, jnp.zeros_like(number), number, jnp.ones(N + 1, bool))}


class Event(Component):
    """Nothing varies from event to event."""

    def __call__(self) -> Array:
        return jnp.zeros(())


TRUE = 0.5 * np.random.default_rng(2).normal(size=N)


def blurred(kind: type[Problem] = Problem, unexplained: float = 0.0) -> Problem:
    """Noise of 0.01, and a misfit of so many standard deviations that nothing mends."""
    seen = Blurred(heights=jnp.asarray(TRUE))(None)["row"]
    noise = 0.01 * np.append(np.random.default_rng(3).normal(size=N), unexplained)
    observed = {"row": Combinations(seen.value + noise, seen.event, seen.number, seen.valid)}
    return kind(Experiment(Blurred(), Event()), ["heights"], GaussianChi2(noise=0.01), observed)


def in_reach(width: int) -> csr_array:
    offsets = range(-width, width + 1)
    return csr_array(diags_array([np.ones(N)] * (2 * width + 1), offsets=offsets, shape=(N, N)))


def test_a_local_fit_ends_by_itself_where_gauss_newton_does() -> None:
    found = fit(blurred(), method=LocalGaussNewton(near=in_reach(2), max_steps=40))
    exact = fit(blurred(), method=GaussNewton(tolerance=1e-9))
    assert found.converged and "expected decrease" in found.stopped
    left = found.history[-1].expected_decrease
    assert left < 0.005 * N, "a tenth of an error for each"
    assert found.loss - exact.loss < 2 * left, "what is left is known to a factor of two"


def test_curvature_that_is_probed_too_narrowly_costs_steps_not_the_minimum() -> None:
    wide, narrow = (
        fit(blurred(), method=LocalGaussNewton(near=in_reach(width), max_steps=60)) for width in (2, 0)
    )
    assert narrow.converged and narrow.loss == pytest.approx(wide.loss, abs=0.005 * N)


class Rounded(Problem):
    """Its loss is a number of single precision."""

    def gradient(self, z: Any) -> tuple[float, np.ndarray]:
        loss, gradient = super().gradient(z)
        return float(np.float32(loss)), gradient


def test_a_local_fit_ends_where_single_precision_hides_what_is_left() -> None:
    """A loss of 4.5e6 is resolved to 0.5: no step is seen to help on the last of the way."""
    problem = blurred(Rounded, unexplained=3e3)
    method = LocalGaussNewton(near=in_reach(2), max_steps=200, tolerance=1e-6, products=2)
    found = fit(problem, method=method)
    assert found.converged, found.stopped
    exact = fit(blurred(unexplained=3e3), method=GaussNewton(tolerance=1e-9)).loss
    assert blurred(unexplained=3e3).value(jnp.asarray(found.history[-1].z)) - exact < 0.25


def test_a_local_fit_goes_on_exactly_where_it_was_stopped(tmp_path: Path) -> None:
    method = LocalGaussNewton(near=in_reach(1), tolerance=1e-9, products=3)
    whole = fit(blurred(), method=method, max_steps=6)
    fit(blurred(), method=method, max_steps=3, checkpoint=tmp_path / "c.npz")
    rest = fit(blurred(), method=method, max_steps=6, checkpoint=tmp_path / "c.npz")
    assert [s.loss for s in rest.history] == [s.loss for s in whole.history]


def test_a_local_fit_that_no_step_helps_says_so() -> None:
    class Uphill(Problem):
        """Its gradient is that of another loss."""

        def gradient(self, z: Any) -> tuple[float, np.ndarray]:
            loss, gradient = super().gradient(z)
            return loss, -gradient

    found = fit(blurred(Uphill), method=LocalGaussNewton(near=in_reach(2)))
    assert not found.converged and found.stopped == "no direction lowers the loss"
