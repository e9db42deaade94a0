"""Calibrate a detector with what it recorded: muons found in the data take the place of a known truth.

One straight muon an event, which crosses or stops, is found in the read-out and becomes a `Line`: its ends,
kinks and energy loss are fitted along with the detector, under priors that `tracks` states. Nothing but
read-out and the time of each event is taken from the file.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np

from dptoolkit.detector import LArTPC
from dptoolkit.inference.calibration import calibrated
from dptoolkit.inference.experiment import Experiment
from dptoolkit.inference.losses import AbstractLoss
from dptoolkit.inference.profiled import ProfiledProblem
from dptoolkit.params import free, replace
from dptoolkit.recorded.medium import AbstractMedium, Residuals
from dptoolkit.recorded.sample import medium_of
from dptoolkit.recorded.tracks import Track, kinks_for, line_source, own_parameters
from dptoolkit.sources.line import AbstractLossShare, MeanLoss, TypicalLoss

DEDX = ("typical", "mean")
"""What is compared with the charges: of real, fluctuating losses the typical one."""


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
        model = replace(dataclasses.replace(self.detector, light=None), dict(self.start))
        n_kinks, medium = kinks_for(tracks), medium_of(self.detector)
        judge = medium.loss(self.detector, tracks[0].readout)
        lines = [line_source(track, n_kinks, self._share(track, medium, judge)) for track in tracks]
        own = [own_parameters(track.line, n_kinks) for track in tracks]
        experiments = [Experiment(model, line) for line in lines]
        observed = [track.readout for track in tracks]
        return ProfiledProblem(experiments, self.paths, loss or judge, observed, own)

    def _share(self, track: Track, medium: AbstractMedium, judge: AbstractLoss) -> AbstractLossShare:
        if self.dedx == "mean":
            return MeanLoss()
        seen = medium.thickness(track, self.detector, judge)
        return TypicalLoss(thickness=jnp.asarray(seen, jnp.result_type(float)))


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


def residuals_of(problem: ProfiledProblem, z: Any, tracks: Sequence[Track]) -> Residuals:
    """Of all tracks, at the coordinates z."""
    medium, parts = medium_of(problem.detector), []
    loss = medium.loss(problem.detector, tracks[0].readout)
    for number, track in enumerate(tracks):
        detector: Any = problem.model(z, number).detector
        found = medium.residuals(*problem.compared(z, number), detector, loss, track.t0)
        parts.append(np.stack([found.distance, found.charge, found.time]))
    return Residuals(*np.concatenate(parts, axis=1))
