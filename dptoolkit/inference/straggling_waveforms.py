"""Waveforms of a track whose energy loss fluctuates: the charge and the time of its signal on every wire.

A wire (in one block of ticks) sees a stretch of the track. Its charge fluctuates by Landau's distribution and
its time by what the track scatters between its kinks, both far more than the noise; the shape of the signal
is what the model says. So data d and prediction u, whitened by the noise, are compared by two numbers,

    tau: the delay s at which u_s . d is greatest,        alpha = u_tau . d / u . u - 1,

the delay and the relative excess of charge. They are judged as charges and times of hits are (`straggling`):
alpha in Moyal's form, tau softly. All n planes see one and the same charge and tell its fluctuations once:
their alphas count 1 / sqrt(n). Of a wire that only one of data and prediction sees there is no such
measurement: it costs a constant, so that delta rays and decay electrons pull no harder than that.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.linalg import toeplitz

from dptoolkit.events import Waveforms
from dptoolkit.inference.alignment import Observables
from dptoolkit.inference.losses import AbstractResidualLoss, Residuals, soft_residual
from dptoolkit.inference.straggling import moyal_residual

LAGS = 16
"""Delays are looked for up to so many ticks: further off a signal is another one."""
LEAST_BEND = 0.1
"""Less than this is no peak of the agreement: its place would have no slope. Signals have thousands."""
QUIET = 1.5
"""Squares of whitened noise add up to 1 a tick; up to this many a tick nothing is seen."""


class StragglingWaveforms(AbstractResidualLoss):
    """Half the squares of residuals of the charge, the time and the presence of a track on every wire."""

    rms: dict[str, Float[Array, " c"]]
    """Noise of every channel [ADC], by plane."""
    whitening: dict[str, Float[Array, "t t"]]
    """L^-1 of the correlation of the ticks of a block, by plane."""
    relative: float = eqx.field(static=True, default=0.05)
    """Landau's width over the charge of a wire: xi / loss is 0.05 in 3 mm of argon."""
    time_noise: float = eqx.field(static=True, default=0.5)
    """[us]: 0.8 mm of drift, of a track that scatters between its kinks."""
    clear: float = eqx.field(static=True, default=8.0)
    """Signal over noise of a wire that is seen as likely as not."""

    @classmethod
    def of(
        cls, statistics: dict[str, tuple[np.ndarray, np.ndarray]], n_ticks: int, **widths: float
    ) -> "StragglingWaveforms":
        """From (rms of every channel, correlation of samples 0, 1, ... ticks apart) by plane."""
        real = jnp.result_type(float)
        whitening = {}
        for name, (_, correlation) in statistics.items():
            lags = np.pad(correlation, (0, max(0, n_ticks - len(correlation))))[:n_ticks]
            whitening[name] = jnp.asarray(np.linalg.inv(np.linalg.cholesky(toeplitz(lags))), real)
        rms = {name: jnp.asarray(values, real) for name, (values, _) in statistics.items()}
        return cls(rms, whitening, **widths)

    def __check_init__(self) -> None:
        for name in ("relative", "time_noise", "clear"):
            if not getattr(self, name) > 0:
                value = getattr(self, name)
                raise ValueError(f"StragglingWaveforms: {name} = {value}: expected a positive number")

    def residuals(self, predicted: Observables, observed: Observables) -> Residuals:
        parts = []
        for name, mine in predicted.items():
            if not isinstance(mine, Waveforms):
                raise ValueError(f"{name}: this loss compares samples, got {type(mine).__name__}")
            charge, time, presence = self._of_plane(name, mine, observed[name])
            parts += [charge / np.sqrt(len(predicted)), time, presence]
        return jnp.concatenate([part.ravel() for part in parts])

    def _of_plane(
        self, name: str, mine: Waveforms, theirs: Waveforms
    ) -> tuple[Float[Array, "b w"], Float[Array, "b w"], Float[Array, "b w"]]:
        """Residuals of charge, time and presence of every wire of every block."""
        predicted, measured = (self._white(name, mine, part.samples) for part in (mine, theirs))
        later = self._white(name, mine, _delayed(jax.lax.stop_gradient(mine.samples)) / mine.tick_period)
        excess, delay = _measured(predicted, measured, mine.tick_period)
        square = [jnp.sum(jax.lax.stop_gradient(x) ** 2, axis=2) + 1.0 for x in (predicted, later)]
        variances = [1 / x for x in square]
        seen = [_seen(square, self.clear) for square in self._squares(predicted, measured)]
        weight = jax.lax.stop_gradient(seen[0]) * jax.lax.stop_gradient(seen[1])
        width = jnp.sqrt(variances[0] + 2 * self.relative**2)
        typical = self.relative * jnp.log(width / self.relative) - variances[0] / (2 * width)
        charge = weight * moyal_residual((excess - typical) / width)
        time = weight * soft_residual(delay / jnp.sqrt(variances[1] + self.time_noise**2))
        return charge, time, 2 * (seen[0] - seen[1])

    def measured(
        self, name: str, mine: Waveforms, theirs: Waveforms
    ) -> tuple[Float[Array, "b w"], Float[Array, "b w"], Float[Array, "b w"]]:
        """(relative excess of charge, delay [us], how surely both see the track) of every wire of a plane."""
        predicted, measured = (self._white(name, mine, part.samples) for part in (mine, theirs))
        seen = [_seen(square, self.clear) for square in self._squares(predicted, measured)]
        return *_measured(predicted, measured, mine.tick_period), seen[0] * seen[1]

    def _white(self, name: str, like: Waveforms, samples: Float[Array, "b w t"]) -> Float[Array, "b w t"]:
        """Samples as multiples of uncorrelated noise."""
        rows = like.channel[:, None] + jnp.arange(samples.shape[1])
        rms = self.rms[name][jnp.clip(rows, 0, len(self.rms[name]) - 1)]
        samples = jnp.where(like.mask(), samples, 0.0) / rms[..., None]
        return jnp.einsum("st,bwt->bws", self.whitening[name], samples)

    def _squares(self, mine: Float[Array, "b w t"], theirs: Float[Array, "b w t"]) -> list[Array]:
        """Squared signal over noise of every wire; of the data without what noise alone would give."""
        n_ticks = mine.shape[2]
        real = jnp.sum(theirs**2, axis=2) - QUIET * n_ticks
        return [jnp.sum(mine**2, axis=2), jnp.maximum(real, 0.0)]


def _seen(square: Float[Array, "b w"], clear: float) -> Float[Array, "b w"]:
    """How surely a wire has a signal, 0 to 1."""
    return square / (square + clear**2)


def _delayed(samples: Float[Array, "b w t"]) -> Float[Array, "b w t"]:
    """Change of the samples if the signal comes a tick later."""
    before = jnp.pad(samples[..., :-1], ((0, 0), (0, 0), (1, 0)))
    after = jnp.pad(samples[..., 1:], ((0, 0), (0, 0), (0, 1)))
    return (before - after) / 2


def _measured(
    u: Float[Array, "b w t"], d: Float[Array, "b w t"], tick_period: float
) -> tuple[Float[Array, "b w"], Float[Array, "b w"]]:
    """(alpha, tau [us]) of data d; which tick is nearest to the best delay is held."""
    n = u.shape[2]
    padded = jnp.pad(d, ((0, 0), (0, 0), (LAGS + 1, LAGS + 1)))
    held = jax.lax.stop_gradient(u)
    match = jnp.stack([jnp.sum(held * padded[..., k : k + n], axis=2) for k in range(2 * LAGS + 3)])
    best = jnp.argmax(match[1:-1], axis=0) + 1
    ticks = best[..., None] + jnp.arange(n)
    before, here, after = (
        jnp.sum(u * jnp.take_along_axis(padded, ticks + step, axis=2), axis=2) for step in (-1, 0, 1)
    )
    bend = before - 2 * here + after
    peaked = bend < -LEAST_BEND
    part = jnp.where(peaked, (before - after) / (2 * jnp.where(peaked, bend, 1.0)), 0.0)
    part = jnp.clip(part, -0.5, 0.5)
    peak = here - 0.25 * (before - after) * part
    return peak / (jnp.sum(u**2, axis=2) + 1.0) - 1, (best - LAGS - 1 + part) * tick_period


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
