"""Problems whose residuals are linear combinations of what many small items show.

A point of a track feels the field where it is and nothing else. With many parameters (the weights of a
network) and few numbers an item, derivatives are cheapest item by item in reverse mode: a row of the Jacobian
costs about as much as the item itself. The same linear combinations that make residuals of values then make
the rows of J, and J^T J is one product of matrices.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dptoolkit.inference.evaluation import Vector, experiment_at
from dptoolkit.inference.experiment import Batch
from dptoolkit.inference.problem import Normal, Problem


class ItemisedProblem(Problem):
    """A `Problem` of sources with `items`, `at` and `combined` (`charge.apparent`), judged by chi-squared."""

    def _computed(self, z: Vector) -> list[Normal]:
        found = []
        for number, batch in enumerate(self.batches(z)):
            parts = itemised_normal(self.detector, self.coordinates, z, batch)
            loss, gradient, matrix = (np.asarray(part, float) for part in parts)
            found.append(Normal(float(loss), gradient, matrix))
            self.watch("computing derivatives", number + 1, len(self.sources))
        return found


@eqx.filter_jit
def itemised_normal(detector: Any, coordinates: Any, z: Vector, batch: Batch) -> tuple[Array, Array, Array]:
    """Loss, J^T r, J^T J."""
    source: Any = batch.source
    (observed,) = batch.observed.values()

    def one(z: Vector, item: Any) -> Array:
        return source.at(experiment_at(detector, source, coordinates.values(z)).detector, item)

    items = source.items(detector.volumes)
    values = jax.vmap(one, (None, 0))(z, items)
    slopes = jax.vmap(jax.jacrev(one), (None, 0))(z, items)
    rows, columns = source.combined(values), source.combined(slopes)
    valid = observed.valid[: len(rows)]
    r = jnp.where(valid, rows - observed.value[: len(rows)], 0.0)
    columns = jnp.where(valid[:, None], columns, 0.0)
    precise = jax.lax.Precision.HIGHEST
    matrix = jnp.matmul(columns.T, columns, precision=precise)
    return 0.5 * jnp.sum(r**2), jnp.matmul(columns.T, r, precision=precise), matrix
