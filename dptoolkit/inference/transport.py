"""A transport distance: how far charge must be moved to turn a prediction into what was observed.

The debiased Sinkhorn divergence (Feydy et al. 2019, arXiv:1810.08278) of the clouds of charge, by ott-jax.
Its cost is the squared distance, in units of `time` and of channels or pads: it grows with the square of a
shift however far signals lie apart, where squared differences are flat.
"""

import importlib.util
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from dptoolkit.events import Hits, Waveforms
from dptoolkit.inference.alignment import Observables
from dptoolkit.inference.losses import AbstractLoss

Cloud = tuple[Float[Array, "n d"], Float[Array, " n"], Float[Array, "n d"], Float[Array, " n"]]
"""Places and charges of the prediction, then of the observation."""
TINY = 1e-12
"""Least total signal, and the part of it below which a place is empty: logarithms stay finite."""
FAR = 30.0
"""Distance between different events and volumes, between which nothing is carried."""


class Transport(AbstractLoss):
    """charge_weight (ln Q / Q_observed)^2 + the Sinkhorn divergence of the clouds at equal charge.

    Every event and volume is compared at its own equal charge, so that its charge stays where it is: a
    difference would have to be carried from one to the other, however far. The cost matrix has the square
    of the number of places: meant for an event or a few, not for a sample.
    Needs the extra `transport`.
    """

    time: float = eqx.field(static=True, default=10.0)
    """Distance in time that counts 1 [us]."""
    width: float = eqx.field(static=True, default=4.0)
    """Distance in channels or pads that counts 1."""
    ticks: int = eqx.field(static=True, default=16)
    """Of waveforms, how many are joined into one place."""
    blur: float = eqx.field(static=True, default=0.3)
    """Distances below this are not resolved: the root of the regularisation."""
    charge_weight: float = eqx.field(static=True, default=100.0)

    def __check_init__(self) -> None:
        for name in ("time", "width", "ticks", "blur", "charge_weight"):
            if not getattr(self, name) > 0:
                value = getattr(self, name)
                raise ValueError(f"Transport: {name} = {value}: expected a positive number")
        if importlib.util.find_spec("ott") is None:
            raise ValueError("Transport needs ott-jax: pip install 'dptoolkit[transport]'")

    def __call__(self, predicted: Observables, observed: Observables) -> Float[Array, ""]:
        total = jnp.zeros(())
        for name, mine in predicted.items():
            places, charge, others, real = self._clouds(mine, observed[name])
            sums = [jnp.maximum(jnp.sum(part), TINY) for part in (charge, real)]
            total = total + self.charge_weight * jnp.log(sums[0] / sums[1]) ** 2
            total = total + self._divergence(_balanced(places, charge, others, real))
        return total

    def _clouds(self, mine: Any, theirs: Any) -> Cloud:
        if isinstance(mine, Hits):
            return (*self._of_hits(mine, mine.valid), *self._of_hits(theirs, mine.valid))
        if isinstance(mine, Waveforms):
            places = self._places(mine)
            return places, self._pooled(mine, mine.samples), places, self._pooled(mine, theirs.samples)
        raise ValueError(f"Transport compares hits or samples, got {type(mine).__name__}")

    def _of_hits(self, hits: Hits, valid: Array) -> tuple[Array, Array]:
        charge = jnp.where(valid[:, None], hits.charge * hits.probability, 0.0)
        column, row, apart = (
            jnp.broadcast_to(axis[:, None] / self.width, hits.charge.shape)
            for axis in (hits.column, hits.row, self.width * _apart(hits.event, hits.volume))
        )
        time = jnp.where(charge > 0, hits.time, 0.0) / self.time
        return jnp.stack([column, row, time, apart], axis=-1).reshape(-1, 4), charge.ravel()

    def _places(self, waveforms: Waveforms) -> Array:
        """Middles of the joined ticks of every block."""
        n = waveforms.samples.shape[2] // self.ticks
        tick = waveforms.tick[:, None] + (jnp.arange(n) + 0.5) * self.ticks
        wires = waveforms.channel[:, None] + 0.5 * waveforms.samples.shape[1] + jnp.zeros((1, n))
        group = _apart(waveforms.event, waveforms.group)[:, None] + jnp.zeros((1, n))
        places = (tick * waveforms.tick_period / self.time, wires / self.width, group)
        return jnp.stack(places, axis=-1).reshape(-1, 3)

    def _pooled(self, like: Waveforms, samples: Array) -> Array:
        """Absolute signal of the joined ticks: an induction signal integrates to zero."""
        n = samples.shape[2] // self.ticks
        size = jnp.abs(jnp.where(like.mask(), samples, 0.0))[:, :, : n * self.ticks]
        return jnp.sum(size.reshape(len(size), -1, n, self.ticks), axis=(1, 3)).ravel()

    def _divergence(self, clouds: Cloud) -> Array:
        from ott.geometry.pointcloud import PointCloud
        from ott.tools.sinkhorn_divergence import sinkhorn_divergence

        x, a, y, b = clouds
        a, b = (jnp.where(part > TINY, part, 0.0) for part in (a, b))  # where nothing is, nothing is felt
        found = sinkhorn_divergence(PointCloud, x, y, a=a, b=b, epsilon=self.blur**2)
        return found[0]


def _apart(event: Array, group: Array) -> Float[Array, "..."]:
    """A coordinate that is `FAR` away for another event or volume; small numbers, whose squares are exact."""
    number = 4096 * event + group
    distinct = jnp.unique(number, size=number.size, fill_value=jnp.iinfo(number.dtype).max)
    return FAR * jnp.searchsorted(distinct, number)


def _balanced(
    x: Float[Array, "n d"], a: Float[Array, " n"], y: Float[Array, "m d"], b: Float[Array, " m"]
) -> Cloud:
    """The clouds with unit charge, of which every event and volume has the same part in both."""
    mine, theirs = (jnp.rint(places[:, -1] / FAR) for places in (x, y))
    same = mine[:, None] == theirs[None, :]
    of_mine = (mine[:, None] == mine[None, :]) @ a
    of_theirs = (theirs[:, None] == theirs[None, :]) @ b
    both_x, both_y = same @ b, same.T @ a
    a = jnp.where((both_x > TINY) & (of_mine > TINY), a * both_x / jnp.maximum(of_mine, TINY), 0.0)
    b = jnp.where((both_y > TINY) & (of_theirs > TINY), b, 0.0)
    return x, a / jnp.maximum(jnp.sum(a), TINY), y, b / jnp.maximum(jnp.sum(b), TINY)
