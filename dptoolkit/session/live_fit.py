"""View-model of the live fit: a prediction that moves onto the data, its parameters and its loss."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import param

from dptoolkit.inference.fit import Snapshot, by_stage
from dptoolkit.inference.problem import Problem
from dptoolkit.session.race import Race
from dptoolkit.session.setup import Minimum, Setup
from dptoolkit.views.assemble import Window, dense, occupied, strongest_channel

MARGIN = 8
"""Ticks around the signals that are shown."""


@dataclass(frozen=True)
class Seen:
    """Data and prediction of one plane, (time, channel), over one window."""

    window: Window
    tick_period: float
    """[us]"""
    unit: str
    channel: int
    """The strongest of the data."""
    data: np.ndarray
    predicted: np.ndarray


@dataclass(frozen=True)
class Row:
    """A line of the table of parameters; nan where something is not known."""

    name: str
    symbol: str
    unit: str
    truth: float
    start: float
    error: float
    """At the minimum, the parameters that are held taken as known."""
    held: bool
    values: tuple[float, ...]
    """By method."""

    @property
    def pulls(self) -> tuple[float, ...]:
        """(value - truth) / error."""
        return tuple((value - self.truth) / self.error for value in self.values)


class LiveFit(Race):
    """A race whose frames show data and prediction of one muon in one plane."""

    kept = (*Race.kept, "muon")

    muon = param.Integer(default=0, bounds=(0, None), doc="Which of the muons is shown")

    def __init__(self, **controls: Any):
        super().__init__(**controls)
        self.param.watch(self._rules_changed, "muon")

    def looker(self, setup: Setup) -> Callable[[Problem, np.ndarray], Seen]:
        """Data and prediction; the window holds the data and the prediction at the first point."""
        number = min(self.muon, len(setup.problem.sources) - 1)
        plane = setup.planes[-1]
        data: Any = setup.problem.observed[number][plane]
        channel = strongest_channel(data, 0)
        windows: list[Window] = []

        def look(problem: Problem, z: np.ndarray) -> Seen:
            predicted: Any = problem.predicted(jnp.asarray(z, problem.start.dtype), number)[plane]
            if not windows:
                windows.append(_around([data, predicted], data.n_channels))
            images = (dense(one, 0, 0, windows[0])[0].T for one in (data, predicted))
            data_image, image = (np.ascontiguousarray(one, np.float32) for one in images)
            return Seen(windows[0], data.tick_period, data.unit, channel, data_image, image)

        return look

    def rows(self) -> list[Row]:
        """The table of parameters; needs a fit that is ready."""
        setup, minimum = self.setup(), self.minima()[-1]
        held = tuple(i for i, one in enumerate(setup.parameters) if one.path in self.held)
        errors = minimum.errors(held)
        points = [frame.last for frame in self.frames.values()]
        return [
            Row(
                one.name,
                one.symbol,
                one.unit,
                one.truth,
                self.start.get(one.path, one.start),
                float(errors[i]),
                i in held,
                tuple(np.nan if point is None else float(point.values[one.path]) for point in points),
            )
            for i, one in enumerate(setup.parameters)
        ]

    def ways(self, history: Sequence[Snapshot]) -> tuple[np.ndarray, np.ndarray]:
        """(steps, distances from the truth as parts of the range that is shown (steps, k))."""
        parameters = self.setup().parameters
        rows = [[snapshot.values[one.path] for one in parameters] for snapshot in history]
        values = np.array(rows, float).reshape(-1, len(parameters))
        truth, span = (
            np.array(column) for column in zip(*((p.truth, p.high - p.low) for p in parameters), strict=True)
        )
        return np.array([float(snapshot.step) for snapshot in history]), (values - truth) / span


def losses_above(history: Sequence[Snapshot], minima: Sequence[Minimum]) -> tuple[np.ndarray, np.ndarray]:
    """(steps, losses above the minimum of their stage); nan where one stage follows another."""
    return by_stage(history, [snapshot.loss - minima[snapshot.stage].loss for snapshot in history])


def _around(planes: Sequence[Any], n_channels: int) -> Window:
    """Where the strong signals of all of them are."""
    parts = [occupied(plane, 0, 0, share=0.1) for plane in planes]
    return Window(
        max(min(part.channel0 for part in parts), 0),
        min(max(part.channel1 for part in parts), n_channels),
        max(min(part.tick0 for part in parts) - MARGIN, 0),
        max(part.tick1 for part in parts) + MARGIN,
    )
