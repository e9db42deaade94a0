"""Waveforms of a wire plane turned back into charge per wire and tick.

The answer of all wires to charge that is spread evenly over the width of one is known (`unit_response`). It
is divided out in two dimensions, wires and time, with Wiener's regularisation (as in JINST 13 (2018)
P07006), and what is left is blurred a little in time. Induced signals have nothing at frequency zero: very
long signals on one wire of an induction plane come out too small.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from dptoolkit.charge.wire_response import GROUP, REACH, TICKS
from dptoolkit.charge.wires import WirePlane
from dptoolkit.events import Waveforms

BLUR = 1.2
"""Standard deviation of the blur in time [ticks]."""
REGULAR = 0.01
"""Power of noise over that of signals, relative to the highest power of the response."""
ABOVE = 4.0
"""Charge counts above so many standard deviations of the noise ..."""
LEAST = 100.0
"""... and above this [electrons]."""


@dataclass(frozen=True)
class ChargeImage:
    """Charge [electrons] of the wires first_wire + i in the ticks first_tick + j of one drift volume."""

    charge: Float[np.ndarray, "w t"]
    first_wire: int
    first_tick: int
    read: Bool[np.ndarray, "w t"]
    """What was read out; elsewhere there is neither charge nor noise."""
    dead: Bool[np.ndarray, " w"]
    """Wires that read nothing, not even noise."""

    def binned(self, ticks: int) -> "ChargeImage":
        """Sums of so many ticks; bins begin at multiples of it."""
        lead = self.first_tick % ticks
        n = -(-(self.charge.shape[1] + lead) // ticks)
        more = ((0, 0), (lead, n * ticks - lead - self.charge.shape[1]))
        sums = np.pad(self.charge, more).reshape(-1, n, ticks).sum(axis=2)
        read = np.asarray(np.pad(self.read, more).reshape(-1, n, ticks).all(axis=2))
        return ChargeImage(sums, self.first_wire, self.first_tick // ticks, read, self.dead)

    @property
    def noise(self) -> float:
        """Standard deviation [electrons], from the middle of all bins that were read out."""
        values = self.charge[self.read]
        return float(1.4826 * np.median(np.abs(values - np.median(values)))) if len(values) else 0.0

    @property
    def occupied(self) -> Bool[np.ndarray, "w t"]:
        """Where there is more than noise."""
        return self.read & (self.charge > np.maximum(ABOVE * self.noise, LEAST))


def charge_image(waveforms: Waveforms, plane: WirePlane, volume: int) -> ChargeImage | None:
    """The charge on a plane's wires in one drift volume; None where nothing was read out."""
    rows = np.flatnonzero(np.asarray(waveforms.valid) & (np.asarray(waveforms.group) == volume))
    if plane.wrapped:
        raise ValueError(
            f"{plane.name}: segments of wrapped wires cannot be found; expected a wire a channel"
        )
    if len(rows) == 0:
        return None
    samples = np.asarray(waveforms.samples, float)[rows]
    channel, tick = np.asarray(waveforms.channel)[rows], np.asarray(waveforms.tick)[rows]
    first, start = int(channel.min()), int(tick.min())
    _, n_wires, n_ticks = samples.shape
    image = np.zeros((int(channel.max()) - first + n_wires, int(tick.max()) - start + n_ticks))
    read = np.zeros(image.shape, bool)
    for block, c, t in zip(samples, channel - first, tick - start, strict=True):
        image[c : c + n_wires, t : t + n_ticks] = block
        read[c : c + n_wires, t : t + n_ticks] = True
    kernel, before = unit_response(plane)
    charge = _divided(image, kernel, before)
    dead = np.asarray(read.any(axis=1) & ~image.any(axis=1))
    return ChargeImage(charge, first, start, read, dead)


def unit_response(plane: WirePlane) -> tuple[Float[np.ndarray, "w t"], int]:
    """(ADC counts per electron on wires -REACH .. REACH, ticks before the charge at which they begin)."""
    response, per_wire = plane.response, plane.response.nodes_per_wire
    share = np.full(per_wire + 1, 1.0 / per_wire)
    share[[0, -1]] /= 2
    bands = []
    for band in response.bands:
        matrix = np.asarray(band.matrix, float)
        n_wires = matrix.shape[2] // 2
        spread = np.einsum("x,fxw->fw", share, matrix[:, : per_wire + 1])
        answer = spread[:, :n_wires] + 1j * spread[:, n_wires:]
        bands.append(np.pad(answer, ((0, 0), (band.margin, band.margin))))
    answer = np.concatenate(bands)
    omega = 2 * np.pi * np.arange(len(answer)) / (response.window * plane.tick_period)
    shaping = np.asarray(plane.electronics.spectrum(jnp.asarray(omega))) * float(plane.gain)
    spectrum = np.zeros((response.window, answer.shape[1]), complex)
    spectrum[: len(answer)] = answer * shaping[:, None] / plane.tick_period
    # the real part of the sum over frequencies: those above the Nyquist frequency fold back
    wave = 2 * np.real(np.fft.ifft(spectrum, axis=0)) - np.real(spectrum[0]) / response.window
    counts = wave.T * float(plane.digitiser.counts_per_mv)
    return counts[: GROUP + 2 * REACH][: 2 * REACH + 1], response.lead * TICKS


def _divided(image: np.ndarray, kernel: np.ndarray, before: int) -> np.ndarray:
    """Charge whose answer is the image: the inverse of the kernel where it is large."""
    shape = tuple(n + k for n, k in zip(image.shape, kernel.shape, strict=True))
    placed = np.zeros(shape)
    placed[: kernel.shape[0], : kernel.shape[1]] = kernel
    placed = np.roll(placed, (-REACH, -before), axis=(0, 1))
    answer = np.fft.rfft2(placed)
    power = np.abs(answer) ** 2
    blur = np.exp(-0.5 * (2 * np.pi * np.fft.rfftfreq(shape[1]) * BLUR) ** 2)
    inverse = np.conj(answer) / (power + REGULAR * power.max()) * blur
    charge = np.fft.irfft2(np.fft.rfft2(image, shape) * inverse, shape)
    return charge[: image.shape[0], : image.shape[1]]
