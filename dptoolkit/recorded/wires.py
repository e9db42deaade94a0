"""Muons in the waveforms of wire planes."""

from pathlib import Path
from typing import Any, cast

import numpy as np

from dptoolkit.charge.wires import WirePlane
from dptoolkit.constants import MUON_MASS
from dptoolkit.detector import LArTPC, Readout
from dptoolkit.events import Waveforms
from dptoolkit.inference.straggling_waveforms import StragglingWaveforms
from dptoolkit.io.errors import InputError
from dptoolkit.reconstruction.lines import FoundLine, NoLine, line_between
from dptoolkit.reconstruction.seed import find_seed
from dptoolkit.reconstruction.stages import likelihood
from dptoolkit.reconstruction.views import View, check_views, delay, path_seen, views_of
from dptoolkit.recorded.medium import AbstractMedium, Residuals
from dptoolkit.recorded.tracks import Track
from dptoolkit.sources.line import SOFT
from dptoolkit.sources.scattering import scattering_angle

N_KINKS = 8
"""With which hits are followed; the fit begins without any."""
STRAIGHT = 0.75
"""Share of the charge in every view that lies along a usable track, not a soft one that bends or a shower."""
NEAR = 1.0
"""Charge is along a track within this distance [cm], and twice the bend of the softest on its way."""
SEEN = 0.9
"""Wires are compared in a report where signals are this surely there."""


class WireMedium(AbstractMedium):
    """Waveforms of planes whose wires are not wrapped; the last plane collects the charge."""

    channels = "wires of the collection plane"

    def check(self, path: Path, readout: Readout, detector: LArTPC) -> None:
        check_views(detector)
        ticks = {part.samples.shape[2] for part in readout.values()}  # type: ignore[union-attr]
        if len(ticks) > 1:
            raise InputError(f"{path}: blocks of {sorted(ticks)} ticks; expected one length for all planes")
        for plane in cast(list[WirePlane], detector.planes):
            part: Any = readout[plane.name]
            outside = (np.asarray(part.channel) >= plane.n_wires) | (np.asarray(part.tick) >= plane.n_ticks)
            outside |= (np.asarray(part.group) < 0) | (np.asarray(part.group) >= len(detector.volumes))
            if (outside & np.asarray(part.valid)).any() or part.n_channels != plane.n_wires:
                raise InputError(
                    f"{path}: plane {plane.name!r} has {part.n_channels} channels, or samples where "
                    f"{detector.name} has none ({plane.n_wires} wires in {len(detector.volumes)} volumes, "
                    f"{plane.n_ticks} ticks); give the --detector that recorded it"
                )

    def find(self, event: Readout, detector: LArTPC, t0: float) -> FoundLine:
        views = views_of(event, detector, t0)
        seed = find_seed(views, N_KINKS, "muon", detector.volumes)
        n_hits = sum(len(view.points) for view in views)
        line = line_between(np.stack([seed.start, seed.end]), n_hits, detector.volumes)
        if line.stops and seed.beyond > 0:
            raise NoLine("a track that neither stops nor leaves")
        if min(_share_along(line, view) for view in views) < STRAIGHT:
            raise NoLine("no straight track with most of the charge")
        return line

    def loss(self, detector: LArTPC, event: Readout) -> StragglingWaveforms:
        return cast(StragglingWaveforms, likelihood(detector))

    def thickness(self, track: Track, detector: LArTPC, loss: Any) -> float:
        return path_seen(track.line.direction, detector)

    def residuals(
        self, predicted: Readout, observed: Readout, detector: LArTPC, loss: StragglingWaveforms, t0: float
    ) -> Residuals:
        """Of the wires that collect."""
        plane: Any = detector.planes[-1]
        mine, theirs = cast(Waveforms, predicted[plane.name]), cast(Waveforms, observed[plane.name])
        excess, late, seen = (np.asarray(part) for part in loss.measured(plane.name, mine, theirs))
        speed = float(detector.drift.speed(detector.field.nominal()))
        tick = np.asarray(mine.tick)[:, None] + np.argmax(np.asarray(mine.samples), axis=2)
        arrival = tick * plane.tick_period - plane.distance / speed - delay(plane, True)
        both = seen > SEEN
        return Residuals((arrival[both] - t0) * speed, 1 + excess[both], late[both])


def _share_along(line: FoundLine, view: View) -> float:
    """Part of the charge of a view that is near the line."""
    start, chord = view.axes @ line.start, view.axes @ (line.end - line.start)
    along = np.clip((view.points - start) @ chord / max(float(chord @ chord), 1e-9), 0.0, 1.0)
    away = np.linalg.norm(view.points - start - along[:, None] * chord, axis=1)
    # a bridge that scatters by theta on its way has a width of L theta / (4 sqrt 3) in its middle
    bend = line.length * scattering_angle(SOFT, MUON_MASS, line.length) / (4 * np.sqrt(3))
    near = away < NEAR + 2 * bend
    return float(view.charge[near].sum() / max(float(view.charge.sum()), 1e-9))
