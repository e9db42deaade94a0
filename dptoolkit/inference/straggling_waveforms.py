"""Waveforms of a track whose energy loss fluctuates: the charge and the time of its signal on every wire.

A wire (in one block of ticks) sees a stretch of the track. Its charge fluctuates by Landau's distribution and
its time by what the track scatters between its kinks, both far more than the noise; the shape of the signal
is what the model says. So data d and prediction u are compared by two numbers,

    tau: the delay s of the greatest u . d_s / |d_s|,        q = ln(x / |u|),    x = u . d_tau / |u|,

the delay and the excess of charge as a logarithm: its width does not depend on the prediction. q is judged in
Moyal's form and tau softly, as charges and times of hits are (`straggling`), and their sum S is part of a
mixture: a wire has the track's signal with these widths, or something else, delta rays or a decay electron,

    -ln L = -ln((1 - p) exp(-S) + p).

So what the track cannot explain costs -ln p, wherever it is: a fit gains nothing by leaving out what it
explains badly. Where u is small next to the noise x becomes |d|: a signal without any prediction is something
else.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dptoolkit.events import Waveforms
from dptoolkit.inference.alignment import Observables
from dptoolkit.inference.losses import AbstractResidualLoss, Residuals, soft_residual
from dptoolkit.inference.straggling import moyal_residual

LAGS = 16
"""Delays are looked for up to so many ticks: further off a signal is another one."""
LEAST_BEND = 1e-5
"""Less than this is no peak of the agreement, which is 1 at most: its place has no slope."""
FAINT = 1e-2
"""A prediction as small as this, in standard deviations of the noise, has no shape."""
QUIET = 1.5
"""Squares of noise add up to 1 a tick; up to this many a tick nothing is seen."""
PULSE = 2.0
"""Length of a pulse [us]: its time is known to this over signal / noise."""

PerWire = Float[Array, "b w"]


def _real(value: float | Array) -> Float[Array, ""]:
    """Widths are arrays: losses that differ in them share their compiled code."""
    return jnp.asarray(value, jnp.result_type(float))


class StragglingWaveforms(AbstractResidualLoss):
    """The mixture of the charge and the time of a track, or something else, on every wire.

    Gauss-Newton takes the residuals of charge and time times the root of how surely the wire has the track's
    signal, held: the gradient is exact. All planes see the same charge, so it counts once for all of them.
    """

    rms: dict[str, Float[Array, " c"]]
    """Noise of every channel [ADC], by plane."""
    pulse: dict[str, Float[Array, ""]]
    """Noise of the amplitude |d| of a signal over that of a sample."""
    relative: Float[Array, ""] = eqx.field(converter=_real, default=0.05)
    """Landau's width over the charge of a wire: xi / loss is 0.05 in 3 mm of argon."""
    time_noise: Float[Array, ""] = eqx.field(converter=_real, default=0.5)
    """[us]: 0.8 mm of drift, of a track that scatters between its kinks."""
    clear: Float[Array, ""] = eqx.field(converter=_real, default=10.0)
    """Signal over noise of a wire that is seen as likely as not."""
    otherwise: Float[Array, ""] = eqx.field(converter=_real, default=2.5e-3)
    """P, relative to the density of the track's signal at its peak."""

    @classmethod
    def of(
        cls, statistics: dict[str, tuple[np.ndarray, np.ndarray]], **widths: float
    ) -> "StragglingWaveforms":
        """From (rms of every channel, correlation of samples 0, 1, ... ticks apart) by plane."""
        real = jnp.result_type(float)
        rms = {name: jnp.asarray(values, real) for name, (values, _) in statistics.items()}
        # no projection on a pulse of unit size has more variance than the spectrum at its greatest
        most = {name: 2 * np.abs(correlation).sum() - 1 for name, (_, correlation) in statistics.items()}
        return cls(rms, {name: jnp.asarray(np.sqrt(x), real) for name, x in most.items()}, **widths)

    def __check_init__(self) -> None:
        for name in ("relative", "time_noise", "clear"):
            if not getattr(self, name) > 0:
                value = getattr(self, name)
                raise ValueError(f"StragglingWaveforms: {name} = {value}: expected a positive number")
        if not 0 < self.otherwise < 1:
            raise ValueError(f"StragglingWaveforms: otherwise = {self.otherwise}: expected between 0 and 1")

    def __call__(self, predicted: Observables, observed: Observables) -> Float[Array, ""]:
        total = jnp.zeros(())
        for name, mine in predicted.items():
            charge, time, share = self._of_plane(name, mine, observed[name])
            cost = self._mixed(0.5 * (charge**2 / len(predicted) + time**2))
            total = total + jnp.sum(share * cost)
        return total

    def residuals(self, predicted: Observables, observed: Observables) -> Residuals:
        parts = []
        for name, mine in predicted.items():
            charge, time, share = self._of_plane(name, mine, observed[name])
            charge = charge / np.sqrt(len(predicted))
            held = jax.lax.stop_gradient(0.5 * (charge**2 + time**2))
            weight = jnp.sqrt(share * jnp.exp(self._mixed(held) - held) * (1 - self.otherwise))
            parts += [weight * charge, weight * time]
        return jnp.concatenate([part.ravel() for part in parts])

    def _mixed(self, cost: PerWire) -> PerWire:
        """-ln((1 - p) exp(-S) + p)."""
        return -jnp.logaddexp(jnp.log1p(-self.otherwise) - cost, jnp.log(self.otherwise))

    def _of_plane(self, name: str, mine: Waveforms, theirs: Waveforms) -> tuple[PerWire, PerWire, PerWire]:
        """(residual of charge, of time, part of a signal that is in this block) of every wire of blocks."""
        u, d, neighbours = self._scaled(name, mine, theirs)
        match, delay = _measured(u, _with_ends(d, *neighbours), mine.tick_period)
        size, square = self._sizes(name, u, d)
        level, shaped = jnp.sqrt(square), size**2 / (size**2 + self.clear**2)
        seen = shaped * jnp.maximum(match, 0.0) + (1 - shaped) * level
        excess = jnp.log((seen + self.clear) / (size + self.clear))
        noise = 1 / (level + self.clear)
        width = jnp.sqrt(noise**2 + 2 * self.relative**2)
        typical = self.relative * jnp.log(width / self.relative) - noise**2 / (2 * width)
        charge = moyal_residual((excess - typical * level * noise) / width)
        late = soft_residual(delay / jnp.sqrt(self.time_noise**2 + (PULSE * noise) ** 2))
        both = level / jnp.sqrt(square + self.clear**2) * jnp.sqrt(shaped)
        besides = sum((_taken(square, rows) for rows in neighbours), jnp.zeros_like(square))
        return charge, both * late, (square + self.clear**2) / (square + besides + self.clear**2)

    def measured(self, name: str, mine: Waveforms, theirs: Waveforms) -> tuple[PerWire, PerWire, PerWire]:
        """(relative excess of charge, delay [us], how surely both see the track) of every wire of a plane."""
        u, d, neighbours = self._scaled(name, mine, theirs)
        match, delay = _measured(u, _with_ends(d, *neighbours), mine.tick_period)
        size, square = self._sizes(name, u, d)
        both = square * size**2 / ((square + self.clear**2) * (size**2 + self.clear**2))
        return match / size - 1, delay, both

    def _scaled(self, name: str, mine: Waveforms, theirs: Waveforms) -> tuple[Array, Array, Any]:
        """(prediction, data, neighbours of the blocks), in units of the noise of an amplitude."""
        if not isinstance(mine, Waveforms):
            raise ValueError(f"{name}: this loss compares samples, got {type(mine).__name__}")
        rows = mine.channel[:, None] + jnp.arange(mine.samples.shape[1])
        noise = self.rms[name][jnp.clip(rows, 0, len(self.rms[name]) - 1)] * self.pulse[name]
        u, d = (jnp.where(mine.mask(), part.samples, 0.0) / noise[..., None] for part in (mine, theirs))
        return u, d, _neighbours(mine)

    def _sizes(
        self, name: str, u: Float[Array, "b w t"], d: Float[Array, "b w t"]
    ) -> tuple[PerWire, PerWire]:
        """(amplitude of the prediction, squared amplitude of the data less what noise alone gives)."""
        quiet = QUIET * d.shape[2] / self.pulse[name] ** 2
        size = jnp.sqrt(jnp.sum(u**2, axis=2) + FAINT**2)
        return size, jnp.maximum(jnp.sum(d**2, axis=2) - quiet, 0.0)


def _neighbours(blocks: Waveforms) -> tuple[Int[Array, " b"], Int[Array, " b"]]:
    """The blocks of the same wires with the ticks before and after; the number of all where there is none."""
    keys = (blocks.tick, blocks.channel, blocks.group, blocks.event, ~blocks.valid)
    order = jnp.lexsort(keys)
    tick, *same = (key[order] for key in keys)
    joined = tick[1:] == tick[:-1] + blocks.samples.shape[2]
    for key in same:
        joined = joined & (key[1:] == key[:-1])
    first, second = order[:-1], order[1:]
    none = jnp.full_like(order, len(order))
    after = none.at[first].set(jnp.where(joined, second, len(order)))
    return none.at[second].set(jnp.where(joined, first, len(order))), after


def _taken(values: Float[Array, "b ..."], rows: Int[Array, " b"]) -> Float[Array, "b ..."]:
    """Rows of values, zero where there is none."""
    return jnp.take(values, rows, axis=0, mode="fill", fill_value=0.0)


def _with_ends(
    samples: Float[Array, "b w t"], before: Int[Array, " b"], after: Int[Array, " b"]
) -> Float[Array, "b w s"]:
    """Samples with `LAGS` + 1 ticks more at both ends, from the neighbours."""
    more = LAGS + 1
    ends = _taken(samples[..., -more:], before), _taken(samples[..., :more], after)
    return jnp.concatenate([ends[0], samples, ends[1]], axis=2)


def _measured(
    u: Float[Array, "b w t"], around: Float[Array, "b w s"], tick_period: float
) -> tuple[PerWire, PerWire]:
    """(u . d_tau / |u|, tau [us]) of data with more ticks at both ends; which tick is nearest is held."""
    n = u.shape[2]
    u = u / jnp.sqrt(jnp.sum(u**2, axis=2, keepdims=True) + FAINT**2)
    held = jax.lax.stop_gradient(u)
    shifted = [around[..., k : k + n] for k in range(2 * LAGS + 3)]
    # a signal that goes on beyond the block has no more agreement elsewhere only relative to what is there
    level = jnp.stack([jnp.sqrt(jnp.sum(d**2, axis=2) + 1.0) for d in shifted])
    best = jnp.argmax(jnp.stack([jnp.sum(held * d, axis=2) for d in shifted])[1:-1] / level[1:-1], axis=0) + 1
    ticks = best[..., None] + jnp.arange(n)
    match, alike = [], []
    for step in (-1, 0, 1):
        match.append(jnp.sum(u * jnp.take_along_axis(around, ticks + step, axis=2), axis=2))
        alike.append(match[-1] / jnp.take_along_axis(level, (best + step)[None], axis=0)[0])
    bend = alike[0] - 2 * alike[1] + alike[2]
    peaked = bend < -LEAST_BEND
    part = jnp.where(peaked, (alike[0] - alike[2]) / (2 * jnp.where(peaked, bend, 1.0)), 0.0)
    part = jnp.clip(part, -0.5, 0.5)
    peak = (
        match[1] + 0.5 * (match[2] - match[0]) * part + 0.5 * (match[0] - 2 * match[1] + match[2]) * part**2
    )
    return peak, (best - LAGS - 1 + part) * tick_period


class Rectified(AbstractResidualLoss):
    """Another loss of the size of signals above `least`.

    Signals of induction planes integrate to zero: averaged as they are they vanish, as sizes they remain. So
    a multi-scale loss feels them, and with them the coordinate that the collection plane does not see.
    """

    loss: AbstractResidualLoss
    least: float = eqx.field(static=True, default=6.0)
    """[ADC]: above the noise, which would add up."""

    def residuals(self, predicted: Observables, observed: Observables) -> Residuals:
        return self.loss.residuals(self._sizes(predicted), self._sizes(observed))

    def _sizes(self, readout: Observables) -> Observables:
        size = lambda samples: jnp.maximum(jnp.abs(samples) - self.least, 0.0)  # noqa: E731
        return {
            name: eqx.tree_at(lambda w: w.samples, part, size(part.samples)) for name, part in readout.items()
        }
