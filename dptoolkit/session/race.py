"""What the apps of running fits share: a scenario, a loss, methods that race, and their controls."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import param

from dptoolkit.inference.fit import Snapshot
from dptoolkit.inference.optimise import METHODS, AbstractMethod, FirstOrder, method_of
from dptoolkit.inference.problem import Problem
from dptoolkit.session.fits import Fits, Maker
from dptoolkit.session.runner import Frame, Runner, Task, Tell
from dptoolkit.session.scenario import LOSSES, Scenario, load_scenario, scenario_names
from dptoolkit.session.setup import Minimum, Setup, coordinates_at, minima_of, setup_of

NOBODY = "nobody"
"""In place of a method: there is no second one."""
OWN_RATE = 0.0
"""Stands for the learning rate that a method has by itself."""
RATES = [OWN_RATE, *(float(f"{digit}e{power}") for power in range(-7, 0) for digit in (1, 3))]
"""Learning rates, in fit coordinates."""


class Race(Fits):
    """Fits of one scenario by one or two methods, from one start; subclasses say what is shown of them."""

    kept = (
        "scenario", "more", "loss", "first", "second", "learning_rate", "start", "held", "lesson", *Fits.kept
    )  # fmt: skip

    scenario = param.Selector(default=scenario_names()[0], objects=scenario_names(), doc="What is fitted")
    more = param.Boolean(default=False, doc="Add the second sample of the scenario")
    loss = param.Selector(default=LOSSES[0], objects=list(LOSSES), doc="How data and prediction are compared")
    first = param.Selector(default="gauss-newton", objects=list(METHODS), doc="Method")
    second = param.Selector(default="adam", objects=[NOBODY, *METHODS], doc="Method that races with it")
    learning_rate = param.Selector(
        default=OWN_RATE, objects=RATES, doc="Of methods that only follow the gradient, in fit coordinates"
    )
    start = param.Dict(default={}, doc="Where fits start; the scenario says what is not named here")
    held = param.List(default=[], item_type=str, doc="Parameters that stay where they are")

    lesson = param.Boolean(default=False, doc="Show those controls only that the scenario asks for")

    def __init__(self, **controls: Any):
        super().__init__()
        self._reached: dict[str, Frame] = {}
        """Where fits were when rules changed: a new worker may not be ready before the next change."""
        self._wishes()
        self.param.watch(self._scenario_changed, "scenario")
        self.param.watch(self._begin_anew, ["more", "loss", "first", "second", "start"])
        self.param.watch(self._rules_changed, ["learning_rate", "held"])
        self.from_dict(controls)

    @property
    def chosen(self) -> Scenario:
        """The scenario."""
        return load_scenario(self.scenario)

    @property
    def titles(self) -> dict[str, str]:
        """Names of all scenarios by their titles."""
        return {load_scenario(name).title: name for name in scenario_names()}

    @property
    def methods(self) -> list[str]:
        """Names of the methods that race."""
        return [self.first] if self.second in (NOBODY, self.first) else [self.first, self.second]

    def setup(self) -> Setup:
        """The scenario as a problem; may take seconds."""
        return setup_of(self.scenario, self.more)

    def minima(self) -> tuple[Minimum, ...]:
        """The minimum of every stage of the loss; may take seconds."""
        return minima_of(self.scenario, self.more, self.loss)

    def makers(self) -> Mapping[str, Maker]:
        return {name: self._maker(name) for name in self.methods}

    def begin(self) -> None:
        """Make the fits ready at their start."""
        self._reached = {}
        super().begin()

    def looker(self, setup: Setup) -> Callable[[Problem, np.ndarray], Any] | None:
        """What computes that which frames show of a point; called in the worker."""
        return None

    def first_point(self, setup: Setup, minima: Sequence[Minimum], start: Mapping[str, float]) -> np.ndarray:
        """Coordinates at which fits begin; called in the worker."""
        return coordinates_at(setup.problem, {**setup.start, **start})

    def _maker(self, name: str, going_on: Frame | None = None) -> Maker:
        """What the worker of a method does, with the controls as they are now."""
        scenario, more, loss, rate = self.scenario, self.more, self.loss, self.learning_rate
        start, held = dict(self.start), list(self.held)

        def make(tell: Tell) -> Task:
            tell("simulating the data; a new kind of detector compiles first")
            setup = setup_of(scenario, more)
            tell("looking for the minimum; a new kind of problem compiles first")
            minima = minima_of(scenario, more, loss)
            past: list[Snapshot] = [] if going_on is None else list(going_on.history)
            z = past[-1].z if past else self.first_point(setup, minima, start)
            fixed = {i: float(z[i]) for i, one in enumerate(setup.parameters) if one.path in held}
            stages = [problem.holding(fixed) for problem in setup.stages(loss)]
            return Task(stages, rated(name, rate, minima), z, tuple(past), self.looker(setup))

        return make

    def _scenario_changed(self, _event: Any) -> None:
        opened, self._opened = self._opened, False
        self._wishes()
        if opened:
            self.begin()

    def _wishes(self) -> None:
        """What a scenario wishes for the other controls."""
        chosen = self.chosen
        first, *others = chosen.methods
        second = others[0] if others else NOBODY
        wishes: Mapping[str, Any] = {
            "loss": chosen.losses[0], "first": first, "second": second,
            "start": {}, "held": [], "more": False,
        }  # fmt: skip
        self.param.update(**wishes)

    def _rules_changed(self, *_events: Any) -> None:
        """Go on from the present points by other rules."""
        if not self._opened:
            return
        going = {name: runner.going for name, runner in self._runners.items()}
        for name, runner in self._runners.items():
            if runner.frame.last is not None:
                self._reached[name] = runner.frame
        self._end()
        for name in going:
            maker = self._maker(name, self._reached.get(name))
            self._runners[name] = Runner(maker, running=going[name], speed=self.speed)


def rated(name: str, rate: float, minima: Sequence[Minimum]) -> AbstractMethod:
    """A method with a learning rate, if it has one.

    That of gradient descent itself is 1 / the largest curvature: twice as much would not converge.
    """
    chosen = method_of(name)
    if not isinstance(chosen, FirstOrder):
        return chosen
    known = [minimum.matrix for minimum in minima if minimum.matrix is not None]
    if rate == OWN_RATE and chosen.rule == "sgd" and known:
        rate = 1.0 / max(float(np.linalg.eigvalsh(matrix)[-1]) for matrix in known)
    return chosen if rate == OWN_RATE else FirstOrder(rule=chosen.rule, learning_rate=rate)
