"""Losses: how badly a prediction disagrees with what was observed, `(predicted, observed) -> scalar`.

Both have the same rows (`alignment`). A loss with `residuals` r can be fitted by Gauss-Newton: its gradient
is J^T r and its curvature (the Fisher information, if it is a likelihood) J^T J, with J = dr / d parameters.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.linalg import toeplitz

from dptoolkit.events import Combinations, Hits, SensorHits, Waveforms
from dptoolkit.inference.alignment import Observables

Residuals = Float[Array, " r"]


class AbstractLoss(eqx.Module):
    """A number that is least where prediction and observation agree."""

    sequential: ClassVar[bool] = False
    """Whether it compares what was observed with predictions given what was observed before."""

    @abstractmethod
    def __call__(self, predicted: Observables, observed: Observables) -> Float[Array, ""]: ...

    def prior(self, experiment: Any) -> Residuals:
        """Residuals of what is known of the experiment without data (see `priors`); here nothing is."""
        return jnp.zeros(0)

    def around(self, loss: "AbstractLoss") -> "AbstractLoss":
        """Another loss with the priors of this one."""
        return loss

    @property
    def alone(self) -> "AbstractLoss":
        """The loss without its priors."""
        return self


class AbstractResidualLoss(AbstractLoss):
    """A loss that is stated by residuals, of variance 1 at the truth if the loss is a likelihood.

    It is half the sum of their squares unless it says otherwise.
    """

    @abstractmethod
    def residuals(self, predicted: Observables, observed: Observables) -> Residuals: ...

    def __call__(self, predicted: Observables, observed: Observables) -> Float[Array, ""]:
        return 0.5 * jnp.sum(self.residuals(predicted, observed) ** 2)


class GaussianChi2(AbstractResidualLoss):
    """Half the sum of squared differences over a constant, uncorrelated noise: -ln L of a Gaussian."""

    noise: float = eqx.field(static=True)
    """Standard deviation of a sample, in the unit of the read-out."""

    def __check_init__(self) -> None:
        _positive(self, "noise")

    def residuals(self, predicted: Observables, observed: Observables) -> Residuals:
        return jnp.concatenate(
            [
                jnp.where(mask, mine - theirs, 0.0).ravel() / self.noise
                for mine, theirs, mask in _samples(predicted, observed)
            ]
        )


class ColouredChi2(AbstractResidualLoss):
    """Chi-squared for noise with a spectrum: residuals of a block of ticks are whitened by its covariance.

    `rms` of every channel and `whitening` L^-1 with L L^T the correlation of the ticks of a block, by plane.
    Correlation from one block to the next is left out.
    """

    rms: dict[str, Float[Array, " c"]]
    whitening: dict[str, Float[Array, "t t"]]

    @classmethod
    def of(cls, statistics: dict[str, tuple[np.ndarray, np.ndarray]], n_ticks: int) -> "ColouredChi2":
        """From (rms of every channel, correlation of samples 0, 1, ... ticks apart) by plane."""
        real = jnp.result_type(float)
        whitening = {}
        for name, (_, correlation) in statistics.items():
            lags = np.pad(correlation, (0, max(0, n_ticks - len(correlation))))[:n_ticks]
            whitening[name] = jnp.asarray(np.linalg.inv(np.linalg.cholesky(toeplitz(lags))), real)
        return cls({name: jnp.asarray(rms, real) for name, (rms, _) in statistics.items()}, whitening)

    def residuals(self, predicted: Observables, observed: Observables) -> Residuals:
        parts = []
        for name, waveforms in predicted.items():
            _need(waveforms, Waveforms, name, "samples")
            difference = jnp.where(waveforms.mask(), waveforms.samples - observed[name].samples, 0.0)
            rows = waveforms.channel[:, None] + jnp.arange(difference.shape[1])
            rms = self.rms[name][jnp.clip(rows, 0, len(self.rms[name]) - 1)]
            parts.append(jnp.einsum("st,bwt->bws", self.whitening[name], difference / rms[..., None]).ravel())
        return jnp.concatenate(parts)


class SquaredDifference(AbstractLoss):
    """Mean squared difference of all samples: for comparison; it knows neither noise nor distance."""

    def __call__(self, predicted: Observables, observed: Observables) -> Float[Array, ""]:
        parts = list(_samples(predicted, observed))
        squares = [jnp.sum(jnp.where(mask, (mine - theirs) ** 2, 0.0)) for mine, theirs, mask in parts]
        return jnp.sum(jnp.stack(squares)) / jnp.sum(jnp.stack([jnp.sum(mask) for _, _, mask in parts]))


class PoissonLikelihood(AbstractResidualLoss):
    """sum mu - n + n ln(n / mu), the Poisson -ln L above that of a perfect prediction.

    Gauss-Newton takes (mu - n) / sqrt(mu) with the root held: the gradient is exact, J^T J the Fisher
    information.
    """

    least: float = eqx.field(static=True, default=1e-6)
    """Expectations below are raised to this: a stray count costs ln(n / least) and not infinity."""

    def __check_init__(self) -> None:
        _positive(self, "least")

    def __call__(self, predicted: Observables, observed: Observables) -> Float[Array, ""]:
        total = jnp.zeros(())
        for mu, n, mask in _samples(predicted, observed):
            mu = self._raised(mu)
            log = jnp.where(n > 0, n * jnp.log(jnp.where(n > 0, n, 1.0) / mu), 0.0)
            total = total + jnp.sum(jnp.where(mask, mu - n + log, 0.0))
        return total

    def residuals(self, predicted: Observables, observed: Observables) -> Residuals:
        parts = []
        for mu, n, mask in _samples(predicted, observed):
            mu = self._raised(mu)
            parts.append(jnp.where(mask, (mu - n) / jnp.sqrt(jax.lax.stop_gradient(mu)), 0.0).ravel())
        return jnp.concatenate(parts)

    def _raised(self, mu: Array) -> Array:
        return self.least * jax.nn.softplus(mu / self.least)


class MultiScale(AbstractResidualLoss):
    """Squared differences after averaging over `time` and `channels`: feels signals that do not overlap.

    Samples are shared linearly among nodes so far apart. A blurred wire plane still says how far, and to
    which side, a prediction lies: fits go from the coarse to the fine (`graduated`). Induction signals
    integrate to zero and fade; there the collection plane leads.
    """

    time: float = eqx.field(static=True)
    """Distance of the nodes [us]; rounded to a power of two of ticks."""
    channels: int = eqx.field(static=True, default=1)
    """Distance of the nodes across the wires; a power of two."""
    noise: float = eqx.field(static=True, default=1.0)
    """Standard deviation of a sample, in the unit of the read-out."""

    def __check_init__(self) -> None:
        _positive(self, "time", "channels", "noise")
        if self.channels & (self.channels - 1):
            raise ValueError(f"MultiScale: channels = {self.channels}: expected a power of two")

    def residuals(self, predicted: Observables, observed: Observables) -> Residuals:
        parts = []
        for name, waveforms in predicted.items():
            _need(waveforms, Waveforms, name, "samples")
            difference = jnp.where(waveforms.mask(), waveforms.samples - observed[name].samples, 0.0)
            parts.append(self._averaged(waveforms, difference))
        return jnp.concatenate(parts)

    def _averaged(self, waveforms: Waveforms, difference: Float[Array, "b w t"]) -> Residuals:
        """Sums of a block at the nodes around it, joined with those of its neighbours, over their noise."""
        ticks = max(1, round(2 ** np.round(np.log2(self.time / waveforms.tick_period))))
        n_wires, n_ticks = difference.shape[1:]
        in_time, first_time = _tents(waveforms.tick, n_ticks, ticks)
        in_channel, first_channel = _tents(waveforms.channel, n_wires, self.channels)
        sums = jnp.einsum("bwt,bwc,btn->bcn", difference, in_channel, in_time)
        c, n = sums.shape[1:]
        rows = (waveforms.event, waveforms.group)
        keys = jnp.stack(
            [
                *(jnp.broadcast_to(row[:, None, None], sums.shape) for row in rows),
                jnp.broadcast_to((first_channel[:, None] + jnp.arange(c))[:, :, None], sums.shape),
                jnp.broadcast_to((first_time[:, None] + jnp.arange(n))[:, None, :], sums.shape),
            ],
            axis=-1,
        )
        keys = jnp.where(waveforms.valid[:, None, None, None], keys, -1).reshape(-1, 4)
        _, node = jnp.unique(keys, axis=0, return_inverse=True, size=len(keys), fill_value=-1)
        joined = jax.ops.segment_sum(sums.ravel(), node.ravel(), len(keys))
        # a tent of spacing s has sum of squares (2 s2 + 1) / (3 s)
        squares = [(2 * s**2 + 1) / (3 * s) for s in (ticks, self.channels)]
        return joined / (self.noise * np.sqrt(squares[0] * squares[1]))


class CensoredHits(AbstractResidualLoss):
    """sqrt(1 + d^2) - 1 of the differences d of hits without noise, sub-threshold pads included.

    A hit of both is compared in charge and time. Where only one of the two has it, the charge that stayed
    below the threshold is compared with that of the hit. A charge that only just reaches the threshold does
    so at no sharp time: the weight of the time vanishes there. So the loss is continuous when a hit comes
    or goes. It is d^2 / 2 near zero, and |d| far off: a pad that fires on another rise of its charge, which
    no small change of the model mends, pulls no harder than one whose hit is off by its noise. Gauss-Newton
    takes d / (1 + d^2)^(1/4) with the root held: the gradient is exact.
    """

    charge_noise: float = eqx.field(static=True, default=1000.0)
    """[electrons]"""
    time_noise: float = eqx.field(static=True, default=0.1)
    """[us]"""
    threshold: float = eqx.field(static=True, default=5000.0)
    """That of the front end [electrons]."""

    def __check_init__(self) -> None:
        _positive(self, "charge_noise", "time_noise", "threshold")

    def __call__(self, predicted: Observables, observed: Observables) -> Float[Array, ""]:
        d = self._differences(predicted, observed)
        return jnp.sum(d**2 / (1 + jnp.sqrt(1 + d**2)))

    def residuals(self, predicted: Observables, observed: Observables) -> Residuals:
        d = self._differences(predicted, observed)
        return d / jax.lax.stop_gradient((1 + d**2) ** 0.25)

    def _differences(self, predicted: Observables, observed: Observables) -> Residuals:
        """Of charges and times, over their noise."""
        parts = []
        for mine, theirs in _hits(predicted, observed):
            in_model, in_data = mine.probability > 0.5, theirs.probability > 0.5
            both = in_model & in_data & mine.valid[:, None]
            taken = jnp.cumsum(mine.charge, axis=1) - mine.charge
            left = mine.total[:, None] - taken
            lacking = jnp.minimum(left, theirs.charge) - theirs.charge
            excess = jnp.maximum(mine.charge - self.threshold, 0.0)
            charge = jnp.where(both, mine.charge - theirs.charge, 0.0)
            charge = jnp.where(in_data & ~in_model, lacking, charge)
            charge = jnp.where(in_model & ~in_data, excess, charge)
            above = (jnp.minimum(mine.charge, theirs.charge) - self.threshold) / self.charge_noise
            time = jnp.where(both, jnp.clip(above, 0.0, 1.0) * (mine.time - theirs.time), 0.0)
            charge = jnp.where(mine.valid[:, None], charge, 0.0)
            parts += [charge.ravel() / self.charge_noise, time.ravel() / self.time_noise]
        return jnp.concatenate(parts)


class HitLikelihood(AbstractResidualLoss):
    """-ln L of noisy hits: whether each happened, and its charge and time given that it did.

    A prediction holds P(hit) and mean, width and correlation of charge and time given the hit, all given
    the hits that the data have before it: a pad that was reset has forgotten all else, so the product over
    its hits is the likelihood. Charge and time are taken as Gaussian; pads without a hit say that there
    was none. Gauss-Newton takes differences
    from the means over widths that are held: it is unbiased whatever the shape, as each difference has mean
    zero at the truth.
    """

    sequential: ClassVar[bool] = True
    unlikely: float = eqx.field(static=True, default=1e-3)
    """Probabilities count as at least this, and at most 1 minus this: one stray hit costs 7 at most."""

    def __check_init__(self) -> None:
        if not 0 < self.unlikely < 0.5:
            raise ValueError(
                f"HitLikelihood: unlikely = {self.unlikely}: expected a number between 0 and 0.5"
            )

    def __call__(self, predicted: Observables, observed: Observables) -> Float[Array, ""]:
        total = jnp.zeros(())
        for mine, theirs in _hits(predicted, observed):
            both, charge, time = self._differences(mine, theirs)
            charge_sigma, time_sigma, correlation = _widths(mine, both)
            log = jnp.log(charge_sigma * time_sigma * jnp.sqrt(1 - correlation**2))
            happened = theirs.probability > 0.5
            chance = jnp.clip(mine.probability, self.unlikely, 1 - self.unlikely)
            said = -jnp.where(happened, jnp.log(chance), jnp.log1p(-chance))
            terms = jnp.where(both, 0.5 * (charge**2 + time**2) + log, 0.0) + said
            total = total + jnp.sum(jnp.where(mine.valid[:, None], terms, 0.0))
        return total

    def residuals(self, predicted: Observables, observed: Observables) -> Residuals:
        parts = []
        for mine, theirs in _hits(predicted, observed):
            both, charge, time = self._differences(mine, theirs)
            held = jax.lax.stop_gradient(jnp.clip(mine.probability, self.unlikely, 1 - self.unlikely))
            said = (mine.probability - theirs.probability) / jnp.sqrt(held * (1 - held))
            in_doubt = (mine.probability > self.unlikely) & (mine.probability < 1 - self.unlikely)
            said = jnp.where(in_doubt & mine.valid[:, None], said, 0.0)
            parts += [jnp.where(both, charge, 0.0).ravel(), jnp.where(both, time, 0.0).ravel(), said.ravel()]
        return jnp.concatenate(parts)

    def _differences(self, mine: Hits, theirs: Hits) -> tuple[Array, Array, Array]:
        """Which hits are compared, and two independent differences of each over their widths."""
        both = (theirs.probability > 0.5) & (mine.probability > self.unlikely) & mine.valid[:, None]
        charge_sigma, time_sigma, correlation = _widths(mine, both)
        charge = jnp.where(both, mine.charge - theirs.charge, 0.0) / charge_sigma
        time = jnp.where(both, mine.time - theirs.time, 0.0) / time_sigma
        return both, charge, (time - correlation * charge) / jnp.sqrt(1 - correlation**2)


def _widths(hits: Hits, compared: Array) -> tuple[Array, Array, Array]:
    """Widths of charge and time and their correlation, held: of those compared, 1 and 0 for others."""
    parts = ((hits.charge_sigma, 1.0), (hits.time_sigma, 1.0), (hits.correlation, 0.0))
    one, two, three = (jax.lax.stop_gradient(jnp.where(compared, x, other)) for x, other in parts)
    return one, two, three


def _transport() -> AbstractLoss:
    from dptoolkit.inference.transport import Transport

    return Transport()


LOSSES: dict[str, Callable[[], AbstractLoss]] = {
    "CensoredHits": CensoredHits,
    "GaussianChi2": lambda: GaussianChi2(noise=1.0),
    "HitLikelihood": HitLikelihood,
    "MultiScale": lambda: MultiScale(16.0, 1),
    "PoissonLikelihood": PoissonLikelihood,
    "SquaredDifference": SquaredDifference,
    "Transport": _transport,
}
"""Every loss with its default settings (noise 1 in the unit of the read-out, blur of 16 us)."""


def loss_of(name: str) -> AbstractLoss:
    """A loss by its name, with its default settings."""
    if name not in LOSSES:
        raise ValueError(f"loss {name!r} is unknown; expected one of {', '.join(LOSSES)}")
    return LOSSES[name]()


def soft_residual(t: Float[Array, "..."]) -> Float[Array, "..."]:
    """T near 0, sign(t) sqrt(2 |t|) far off: half its square is sqrt(1 + t^2) - 1."""
    # sqrt(1 + t^2) - 1 = t^2 / (1 + sqrt(1 + t^2)), which has a smooth root
    return t * jnp.sqrt(2 / (1 + jnp.sqrt(1 + t**2)))


def _positive(loss: Any, *names: str) -> None:
    for name in names:
        value = getattr(loss, name)
        if not value > 0:
            raise ValueError(f"{type(loss).__name__}: {name} = {value}: expected a positive number")


def _tents(first: Int[Array, " b"], n: int, spacing: int) -> tuple[Float[Array, "b n m"], Int[Array, " b"]]:
    """Linear shares of the places first, first + 1, ... n of them, on the nodes at multiples of `spacing`.

    Returns (shares, number of the first node).
    """
    node = first // spacing
    place = (first - node * spacing)[:, None] + jnp.arange(n)
    n_nodes = (n - 1 + spacing - 1) // spacing + 2
    return jnp.maximum(0.0, 1 - jnp.abs(place[:, :, None] / spacing - jnp.arange(n_nodes))), node


def _need(part: Any, kind: type, name: str, what: str) -> None:
    if not isinstance(part, kind):
        raise ValueError(f"{name}: this loss compares {what}, got {type(part).__name__}")


def _samples(predicted: Observables, observed: Observables):
    """(prediction, observation, which of them exist) of samples, photoelectrons, or combinations."""
    for name, mine in predicted.items():
        if isinstance(mine, SensorHits):
            yield mine.pe, observed[name].pe, mine.valid
        elif isinstance(mine, Combinations):
            yield mine.value, observed[name].value, mine.valid
        else:
            _need(mine, Waveforms, name, "samples, photoelectrons or combinations")
            yield mine.samples, observed[name].samples, mine.mask()


def _hits(predicted: Observables, observed: Observables):
    for name, mine in predicted.items():
        _need(mine, Hits, name, "hits")
        yield mine, observed[name]
