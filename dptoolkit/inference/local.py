"""Many parameters that each act on a small part of the data: their curvature by probing, and fits with it.

Column j of J^T J is nearly zero but for the parameters near j. So one product J^T J v gives many columns at
once, if v is 1 at parameters that have no neighbour in common: as many products as there are colours,
whatever the number of parameters (A. R. Curtis, M. J. D. Powell, J. K. Reid, J. Inst. Math. Appl. 13 (1974)
117). What lies beyond the neighbourhood is missing there; it preconditions conjugate gradients with the
true product, so steps of a fit are exact, and errors are local: those of a parameter with its neighbours
free.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from scipy.sparse import csc_array, csr_array, diags_array
from scipy.sparse.linalg import splu

from dptoolkit.inference.evaluation import Vector
from dptoolkit.inference.optimise import NO_DIRECTION, AbstractMethod, State
from dptoolkit.inference.problem import Problem
from dptoolkit.inference.steps import conjugate

INEXACT = 1e-3
"""Part of the squared residual that may be left of a step: the next one starts elsewhere."""

Product = Callable[[np.ndarray], np.ndarray]


def colours(near: Any) -> np.ndarray:
    """A colour for every parameter such that no two of one colour are near the same one; greedy."""
    both: Any = csr_array((near @ near) > 0)
    found = np.full(both.shape[0], -1)
    for i in range(len(found)):
        used = found[both.indices[both.indptr[i] : both.indptr[i + 1]]]
        free = np.setdiff1d(np.arange(len(used) + 1), used[used >= 0])
        found[i] = free[0]
    return found


def probed(product: Product, near: Any) -> csr_array:
    """The matrix of `product` where parameters are `near` (k, k), symmetric; the rest is left out."""
    near = csr_array(near)
    colour = colours(near)
    rows, columns = near.nonzero()
    values = np.zeros(len(rows))
    for number in range(colour.max() + 1):
        answer = product((colour == number).astype(float))
        mine = colour[columns] == number
        values[mine] = answer[rows[mine]]
    matrix = csr_array((values, (rows, columns)), shape=near.shape)
    return csr_array((matrix + matrix.T) / 2)


def solver(matrix: Any, damping: float) -> Product:
    """Multiplication with the inverse of a sparse matrix, made positive where probing left it indefinite."""
    size = np.maximum(matrix.diagonal(), 0.0) + damping
    for more in (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0):
        raised = csc_array(matrix + diags_array(damping + more * size))
        found = splu(raised, "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
        if (found.U.diagonal() > 0).all():
            return found.solve
    return lambda r: r / (size if r.ndim == 1 else size[:, None])


def local_curvature(problem: Problem, z: Vector, near: Any) -> csr_array:
    """J^T J of data where parameters are `near`, and of the prior where they have a neighbour in common.

    The prior reaches further and costs no simulation.
    """
    product, prior = problem.curvature(z), problem.prior_curvature(z)
    near = csr_array(near)
    return probed(lambda v: product(v) - prior(v), near) + probed(prior, near @ near)


class LocalGaussNewton(AbstractMethod):
    """Gauss-Newton by conjugate gradients, preconditioned with the probed curvature and that of the prior."""

    needs_residuals: ClassVar[bool] = True
    few: ClassVar[bool] = False
    near: Any = eqx.field(repr=False)
    """Which parameters may act on the same data (k, k), sparse."""
    max_steps: int = eqx.field(static=True, default=12)
    tolerance: float = eqx.field(static=True, default=0.1)
    damping: float = eqx.field(static=True, default=0.1)
    products: int = eqx.field(static=True, default=8)
    """Most multiplications in a step."""
    longest: float = eqx.field(static=True, default=4.0)
    """No coordinate moves further in one step."""
    renewed: int = eqx.field(static=True, default=100)
    """After so many steps the curvature is probed again."""

    def begin(self, problem: Problem, z: Vector) -> State:
        loss, gradient = problem.gradient(z)
        return State(z, loss, (gradient, self.damping, None, 0))

    def step(self, problem: Problem, state: State) -> State:
        gradient, damping, matrix, age = state.memory
        product = problem.curvature(state.z)
        if matrix is None or age >= self.renewed:
            matrix, age = local_curvature(problem, state.z, self.near), 0
        for _ in range(6):
            damped = lambda v, d=damping: product(v) + d * v  # noqa: E731
            solve = solver(matrix, damping)
            move, expected = conjugate(damped, -gradient, self.products, solve, INEXACT)
            if expected < self.tolerance:
                why = f"expected decrease of the loss {expected:.1e} < {self.tolerance:.1e}"
                return replace(state, expected_decrease=expected, converged=True, stopped=why)
            move = np.clip(move, -self.longest, self.longest)
            trial = state.z + jnp.asarray(move, state.z.dtype)
            loss, slope = problem.gradient(trial)
            if np.isfinite(loss) and loss < state.loss:
                return State(trial, loss, (slope, max(damping / 5, 1e-4), matrix, age + 1), expected)
            damping = 10 * damping
        return replace(state, converged=False, stopped=NO_DIRECTION)

    def saved(self, state: State) -> dict[str, np.ndarray]:
        gradient, damping, _, _ = state.memory
        return {
            "z": np.asarray(state.z),
            "loss": np.array(state.loss),
            "gradient": gradient,
            "damping": np.array(damping),
            "stopped": np.array(state.stopped),
            "converged": np.array(state.converged),
        }

    def restored(self, problem: Problem, stored: dict[str, np.ndarray]) -> State:
        memory = (stored["gradient"], float(stored["damping"]), None, 0)
        converged, stopped = bool(stored["converged"]), str(stored["stopped"])
        return State(
            jnp.asarray(stored["z"]), float(stored["loss"]), memory, converged=converged, stopped=stopped
        )
