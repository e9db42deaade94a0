"""Muons in the hits of one pixel plane."""

from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from dptoolkit.charge.pixels import PixelPlane
from dptoolkit.detector import LArTPC, Readout
from dptoolkit.events import Hits, distinct_rows
from dptoolkit.inference.straggling import StragglingHits
from dptoolkit.io.errors import InputError
from dptoolkit.reconstruction.lines import FoundLine, find_line, points_of
from dptoolkit.recorded.medium import AbstractMedium, Residuals
from dptoolkit.recorded.tracks import Track

FINE = 0.01
"""Length of the pieces by which paths over pads are measured [cm]."""


class PixelMedium(AbstractMedium):
    """Hits of self-triggering pads."""

    channels = "pads"
    bias = "the charge scale of recorded muons comes out 2 to 4 % high on pads, which errors do not include"

    def check(self, path: Path, readout: Readout, detector: LArTPC) -> None:
        for plane in cast(list[PixelPlane], detector.planes):
            part: Any = readout[plane.name]
            column, row, volume = (np.asarray(each) for each in (part.column, part.row, part.volume))
            outside = (column < 0) | (column >= plane.n_columns) | (row < 0) | (row >= plane.n_rows)
            outside |= (volume < 0) | (volume >= len(detector.volumes))
            if outside.any():
                raise InputError(
                    f"{path}: {int(outside.sum())} pixels of plane {plane.name!r} do not exist in "
                    f"{detector.name} ({plane.n_columns} x {plane.n_rows} in {len(detector.volumes)} "
                    f"volumes); give the --detector that recorded it"
                )

    def find(self, event: Readout, detector: LArTPC, t0: float) -> FoundLine:
        plane, speed = detector.planes[0], float(detector.drift.speed(detector.field.nominal()))
        hits = cast(Hits, event[plane.name])
        return find_line(*points_of(hits, plane, detector.volumes, speed, t0), detector.volumes)

    def loss(self, detector: LArTPC, event: Readout) -> StragglingHits:
        plane: Any = detector.planes[0]
        return StragglingHits(charge_noise=float(plane.front_end.hit_noise))

    def thickness(self, track: Track, detector: LArTPC, loss: StragglingHits) -> float:
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
        width = np.asarray(loss.width(jnp.asarray(charge), loss.charge_noise))
        return float(np.exp(np.average(np.log(path), weights=(charge / width) ** 2)))

    def residuals(
        self, predicted: Readout, observed: Readout, detector: LArTPC, loss: Any, t0: float
    ) -> Residuals:
        """Charge of all hits of a pad together, time of its first one."""
        name = detector.planes[0].name
        model, measured = (jax.tree.map(np.asarray, part[name]) for part in (predicted, observed))
        happened = measured.probability > 0.5
        both = (model.probability[:, 0] > 0.5) & happened[:, 0] & model.valid & (model.total > 0)
        speed = float(detector.drift.speed(detector.field.nominal()))
        distance = (measured.time[both, 0] - t0) * speed
        charge = np.sum(np.where(happened, measured.charge, 0.0), axis=1)
        late = measured.time[both, 0] - model.time[both, 0]
        return Residuals(distance, charge[both] / model.total[both], late)
