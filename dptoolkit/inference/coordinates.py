"""Fit coordinates: unconstrained numbers of order one in place of physical values inside their bounds.

A parameter x is y = x, 1 / x or log x, as its declaration says, held between the bounds by

    y = low + t ln(1 + exp((u - low) / t)) - t ln(1 + exp((u - high) / t)),    t = `SOFTNESS` x span,

which is y = u but for a few t next to a bound, and u = y_start + step z. Covariances in z are therefore
those in x, but for one factor. t and the step are parts of the span of y: between its typical values, or a
fifth of that between the bounds.
"""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dptoolkit.params import ParamInfo

SOFTNESS = 0.005
"""Width of the soft edge at a bound, as a part of the span."""
EDGE = 2.0
"""How near to a bound a fit may come, in widths of its soft edge."""
STEP = 0.25
"""What a coordinate of 1 stands for, as a part of the span."""


class Coordinates(eqx.Module):
    """The way between coordinates z (k) and physical values by path, arrays of any shape included."""

    start: dict[str, Array]
    low: dict[str, Array]
    high: dict[str, Array]
    step: dict[str, Array]
    soft: dict[str, Array]
    paths: tuple[str, ...] = eqx.field(static=True)
    """In the order of the coordinates: dictionaries lose theirs under transformations."""
    scales: dict[str, str] = eqx.field(static=True)

    @classmethod
    def at(cls, values: Mapping[str, Array], declared: Mapping[str, ParamInfo]) -> "Coordinates":
        """Coordinates that are 0 at `values`; `declared` is `infos` of the model they belong to."""
        of = {path: declared[path.split("[")[0]] for path in values}
        bounds = {path: sorted(_scaled(info.scale, b) for b in info.bounds) for path, info in of.items()}
        span = {path: _span(info, bounds[path], _y(info, values[path])) for path, info in of.items()}
        soft = {path: SOFTNESS * width for path, width in span.items()}
        start = {
            path: _inverse_inside(bounds[path][0], bounds[path][1], soft[path], _y(of[path], value))
            for path, value in values.items()
        }
        return cls(
            start=start,
            low={path: jnp.asarray(low, start[path].dtype) for path, (low, _) in bounds.items()},
            high={path: jnp.asarray(high, start[path].dtype) for path, (_, high) in bounds.items()},
            step={path: STEP * width for path, width in span.items()},
            soft=soft,
            paths=tuple(values),
            scales={path: info.scale for path, info in of.items()},
        )

    @property
    def names(self) -> tuple[str, ...]:
        """A name for every coordinate: the path, with an index where it holds an array."""
        return tuple(
            path if start.ndim == 0 else f"{path}{list(index)}"
            for path, start in self._starts()
            for index in np.ndindex(start.shape)
        )

    def _starts(self) -> list[tuple[str, Array]]:
        return [(path, self.start[path]) for path in self.paths]

    def __len__(self) -> int:
        return sum(start.size for start in self.start.values())

    def values(self, z: Float[Array, " k"]) -> dict[str, Array]:
        """Physical values at z; differentiable."""
        found, first = {}, 0
        for path, start in self._starts():
            part = z[first : first + start.size].reshape(start.shape)
            u = start + self.step[path] * part
            found[path] = _unscaled(
                self.scales[path], _inside(self.low[path], self.high[path], self.soft[path], u)
            )
            first += start.size
        return found

    def of(self, values: Mapping[str, Any]) -> Float[Array, " k"]:
        """The coordinates of physical values, all paths of them."""
        parts = []
        for path, start in self._starts():
            y = jnp.asarray(_scaled(self.scales[path], np.asarray(values[path], float)), start.dtype)
            u = _inverse_inside(self.low[path], self.high[path], self.soft[path], y)
            parts.append(jnp.ravel((u - start) / self.step[path]))
        return jnp.concatenate(parts)

    def reach(self) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        """Least and greatest coordinates of a fit: `EDGE` soft edges from the bounds; slopes live there."""
        low, high = [], []
        for path, start in self._starts():
            margin = EDGE * self.soft[path]
            low.append(jnp.ravel((jnp.minimum(self.low[path] + margin, start) - start) / self.step[path]))
            high.append(jnp.ravel((jnp.maximum(self.high[path] - margin, start) - start) / self.step[path]))
        return jnp.concatenate(low), jnp.concatenate(high)

    def flat(self, values: Mapping[str, Any]) -> Float[Array, " k"]:
        """Physical values as one vector, in the order of `names`."""
        return jnp.concatenate([jnp.ravel(jnp.asarray(values[path])) for path in self.paths])

    def slopes(self, z: Float[Array, " k"]) -> Float[Array, " k"]:
        """Derivative of every physical value by its coordinate."""
        return jax.jvp(lambda z: self.flat(self.values(z)), (z,), (jnp.ones_like(z),))[1]


def pull_of(scale: str, estimate: float, truth: float, error: float) -> float:
    """(estimate - truth) / error in the `scale` of a fit, with its sign; nan for an infinite error."""
    if not np.isfinite(error):
        return np.nan
    if scale == "inverse":  # 1 / truth - 1 / estimate over error / estimate^2
        return float((estimate - truth) / error * estimate / truth)
    if scale == "log":
        return float(np.log(estimate / truth) * estimate / error)
    return float((estimate - truth) / error)


def _y(info: ParamInfo, x: Array) -> Array:
    return jnp.asarray(_scaled(info.scale, np.asarray(x, float)), jnp.asarray(x).dtype)


def _scaled(scale: str, x):
    if scale == "linear":
        return x
    return 1 / x if scale == "inverse" else np.log(x)


def _unscaled(scale: str, y: Array) -> Array:
    if scale == "linear":
        return y
    return 1 / y if scale == "inverse" else jnp.exp(y)


def _span(info: ParamInfo, bounds: list[float], y: Array) -> Array:
    """Over how much of y a parameter varies, as one number for each of its elements."""
    if info.typical is not None:
        low, high = (_scaled(info.scale, value) for value in info.typical)
        return jnp.full_like(y, abs(high - low))
    if np.isfinite(bounds).all():
        return jnp.full_like(y, (bounds[1] - bounds[0]) / 5)
    return jnp.maximum(jnp.abs(y), 1.0) / 5


def _inside(low: Array, high: Array, t: Array, u: Array) -> Array:
    above, below = jnp.isfinite(low), jnp.isfinite(high)
    safe_low, safe_high = jnp.where(above, low, 0.0), jnp.where(below, high, 0.0)
    # softplus(a) = max(a, 0) + log1p(exp(-|a|)): only the soft part is added, so that u keeps its digits
    y = jnp.where(above, jnp.maximum(u, safe_low) + t * _soft((u - safe_low) / t), u)
    return jnp.where(below, jnp.minimum(y, safe_high) - t * _soft((u - safe_high) / t), y)


def _soft(a: Array) -> Array:
    return jnp.log1p(jnp.exp(-jnp.abs(a)))


def _inverse_inside(low, high, t: Array, y: Array) -> Array:
    middle = jnp.where(jnp.isfinite(low) & jnp.isfinite(high), (low + high) / 2, jnp.inf)
    from_low = _hard(jnp.where(jnp.isfinite(low), y - low, jnp.inf) / t)
    from_high = _hard(jnp.where(jnp.isfinite(high), high - y, jnp.inf) / t)
    lower = jnp.isfinite(low) & (y <= middle)
    return y + t * jnp.where(lower, from_low, -from_high)


def _hard(a: Array) -> Array:
    """ln(exp(a) - 1) - a; at least one thousandth from the bound."""
    return jnp.log(-jnp.expm1(-jnp.maximum(a, 1e-3)))
