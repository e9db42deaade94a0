"""A pad response arranged for tiles of pads: which pad answers to charge at which place.

The collecting term is the pitch cell itself, whose share of a Gaussian is exact (`box_weights`); the other
terms are smooth and known at nodes (`hat_weights`).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dptoolkit.charge.pad_response import PadResponse
from dptoolkit.charge.spread import box_weights, hat_slopes, hat_weights

PADS = 4
"""Pads of a tile, along columns and along rows."""
TICKS = 64
"""Ticks of a tile."""
WIDTHS = 4.4
"""Standard deviations of a cloud that are kept: all but 1e-5."""


class PadTable(eqx.Module):
    """`PadResponse` arranged for a tile."""

    smooth: Float[Array, "x s p"]
    """Which term of which pad answers to charge at which node; all terms but the first, which collects."""
    profiles: Float[Array, "r z"]
    height_step: float = eqx.field(static=True)
    nodes_per_pad: int = eqx.field(static=True)
    halo: int = eqx.field(static=True)
    """Pads by which a cloud may stick out of its tile."""
    reach: int = eqx.field(static=True)
    """Pads on each side on which a cloud induces."""
    late: int = eqx.field(static=True)
    """Ticks by which a cloud may stick out of its tile."""
    lead: int = eqx.field(static=True)
    """Ticks by which a signal starts before its charge arrives."""

    @property
    def window(self) -> int:
        """Ticks of an item's signals."""
        return -(-(self.lead + TICKS + 2 * self.late + 1) // TICKS) * TICKS

    @property
    def n_pads(self) -> int:
        """Pads around an item's tile, along columns and along rows."""
        return PADS + 2 * (self.halo + self.reach)

    def shares(
        self, place: Float[Array, "i d"], variance: Float[Array, "i d"], first: Array
    ) -> Float[Array, "i d r p"]:
        """p_r of every pad, integrated over clouds at `place` [pads] of `variance`; `first` pads of tiles."""
        offset = place - first[:, None]
        collected = box_weights(offset + (self.halo + self.reach), variance, self.n_pads)
        weights = hat_weights(
            (offset + (self.halo + 0.5)) * self.nodes_per_pad,
            variance * self.nodes_per_pad**2,
            self.smooth.shape[0],
        )
        smooth = jnp.einsum(
            "idx,xsp->idsp",
            weights,
            jax.lax.stop_gradient(self.smooth),
            precision=jax.lax.Precision.HIGHEST,
        )
        return jnp.concatenate([collected[..., None, :], smooth], axis=-2)

    def in_time(self, step: Float[Array, ""], every: int = 1) -> "TimeResponse":
        """The response to charge that arrives at each node, for a drift of `step` [cm a tick].

        In `every` ticks together, a divisor of `TICKS`.
        """
        step = jnp.asarray(step)
        kernel, slope = jax.jvp(lambda step: self._kernel(step, every), (step,), (jnp.ones_like(step),))
        return TimeResponse(step, kernel, slope)

    def _kernel(self, step: Float[Array, ""], every: int) -> Float[Array, "n r t"]:
        height = step * jnp.arange(self.lead + 1) / self.height_step
        last = self.profiles.shape[1] - 1
        cell = jnp.clip(jax.lax.stop_gradient(jnp.floor(height)).astype(int), 0, last - 1)
        part = jnp.clip(height - cell, 0.0, 1.0)
        profile = (1 - part) * self.profiles[:, cell] + part * self.profiles[:, cell + 1]
        induced = profile[:, :-1] - profile[:, 1:]
        n_nodes = TICKS + 2 * self.late + 1
        # a cloud at node n fills ticks n .. n + lead of the window, the last at its arrival
        before = self.lead + jnp.arange(n_nodes)[:, None] - jnp.arange(self.window)[None, :]
        inside = (before >= 0) & (before < self.lead)
        kernel = jnp.where(inside, induced[:, jnp.clip(before, 0, self.lead - 1)], 0.0)
        kernel = jnp.moveaxis(kernel, 0, 1)
        return kernel.reshape(*kernel.shape[:2], -1, every).sum(axis=-1)


class TimeResponse(eqx.Module):
    """Charge induced per tick of the window by charge that arrives at each node."""

    step: Float[Array, ""]
    """Drift in a tick [cm]."""
    kernel: Float[Array, "n r t"]
    slope: Float[Array, "n r t"]
    """Its derivative by `step`."""


def induced(
    moment: Float[Array, "i d"], variance: Float[Array, "i d"], response: TimeResponse
) -> Float[Array, "i d r t"]:
    """What unit clouds at `moment` [nodes] of `variance` induce in time, term by term."""
    kernel, slope = jax.lax.stop_gradient((response.kernel, response.slope))
    return _induced(moment, variance, response.step, kernel, slope)


@jax.custom_jvp
def _induced(moment: Array, variance: Array, step: Array, kernel: Array, slope: Array) -> Array:
    return _products(hat_weights(moment, variance, kernel.shape[0]), kernel)


@_induced.defjvp
def _induced_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]):
    """Products with the kernel are the work; written so, they are the same for any number of tangents."""
    moment, variance, step, kernel, slope = primals
    moment_dot, variance_dot, step_dot, _, _ = tangents
    moving = kernel + (step - jax.lax.stop_gradient(step)) * slope  # for derivatives of this one
    weights = hat_weights(moment, variance, kernel.shape[0])
    by_moment, by_variance = hat_slopes(moment, variance, kernel.shape[0])
    change = (
        _products(by_moment, moving) * moment_dot[..., None, None]
        + _products(by_variance, moving) * variance_dot[..., None, None]
        + _products(weights, slope) * step_dot
    )
    return _products(weights, moving), change


def _products(weights: Float[Array, "i d n"], kernel: Float[Array, "n r t"]) -> Float[Array, "i d r t"]:
    return jnp.einsum("idn,nrt->idrt", weights, kernel, precision=jax.lax.Precision.HIGHEST)


def pad_table(response: PadResponse, *, step: float, widest: float, longest: float) -> PadTable:
    """Arrange a response for tiles; `step` [cm a tick], `widest` [pitch], `longest` [ticks]."""
    per_pad = round(response.pitch / (response.nodes[1] - response.nodes[0]))
    halo = max(1, int(np.ceil(WIDTHS * widest)))
    half = (len(response.nodes) - 1) // 2
    # what sticks out of the tile is faint, and the table's last half pad is shared with no other
    reach = half // per_pad
    n_nodes = (PADS + 2 * halo) * per_pad + 1
    node = np.arange(n_nodes)[:, None] - (halo * per_pad + per_pad // 2)
    pad = np.arange(-(halo + reach), PADS + halo + reach)[None, :]
    column = node - pad * per_pad + half
    inside = (column >= 0) & (column < len(response.nodes))
    matrix = np.where(inside, response.factors[1:, np.clip(column, 0, len(response.nodes) - 1)], 0.0)
    real = jnp.result_type(float)
    height_step = float(response.heights[1] - response.heights[0])
    return PadTable(
        smooth=jnp.asarray(np.moveaxis(matrix, 0, 1), real),
        profiles=jnp.asarray(response.profiles, real),
        height_step=height_step,
        nodes_per_pad=per_pad,
        halo=halo,
        reach=reach,
        late=int(np.ceil(WIDTHS * longest)) + 2,
        lead=int(np.ceil(1.1 * response.heights[-1] / step)) + 1,
    )
