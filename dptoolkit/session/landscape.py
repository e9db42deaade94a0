"""View-model of the loss landscape: maps of one loss or two, slices, and fits that walk on them."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import param

from dptoolkit.inference.landscape import Landscape, landscape
from dptoolkit.inference.problem import Problem
from dptoolkit.session.mapped import MappedRace
from dptoolkit.session.scenario import LOSSES, stages_of
from dptoolkit.session.setup import Minimum, Setup, minima_of, setup_of
from dptoolkit.workers import Progress

SLICES = "slices through the minimum"
"""In place of a second loss."""
MAPPED = tuple(loss for loss in LOSSES if len(stages_of(loss, 1.0)) == 1)
"""Losses with a map of their own: one in stages has that of its last."""
RANGE, ERRORS = "of the scenario", "4 standard errors"
"""Which values a map shows."""
REACH = 4.0
FIRST = 8
"""Points along an axis of the first, coarse map. Squares of multiples of 4 fill whole chunks."""
KEPT = 64
"""Maps that a process remembers."""


@dataclass(frozen=True)
class Maps:
    """What is known of the landscape; None is not computed yet, or not asked for."""

    main: Landscape
    beside: Landscape | None = None
    slices: tuple[Landscape, ...] = ()


class LossLandscape(MappedRace):
    """Two free parameters, one loss or two, and where around them."""

    kept = (*MappedRace.kept, "beside", "around", "points")

    beside = param.Selector(default=SLICES, objects=[SLICES, *MAPPED], doc="What is shown beside the map")
    around = param.Selector(default=RANGE, objects=[RANGE, ERRORS], doc="Which values are shown")
    points = param.Selector(default=16, objects=[8, 12, 16, 24, 32], doc="Points of the map along an axis")

    def wanted(self) -> tuple[Any, ...]:
        key = (self.scenario, self.more)
        return key, self.axes, self.around, self.loss, self.beside, self.points

    def maps(self, wanted: tuple[Any, ...], progress: Progress) -> Iterator[Maps]:
        key, axes, around, loss, beside, points = wanted
        progress(0, 0)
        for n in (FIRST, points):
            main = map_of(key, loss, axes, around, n, progress)
            yield Maps(main)
        if beside == SLICES:
            slices = [map_of(key, loss, (axis,), around, 2 * points, progress) for axis in axes]
            yield Maps(main, slices=tuple(slices))
        else:
            for n in (FIRST, points):
                yield Maps(main, map_of(key, beside, axes, around, n, progress))

    def _wishes(self) -> None:
        super()._wishes()
        others = [loss for loss in self.chosen.losses[1:] if loss in MAPPED]
        self.beside = others[-1] if others else SLICES


_KNOWN: dict[Any, Landscape] = {}
_LOCK = threading.Lock()


def map_of(
    key: tuple[str, bool], loss: str, axes: tuple[str, ...], around: str, points: int, tell: Progress
) -> Landscape:
    """A map of the last stage of a loss around its minimum; the last ones of a process are kept."""
    wanted = (key, loss, axes, around, points)
    found = _KNOWN.get(wanted)
    if found is None:
        setup, minimum = setup_of(*key), minima_of(*key, loss)[-1]
        problem = setup.stages(loss)[-1]
        ranges = _ranges(setup, problem, minimum, around)
        found = landscape(
            problem, axes, at=minimum.z, ranges={path: ranges[path] for path in axes}, n=points, progress=tell
        )
        with _LOCK:
            while len(_KNOWN) >= KEPT:
                _KNOWN.pop(next(iter(_KNOWN)))
            _KNOWN[wanted] = found
    return found


def _ranges(setup: Setup, problem: Problem, minimum: Minimum, around: str) -> dict[str, tuple[float, float]]:
    """Ends of the axes by path: what the scenario shows, or standard errors around the minimum."""
    if around == RANGE:
        return setup.around
    middle = problem.values(problem.start + minimum.z)
    ends = {}
    for one, error in zip(setup.parameters, minimum.errors(), strict=True):
        low, high = problem.infos[one.path].bounds
        value = float(middle[one.path])
        reach = REACH * float(error)
        known = reach > 0 and reach < one.high - one.low
        ends[one.path] = (max(value - reach, low), min(value + reach, high)) if known else (one.low, one.high)
    return ends
