"""A muon of a control sample as a source: its ends, kinks and energy loss, and their priors."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from dptoolkit.constants import MUON_MASS
from dptoolkit.detector import Readout
from dptoolkit.inference.profiled import Own
from dptoolkit.reconstruction.lines import FoundLine
from dptoolkit.sources.line import CROSSING, SOFT, AbstractLossShare, Line
from dptoolkit.sources.scattering import scattering_angle
from dptoolkit.sources.species import MUON
from dptoolkit.sources.stopping import Argon, range_table

SCALE_CROSSING, SCALE_STOPPING = 0.03, 0.02
"""Widths of the energy loss of a track over that of the model. Typical losses of muons at sea level
(`cosmic_flux`, above 0.3 GeV) are 1.002 of that at `CROSSING`, 0.03 wide; where one stops is not exact."""
STRETCH = 15.0
"""Path between kinks [cm]."""
MOST_KINKS = 7
STEPS = {"start": 0.1, "end": 0.1, "scale": 0.02}
"""Expected precision of a track's own parameters [cm], [1]."""


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
