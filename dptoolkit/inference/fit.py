"""Gauss-Newton with the damping of Levenberg and Marquardt.

Few parameters and many residuals: the normal matrix costs one forward-mode column a parameter, and a
second-order step replaces thousands of first-order ones. Its inverse is the covariance.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np

from dptoolkit.inference.problem import Problem


@dataclass
class Step:
    """A point on the way: physical values by path and the loss there."""

    values: dict[str, float]
    loss: float


@dataclass
class FitResult:
    """Estimates with errors in physical units, and how the fit got there."""

    estimate: dict[str, float]
    error: dict[str, float]
    correlation: np.ndarray
    loss: float
    history: list[Step] = field(default_factory=list)
    converged: bool = False
    stopped: str = ""

    @property
    def steps(self) -> int:
        """Accepted steps."""
        return max(len(self.history) - 1, 0)


def fit(
    problem: Problem,
    *,
    method: str = "gauss-newton",
    max_steps: int = 30,
    tolerance: float = 1e-4,
    callback: Callable[[Step], Any] | None = None,
) -> FitResult:
    """Minimise the loss from the experiment's own values.

    Converged when the expected decrease of the loss is below `tolerance` (a fraction of the change
    of one half that one standard deviation makes). Ctrl-C returns what there is.
    """
    if method != "gauss-newton":
        raise ValueError(f"method {method!r} is unknown; expected 'gauss-newton'")
    z, damping = problem.start, 1e-3
    residuals, columns = problem.residuals_and_columns(z)
    history = [_step(problem, z, residuals)]
    stopped, converged = f"no convergence in {max_steps} steps", False
    try:
        for _ in range(max_steps):
            normal, gradient = _normal(residuals, columns)
            expected = 0.5 * gradient @ np.linalg.lstsq(normal, gradient, rcond=1e-12)[0]
            if expected < tolerance:
                converged, stopped = True, f"expected decrease of the loss {expected:.1e} < {tolerance:g}"
                break
            z, damping, improved = _descend(problem, z, (normal, gradient), damping, history[-1].loss)
            if not improved:
                stopped = "no direction lowers the loss"
                break
            residuals, columns = problem.residuals_and_columns(z)
            history.append(_step(problem, z, residuals))
            if callback is not None:
                callback(history[-1])
    except KeyboardInterrupt:
        stopped = "interrupted"
    normal, _ = _normal(residuals, columns)
    return _result(problem, z, normal, history, (converged, stopped))


def _normal(residuals: Any, columns: Any) -> tuple[np.ndarray, np.ndarray]:
    jacobian, r = np.asarray(columns, float), np.asarray(residuals, float)
    return jacobian @ jacobian.T, jacobian @ r


def _descend(
    problem: Problem, z: Any, system: tuple[np.ndarray, np.ndarray], damping: float, loss: float
) -> tuple[Any, float, bool]:
    """Shorten the step until the loss falls: (coordinates, damping for the next step, success)."""
    normal, gradient = system
    for _ in range(12):
        damped = normal + damping * np.diag(np.maximum(np.diag(normal), 1e-12))
        trial = z - jnp.asarray(np.linalg.solve(damped, gradient), z.dtype)
        value = float(problem.value(trial))
        if np.isfinite(value) and value < loss:
            return trial, max(damping / 10, 1e-9), True
        damping *= 10
    return z, damping, False


def _step(problem: Problem, z: Any, residuals: Any) -> Step:
    values = {path: float(value) for path, value in problem.values(z).items()}
    return Step(values, float(0.5 * np.sum(np.asarray(residuals, float) ** 2)))


def _result(
    problem: Problem, z: Any, normal: np.ndarray, history: list[Step], end: tuple[bool, str]
) -> FitResult:
    covariance = np.linalg.pinv(normal, hermitian=True)
    sigma = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    scale = np.where(sigma > 0, sigma, 1.0)
    errors = np.abs(np.asarray(problem.slopes(z), float)) * sigma
    return FitResult(
        estimate=dict(history[-1].values),
        error=dict(zip(problem.paths, errors.tolist(), strict=True)),
        correlation=covariance / np.outer(scale, scale),
        loss=history[-1].loss,
        history=history,
        converged=end[0],
        stopped=end[1],
    )
