"""What is computed of a batch of events at a point: pure functions of detector, coordinates, loss, z, batch.

`coordinates` need no more than `values(z)`. Compiled once for a shape.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dptoolkit.inference.alignment import Observables, emptied, extended
from dptoolkit.inference.experiment import Batch, Experiment
from dptoolkit.params import free

Vector = Float[Array, " k"]


def experiment_at(detector: Any, source: Any, values: dict[str, Array]) -> Experiment:
    """The experiment with these values of its free leaves."""
    experiment = Experiment(detector, source)
    return free(experiment, list(values)).merge(values)


def predicted_of(detector: Any, coordinates: Any, z: Vector, batch: Batch) -> Observables:
    """What is predicted at z, on all rows of a batch."""
    experiment = experiment_at(detector, batch.source, coordinates.values(z))
    return extended(experiment(layout=batch.layout), batch.extra)


def prior_of(detector: Any, coordinates: Any, loss: Any, z: Vector, batch: Batch) -> Array:
    """The residuals of the loss's prior at z, for the share of a batch: none for most losses."""
    residuals = loss.prior(experiment_at(detector, batch.source, coordinates.values(z)))
    return residuals * jnp.sqrt(batch.share)


@eqx.filter_jit
def rows_of(experiment: Experiment, layout: Any) -> Observables:
    """The rows of a prediction; the compiler leaves out the simulation, of which nothing is used."""
    return emptied(experiment(layout=layout))


@eqx.filter_jit
def value_of(detector: Any, coordinates: Any, loss: Any, z: Vector, batch: Batch) -> Array:
    """The loss at z."""
    value = loss(predicted_of(detector, coordinates, z, batch), batch.observed)
    return value + 0.5 * jnp.sum(prior_of(detector, coordinates, loss, z, batch) ** 2)


@eqx.filter_jit
def value_and_grad_of(detector: Any, coordinates: Any, loss: Any, z: Vector, batch: Batch):
    """The loss and its gradient at z."""
    return jax.value_and_grad(lambda z: value_of(detector, coordinates, loss, z, batch))(z)


@eqx.filter_jit
def residuals_of(detector: Any, coordinates: Any, loss: Any, z: Vector, batch: Batch) -> Array:
    """The residuals at z."""
    residuals = loss.residuals(predicted_of(detector, coordinates, z, batch), batch.observed)
    return jnp.concatenate([residuals, prior_of(detector, coordinates, loss, z, batch)])


@eqx.filter_jit
def normal_of(detector: Any, coordinates: Any, loss: Any, z: Vector, batch: Batch):
    """Loss, J^T r, J^T J."""

    def both(z: Vector) -> tuple[Array, Array]:
        predicted = predicted_of(detector, coordinates, z, batch)
        prior = prior_of(detector, coordinates, loss, z, batch)
        residuals = jnp.concatenate([loss.residuals(predicted, batch.observed), prior])
        return residuals, loss(predicted, batch.observed) + 0.5 * jnp.sum(prior**2)

    def column(direction: Vector) -> tuple[Array, Array, Array]:
        (r, value), (slope, _) = jax.jvp(both, (z,), (direction,))
        return r, value, slope

    r, value, columns = jax.vmap(column, out_axes=(None, None, 0))(jnp.eye(len(z), dtype=z.dtype))
    multiply = jnp.matmul
    precise = jax.lax.Precision.HIGHEST
    return value, multiply(columns, r, precision=precise), multiply(columns, columns.T, precision=precise)


@eqx.filter_jit
def product_of(
    detector: Any, coordinates: Any, loss: Any, point: tuple[Vector, Vector], batch: Batch
) -> Array:
    """J^T J v at z, for the point (z, v)."""
    return _product(lambda z: residuals_of(detector, coordinates, loss, z, batch), point)


@eqx.filter_jit
def prior_product_of(
    detector: Any, coordinates: Any, loss: Any, point: tuple[Vector, Vector], batch: Batch
) -> Array:
    """The part of `product_of` that the prior has: it takes no simulation."""
    return _product(lambda z: prior_of(detector, coordinates, loss, z, batch), point)


def _product(residuals: Callable[[Vector], Array], point: tuple[Vector, Vector]) -> Array:
    """J^T J v of `residuals` at the point (z, v)."""
    z, v = point
    _, slope = jax.jvp(residuals, (z,), (v,))
    return jax.vjp(residuals, z)[1](slope)[0]


@eqx.filter_jit
def hessian_of(detector: Any, coordinates: Any, loss: Any, z: Vector, batch: Batch) -> Array:
    """The second derivative of the loss at z."""
    return jax.hessian(lambda z: value_of(detector, coordinates, loss, z, batch))(z)
