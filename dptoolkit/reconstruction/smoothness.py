"""What is expected of a cloud of segments before it is compared with data.

A line that goes on turns little, by multiple scattering; its energy loss changes little from one segment to
the next, by fluctuations; its nodes stay evenly spread, as only the line they make is seen; and all of it
is near where it was found. Angles and energies are counted softly, beyond about one width linearly, so that a
hard scatter, a stopping particle or a delta electron costs little. At a vertex, where more than two segments
meet, nothing is expected of the angles.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from dptoolkit.events import bucket
from dptoolkit.inference.losses import Residuals, soft_residual
from dptoolkit.inference.priors import AbstractPrior
from dptoolkit.reconstruction.skeleton import Skeleton
from dptoolkit.sources.cloud import SMALLEST, SegmentCloud, lengths_of


class Smooth(AbstractPrior):
    """Gaussian near zero, exponential far off, of bends, changes of dE/dx, lengths and shifts."""

    joint: Int[np.ndarray, "k 3"]
    """Nodes before, at and after every place where a line goes on."""
    edges: Int[np.ndarray, "k 2"]
    """Edges that meet there."""
    real: Bool[np.ndarray, " k"]
    length: Float[np.ndarray, " n"]
    """Of the edges as they were found [cm]."""
    is_end: Bool[np.ndarray, " n"]
    """Edges at an end, which may grow and shrink."""
    dedx: Float[np.ndarray, " n"]
    """Of the edges as they were found [MeV/cm]."""
    bend: float = eqx.field(static=True, default=0.02)
    """Angle of a line after 1 cm, growing with the root of the length [rad]: a muon of 150 MeV."""
    fluctuation: float = eqx.field(static=True, default=0.4)
    """Of ln dE/dx from one segment to the next."""
    spread: float = eqx.field(static=True, default=0.05)
    """Of ln length from one segment to the next, over what was found; ten times that at the ends."""
    stretch: float = eqx.field(static=True, default=0.5)
    """Of ln length around what was found: a line found crooked is shorter when it is straight."""
    found: float = eqx.field(static=True, default=0.5)
    """Distance of a node from where it was found [cm]."""
    charge: float = eqx.field(static=True, default=2.0)
    """Of ln dE/dx around what was found: hardly anything."""

    @classmethod
    def of(cls, skeleton: Skeleton, cloud: SegmentCloud, **widths: float) -> "Smooth":
        """For a cloud that was made of this skeleton; padded as it is."""
        joint, edges = skeleton.joints()
        size, n = bucket(len(joint), SMALLEST), len(cloud.valid)
        more = ((0, size - len(joint)), (0, 0))
        is_end = np.zeros(n, bool)
        is_end[: len(skeleton.edges)] = (skeleton.degree[skeleton.edges] == 1).any(axis=1)
        length = np.asarray(lengths_of(cloud.steps), float)
        return cls(
            joint=np.pad(joint, more).astype(np.int32),
            edges=np.pad(edges, more).astype(np.int32),
            real=np.arange(size) < len(joint),
            length=np.where(length > 0, length, 1.0),
            is_end=is_end,
            dedx=np.asarray(cloud.dedx, float),
            **widths,
        )

    def residuals(self, experiment: Any) -> Residuals:
        cloud: SegmentCloud = experiment.source
        real = cloud.dedx.dtype
        valid = jnp.asarray(cloud.valid)
        length = jnp.where(valid, lengths_of(cloud.steps), 1.0)
        stretched = jnp.log(jnp.maximum(length, 1e-3) / jnp.asarray(self.length, real))
        change = jnp.log(cloud.dedx / jnp.asarray(self.dedx, real))
        return jnp.concatenate(
            [
                self._bends(cloud).ravel(),
                self._changes(jnp.log(cloud.dedx)),
                self._slides(stretched),
                jnp.where(valid, stretched / self.stretch, 0.0),
                (cloud.shift / self.found).ravel(),
                jnp.where(valid, change / self.charge, 0.0),
            ]
        )

    def _bends(self, cloud: SegmentCloud) -> Float[Array, "k 3"]:
        """Change of the unit vector along the line over what scattering allows."""
        nodes = cloud.nodes
        before, at, after = (nodes[self.joint[:, i]] for i in range(3))
        lengths = [self._safe(lengths_of(step)) for step in (at - before, after - at)]
        turn = (after - at) / lengths[1][:, None] - (at - before) / lengths[0][:, None]
        allowed = self.bend * jnp.sqrt((lengths[0] + lengths[1]) / 2)
        turn = jnp.where(self.real[:, None], turn / allowed[:, None], 0.0)
        size = jnp.sum(turn**2, axis=1, keepdims=True)
        return turn * jnp.sqrt(2 / (1 + jnp.sqrt(1 + size)))

    def _changes(self, log_dedx: Float[Array, " n"]) -> Float[Array, " k"]:
        change = log_dedx[self.edges[:, 1]] - log_dedx[self.edges[:, 0]]
        return jnp.where(self.real, soft_residual(change / self.fluctuation), 0.0)

    def _slides(self, stretched: Float[Array, " n"]) -> Float[Array, " k"]:
        """Neighbours that grew by different factors: nodes that slid along their line."""
        at_end = jnp.asarray(self.is_end)[self.edges].any(axis=1)
        width = jnp.where(at_end, 10 * self.spread, self.spread)
        change = stretched[self.edges[:, 1]] - stretched[self.edges[:, 0]]
        return jnp.where(self.real, change / width, 0.0)

    def _safe(self, length: Float[Array, " k"]) -> Float[Array, " k"]:
        return jnp.where(self.real, jnp.maximum(length, 1e-3), 1.0)
