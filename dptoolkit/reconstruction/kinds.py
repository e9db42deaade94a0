"""What can be reconstructed, by its name: a function `(read-out of an event, detector, options)` for each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dptoolkit.detector import LArTPC, Readout
from dptoolkit.reconstruction.result import NotReconstructed, Reconstructed
from dptoolkit.reconstruction.segments import reconstruct_segments
from dptoolkit.reconstruction.track import SPECIES_BY_LETTER, reconstruct_track
from dptoolkit.reconstruction.views import check_views


@dataclass(frozen=True)
class Options:
    """What a reconstruction is told."""

    number: int = 0
    """Of the event in its file."""
    hypotheses: Sequence[str] = ("muon",)
    """Species that are tried, by name."""
    t0: float = 0.0
    """Of the event [us]: taken as known."""


Kind = Callable[[Readout, Any, Options], Reconstructed | NotReconstructed]
"""May also raise a `NoLine` that says why an event has no result."""


def _track(event: Readout, detector: LArTPC, options: Options) -> Reconstructed:
    return reconstruct_track(event, detector, options.number, options.hypotheses, options.t0)


def _segments(event: Readout, detector: LArTPC, options: Options) -> Reconstructed | NotReconstructed:
    return reconstruct_segments(event, detector, number=options.number, t0=options.t0)


KINDS: Mapping[str, Kind | None] = {"track": _track, "segments": _segments, "rings": None}
"""None: not available yet."""
CHECKS: Mapping[str, Callable[[Any], None]] = {"track": check_views, "segments": check_views}
"""Whether a detector fits a kind; raises a `ValueError`."""


def kind_named(name: str) -> Kind:
    """The function of a kind; an error that says what there is."""
    if name not in KINDS:
        raise ValueError(f"--what {name!r}: expected one of {', '.join(KINDS)}")
    kind = KINDS[name]
    if kind is None:
        there = ", ".join(other for other, one in KINDS.items() if one is not None)
        raise ValueError(f"--what {name}: is not available in this version; expected one of {there}")
    return kind


def hypotheses_of(text: str | None) -> tuple[str, ...]:
    """The species that `mu,pi,p` names."""
    names = [part.strip() for part in (text or "mu").split(",") if part.strip()]
    unknown = [name for name in names if name not in SPECIES_BY_LETTER]
    if unknown or not names or len(set(names)) < len(names):
        known = ", ".join(SPECIES_BY_LETTER)
        raise ValueError(f"--hypotheses {text!r}: expected some of {known}, separated by commas, each once")
    return tuple(SPECIES_BY_LETTER[name] for name in names)
