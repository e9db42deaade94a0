"""A problem: an experiment, which of its leaves are free, a loss and what was observed."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dptoolkit.detector import LArTPC, Layout, Readout
from dptoolkit.events import Segments, Waveforms
from dptoolkit.inference.losses import GaussianChi2
from dptoolkit.params import Component, Free, free, infos


class SegmentSource(Component):
    """A source that makes the same segments every time: events of a file."""

    segments: Segments

    def __call__(self) -> Segments:
        return self.segments


class Experiment(Component):
    """The instrument and what happened in it: one pytree."""

    detector: LArTPC
    source: SegmentSource

    def layout(self) -> Layout:
        """Index tables of the events at hand."""
        return self.detector.layout(self.source())

    def __call__(self, key: Array | None = None, layout: Layout | None = None) -> Readout:
        return self.detector(self.source(), key=key, layout=layout)


class Problem:
    """Find the values of the free leaves under which the experiment predicts what was observed.

    Coordinates z are unconstrained and of order one: a parameter is start + z x scale inside its bounds,
    mapped by a logarithm where the bounds span decades. Paths without prefix mean `detector.`.
    """

    def __init__(
        self,
        experiment: Experiment,
        free_paths: Sequence[str],
        loss: GaussianChi2,
        observed: Readout,
    ):
        self.experiment = experiment
        self.free: Free = free(experiment, [_full_path(experiment, path) for path in free_paths])
        self.paths = tuple(self.free.values)
        self.loss = loss
        self.layout = experiment.layout()
        like = experiment(layout=self.layout)
        self.observed = {name: _aligned(observed[name], like[name], name) for name in like}
        known = infos(experiment)
        self._maps = [_coordinate(known[path.split("[")[0]].bounds) for path in self.paths]
        self._residuals = eqx.filter_jit(self._residuals_at)
        self._columns = eqx.filter_jit(self._columns_at)

    @property
    def start(self) -> Float[Array, " k"]:
        """Coordinates of the experiment as it was given."""
        pairs = zip(self._maps, self.free.values.values(), strict=True)
        return jnp.stack([inverse(value) for (_, inverse), value in pairs])

    def values(self, z: Float[Array, " k"]) -> dict[str, Array]:
        """Physical values at the coordinates z."""
        return {
            path: forward(z[i])
            for i, (path, (forward, _)) in enumerate(zip(self.paths, self._maps, strict=True))
        }

    def model(self, z: Float[Array, " k"]) -> Experiment:
        """The experiment at the coordinates z."""
        return self.free.merge(self.values(z))

    def residuals(self, z: Float[Array, " k"]) -> Float[Array, " r"]:
        """Normalised differences between prediction and observation."""
        return self._residuals(z)

    def residuals_and_columns(self, z: Float[Array, " k"]) -> tuple[Float[Array, " r"], Float[Array, "k r"]]:
        """Residuals and their derivative by each coordinate: one forward-mode column a parameter."""
        return self._columns(z)

    def value(self, z: Float[Array, " k"]) -> Float[Array, ""]:
        """The loss."""
        return 0.5 * jnp.sum(self._residuals(z) ** 2)

    def slopes(self, z: Float[Array, " k"]) -> Float[Array, " k"]:
        """D value / d z of every free parameter."""
        return jnp.stack([jax.grad(forward)(z[i]) for i, (forward, _) in enumerate(self._maps)])

    def _residuals_at(self, z: Float[Array, " k"]) -> Float[Array, " r"]:
        return self.loss.residuals(self.model(z)(layout=self.layout), self.observed)

    def _columns_at(self, z: Float[Array, " k"]) -> tuple[Array, Array]:
        columns = jax.vmap(lambda direction: jax.jvp(self._residuals_at, (z,), (direction,))[1])
        return self._residuals_at(z), columns(jnp.eye(len(z), dtype=z.dtype))


Map = tuple[Callable[[Array], Array], Callable[[Array], Array]]


def _coordinate(bounds: tuple[float, float]) -> Map:
    """(from coordinate to value, and back) for a parameter with these bounds."""
    low, high = bounds
    if not (np.isfinite(low) and np.isfinite(high)):
        return (lambda z: z), (lambda x: x)
    if low > 0 and high / low > 30:
        inner, outer = _coordinate((0.0, 1.0))
        span = np.log(high / low)
        return (lambda z: low * jnp.exp(span * inner(z))), (lambda x: outer(jnp.log(x / low) / span))
    width = high - low
    return (
        lambda z: low + width * jax.nn.sigmoid(z),
        lambda x: jax.scipy.special.logit(jnp.clip((x - low) / width, 1e-6, 1 - 1e-6)),
    )


def _full_path(experiment: Experiment, path: str) -> str:
    return path if path.startswith(("detector.", "source.")) else f"detector.{path}"


def _aligned(observed: Any, like: Any, name: str) -> Any:
    """Observed waveforms on the blocks of a prediction; zero where nothing was read out."""
    if not isinstance(like, Waveforms):
        raise ValueError(f"{name}: only waveforms can be fitted so far, got {type(like).__name__}")
    wanted = _block_keys(like)
    found = {key: i for i, key in enumerate(_block_keys(observed)) if bool(observed.valid[i])}
    rows = np.array([found.get(key, -1) for key in wanted])
    samples = np.where((rows >= 0)[:, None, None], np.asarray(observed.samples)[np.maximum(rows, 0)], 0.0)
    return eqx.tree_at(lambda w: w.samples, like, jnp.asarray(samples, like.samples.dtype))


def _block_keys(waveforms: Waveforms) -> list[tuple[int, ...]]:
    columns = (waveforms.event, waveforms.group, waveforms.channel, waveforms.tick)
    return list(zip(*(np.asarray(column).tolist() for column in columns), strict=True))
