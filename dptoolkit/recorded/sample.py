"""The control sample of a recording: one muon of every event that has one and a known time."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np

from dptoolkit.charge.pixels import PixelPlane
from dptoolkit.charge.wires import WirePlane
from dptoolkit.detector import LArTPC
from dptoolkit.events import Hits, SensorHits, Waveforms
from dptoolkit.io.errors import InputError
from dptoolkit.io.recorded import Recorded
from dptoolkit.reconstruction.lines import NoLine
from dptoolkit.recorded.medium import AbstractMedium
from dptoolkit.recorded.pixels import PixelMedium
from dptoolkit.recorded.tracks import Track
from dptoolkit.recorded.wires import WireMedium

MEDIA: Mapping[type, tuple[type, AbstractMedium]] = {
    PixelPlane: (Hits, PixelMedium()),
    WirePlane: (Waveforms, WireMedium()),
}
"""By the kind of plane: what is read out of it, and how tracks are found there."""


def medium_of(detector: LArTPC) -> AbstractMedium:
    """That of its planes."""
    return MEDIA[type(detector.planes[0])][1]


@dataclass(frozen=True)
class ControlSample:
    """The tracks that a calibration uses, and why other events are left out."""

    tracks: Sequence[Track]
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """What was found, in one line."""
        stopping = sum(track.line.stops for track in self.tracks)
        text = f"{len(self.tracks)} tracks ({len(self.tracks) - stopping} cross, {stopping} stop)"
        why = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items())
        return text + (f"; events left out: {why}" if why else "")


def control_sample(recorded: Recorded, detector: LArTPC) -> ControlSample:
    """One track of every event that has one and a known t0; an error if there is none."""
    check_same_detector(recorded, detector)
    if np.isnan(recorded.t0).all():
        raise InputError(
            f"{recorded.path}: no event has a t0 (column t0 of interactions, one value an event); the drift "
            f"distance needs it: add the column, or give the time of all events with --t0 '0 us'"
        )
    medium = medium_of(detector)
    tracks, left_out = [], Counter()
    for index, (number, t0) in enumerate(zip(recorded.event_numbers, recorded.t0, strict=True)):
        if np.isnan(t0):
            left_out["without one t0"] += 1
            continue
        event = {plane.name: _of_event(recorded.readout[plane.name], index) for plane in detector.planes}
        try:
            line = medium.find(event, detector, float(t0))
        except NoLine as why:
            left_out[f"with {why}"] += 1
            continue
        tracks.append(Track(int(number), line, float(t0), event))
    if not tracks:
        reasons = ", ".join(f"{count} {why}" for why, count in left_out.items())
        raise InputError(
            f"{recorded.path}: no event has a usable track ({reasons}); expected one straight muon an event "
            f"that crosses or stops; choose other events, or check --detector and t0"
        )
    return ControlSample(tracks, dict(left_out))


def check_same_detector(recorded: Recorded, detector: LArTPC) -> None:
    """An error unless the file can come from this detector."""
    path, planes = recorded.path, [plane.name for plane in detector.planes]
    if recorded.detector_name and recorded.detector_name != detector.name:
        raise InputError(
            f"{path}: was recorded by {recorded.detector_name!r}; expected {detector.name!r}; "
            f"give --detector {recorded.detector_name}"
        )
    charge: Any = {name: part for name, part in recorded.readout.items() if not isinstance(part, SensorHits)}
    if set(charge) != set(planes):
        raise InputError(
            f"{path}: has the planes {', '.join(charge)}; expected those of {detector.name}: "
            f"{', '.join(planes)}; give the --detector that recorded it"
        )
    kind, medium = MEDIA[type(detector.planes[0])]
    for name, part in charge.items():
        if not isinstance(part, kind):
            raise InputError(
                f"{path}: plane {name!r} holds {type(part).__name__}; that of {detector.name} gives "
                f"{kind.__name__}; give the --detector that recorded it"
            )
    medium.check(path, charge, detector)


def _of_event(part: Any, index: int) -> Any:
    """The rows of one event, as event 0."""
    rows = np.flatnonzero((np.asarray(part.event) == index) & np.asarray(part.valid))
    columns = {
        f.name: jnp.asarray(np.asarray(getattr(part, f.name))[rows])
        for f in dataclasses.fields(part)
        if not f.metadata.get("static", False)
    }
    return dataclasses.replace(part, **{**columns, "event": jnp.zeros(len(rows), jnp.int32)})
