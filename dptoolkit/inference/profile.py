"""Profile likelihood: the loss along one parameter with all others fitted anew at every value.

Losses are -ln L, so the interval of one standard deviation is where the profile lies 1/2 above its least
value (Wilks 1938), and of s deviations s^2 / 2; it needs no parabola, unlike the Fisher error.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from dptoolkit.inference.fit import coordinates_of, fit
from dptoolkit.inference.landscape import Axis, axis_of, coordinate_number
from dptoolkit.inference.optimise import GaussNewton
from dptoolkit.inference.problem import Problem
from dptoolkit.inference.uncertainty import uncertainty
from dptoolkit.workers import Progress


@dataclass(frozen=True)
class Profile:
    """The least loss at every value of a parameter."""

    axis: Axis
    losses: np.ndarray
    """(n), ascending in the value of the axis."""
    points: np.ndarray
    """Coordinates of the fits (n, k)."""
    estimate: float
    error: float
    """From the Fisher information, for comparison."""

    @property
    def above(self) -> np.ndarray:
        return self.losses - self.losses.min()

    def interval(self, sigmas: float = 1.0) -> tuple[float, float]:
        """Where the profile rises by sigmas^2 / 2; infinite to a side where the scan does not reach that.

        Between points the signed root of twice the rise is taken as linear: a parabola is exact.
        """
        lowest = int(np.argmin(self.losses))
        root = np.sqrt(2 * self.above) * np.sign(np.arange(len(self.losses)) - lowest)
        ends = []
        for side in (-1, 1):
            part = slice(lowest, None) if side > 0 else slice(lowest, None, -1)
            rise, value = side * root[part], self.axis.values[part]
            beyond = np.flatnonzero(rise >= sigmas)
            if len(beyond) == 0:
                ends.append(side * np.inf)
                continue
            i = beyond[0]
            share = (sigmas - rise[i - 1]) / (rise[i] - rise[i - 1])
            ends.append(float(value[i - 1] + share * (value[i] - value[i - 1])))
        return ends[0], ends[1]


def profile(
    problem: Problem,
    name: str,
    *,
    at: Any,
    reach: float = 3.0,
    n: int = 21,
    progress: Progress = lambda done, total: None,
) -> Profile:
    """The profile of `name` to `reach` standard errors on both sides of the estimate `at`.

    It walks outwards from the estimate; each fit starts where its neighbour ended.
    """
    i, z = coordinate_number(problem, name), np.asarray(coordinates_of(problem, at), float)
    known = uncertainty(problem, jnp.asarray(z, problem.start.dtype))
    if known is None:
        raise ValueError(f"{type(problem.loss).__name__} is no likelihood with residuals: it has no profile")
    sigma = float(np.sqrt(known.covariance_z[i, i]))
    if not np.isfinite(sigma):
        raise ValueError(f"{name}: the data do not determine it ({'; '.join(known.unidentifiable)})")
    low, high = (float(edge[i]) for edge in problem.reach())
    steps = sigma * np.linspace(-reach, reach, n | 1)
    values = np.unique(np.clip(z[i] + steps, low, high))
    found: dict[float, tuple[float, np.ndarray]] = {}
    for half in (values[values >= z[i]], values[values < z[i]][::-1]):
        point = z.copy()
        for value in half:
            point = np.where(np.arange(len(z)) == i, value, point)
            loss, point = _refitted(problem, i, point)
            found[value] = loss, point
            progress(len(found), len(values))
    points = np.stack([found[value][1] for value in values])
    physical = np.array([_physical(problem, point, i) for point in points])
    order = np.argsort(physical)
    axis = axis_of(problem, i, physical[order])
    losses = np.array([found[value][0] for value in values])
    return Profile(axis, losses[order], points[order], _physical(problem, z, i), float(known.errors[i]))


def _refitted(problem: Problem, i: int, start: np.ndarray) -> tuple[float, np.ndarray]:
    """Least loss with coordinate `i` held."""
    result = fit(problem.holding({i: float(start[i])}), method=GaussNewton(tolerance=1e-4), start=start)
    return result.loss, np.asarray(result.history[-1].z, float)


def _physical(problem: Problem, z: np.ndarray, i: int) -> float:
    values = problem.values(jnp.asarray(z, problem.start.dtype))
    return float(problem.coordinates.flat(values)[i])
