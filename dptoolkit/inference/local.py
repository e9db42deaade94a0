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
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from scipy.sparse import csc_array, csr_array, diags_array
from scipy.sparse.linalg import splu

from dptoolkit.inference.evaluation import Vector
from dptoolkit.inference.optimise import (
    AbstractMethod,
    State,
    refused,
    restored_point,
    saved_point,
    settled,
)
from dptoolkit.inference.problem import Problem
from dptoolkit.inference.steps import Pairs, conjugate, learnt

INEXACT = 1e-2
"""Part of the squared residual that may be left of a step: the next one starts elsewhere."""
KEPT = 40
"""Products of the last steps that improve the preconditioner."""
SHORTER = 0.3
"""Length of a step relative to the one that did not help."""

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
    """The matrix of `product` where parameters are `near` (k, k), symmetric; the rest is left out.

    Parameters that are not even near themselves are held.
    """
    near = csr_array(near)
    colour = np.where(near.diagonal() > 0, colours(near), -1)
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


class Memory(NamedTuple):
    """Of a fit with local parameters: all that the next step follows from."""

    gradient: np.ndarray
    matrix: csr_array
    """Curvature by probing, from the start of the fit: it preconditions."""
    pairs: Pairs
    """Products of the last steps: they improve it."""
    damping: float
    move: np.ndarray
    """To where the quadratic model is least, or shorter."""


class LocalGaussNewton(AbstractMethod):
    """Gauss-Newton by conjugate gradients, preconditioned with the probed curvature and that of the prior.

    Steps follow the slope of the loss itself, so one is accepted if it lowers the loss, and shortened if not;
    a fit ends as those of `GaussNewton` do.
    """

    needs_residuals: ClassVar[bool] = True
    few: ClassVar[bool] = False
    near: Any = eqx.field(repr=False)
    """Which parameters may act on the same data (k, k), sparse."""
    max_steps: int = eqx.field(static=True, default=20)
    tolerance: float = eqx.field(static=True, default=0.005)
    """What may be left to fall for every parameter that acts: each is about a tenth of its error off then."""
    damping: float = eqx.field(static=True, default=0.1)
    products: int = eqx.field(static=True, default=12)
    """Most multiplications in a step."""
    longest: float = eqx.field(static=True, default=4.0)
    """No coordinate moves further in one step."""
    tries: int = eqx.field(static=True, default=7)
    """How often a step is shortened before the method gives up."""

    def begin(self, problem: Problem, z: Vector) -> State:
        matrix = local_curvature(problem, z, self.near)
        loss, gradient = problem.gradient(z)
        return self._at(problem, z, loss, Memory(gradient, matrix, [], self.damping, gradient))

    def step(self, problem: Problem, state: State) -> State:
        if self._settled(state).stopped and state.memory.damping > self.damping:  # it hides what is left
            state = self._at(problem, state.z, state.loss, state.memory._replace(damping=self.damping))
        following, tries = self._settled(state), 0
        while following.z is state.z and not following.stopped:
            tries += 1
            following = self._after(problem, following, tries)
        return following

    def _settled(self, state: State) -> State:
        return settled(state, self.tolerance * np.count_nonzero(self.near.diagonal()))

    def _after(self, problem: Problem, state: State, tries: int) -> State:
        """The next state if its step helps, the same with a shorter step if not, or the end."""
        memory = state.memory
        trial = state.z + jnp.asarray(np.clip(memory.move, -self.longest, self.longest), state.z.dtype)
        nowhere = np.array_equal(trial, state.z)  # rounding left nothing of the step
        loss, gradient = problem.gradient(trial)
        if not nowhere and np.isfinite(loss) and loss < state.loss:
            damping = max(memory.damping / 5, self.damping / 10)
            return self._at(problem, trial, loss, memory._replace(gradient=gradient, damping=damping))
        following = refused(state, short=SHORTER**tries < 0.1, last=nowhere or tries == self.tries)
        shorter = memory._replace(move=SHORTER * memory.move, damping=10 * memory.damping)
        return replace(following, memory=shorter)

    def _at(self, problem: Problem, z: Vector, loss: float, memory: Memory) -> State:
        """The state at z with the step from there, and by how much the loss is expected to fall."""
        product, damping, pairs = problem.curvature(z), memory.damping, list(memory.pairs)

        def damped(v: np.ndarray) -> np.ndarray:
            pairs.append((v, product(v)))
            return pairs[-1][1] + damping * v

        known = [(v, av + damping * v) for v, av in memory.pairs]
        solve = learnt(solver(memory.matrix, damping), known)
        move, expected = conjugate(damped, -memory.gradient, self.products, solve, INEXACT)
        return State(z, loss, memory._replace(move=move, pairs=pairs[-KEPT:]), expected)

    def saved(self, state: State) -> dict[str, np.ndarray]:
        memory, found = state.memory, state.memory.matrix.tocoo()
        size = 2, len(memory.pairs), len(memory.gradient)
        return {
            **saved_point(state),
            "gradient": memory.gradient,
            "damping": np.array(memory.damping),
            "move": memory.move,
            "pairs": np.array([list(part) for part in zip(*memory.pairs, strict=True)]).reshape(size),
            "row": found.row,
            "column": found.col,
            "value": found.data,
        }

    def restored(self, problem: Problem, stored: dict[str, np.ndarray]) -> State:
        size = (len(stored["z"]),) * 2
        matrix = csr_array((stored["value"], (stored["row"], stored["column"])), shape=size)
        pairs = list(zip(*stored["pairs"], strict=True))
        memory = Memory(stored["gradient"], matrix, pairs, float(stored["damping"]), stored["move"])
        return restored_point(stored, memory)
