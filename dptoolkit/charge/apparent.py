"""Where tracks seem to be in a distorted field: the light-weight detector of a field calibration.

It has the field, drift and volumes of a `LArTPC`, under the same names, and in the place of a read-out what
it says of each track: how it bends. What was measured of a track is combined so that no line that the
particle may have run along changes it (`reconstruction.bends`); these combinations are linear in the
displacements.
"""

from abc import abstractmethod
from itertools import product
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dptoolkit.charge.drift import AbstractDrift
from dptoolkit.charge.field import AbstractField
from dptoolkit.events import Combinations
from dptoolkit.geometry import Volumes
from dptoolkit.params import Component, get

Seen = dict[str, Combinations]


class DistortionDetector(Component):
    """The field of drift volumes, seen by how it bends tracks."""

    field: AbstractField
    drift: AbstractDrift
    volumes: Volumes

    def layout(self, inputs: "AbstractEvidence") -> None:
        """Nothing depends on where the inputs are."""

    def __call__(self, inputs: "AbstractEvidence", key: Array | None = None, layout: Any = None) -> Seen:
        """Combinations; of a sample with their unit variance."""
        items = inputs.items(self.volumes)
        values = inputs.combined(jax.vmap(lambda item: inputs.at(self, item))(items))
        if key is not None:
            values = values + jax.random.normal(key, values.shape, values.dtype)
        return {inputs.name: inputs.labelled(values)}


class AbstractEvidence(Component):
    """What is known of a field, as a source: many small items and linear combinations of what they show."""

    name: eqx.AbstractClassVar[str]

    def __call__(self) -> "AbstractEvidence":
        return self

    @abstractmethod
    def items(self, volumes: Volumes) -> Any:
        """Arrays with a row for each item."""

    @abstractmethod
    def at(self, detector: DistortionDetector, item: Any) -> Float[Array, " c"]:
        """What is expected of one item."""

    @abstractmethod
    def combined(self, values: Float[Array, "n c ..."]) -> Float[Array, "r ..."]:
        """Combinations of unit variance, of values or of their derivatives."""

    @abstractmethod
    def labelled(self, values: Float[Array, " r"]) -> Combinations:
        """Combinations as an observable."""


class BentTracks(AbstractEvidence):
    """Tracks of a group of events: an item is a point, displaced along two directions across its track."""

    name: ClassVar[str] = "tracks"
    points: Float[Array, "p 3"]
    """Where charge was freed, as well as it is known [cm]."""
    volume: Int[Array, " p"]
    axes: Float[Array, "p 2 3"]
    index: Int[Array, "t k"]
    """The points of every track."""
    whitening: Float[Array, "t 2 m k"]
    """By track and direction: displacements across of its points to combinations [1/cm]."""
    event: Int[Array, " t"]
    rows: Int[Array, " r"]
    """Which of all t x 2 x m combinations there are; -1: none."""

    def items(self, volumes: Volumes) -> Any:
        return self.points, self.volume, self.axes

    def at(self, detector: DistortionDetector, item: Any) -> Float[Array, "2"]:
        point, volume, axes = item
        speed = detector.drift.speed
        moved = detector.field.displacement(point[None], volume[None], detector.volumes, speed)
        return jnp.sum(axes * moved, axis=1)

    def combined(self, values: Float[Array, "n c ..."]) -> Float[Array, "r ..."]:
        whole = jnp.einsum("tjmk,tkj...->tjm...", self.whitening, values[self.index])
        return whole.reshape(-1, *values.shape[2:])[self.rows]

    def labelled(self, values: Float[Array, " r"]) -> Combinations:
        of_track = 2 * self.whitening.shape[2]
        event, number = self.event[self.rows // of_track], self.rows % of_track
        return Combinations(values, event, number, self.rows >= 0)


class SmoothCharge(AbstractEvidence):
    """A prior, as an experiment among others: the density of the space charge bends little.

    The slopes of Laplace of the field, which are the second derivatives of the density where there is no
    curl, are taken to be Gaussian around zero, of width `roughness` E_0 / L^3 each, independent from cell to
    cell of a lattice of `cells` in every volume. A density may have any value and gradient. For comparison:
    one that grows evenly along the drift has the gradient 3 a E_0 / L^2 if the field at the cathode is
    stronger by a.
    """

    name: ClassVar[str] = "smoothness"
    roughness: Array
    cells: tuple[int, ...] = eqx.field(static=True, default=(6, 6, 5))

    def items(self, volumes: Volumes) -> Any:
        real, n_volumes = self.roughness.dtype, len(volumes)
        nodes = np.array(list(product(*[(np.arange(n) + 0.5) / n - 0.5 for n in self.cells])))
        axes = jnp.stack([jnp.asarray(a, real) for a in (volumes.across, volumes.up, volumes.drift)], 1)
        low, high = jnp.asarray(volumes.low, real), jnp.asarray(volumes.high, real)
        extent = jnp.abs(jnp.sum((high - low)[:, None, :] * axes, axis=2))
        places = jnp.einsum("vnc,vcx->vnx", nodes * extent[:, None, :], axes) + ((low + high) / 2)[:, None]
        volume = jnp.repeat(jnp.arange(n_volumes), len(nodes))
        steps = (extent / np.array(self.cells) / 4)[:, :, None] * axes
        return places.reshape(-1, 3), volume, steps[volume], extent[volume, 2]

    def nothing(self, n_volumes: int) -> Seen:
        """What is taken for observed: zeros."""
        values = jnp.zeros(9 * n_volumes * int(np.prod(self.cells)), self.roughness.dtype)
        return {self.name: self.labelled(values)}

    def at(self, detector: DistortionDetector, item: Any) -> Float[Array, "9"]:
        """Differences, to both sides of a node along each axis, of sums of second differences."""
        place, volume, steps, length = item
        size = jnp.sqrt(jnp.sum(steps**2, axis=1))
        offsets, stencil = _stencil()
        points = place + jnp.asarray(offsets, steps.dtype) @ steps
        field = detector.field.local(points, jnp.full(len(points), volume), detector.volumes)
        weights = jnp.asarray(stencil, steps.dtype) / (2 * size[:, None, None] * size[:, None] ** 2)
        slopes = jnp.einsum("jio,oc->jc", weights, field / detector.field.nominal())
        return (slopes * length**3 / self.roughness).ravel()

    def combined(self, values: Float[Array, "n c ..."]) -> Float[Array, "r ..."]:
        return values.reshape(-1, *values.shape[2:])

    def labelled(self, values: Float[Array, " r"]) -> Combinations:
        number = jnp.arange(len(values), dtype=jnp.int32)
        return Combinations(values, jnp.zeros_like(number), number, jnp.ones(len(values), bool))


class NearStart(AbstractEvidence):
    """A prior on numbers without a meaning of their own, the weights of a network: near where they began."""

    name: ClassVar[str] = "weights"
    start: Float[Array, " k"]
    width: Array
    path: str = eqx.field(static=True)
    """Of the numbers, in the detector."""

    def items(self, volumes: Volumes) -> Any:
        return jnp.arange(len(self.start))

    def nothing(self) -> Seen:
        """What is taken for observed: zeros."""
        return {self.name: self.labelled(jnp.zeros_like(self.start))}

    def at(self, detector: DistortionDetector, item: Any) -> Float[Array, "1"]:
        return ((get(detector, self.path) - self.start)[item] / self.width)[None]

    def combined(self, values: Float[Array, "n c ..."]) -> Float[Array, "r ..."]:
        return values.reshape(-1, *values.shape[2:])

    def labelled(self, values: Float[Array, " r"]) -> Combinations:
        number = jnp.arange(len(values), dtype=jnp.int32)
        return Combinations(values, jnp.zeros_like(number), number, jnp.ones(len(values), bool))


def _stencil() -> tuple[np.ndarray, np.ndarray]:
    """(points around a node in steps (o, 3), weights (j, i, o) of d/dx_j of d2/dx_i2)."""
    weights: dict[tuple[int, ...], np.ndarray] = {}
    unit = np.eye(3, dtype=int)
    for j, i, side in product(range(3), range(3), (1, -1)):
        for further, weight in ((unit[i], 1), (-unit[i], 1), (0 * unit[i], -2)):
            at = tuple(side * unit[j] + further)
            weights.setdefault(at, np.zeros((3, 3)))[j, i] += side * weight
    kept = {at: weight for at, weight in weights.items() if weight.any()}
    return np.array(list(kept)), np.stack(list(kept.values()), axis=-1)
