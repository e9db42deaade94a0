"""Calibrate a detector with what it recorded: muons found in the data take the place of a known truth.

One straight muon an event, which crosses or stops, is found in the hits (`reconstruction.lines`) and becomes
a `Line`: its ends, kinks and energy loss are fitted along with the detector, under priors that are stated
here. Nothing but read-out and the time of each event is taken from the file.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from dptoolkit.charge.pixels import PixelPlane
from dptoolkit.constants import MUON_MASS
from dptoolkit.detector import LArTPC, Readout
from dptoolkit.events import Hits, SensorHits, distinct_rows
from dptoolkit.inference.calibration import calibrated
from dptoolkit.inference.experiment import Experiment
from dptoolkit.inference.losses import AbstractLoss
from dptoolkit.inference.profiled import Own, ProfiledProblem
from dptoolkit.inference.straggling import StragglingHits
from dptoolkit.io.errors import InputError
from dptoolkit.io.recorded import Recorded
from dptoolkit.params import free, replace
from dptoolkit.reconstruction.lines import FoundLine, NoLine, find_line, points_of
from dptoolkit.sources.line import AbstractLossShare, Line, MeanLoss, TypicalLoss
from dptoolkit.sources.scattering import scattering_angle
from dptoolkit.sources.species import MUON
from dptoolkit.sources.stopping import Argon, range_table

CROSSING = 1000.0
"""Residual range of a crossing muon at its end [cm]: about 2.4 GeV, where the loss hardly depends on it."""
SOFT = 1000.0
"""Kinetic energy [MeV] that the kinks of a crossing muon are allowed for: most are harder."""
SCALE_CROSSING, SCALE_STOPPING = 0.03, 0.02
"""Widths of the energy loss of a track over that of the model. Typical losses of muons at sea level
(`cosmic_flux`, above 0.3 GeV) are 1.002 of that at `CROSSING`, 0.03 wide; where one stops is not exact."""
STRETCH = 15.0
"""Path between kinks [cm]."""
MOST_KINKS = 7
FINE = 0.01
"""Length of the pieces by which paths over pads are measured [cm]."""
STEPS = {"start": 0.1, "end": 0.1, "scale": 0.02}
"""Expected precision of a track's own parameters [cm], [1]."""
DEDX = ("typical", "mean")
"""What is compared with the charges: of real, fluctuating losses the typical one."""


@dataclass(frozen=True)
class Track:
    """A muon of the control sample."""

    number: int
    """Of its event."""
    line: FoundLine
    t0: float
    """[us]"""
    readout: Readout
    """Of its event; `event` is 0."""


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
    plane = detector.planes[0]
    speed = float(detector.drift.speed(detector.field.nominal()))
    tracks, left_out = [], Counter()
    for index, (number, t0) in enumerate(zip(recorded.event_numbers, recorded.t0, strict=True)):
        if np.isnan(t0):
            left_out["without one t0"] += 1
            continue
        hits = _of_event(recorded.readout[plane.name], index)
        try:
            line = find_line(*points_of(hits, plane, detector.volumes, speed, float(t0)), detector.volumes)
        except NoLine as why:
            left_out[f"with {why}"] += 1
            continue
        tracks.append(Track(int(number), line, float(t0), {plane.name: hits}))
    if not tracks:
        reasons = ", ".join(f"{count} {why}" for why, count in left_out.items())
        raise InputError(
            f"{recorded.path}: no event has a usable track ({reasons}); expected one straight muon an event "
            f"that crosses or stops; choose other events, or check --detector and t0"
        )
    return ControlSample(tracks, dict(left_out))


def check_same_detector(recorded: Recorded, detector: LArTPC) -> None:
    """An error unless the file can come from this detector."""
    path, planes = recorded.path, {plane.name: plane for plane in detector.planes}
    if recorded.detector_name and recorded.detector_name != detector.name:
        raise InputError(
            f"{path}: was recorded by {recorded.detector_name!r}; expected {detector.name!r}; "
            f"give --detector {recorded.detector_name}"
        )
    charge = {name: part for name, part in recorded.readout.items() if not isinstance(part, SensorHits)}
    if set(charge) != set(planes):
        raise InputError(
            f"{path}: has the planes {', '.join(charge)}; expected those of {detector.name}: "
            f"{', '.join(planes)}; give the --detector that recorded it"
        )
    for name, part in charge.items():
        plane = planes[name]
        if not isinstance(part, Hits) or not isinstance(plane, PixelPlane) or len(planes) > 1:
            raise InputError(
                f"{path}: plane {name!r} holds {type(part).__name__}; recorded data can be calibrated with "
                f"the hits of one pixel plane so far; of waveforms make toys (--toy-truth random)"
            )
        column, row, volume = (np.asarray(part_) for part_ in (part.column, part.row, part.volume))
        outside = (column < 0) | (column >= plane.n_columns) | (row < 0) | (row >= plane.n_rows)
        outside |= (volume < 0) | (volume >= len(detector.volumes))
        if outside.any():
            raise InputError(
                f"{path}: {int(outside.sum())} pixels of plane {name!r} do not exist in {detector.name} "
                f"({plane.n_columns} x {plane.n_rows} in {len(detector.volumes)} volumes); "
                f"give the --detector that recorded it"
            )


@dataclass(frozen=True)
class RecordedCalibration:
    """What a calibration with recorded tracks frees and where it starts; makes the `Problem`."""

    detector: LArTPC
    free: Sequence[str] = ()
    """Default: `effective`."""
    start: Mapping[str, Any] = field(default_factory=dict)
    dedx: str = "typical"
    """Or mean, for tracks without fluctuations."""

    def __post_init__(self) -> None:
        if self.dedx not in DEDX:
            raise ValueError(f"dedx {self.dedx!r}: expected one of {', '.join(DEDX)}")

    @property
    def paths(self) -> list[str]:
        """In full: wildcards expanded."""
        return list(free(self.detector, list(self.free) or effective(self.detector)).values)

    def problem(self, tracks: Sequence[Track], loss: AbstractLoss | None = None) -> ProfiledProblem:
        """The problem of these tracks, whose own parameters are profiled."""
        model = replace(self.detector, dict(self.start))
        n_kinks = kinks_for(tracks)
        judge = straggling(self.detector)
        lines = [line_source(track, n_kinks, self._share(track, judge)) for track in tracks]
        own = [own_parameters(track.line, n_kinks) for track in tracks]
        experiments = [Experiment(model, line) for line in lines]
        observed = [track.readout for track in tracks]
        return ProfiledProblem(experiments, self.paths, loss or judge, observed, own)

    def _share(self, track: Track, judge: StragglingHits) -> AbstractLossShare:
        if self.dedx == "mean":
            return MeanLoss()
        return TypicalLoss(
            thickness=jnp.asarray(path_of_pads(track, self.detector, judge), jnp.result_type(float))
        )


def straggling(detector: LArTPC) -> StragglingHits:
    """The loss for fluctuating tracks with the noise of this detector."""
    plane: Any = detector.planes[0]
    return StragglingHits(charge_noise=float(plane.front_end.hit_noise))


def path_of_pads(track: Track, detector: LArTPC, judge: StragglingHits) -> float:
    """Path of a track that one pad sees [cm]: the mean logarithm over pads, as they count in the fit.

    The typical loss goes as the logarithm of the path, so that with this mean the pads together are right, if
    not each.
    """
    line, plane = track.line, cast(PixelPlane, detector.planes[0])
    n = int(np.ceil(line.length / FINE))
    points = line.start + ((np.arange(n) + 0.5) / n)[:, None] * (line.end - line.start)
    volume = detector.volumes.locate(points)
    points, volume = points[volume >= 0], volume[volume >= 0]
    across, up, _ = detector.volumes.to_local(jnp.asarray(points), jnp.asarray(volume))
    column = np.rint(np.asarray(across) / plane.pitch + (plane.n_columns - 1) / 2)
    row = np.rint(np.asarray(up) / plane.pitch + (plane.n_rows - 1) / 2)
    path = line.length / n * distinct_rows(np.stack([volume, column, row], axis=1).astype(int))[2]
    hits = cast(Hits, track.readout[plane.name])
    happened = (np.asarray(hits.probability) > 0.5) & np.asarray(hits.valid)[:, None]
    charge = np.sum(np.asarray(hits.charge, float)[happened]) * path / path.sum()
    width = np.asarray(judge.width(jnp.asarray(charge), judge.charge_noise))
    return float(np.exp(np.average(np.log(path), weights=(charge / width) ** 2)))


def effective(detector: LArTPC) -> list[str]:
    """What single muons determine safely of what is usually free.

    Not the drift speed, not diffusion, and one number of recombination: dE/dx of muons hardly varies, so a
    second one would only follow the first, which then is the scale of the charge, with the model of
    recombination and the gain in it. D_L moves the first hit of a pad by less than 0.1 us; what a track
    scatters between its kinks looks like D_T. The speed has false minima where it begins more than about 1 %
    off: ends of tracks at the cathode pull only from nearby. Free them by name, the speed from a good start.
    """
    held = ("field.", "drift.velocity", "diffusion.")
    paths = [path for path in calibrated(detector) if not path.startswith(held)]
    recombination = [path for path in paths if path.startswith("recombination.")]
    return [path for path in paths if path not in recombination[1:]]


def kinks_for(tracks: Sequence[Track]) -> int:
    """How many kinks the tracks of a problem have: one every `STRETCH` of the longest."""
    longest = max(track.line.length for track in tracks)
    return int(np.clip(np.ceil(longest / STRETCH) - 1, 1, MOST_KINKS))


def line_source(track: Track, n_kinks: int, share: AbstractLossShare) -> Line:
    """The found track as a source."""
    line, real = track.line, jnp.result_type(float)
    return Line(
        start=jnp.asarray(line.start, real),
        end=jnp.asarray(line.end, real),
        kinks=jnp.zeros((n_kinks, 2), real),
        t0=jnp.asarray(track.t0, real),
        beyond=jnp.asarray(0.0 if line.stops else CROSSING, real),
        share=share,
    )


def own_parameters(line: FoundLine, n_kinks: int) -> Own:
    """What of a track is fitted along, and its priors."""
    ends = [np.where(fixed, 0.0, np.inf) for fixed in line.on_wall]
    scale = SCALE_STOPPING if line.stops else SCALE_CROSSING
    angles = np.repeat(_kink_widths(line, n_kinks)[:, None], 2, axis=1)
    widths = {"start": ends[0], "end": ends[1], "scale": np.array(scale), "kinks": angles}
    return Own(widths, {**{name: np.array(step) for name, step in STEPS.items()}, "kinks": angles})


def _kink_widths(line: FoundLine, n_kinks: int) -> np.ndarray:
    """Scattering angles at evenly spread places [rad]."""
    stretch = line.length / (n_kinks + 1)
    left = stretch * np.arange(n_kinks, 0, -1)
    energy = np.asarray(range_table(Argon(), MUON).energy(jnp.asarray(left))) if line.stops else SOFT
    return np.broadcast_to(scattering_angle(energy, MUON_MASS, stretch), n_kinks).astype(float)


def _of_event(hits: Any, index: int) -> Hits:
    """The rows of one event, as event 0."""
    rows = np.flatnonzero((np.asarray(hits.event) == index) & np.asarray(hits.valid))
    parts = {f.name: np.asarray(getattr(hits, f.name))[rows] for f in dataclasses.fields(Hits)}
    return Hits(**{**{k: jnp.asarray(v) for k, v in parts.items()}, "event": jnp.zeros(len(rows), jnp.int32)})


@dataclass(frozen=True)
class HitResiduals:
    """Pads that have hits in both data and model; a number a pad."""

    distance: np.ndarray
    """Drift distance [cm]."""
    charge: np.ndarray
    """Measured over predicted, all hits of a pad together."""
    time: np.ndarray
    """Of the first hit, measured minus predicted [us]."""


def hit_residuals(problem: ProfiledProblem, z: Any, tracks: Sequence[Track]) -> HitResiduals:
    """Of all tracks, at the coordinates z."""
    parts = []
    for number, track in enumerate(tracks):
        detector: Any = problem.model(z, number).detector
        speed = float(detector.drift.speed(detector.field.nominal()))
        predicted, observed = problem.compared(z, number)
        for name, mine in predicted.items():
            model, measured = (jax.tree.map(np.asarray, part) for part in (mine, observed[name]))
            happened = measured.probability > 0.5
            both = (model.probability[:, 0] > 0.5) & happened[:, 0] & model.valid & (model.total > 0)
            distance = (measured.time[both, 0] - track.t0) * speed
            charge = np.sum(np.where(happened, measured.charge, 0.0), axis=1)
            late = measured.time[both, 0] - model.time[both, 0]
            parts.append(np.stack([distance, charge[both] / model.total[both], late]))
    return HitResiduals(*np.concatenate(parts, axis=1))
