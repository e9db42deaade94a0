"""From a scenario to a `Problem`: detector, toy data with white noise, free parameters, and the minimum.

Simulating and compiling take seconds, so setups are kept and shared by all sessions of a process.
"""

import dataclasses
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dptoolkit import units
from dptoolkit.config import load_tpc
from dptoolkit.detector import LArTPC, Readout
from dptoolkit.inference.experiment import Experiment
from dptoolkit.inference.fit import coordinates_of, fit
from dptoolkit.inference.losses import AbstractResidualLoss, GaussianChi2
from dptoolkit.inference.problem import Problem
from dptoolkit.inference.uncertainty import Uncertainty
from dptoolkit.params import get, infos, replace
from dptoolkit.session.scenario import Muon, Scenario, full_path, load_scenario, stages_of
from dptoolkit.sources.example import stopping_muon
from dptoolkit.sources.line import Line
from dptoolkit.sources.recorded import SegmentSource


@dataclass(frozen=True)
class Parameter:
    """A free parameter: its declaration, its truth, where a fit starts, and which values are shown."""

    path: str
    symbol: str
    unit: str
    truth: float
    start: float
    low: float
    high: float

    @property
    def name(self) -> str:
        """Without the prefix."""
        return self.path.removeprefix("detector.")


@dataclass(frozen=True)
class Setup:
    """A scenario that can be fitted: toy data and the problem with the likelihood of its noise."""

    scenario: Scenario
    problem: Problem
    parameters: tuple[Parameter, ...]
    planes: tuple[str, ...]

    @property
    def truth(self) -> dict[str, float]:
        """Values by path."""
        return {one.path: one.truth for one in self.parameters}

    @property
    def start(self) -> dict[str, float]:
        """Where fits begin unless told otherwise."""
        return {one.path: one.start for one in self.parameters}

    @property
    def around(self) -> dict[str, tuple[float, float]]:
        """Values that are shown, by path."""
        return {one.path: (one.low, one.high) for one in self.parameters}

    def stages(self, loss: str) -> list[Problem]:
        """The problem judged by the losses that a name stands for."""
        return [self.problem.with_loss(one) for one in stages_of(loss, self.scenario.noise)]


@dataclass(frozen=True)
class Minimum:
    """Where a loss is least and how sharply; found from the truth, so that no basin misleads."""

    loss: float
    z: np.ndarray
    """Coordinates (k)."""
    matrix: np.ndarray | None
    """Fisher information in coordinates (k, k); None for a loss without residuals."""
    slopes: np.ndarray
    """d value / d coordinate (k)."""

    def errors(self, held: tuple[int, ...] = ()) -> np.ndarray:
        """Standard errors (k), physical, of the parameters that are not held; nan for those that are."""
        if self.matrix is None:
            return np.full(len(self.z), np.nan)
        names = tuple(str(i) for i in range(len(self.z)))
        return Uncertainty(names, self.matrix, self.slopes, {}, held).errors


class _Once:
    """A function whose values are kept; each is computed once, and who asks for a known one never waits."""

    def __init__(self, function: Callable[..., Any]):
        self._function, self._known = function, {}
        self._lock, self._locks = threading.Lock(), {}

    def __call__(self, *key: Any) -> Any:
        if key not in self._known:
            with self._lock:
                own = self._locks.setdefault(key, threading.Lock())
            with own:
                if key not in self._known:
                    self._known[key] = self._function(*key)
        return self._known[key]


def setup_of(name: str, more: bool = False) -> Setup:
    """The setup of a scenario that is shipped; made once in a process."""
    return _setup(name, more)


def minima_of(name: str, more: bool, loss: str) -> tuple[Minimum, ...]:
    """The minimum of every stage of a loss; found once in a process."""
    return _minima(name, more, loss)


def _find_minima(name: str, more: bool, loss: str) -> tuple[Minimum, ...]:
    setup = setup_of(name, more)
    return tuple(minimum_of(problem, setup.truth) for problem in setup.stages(loss))


_setup = _Once(lambda name, more: make_setup(load_scenario(name), more))
_minima = _Once(_find_minima)


def make_setup(scenario: Scenario, more: bool = False) -> Setup:
    """Simulate what a scenario observes and state its problem."""
    detector = _detector(scenario)
    true, first = (_values(detector, scenario, values) for values in (scenario.truth, scenario.start))
    experiments = _experiments(detector, scenario, more)
    observed = [_noisy(replace(one, true)(), scenario, number) for number, one in enumerate(experiments)]
    started = [replace(one, first) for one in experiments]
    problem = Problem(started, list(scenario.parameters), GaussianChi2(noise=scenario.noise), observed)
    return Setup(
        scenario, problem, _parameters(problem, scenario, true, first), tuple(p.name for p in detector.planes)
    )


def minimum_of(problem: Problem, truth: Mapping[str, float]) -> Minimum:
    """Fitted from the truth."""
    sharp = isinstance(problem.loss, AbstractResidualLoss)
    result = fit(problem, method="gauss-newton" if sharp else "lbfgs", start=truth, max_steps=12)
    best = min(result.history, key=lambda snapshot: snapshot.loss)
    z = jnp.asarray(best.z, problem.start.dtype)
    matrix = problem.normal(z).matrix if sharp else None
    return Minimum(best.loss, best.z, matrix, np.asarray(problem.coordinates.slopes(z), float))


def coordinates_at(problem: Problem, values: Mapping[str, float]) -> np.ndarray:
    """Coordinates of physical values by path."""
    return np.asarray(coordinates_of(problem, values), float)


def _detector(scenario: Scenario) -> LArTPC:
    detector = load_tpc(scenario.detector)
    chosen = tuple(plane for plane in detector.planes if not scenario.planes or plane.name in scenario.planes)
    if len(chosen) < len(scenario.planes) or not chosen:
        known = ", ".join(plane.name for plane in detector.planes)
        raise ValueError(f"{scenario.name}: planes {list(scenario.planes)}: expected some of {known}")
    return replace(dataclasses.replace(detector, planes=chosen), scenario.settings)


def _experiments(detector: LArTPC, scenario: Scenario, more: bool) -> list[Experiment]:
    if scenario.line is not None:
        start, end = (jnp.asarray(point, float) for point in (scenario.line.start, scenario.line.end))
        return [Experiment(detector, Line(start=start, end=end, n_segments=scenario.line.segments))]
    wires = float(np.asarray(detector.volumes.low)[0, 0])
    muons = scenario.muons + (scenario.more if more else ())
    return [Experiment(detector, SegmentSource(_segments(muon, wires))) for muon in muons]


def _segments(muon: Muon, wires: float) -> Any:
    return stopping_muon((wires + muon.distance, 0.0, 0.0), (muon.slope, 0.0, 1.0), muon.length)


def _values(detector: LArTPC, scenario: Scenario, values: Mapping[str, Any]) -> dict[str, float]:
    """Physical values by full path."""
    like = _experiments(detector, scenario, False)[0]
    known = infos(like)
    unknown = [path for path in values if full_path(path).split("[")[0] not in known]
    if unknown:
        raise ValueError(
            f"{scenario.name}: {unknown[0]!r} is no parameter; expected some of {', '.join(known)}"
        )
    changed = replace(like, {full_path(path): value for path, value in values.items()})
    return {full_path(path): float(get(changed, full_path(path))) for path in values}


def _noisy(readout: Readout, scenario: Scenario, number: int) -> Readout:
    """White noise on every sample of the expectation."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(scenario.seed), number), len(readout))
    noisy = {}
    for (name, waveforms), key in zip(readout.items(), keys, strict=True):
        samples: Any = waveforms.samples  # type: ignore[union-attr]
        noise = scenario.noise * jax.random.normal(key, samples.shape, samples.dtype)
        noisy[name] = jax.tree.map(np.asarray, dataclasses.replace(waveforms, samples=samples + noise))
    return noisy


def _parameters(
    problem: Problem, scenario: Scenario, truth: Mapping[str, float], start: Mapping[str, float]
) -> tuple[Parameter, ...]:
    found = []
    for path, (low, high) in scenario.around.items():
        full = full_path(path)
        info = problem.infos[full]
        ends = [units.parse(value, info.unit) for value in (low, high)]
        found.append(Parameter(full, info.symbol, info.unit, truth[full], start[full], *ends))
    order = {path: number for number, path in enumerate(problem.paths)}
    return tuple(sorted(found, key=lambda one: order[one.path]))
