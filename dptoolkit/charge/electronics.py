"""Read-out electronics of wires: shaping, tails of the coupling, digitisation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from dptoolkit.constants import FEMTOCOULOMB
from dptoolkit.params import Component, param

_POLES = (
    # (decay, frequency, cosine amplitude, sine amplitude), in units of 1 / peaking time
    (2.94809, 0.0, 4.31054, 0.0),
    (2.82833, 1.19361, -5.2404, 1.524912),
    (2.40318, 2.5928, 0.929848, -0.655368),
)
_PEAK = 0.0988166
"""Maximum of the sum of `_POLES` terms; divides it, so that the gain is the height of the peak."""


class ColdElectronics(Component):
    """Fifth-order semi-Gaussian preamplifier and shaper, JINST 12 (2017) P08003.

    h(x) = sum_i e^(-d_i x) (c_i cos w_i x + s_i sin w_i x), x = t / peaking time, which counts from
    1 % of the rise to the peak; the gain is the height of the answer to a unit of charge.
    """

    gain: Array = param(14.0, "mV/fC", bounds=(1.0, 100.0), symbol="G", reference="JINST 12 P08003")
    peaking_time: Array = param(2.0, "us", bounds=(0.3, 5.0), symbol="t_p", reference="JINST 12 P08003")

    def impulse(self, time: Float[Array, " t"]) -> Float[Array, " t"]:
        """Answer to one electron at time zero [mV]; `time` in us."""
        x = jnp.maximum(time, 0.0) / self.peaking_time
        shape = sum(jnp.exp(-d * x) * (c * jnp.cos(w * x) + s * jnp.sin(w * x)) for d, w, c, s in _POLES)
        return jnp.where(time > 0, shape, 0.0) * self.gain / _PEAK / FEMTOCOULOMB

    def spectrum(self, omega: Float[Array, " f"]) -> Complex[Array, " f"]:
        """Fourier transform of `impulse` [mV us]; `omega` in rad/us."""
        x = omega * self.peaking_time
        s = jax.lax.complex(jnp.zeros_like(x), x)
        shape = jnp.zeros_like(s)
        for d, w, c, b in _POLES:
            shape = shape + (c * (s + d) + b * w) / ((s + d) ** 2 + w**2)
        scale = self.peaking_time * self.gain / _PEAK / FEMTOCOULOMB
        return shape * scale.astype(shape.dtype)


class RCCoupling(Component):
    """AC coupling: a charge is followed by an opposite tail with time constant tau.

    out(t) = in(t) - int in(t') exp(-(t - t') / tau) dt' / tau.
    """

    time_constant: Array = param(
        1000.0, "us", bounds=(10.0, 1e9), symbol="tau_RC", reference="MicroBooNE, 1 ms"
    )

    def __call__(self, samples: Float[Array, "b w t"], tick_period: float) -> Float[Array, "b w t"]:
        """Filter along ticks, from rest at the first; exact for what is constant over ticks."""
        ticks = tick_period / self.time_constant
        filling = -jnp.expm1(-ticks)
        late = jnp.arange(samples.shape[-1]) - jnp.arange(samples.shape[-1])[:, None]
        tail = jnp.where(late > 0, filling * jnp.exp(-ticks * jnp.maximum(late - 1, 0)), 0.0)
        drained = jnp.einsum("bws,st->bwt", samples, tail, precision=jax.lax.Precision.HIGHEST)
        return filling / ticks * (samples - drained)


class Digitiser(Component):
    """Analogue to digital: counts above the pedestal, saturated at both ends of the range."""

    counts_per_mv: Array = param(
        2.048, "ADC/mV", bounds=(0.1, 100.0), symbol="", reference="12 bits over 2000 mV (MicroBooNE)"
    )
    pedestal: Array = param(
        1843.0,
        "ADC",
        bounds=(0.0, 65535.0),
        symbol="",
        reference="JAXTPC: 1843 on induction, 410 on collection planes",
    )
    bits: int = eqx.field(static=True, default=12)

    def __call__(self, millivolt: Float[Array, "..."], key: Array | None = None) -> Float[Array, "..."]:
        """Counts above pedestal; a sample (`key` given) is rounded, straight-through for gradients."""
        counts = millivolt * self.counts_per_mv
        counts = jnp.clip(counts, -self.pedestal, 2.0**self.bits - 1 - self.pedestal)
        if key is None:
            return counts
        return counts + jax.lax.stop_gradient(jnp.round(counts) - counts)


class WireNoise(Component):
    """Electronic noise that grows with the length of the wire.

    rms^2 = floor^2 + (base + slope L)^2, MicroBooNE, JINST 12 (2017) P08003. The spectrum is that of series
    noise after the shaper (`shaped_noise`), fixed when the plane is built.
    """

    floor: Array = param(0.9, "ADC", bounds=(0.0, 50.0), symbol="", reference="JAXTPC, MicroBooNE-like")
    base: Array = param(0.79, "ADC", bounds=(0.0, 50.0), symbol="", reference="JAXTPC, MicroBooNE-like")
    slope: Array = param(0.22, "ADC/m", bounds=(0.0, 10.0), symbol="", reference="JAXTPC, MicroBooNE-like")

    def rms(self, wire_length: Float[Array, "..."]) -> Float[Array, "..."]:
        """Noise of a wire of this length [cm], in ADC counts."""
        return jnp.sqrt(self.floor**2 + (self.base + self.slope * wire_length / 100) ** 2)


def noise_filter(spectrum: Float[np.ndarray, " f"], n_taps: int) -> Float[np.ndarray, " k"]:
    """Symmetric filter of unit power that turns white noise into one of this amplitude `spectrum`.

    `spectrum` is sampled uniformly from 0 to the Nyquist frequency.
    """
    grid = np.interp(np.linspace(0, 1, n_taps // 2 + 1), np.linspace(0, 1, len(spectrum)), spectrum)
    taps = np.roll(np.fft.irfft(grid, n_taps), n_taps // 2) * np.hanning(n_taps + 1)[:n_taps]
    return taps / np.sqrt(np.sum(taps**2))


def shaped_noise(
    electronics: ColdElectronics, tick_period: float, n_taps: int = 49
) -> Float[np.ndarray, " k"]:
    """Filter for series noise of the preamplifier: white before the shaper, cut below 20 kHz."""
    frequency = np.linspace(0, 0.5 / tick_period, 129)
    shape = np.abs(np.asarray(electronics.spectrum(jnp.asarray(2 * np.pi * frequency))))
    return noise_filter(shape * frequency / np.hypot(frequency, 0.02), n_taps)
