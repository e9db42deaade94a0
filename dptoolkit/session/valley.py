"""View-model of the correlation valley: how parameters mix, the valley as it is and whitened."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from dptoolkit.inference.landscape import Landscape, landscape, whitened
from dptoolkit.inference.uncertainty import Uncertainty, from_information
from dptoolkit.session.mapped import MappedRace
from dptoolkit.session.setup import Minimum, Setup, minima_of, setup_of
from dptoolkit.workers import Progress

REACH = 5.0
"""Half the width of the maps, in standard errors."""
AWAY = 3.5
"""Fits begin so many standard deviations from the minimum, along the valley and across it."""
COARSE, FINE = 8, 12
"""Points of a map along an axis."""
LOSS = "chi-squared"


@dataclass(frozen=True)
class Known:
    """What the data say of the parameters."""

    names: tuple[str, ...]
    information: Uncertainty
    before: Uncertainty | None
    """Without the second sample, where there is one."""


@dataclass(frozen=True)
class Valleys:
    """The same two parameters on two maps; without a `bowl` where the data do not determine them, or yet."""

    raw: Landscape
    bowl: Landscape | None = None
    why: str = ""
    """Why there is no bowl."""


class Valley(MappedRace):
    """Two parameters of a scenario with the likelihood of its noise, and two methods."""

    def known(self) -> Known:
        """Information at the minimum; may take seconds."""
        setup = self.setup()
        names = tuple(one.name for one in setup.parameters)
        before = information_of(self.scenario, False) if self.more else None
        return Known(names, information_of(self.scenario, self.more), before)

    def first_point(self, setup: Setup, minima: Sequence[Minimum], start: Mapping[str, float]) -> np.ndarray:
        """Without a chosen start: away from the minimum, both along the valley and across it."""
        if self.more:  # `known` needs the minimum without it too, and must not wait for it
            minima_of(setup.scenario.name, False, LOSS)
        minimum = minima[-1]
        matrix = minimum.matrix
        if self.x == self.y or start or matrix is None or not np.isfinite(minimum.errors()).all():
            return super().first_point(setup, minima, start)
        index = [setup.problem.paths.index(path) for path in self.axes]
        size, vectors = np.linalg.eigh(matrix[np.ix_(index, index)])
        z = np.array(minimum.z, float)
        z[index] += AWAY * (vectors / np.sqrt(size)).sum(axis=1)
        low, high = (np.asarray(edge, float) for edge in setup.problem.reach())
        return np.clip(z, low, high)

    def wanted(self) -> tuple[Any, ...]:
        return self.scenario, self.more, self.axes

    def maps(self, wanted: tuple[Any, ...], progress: Progress) -> Iterator[Valleys]:
        """Both maps, coarse ones first; what is known already comes at once."""
        scenario, more, axes = wanted
        known = _KNOWN.get(wanted)
        if known is not None:
            yield known
            return
        progress(0, 0)
        setup, (minimum,) = setup_of(scenario, more), minima_of(scenario, more, LOSS)
        for n in (COARSE, FINE):
            raw = _raw(setup, minimum, axes, n, progress)
            yield Valleys(raw)
            known = _with_bowl(raw, setup, minimum, axes, n, progress)
            yield known
        _KNOWN[wanted] = known

    def _wishes(self) -> None:
        super()._wishes()
        self.param.update(loss=LOSS, first="gradient-descent", second="gauss-newton")


def information_of(scenario: str, more: bool) -> Uncertainty:
    """Fisher information at the minimum of a scenario."""
    problem, (minimum,) = setup_of(scenario, more).problem, minima_of(scenario, more, LOSS)
    assert minimum.matrix is not None
    return from_information(problem, jnp.asarray(minimum.z, problem.start.dtype), minimum.matrix)


_KNOWN: dict[Any, Valleys] = {}


def _with_bowl(
    raw: Landscape, setup: Setup, minimum: Minimum, axes: tuple[str, str], n: int, progress: Progress
) -> Valleys:
    try:
        bowl = whitened(setup.problem, axes, at=minimum.z, reach=REACH + 1, n=n, progress=progress)
    except ValueError as error:
        return Valleys(raw, why=str(error))
    return Valleys(raw, bowl)


def _raw(setup: Setup, minimum: Minimum, axes: tuple[str, str], n: int, progress: Progress) -> Landscape:
    """To `REACH` standard errors, or over the values that the scenario shows where there are none."""
    problem = setup.problem
    middle = problem.values(jnp.asarray(minimum.z, problem.start.dtype))
    ranges = {}
    for one, error in zip(setup.parameters, minimum.errors(), strict=True):
        low, high = problem.infos[one.path].bounds
        value, reach = float(middle[one.path]), REACH * float(error)
        inside = (max(value - reach, low), min(value + reach, high))
        ranges[one.path] = inside if np.isfinite(reach) else (one.low, one.high)
    return landscape(
        problem, axes, at=minimum.z, ranges={path: ranges[path] for path in axes}, n=n, progress=progress
    )
