"""Electron clouds on a group of wires in the frequency domain, and back to samples.

The charge at node x and frequency w is a sum over clouds of n hat(x) e^(-i w t - w^2 variance / 2): a
matrix product. A later time is a factor -i w and a wider pulse -w^2 / 2, which do not depend on the cloud
and stand before the sum. So a derivative by anything is three products with the same pulses, which are
made once for any number of parameters.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from dptoolkit.charge.spread import hat_slopes, hat_weights
from dptoolkit.charge.waves import frequencies, waves

Clouds = tuple[Array, Array, Array, Array, Array]
"""Of clouds (i, d): charge, position [nodes] and its variance, time [ticks] and its variance."""


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def node_spectra(n_nodes: int, n: int, window: int, clouds: Clouds) -> Float[Array, "i c f x"]:
    """Real and imaginary part (c) of the charge of clouds at the nodes, at `n` frequencies of a `window`."""
    charge, position, variance, *time = clouds
    return _products(_pulses(n, window, *time), charge[..., None] * hat_weights(position, variance, n_nodes))


@node_spectra.defjvp
def _node_spectra_jvp(n_nodes: int, n: int, window: int, primals: tuple[Clouds], tangents: tuple[Clouds]):
    charge, position, variance, *time = primals[0]
    charge_dot, position_dot, variance_dot, time_dot, width_dot = (part[..., None] for part in tangents[0])
    weights = hat_weights(position, variance, n_nodes)
    by_position, by_variance = hat_slopes(position, variance, n_nodes)
    charge = charge[..., None]
    moved = charge_dot * weights + charge * (position_dot * by_position + variance_dot * by_variance)
    pulses = _pulses(n, window, *time)
    omega = frequencies(n, window)
    later = omega * jnp.stack([pulses[:, :, 1], -pulses[:, :, 0]], axis=2)
    slopes = jnp.concatenate([pulses, later, -0.5 * omega**2 * pulses], axis=1)
    changes = jnp.concatenate([moved, time_dot * charge * weights, width_dot * charge * weights], axis=1)
    return _products(pulses, charge * weights), _products(slopes, changes)


def sampled(spectrum: Complex[Array, "f i w"], window: int) -> Float[Array, "i w t"]:
    """Samples at the ticks of the window; frequencies above the Nyquist frequency fold back."""
    half = window // 2
    kept = jnp.zeros((half + 1, *spectrum.shape[1:]), spectrum.dtype)
    kept = kept.at[: spectrum.shape[0]].set(spectrum[: half + 1])
    folded = spectrum[half:]  # with the Nyquist frequency, which is its own mirror image
    kept = kept.at[half + 1 - len(folded) : half + 1].add(jnp.conj(folded[::-1]))
    return jnp.fft.irfft(jnp.moveaxis(kept, 0, -1), window)


def _pulses(n: int, window: int, time: Array, variance: Array) -> Float[Array, "i d c f"]:
    cosine, sine = waves(n, window, time, variance)
    return jnp.stack([cosine, -sine], axis=-2)


def _products(pulses: Float[Array, "i d c f"], weights: Float[Array, "i d x"]) -> Float[Array, "i c f x"]:
    return jnp.einsum("idcf,idx->icfx", pulses, weights, precision=jax.lax.Precision.HIGHEST)
