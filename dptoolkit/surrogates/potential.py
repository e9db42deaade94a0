"""A distortion of the drift field as a small network inside the detector."""

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dptoolkit.charge.field import AbstractPotentialField, strength_of
from dptoolkit.charge.spline import coordinates, edges
from dptoolkit.geometry import Volumes
from dptoolkit.params import param
from dptoolkit.surrogates.siren import Siren


class NetworkField(AbstractPotentialField):
    """A potential by a network of sines, times what vanishes on the walls: no curl whatever its weights.

    Walls as of `SplineField`. The network has an output for each of `groups` of volumes (one: the same
    in all) and begins as zero. Its weights and biases are one row of numbers, layer by layer.
    """

    strength: Array = strength_of()
    weights: Array = param((), "1", symbol="W")
    hidden: tuple[int, ...] = eqx.field(static=True, default=(16, 16))
    """Units of the layers."""
    omega: float = eqx.field(static=True, default=2.0)
    groups: int = eqx.field(static=True, default=1)
    grounded: bool = eqx.field(static=True, default=True)
    seed: int = eqx.field(static=True, default=0)
    """Of the weights with which it begins."""

    def __post_init__(self) -> None:
        if np.size(self.weights) == 0:
            network = Siren.draw(self._layers, self.omega, jax.random.key(self.seed))
            parts = jax.tree.leaves((network.weights, network.biases))
            self.weights = jnp.concatenate([jnp.ravel(part) for part in parts])
        needed = sum((a + 1) * b for a, b in pairwise(self._layers))
        if np.shape(self.weights) != (needed,):
            raise ValueError(
                f"NetworkField.weights: expected {needed} numbers for layers {self._layers}, "
                f"got {np.shape(self.weights)}"
            )

    @property
    def _layers(self) -> tuple[int, ...]:
        return (3, *self.hidden, self.groups)

    def network(self) -> Siren:
        """Its layers."""
        shapes = [*pairwise(self._layers), *((b,) for b in self._layers[1:])]
        parts, first = [], 0
        for shape in shapes:
            n = shape[0] * (shape[1] if len(shape) > 1 else 1)
            parts.append(self.weights[first : first + n].reshape(shape))
            first += n
        n_layers = len(self._layers) - 1
        return Siren(tuple(parts[:n_layers]), tuple(parts[n_layers:]), self.omega)

    def integrated(self, place: Float[Array, "n 3"], volume: Array, volumes: Volumes) -> Float[Array, " n"]:
        x = coordinates(place, volume, volumes)
        shape = jnp.take_along_axis(self.network()(x), (volume % self.groups)[:, None], axis=1)[:, 0]
        return edges(x, volume, volumes, self.grounded) * shape
