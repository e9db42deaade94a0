"""Priors: what is known of the free parameters before the data, as residuals beside those of a loss.

A prior is a class with `residuals(experiment)`: numbers that are of order one where the parameters are as
expected. `WithPrior(loss, prior)` is a loss again: value, gradient, curvature and errors hold both.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, TypeVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dptoolkit.inference.alignment import Observables
from dptoolkit.inference.losses import AbstractLoss, AbstractResidualLoss, Residuals
from dptoolkit.inference.problem import Problem
from dptoolkit.params import get

AnyProblem = TypeVar("AnyProblem", bound=Problem)


class AbstractPrior(eqx.Module):
    """-ln P of an experiment's parameters is half the sum of squared residuals."""

    @abstractmethod
    def residuals(self, experiment: Any) -> Residuals:
        """Of `experiment.detector` and `experiment.source`."""


class Known(AbstractPrior):
    """A parameter is known from elsewhere: (value - mean) / width."""

    path: str = eqx.field(static=True)
    """`source.x`, `detector.drift.lifetime`."""
    mean: Float[Array, "..."]
    width: Float[Array, "..."]

    def residuals(self, experiment: Any) -> Residuals:
        return jnp.ravel((get(experiment, self.path) - self.mean) / self.width)


class WithPrior(AbstractResidualLoss):
    """A loss together with a prior, in one sum: a problem of many batches of events counts the prior once."""

    loss: AbstractLoss
    known: AbstractPrior

    @property
    def sequential(self) -> bool:
        return self.loss.sequential

    def around(self, loss: AbstractLoss) -> AbstractLoss:
        return WithPrior(self.loss.around(loss), self.known)

    @property
    def alone(self) -> AbstractLoss:
        return self.loss.alone

    def residuals(self, predicted: Observables, observed: Observables) -> Residuals:
        """Of the loss alone."""
        if not isinstance(self.loss, AbstractResidualLoss):
            raise ValueError(f"{type(self.loss).__name__} has no residuals; use a method by gradient")
        return self.loss.residuals(predicted, observed)

    def __call__(self, predicted: Observables, observed: Observables) -> Float[Array, ""]:
        return self.loss(predicted, observed)

    def prior(self, experiment: Any) -> Residuals:
        return jnp.concatenate([self.loss.prior(experiment), self.known.residuals(experiment)])


def informed(problem: AnyProblem, known: Mapping[str, tuple[float, float]]) -> AnyProblem:
    """The problem with what is known of free parameters from elsewhere: (value, standard error) by path."""
    loss = problem.loss
    for path, (value, error) in known.items():
        full = path if path in problem.paths else f"detector.{path}"
        if full not in problem.paths:
            raise ValueError(f"prior: {path!r} is not free; free are {', '.join(problem.paths)}")
        if not error > 0:
            raise ValueError(f"prior: the error of {path} is {error}; expected a positive number")
        loss = WithPrior(loss, Known(full, jnp.asarray(value), jnp.asarray(error)))
    other: Any = problem.with_loss(loss)
    return other


def log_widths(loss: AbstractLoss) -> float:
    """Sum of the logarithms of the widths of all that is `Known`: what its residuals leave out of -ln P."""
    total = 0.0
    while isinstance(loss, WithPrior):
        if isinstance(loss.known, Known):
            widths = np.broadcast_to(np.asarray(loss.known.width, float), np.shape(loss.known.mean))
            total += float(np.log(widths).sum())
        loss = loss.loss
    return total
