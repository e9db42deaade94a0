"""Methods of minimisation, one step at a time. A state is all a method needs to go on.

Few parameters and many residuals are the normal case: Gauss-Newton with the damping of Levenberg and
Marquardt, whose matrix costs one forward-mode column a parameter and replaces thousands of first-order
steps. For many parameters the same without the matrix, by conjugate gradients; for losses without
residuals, L-BFGS and the methods of optax.
"""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from dptoolkit.inference.evaluation import Vector
from dptoolkit.inference.problem import Normal, Problem
from dptoolkit.inference.steps import conjugate, step_inside

TOLERANCE = 1e-3
"""Converged when the loss is expected to fall by less: 1/2 is the change of one standard deviation."""
NEAR = 50.0
"""The end is near when the loss is expected to fall by less: ten standard deviations."""
ROUNDING = 1e-6
"""Part of a loss that a sum in single precision does not resolve."""
ENOUGH = 0.01
"""The most that may be left where rounding or a jump hides it: a seventh of a standard deviation."""
UNSEEN = 0.25
"""The most that may be left where a loss is so large that single precision hides it, and the next step did
not help: 0.7 of a standard deviation."""
SHORT = 1.0
"""Damping with which a step has become short along every direction."""

NO_DIRECTION = "no direction lowers the loss"


@dataclass(frozen=True)
class State:
    """Where a method is: coordinates, loss, and its own memory."""

    z: Array
    loss: float
    memory: Any
    expected_decrease: float = np.nan
    converged: bool = False
    stopped: str = ""
    """Why there is no further step; empty while there is."""


class AbstractMethod(eqx.Module):
    """How to get from one point to a better one."""

    max_steps: eqx.AbstractVar[int]
    needs_residuals: ClassVar[bool] = False
    """Whether it works for losses with residuals only."""
    few: ClassVar[bool] = True
    """Whether it is for few parameters, whose Fisher information a fit computes at its end."""

    @abstractmethod
    def begin(self, problem: Problem, z: Vector) -> State:
        """The state at the start."""

    @abstractmethod
    def step(self, problem: Problem, state: State) -> State:
        """The next state; the same coordinates with `stopped` if there is none better."""

    @abstractmethod
    def saved(self, state: State) -> dict[str, np.ndarray]:
        """What a checkpoint must hold."""

    @abstractmethod
    def restored(self, problem: Problem, stored: dict[str, np.ndarray]) -> State:
        """The state that was saved."""


class GaussNewton(AbstractMethod):
    """(J^T J + damping diag) step = -J^T r; the damping falls with success and grows until a step helps.

    A parameter at the edge of its bounds that wants to leave them is held there.
    """

    needs_residuals: ClassVar[bool] = True
    max_steps: int = eqx.field(static=True, default=30)
    tolerance: float = eqx.field(static=True, default=TOLERANCE)
    damping: float = eqx.field(static=True, default=1e-3)
    longest: float = eqx.field(static=True, default=5.0)
    """No coordinate moves further in one step."""
    tries: int = eqx.field(static=True, default=12)
    """How often a step is shortened before the method gives up."""
    near: float = eqx.field(static=True, default=NEAR)
    """What may be left to fall where steps are judged by it; 0: by the loss alone, as for a chi-squared."""

    def begin(self, problem: Problem, z: Vector) -> State:
        return self.at(problem, z, problem.normal(z), self.damping)

    def step(self, problem: Problem, state: State) -> State:
        following = state
        while following.z is state.z and not following.stopped:
            trial = self.trial(problem, following)
            following = self.judged(
                problem, following, trial, None if trial is None else problem.normal(trial)
            )
        return following

    def trial(self, problem: Problem, state: State) -> Vector | None:
        """Where the loss has to be known next; None at the minimum."""
        normal, damping, _ = state.memory
        if settled(state, self.tolerance).stopped:
            return None
        move = step_inside(normal, damping, self._room(problem, state.z))
        return jnp.clip(state.z + jnp.asarray(move, state.z.dtype), *problem.reach())

    def judged(self, problem: Problem, state: State, trial: Vector | None, found: Normal | None) -> State:
        """The state at the trial if it helps, the same with more damping if not, or the end."""
        if trial is None or found is None:
            return settled(state, self.tolerance)
        normal, damping, tries = state.memory
        reached = self.at(problem, trial, found, max(damping / 10, 1e-9))
        nowhere = np.array_equal(trial, state.z)  # rounding left nothing of the step
        if not nowhere and better(reached, state, self.near):
            return reached
        following = refused(state, short=damping >= SHORT, last=nowhere or tries + 1 == self.tries)
        return replace(following, memory=(normal, max(10 * damping, 1e-3), tries + 1))

    def at(self, problem: Problem, z: Vector, normal: Normal, damping: float) -> State:
        """The state at z, of which the quadratic model is known."""
        best = step_inside(normal, 0.0, self._room(problem, z))
        expected = -normal.gradient @ best - 0.5 * best @ normal.matrix @ best
        return State(z, normal.loss, (normal, damping, 0), float(expected))

    def _room(self, problem: Problem, z: Vector) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest change of every coordinate."""
        low, high = (np.asarray(edge - z, float) for edge in problem.reach())
        return np.maximum(low, -self.longest), np.minimum(high, self.longest)

    def saved(self, state: State) -> dict[str, np.ndarray]:
        normal, damping, _ = state.memory
        return {
            **saved_point(state),
            "damping": np.array(damping),
            **{k: np.array(v) for k, v in vars(normal).items()},
        }

    def restored(self, problem: Problem, stored: dict[str, np.ndarray]) -> State:
        normal = Normal(float(stored["loss"]), stored["gradient"], stored["matrix"])
        return restored_point(stored, (normal, float(stored["damping"]), 0))


class ConjugateGaussNewton(AbstractMethod):
    """Gauss-Newton for many parameters: J^T J is only multiplied with, by conjugate gradients."""

    needs_residuals: ClassVar[bool] = True
    max_steps: int = eqx.field(static=True, default=50)
    tolerance: float = eqx.field(static=True, default=TOLERANCE)
    damping: float = eqx.field(static=True, default=1e-2)
    products: int = eqx.field(static=True, default=30)
    """Most multiplications in a step."""

    def begin(self, problem: Problem, z: Vector) -> State:
        loss, gradient = problem.gradient(z)
        return State(z, loss, (gradient, self.damping))

    def step(self, problem: Problem, state: State) -> State:
        gradient, damping = state.memory
        product = problem.curvature(state.z)

        def solved(damping: float) -> tuple[np.ndarray, float]:
            return conjugate(lambda v: product(v) + damping * v, -gradient, self.products)

        move, expected = solved(min(damping, self.damping))  # more damping would hide what is left
        if expected < self.tolerance:
            return _end(state, True, _small(expected, self.tolerance))
        for number in range(8):
            if number or damping > self.damping:
                move, _ = solved(damping)
            trial = state.z + jnp.asarray(move, state.z.dtype)
            loss, slope = problem.gradient(trial)
            if np.isfinite(loss) and loss < state.loss:
                return State(trial, loss, (slope, max(damping / 5, 1e-6)), expected)
            damping = 10 * damping
        return _end(state, False, NO_DIRECTION)

    def saved(self, state: State) -> dict[str, np.ndarray]:
        return {**saved_point(state), "gradient": state.memory[0], "damping": np.array(state.memory[1])}

    def restored(self, problem: Problem, stored: dict[str, np.ndarray]) -> State:
        return restored_point(stored, (stored["gradient"], float(stored["damping"])))


class LBFGS(AbstractMethod):
    """Quasi-Newton from the last gradients (optax), with a line search that lays the events out anew."""

    max_steps: int = eqx.field(static=True, default=200)
    tolerance: float = eqx.field(static=True, default=TOLERANCE)
    memory_size: int = eqx.field(static=True, default=10)
    first: float = eqx.field(static=True, default=0.1)
    """Length of the first step."""

    def begin(self, problem: Problem, z: Vector) -> State:
        loss, gradient = problem.gradient(z)
        return State(z, loss, (jnp.asarray(gradient, z.dtype), self._rule().init(z)))

    def step(self, problem: Problem, state: State) -> State:
        gradient, memory = state.memory
        direction, memory = _update(self._rule(), gradient, memory, state.z)
        direction = -np.asarray(direction, float)
        slope = float(direction @ np.asarray(gradient))
        if slope >= 0:
            direction, slope = -np.asarray(gradient, float), -float(gradient @ gradient)
        if -slope / 2 < self.tolerance:
            return _end(state, True, _small(-slope / 2, self.tolerance))
        # the first direction is the bare gradient: it has no length yet
        length = min(1.0, self.first / np.linalg.norm(direction)) if int(memory.count) == 1 else 1.0
        for _ in range(20):
            trial = state.z + jnp.asarray(length * direction, state.z.dtype)
            loss, following = problem.gradient(trial)
            if np.isfinite(loss) and loss < state.loss + 1e-4 * length * slope:
                return State(trial, loss, (jnp.asarray(following, trial.dtype), memory), -slope / 2)
            length /= 3
        return _end(state, False, "no step along the direction lowers the loss")

    def saved(self, state: State) -> dict[str, np.ndarray]:
        leaves = jax.tree.leaves(state.memory)
        return {**saved_point(state), **{f"memory{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}}

    def restored(self, problem: Problem, stored: dict[str, np.ndarray]) -> State:
        return restored_point(stored, _unflattened((problem.start, self._rule().init(problem.start)), stored))

    def _rule(self) -> optax.GradientTransformation:
        return optax.scale_by_lbfgs(memory_size=self.memory_size)


class FirstOrder(AbstractMethod):
    """A rule of optax by its name there: adam, sgd, rmsprop, adabelief, ...

    It stops when the loss no longer falls: its least value over the last `patience` steps is not lower,
    by `tolerance`, than before them. It returns to where the loss was least.
    """

    rule: str = eqx.field(static=True, default="adam")
    learning_rate: float = eqx.field(static=True, default=0.03)
    max_steps: int = eqx.field(static=True, default=1000)
    patience: int = eqx.field(static=True, default=50)
    tolerance: float = eqx.field(static=True, default=1e-2)

    def __check_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate = {self.learning_rate}: expected a positive number")

    def begin(self, problem: Problem, z: Vector) -> State:
        loss, gradient = problem.gradient(z)
        first = np.float64(loss)
        record = (first, first, z, np.int64(0))
        return State(z, loss, (jnp.asarray(gradient, z.dtype), self._rule().init(z), record))

    def step(self, problem: Problem, state: State) -> State:
        gradient, memory, (first, best, at_best, since) = state.memory
        if since >= self.patience:
            return self._at_best(state)
        update, memory = _update(self._rule(), gradient, memory, state.z)
        z = state.z + update
        loss, gradient = problem.gradient(z)
        if not np.isfinite(loss):
            why = "the loss is not finite at the next step; lower the learning rate"
            return replace(self._at_best(state), converged=False, stopped=why)
        since = np.int64(0 if loss < best - self.tolerance else since + 1)
        if loss < best:
            best, at_best = np.float64(loss), z
        return State(z, loss, (jnp.asarray(gradient, z.dtype), memory, (first, best, at_best, since)))

    def _at_best(self, state: State) -> State:
        """The end, where the loss was least; a loss that only rose has no minimum there."""
        _, _, (first, best, at_best, _) = state.memory
        there = replace(state, z=at_best, loss=float(best))
        if best > first - self.tolerance and state.loss > first + self.tolerance:
            return _end(there, False, "the loss only rose from the start; lower the learning rate")
        return _end(there, True, f"the loss did not fall by {self.tolerance:g} in {self.patience} steps")

    def saved(self, state: State) -> dict[str, np.ndarray]:
        leaves = jax.tree.leaves(state.memory)
        return {**saved_point(state), **{f"memory{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}}

    def restored(self, problem: Problem, stored: dict[str, np.ndarray]) -> State:
        z, none = problem.start, np.float64(0)
        like = z, self._rule().init(z), (none, none, z, np.int64(0))
        return restored_point(stored, _unflattened(like, stored))

    def _rule(self) -> optax.GradientTransformation:
        return getattr(optax, self.rule)(self.learning_rate)


METHODS: dict[str, AbstractMethod] = {
    "gauss-newton": GaussNewton(),
    "gauss-newton-cg": ConjugateGaussNewton(),
    "lbfgs": LBFGS(),
    "adam": FirstOrder(rule="adam"),
    "rmsprop": FirstOrder(rule="rmsprop", learning_rate=0.01),
    "gradient-descent": FirstOrder(rule="sgd", learning_rate=1e-4),
}


def method_of(method: str | AbstractMethod) -> AbstractMethod:
    """A method by its name, or as it is."""
    if isinstance(method, AbstractMethod):
        return method
    if method not in METHODS:
        raise ValueError(f"method {method!r} is unknown; expected one of {', '.join(METHODS)}")
    return METHODS[method]


def _update(rule: optax.GradientTransformation, gradient: Array, memory: Any, z: Array) -> tuple[Array, Any]:
    """One step of a rule of optax, on one array."""
    update, memory = rule.update(gradient, memory, z)
    return jnp.asarray(update), memory


def _small(expected: float, tolerance: float) -> str:
    return f"expected decrease of the loss {expected:.1e} < {tolerance:.1e}"


def _stuck(expected: float) -> str:
    return f"no shorter step lowers the loss, whose expected decrease {expected:.1e} < {ENOUGH:g}"


def _hidden(expected: float, loss: float) -> str:
    return f"expected decrease {expected:.1e} is below the rounding of the loss, {ROUNDING * loss:.1e}"


def settled(state: State, tolerance: float) -> State:
    """The state; the end of a fit if less is left to fall than the tolerance, or than rounding may hide."""
    least = max(tolerance, min(ROUNDING * state.loss, ENOUGH))
    if state.expected_decrease < least:
        return _end(state, True, _small(state.expected_decrease, least))
    return state


def refused(state: State, *, short: bool, last: bool) -> State:
    """The state after a step from it that did not help; the end of a fit where a shorter one would not.

    `short`: the step was so already along every direction; `last`: no further one is to be tried.
    """
    left = state.expected_decrease
    if short and left < ENOUGH:
        return _end(state, True, _stuck(left))
    if left < min(ROUNDING * state.loss, UNSEEN):
        return _end(state, True, _hidden(left, state.loss))
    return _end(state, False, NO_DIRECTION) if last else state


def better(reached: State, before: State, near: float = NEAR) -> bool:
    """Whether the loss fell and, `near` the end, J^T r did.

    Steps go to where J^T r vanishes. For a likelihood whose widths are held in r that is not where its
    value is least (they can be 1.5 standard deviations apart): on the last of the way the value may rise,
    if what is left to fall is halved at least. What is left never grows there: steps across a jump of the
    loss would go to and fro for ever.
    """
    if not np.isfinite(reached.loss):
        return False
    if before.expected_decrease < near:
        left, before_left = reached.expected_decrease, before.expected_decrease
        fell = before.loss - reached.loss > max(0.5 * before_left, ROUNDING * abs(before.loss))
        return left < (before_left if fell else 0.5 * before_left)
    return reached.loss < before.loss + ROUNDING * abs(before.loss)


def _end(state: State, converged: bool, why: str) -> State:
    return replace(state, converged=converged, stopped=why)


def saved_point(state: State) -> dict[str, np.ndarray]:
    """What every checkpoint holds."""
    names = ("z", "loss", "expected_decrease", "converged", "stopped")
    return {name: np.asarray(getattr(state, name)) for name in names}


def restored_point(stored: dict[str, np.ndarray], memory: Any) -> State:
    """The state of a checkpoint, with what its method remembers."""
    return State(
        jnp.asarray(stored["z"]),
        float(stored["loss"]),
        memory,
        float(stored["expected_decrease"]),
        bool(stored["converged"]),
        str(stored["stopped"]),
    )


def _unflattened(like: Any, stored: dict[str, np.ndarray]) -> Any:
    leaves, structure = jax.tree.flatten(like)
    arrays = [
        type(leaf)(stored[f"memory{i}"])
        if isinstance(leaf, np.generic)
        else jnp.asarray(stored[f"memory{i}"])
        for i, leaf in enumerate(leaves)
    ]
    return jax.tree.unflatten(structure, arrays)
