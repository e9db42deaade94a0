"""Scenarios: a small problem with a lesson in each YAML file of `scenarios/`.

A file names the detector and its planes, what happens in it (`muons` that stop, or one `line` whose ends may
be free), the `truth` and the `start` of the free parameters, the values `around` them that are shown, which
losses and methods the lesson compares, and the `controls` that it leaves. Everything has a unit; a path
without prefix means `detector.`.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from dptoolkit import units
from dptoolkit.inference.losses import AbstractLoss, GaussianChi2, MultiScale, SquaredDifference
from dptoolkit.inference.optimise import METHODS

FOLDER = Path(__file__).parent / "scenarios"
COARSE, MIDDLE = 256.0, 32.0
"""Times over which waveforms are blurred [us]."""
WIRES = 4
"""Wires over which the coarsest loss blurs."""

LOSSES = ("chi-squared", "squared difference", "blurred over 256 µs", "coarse to fine")
"""By these names scenarios and apps choose a loss, or stages of them."""

CONTROLS = ("loss", "first", "second", "rate", "speed")
"""Controls that a lesson may keep: how the fit is done; the scenario says what is fitted."""


@dataclass(frozen=True)
class Muon:
    """A straight muon that stops: drift distance of its middle, slope dx/dz, length; [cm]."""

    distance: float
    slope: float = 0.0
    length: float = 8.0


@dataclass(frozen=True)
class LineEnds:
    """Where one muon begins and where it stops [cm]."""

    start: tuple[float, ...]
    end: tuple[float, ...]
    segments: int = 32


@dataclass(frozen=True)
class Scenario:
    """A scenario as its file says it; values of parameters still are text with units."""

    name: str
    title: str
    about: str
    detector: str
    truth: Mapping[str, Any]
    start: Mapping[str, Any]
    around: Mapping[str, tuple[Any, Any]]
    muons: tuple[Muon, ...] = ()
    more: tuple[Muon, ...] = ()
    """Muons that one may add."""
    more_title: str = ""
    line: LineEnds | None = None
    planes: tuple[str, ...] = ()
    """Default: all."""
    noise: float = 2.0
    """White noise of a sample, in the unit of the read-out."""
    seed: int = 1
    losses: tuple[str, ...] = LOSSES[:1]
    methods: tuple[str, ...] = ("gauss-newton", "adam")
    controls: tuple[str, ...] = ()
    """What a lesson lets one change."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Other parameters that differ from the detector's; the model knows them."""

    def __post_init__(self) -> None:
        if set(self.start) != set(self.truth) or set(self.around) != set(self.truth):
            raise ValueError(
                f"{self.name}: truth, start and around: expected the same parameters in all three"
            )
        if bool(self.muons) == (self.line is not None):
            raise ValueError(f"{self.name}: expected either muons or a line")
        if not self.noise > 0:
            raise ValueError(f"{self.name}: noise = {self.noise}: expected a positive number")
        for kind, chosen, known in (
            ("losses", self.losses, LOSSES),
            ("methods", self.methods, METHODS),
            ("controls", self.controls, CONTROLS),
        ):
            unknown = [name for name in chosen if name not in known]
            if unknown or not (chosen or kind == "controls"):
                raise ValueError(f"{self.name}: {kind} {unknown}: expected some of {', '.join(known)}")

    @property
    def parameters(self) -> tuple[str, ...]:
        """Free parameters, in full."""
        return tuple(full_path(path) for path in self.truth)


def scenario_names() -> list[str]:
    """Of the scenarios that are shipped; the first is the default of the apps."""
    names = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    return sorted(names, key=lambda name: name != "lifetime_recombination")


@cache
def load_scenario(name: str) -> Scenario:
    """A scenario that is shipped."""
    if name not in scenario_names():
        raise ValueError(f"scenario {name!r} is unknown; expected one of {', '.join(scenario_names())}")
    return read_scenario((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), name)


def read_scenario(text: str, name: str) -> Scenario:
    """A scenario from the text of its file."""
    entries = yaml.safe_load(text)
    if not isinstance(entries, dict):
        raise ValueError(f"{name}: expected keys and values, got {type(entries).__name__}")
    known = {item.name for item in dataclasses.fields(Scenario)} - {"name", "more_title"}
    unknown = sorted(set(entries) - known)
    missing = sorted({"title", "about", "detector", "truth", "start", "around"} - set(entries))
    if unknown or missing:
        raise ValueError(f"{name}: unknown keys {unknown}, missing keys {missing}; known are {sorted(known)}")
    more = entries.pop("more", {})
    muons = {"muons": entries.pop("muons", []), "more": more.get("muons", [])}
    line = entries.pop("line", None)
    around = {path: tuple(ends) for path, ends in entries.pop("around").items()}
    lists = {
        key: tuple(entries.pop(key)) for key in ("planes", "losses", "methods", "controls") if key in entries
    }
    return Scenario(
        name=name,
        around=around,
        line=None if line is None else _line(line),
        more_title=more.get("title", ""),
        **{key: tuple(_muon(one) for one in some) for key, some in muons.items()},
        **lists,
        **entries,
    )


def stages_of(name: str, noise: float) -> list[AbstractLoss]:
    """The losses, one after the other, that a name stands for."""
    sharp = GaussianChi2(noise=noise)
    coarse = MultiScale(COARSE, WIRES, noise=noise)
    stages: dict[str, list[AbstractLoss]] = {
        "chi-squared": [sharp],
        "squared difference": [SquaredDifference()],
        "blurred over 256 µs": [coarse],
        "coarse to fine": [coarse, MultiScale(MIDDLE, noise=noise), sharp],
    }
    if name not in stages:
        raise ValueError(f"loss {name!r} is unknown; expected one of {', '.join(stages)}")
    return stages[name]


def full_path(path: str) -> str:
    """With the prefix that a path may leave out."""
    return path if path.startswith(("detector.", "source.")) else f"detector.{path}"


def _muon(entry: Mapping[str, Any]) -> Muon:
    lengths = {key: units.parse(value, "1" if key == "slope" else "cm") for key, value in entry.items()}
    return Muon(**lengths)


def _line(entry: Mapping[str, Any]) -> LineEnds:
    ends = {key: tuple(units.parse(x, "cm") for x in entry[key]) for key in ("start", "end")}
    return LineEnds(**ends, segments=int(entry.get("segments", LineEnds.segments)))
