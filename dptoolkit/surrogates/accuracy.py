"""How well a visibility agrees with independent photons, and its gradient with theirs."""

from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dptoolkit.light.plates import Plates
from dptoolkit.light.visibility import AbstractVisibility
from dptoolkit.surrogates.table import Filling, Seen

LEAST = 4.5e-5
"""Visibilities that count, as in arXiv:2211.01505."""
STEP = 0.5
"""Of difference quotients [cm]."""
CHECK_PHOTONS = 4096
"""From every point that checks a visibility."""
SLOPE_SHARE = 8
"""Gradients are checked at every eighth of these points."""
OWN = 0x5EED
"""Added to the seed of a table, so that photons that check it are others."""


@dataclass(frozen=True)
class Accuracy:
    """A visibility at points, beside what photons of their own say there."""

    predicted: Float[np.ndarray, "n p"]
    truth: Seen
    gradient_error: float = float("nan")
    """See `slope_error`."""
    least: float = LEAST

    @property
    def counted(self) -> np.ndarray:
        """Which are bright enough."""
        return self.truth.probability > self.least

    @property
    def bias(self) -> Float[np.ndarray, "n p"]:
        """|p - t| / (p + t)."""
        return np.abs(self.predicted - self.truth.probability) / (self.predicted + self.truth.probability)

    @property
    def noise(self) -> Float[np.ndarray, "n p"]:
        """Standard deviation that the noise of the truth alone gives (p - t) / (p + t)."""
        return self.truth.error / (self.predicted + self.truth.probability)

    def summary(self) -> dict[str, float]:
        """Over all that counts; see `numbers`, `mean_bound` and `slope_error`."""
        return {**self.numbers(), "mean_bound": self.mean_bound, "gradient_error": self.gradient_error}

    @property
    def mean_bound(self) -> float:
        """Upper bound of the mean bias without the noise: root mean squares of tenths of all, averaged.

        Tenths of the predictions, which the noise of the truth does not select.
        """
        edges = np.quantile(self.predicted[self.counted], np.linspace(0.1, 0.9, 9))
        tenth = np.digitize(self.predicted, edges)
        parts = [self.numbers(tenth == k) for k in range(10)]
        return float(sum(p["number"] * p["rms_bias"] for p in parts if p["number"]) / self.counted.sum())

    def numbers(self, which: np.ndarray | None = None) -> dict[str, float]:
        """Of what `which` selects among those counted.

        `mean_bias` has the noise of the truth in it and `noise` is what Gaussian noise alone would give;
        `rms_bias` is the root mean square without the noise, which no mean without it exceeds.
        """
        chosen = self.counted if which is None else self.counted & which
        bias, noise = self.bias[chosen], self.noise[chosen]
        if len(bias) == 0:
            return {"number": 0, "mean_bias": np.nan, "noise": np.nan, "rms_bias": np.nan}
        left = np.mean(bias**2) - np.mean(noise**2)
        return {
            "number": len(bias),
            "mean_bias": float(np.mean(bias)),
            "noise": float(np.sqrt(2 / np.pi) * np.mean(noise)),
            "rms_bias": float(np.sqrt(max(left, 0.0))),
        }


class Check:
    """Photons of their own, from random points between two corners, and what they say of visibilities."""

    def __init__(
        self, filling: Filling, low: Float[np.ndarray, " 3"], high: Float[np.ndarray, " 3"], n_points: int
    ):
        own = [
            replace(filling, estimator="expected", photons=CHECK_PHOTONS, seed=filling.seed + OWN + k)
            for k in range(3)
        ]
        self.plates = filling.box.plates
        self.points = np.random.default_rng(filling.seed + OWN).uniform(low, high, (n_points, 3))
        self.truth = own[0].at(self.points, np.arange(n_points))
        one, other = (photon_slopes(photons, self.points[::SLOPE_SHARE]) for photons in own[1:])
        self._slopes = one, other

    def __call__(self, visibility: AbstractVisibility) -> Accuracy:
        """Of one visibility."""
        found = slopes(visibility, self.plates, self.points[::SLOPE_SHARE])
        error = slope_error(found, *self._slopes, self.truth.probability[::SLOPE_SHARE])
        return Accuracy(values(visibility, self.plates, self.points), self.truth, error)


def values(
    visibility: AbstractVisibility, plates: Plates, points: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n p"]:
    """Probability at points."""
    return np.asarray(_evaluate(visibility, plates, jnp.asarray(points))[0], np.float64)


def slopes(
    visibility: AbstractVisibility, plates: Plates, points: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n p 3"]:
    """Exact gradient of the probability [1/cm]."""
    return np.asarray(_slopes(visibility, plates, jnp.asarray(points)), np.float64)


def photon_slopes(filling: Filling, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n p 3"]:
    """Gradient of what photons say, by differences of points with the same random numbers [1/cm]."""
    number = np.arange(len(points))
    found = []
    for axis in range(3):
        shift = STEP * np.eye(3)[axis]
        ends = [filling.at(points + sign * shift, number).probability for sign in (1, -1)]
        found.append((ends[0] - ends[1]) / (2 * STEP))
    return np.stack(found, axis=-1)


def slope_error(
    predicted: Float[np.ndarray, "n p 3"],
    one: Float[np.ndarray, "n p 3"],
    other: Float[np.ndarray, "n p 3"],
    seen: Float[np.ndarray, "n p"],
) -> float:
    """Relative error of the gradient of ln v: rms of the difference over that of the truth.

    Of two independent truths the noise drops out: the mean of (p - t1) (p - t2) is that of (p - t)^2. NaN
    where one of the means is less than twice its statistical error: the truth is too noisy to tell.
    """
    counted = seen > LEAST
    p, t1, t2 = ((slope / seen[..., None])[counted] for slope in (predicted, one, other))
    difference, truth = (p - t1) * (p - t2), t1 * t2
    for product in (difference, truth):
        if not product.mean() > 2 * product.std() / np.sqrt(product.size):
            return float("nan")
    return float(np.sqrt(difference.mean() / truth.mean()))


@eqx.filter_jit
def _evaluate(
    visibility: AbstractVisibility, plates: Plates, points: Float[Array, "n 3"]
) -> tuple[Float[Array, "n p"], Float[Array, "n p"]]:
    return visibility(points, plates)


@eqx.filter_jit
def _slopes(
    visibility: AbstractVisibility, plates: Plates, points: Float[Array, "n 3"]
) -> Float[Array, "n p 3"]:
    """One derivative an axis: a point does not know of the others."""
    columns = [
        jax.jvp(
            lambda p: visibility(p, plates)[0], (points,), (jnp.zeros_like(points).at[:, axis].set(1.0),)
        )[1]
        for axis in range(3)
    ]
    return jnp.stack(columns, axis=-1)
