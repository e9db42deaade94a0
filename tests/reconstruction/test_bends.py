"""How tracks bend: combinations that know nothing of the line, and are independent, of unit variance."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.charge.apparent import BentTracks
from dptoolkit.constants import MUON_MASS
from dptoolkit.geometry import Volumes
from dptoolkit.reconstruction.bends import LOSS, MeasuredTrack, Resolution, Room, bent_tracks
from dptoolkit.sources.scattering import scattering_angle

VOLUMES = Volumes.from_boxes([[-100.0, 0, 0], [100.0, 0, 0]], [200.0, 400, 500], ["-x", "+x"])
RESOLUTION = Resolution(across=0.08, drift=0.15)


def muon(rng: np.random.Generator, energy: float, n: int = 30, spacing: float = 10.0) -> MeasuredTrack:
    """Through the cathode, scattered in steps of a fifth of the spacing, with the errors of `RESOLUTION`."""
    along = rng.normal(size=3) * np.array([0.6, 0.3, 0.6]) - np.array([0, 1.0, 0])
    along /= np.linalg.norm(along)
    fine, pieces = spacing / 5, 5 * (n + 1)
    side = np.cross(along, [1.0, 0, 0])
    side /= np.linalg.norm(side)
    frame = np.stack([side, np.cross(along, side)])
    left = energy + LOSS * fine * np.arange(pieces)[::-1]
    kinks = rng.normal(size=(pieces, 2)) * np.asarray(scattering_angle(left, MUON_MASS, fine))[:, None]
    slope = np.cumsum(kinks, axis=0)
    offset = np.cumsum(slope, axis=0) * fine
    line = (np.arange(pieces)[:, None] + 1) * fine * along + offset @ frame
    line -= line[pieces // 2]
    every = line[2::5][: n + 1]
    points, ends = every[:n], line[[2, -1]]
    volume = (points[:, 0] > 0).astype(int)
    width = np.array([RESOLUTION.drift, RESOLUTION.across, RESOLUTION.across])
    return MeasuredTrack(0, points + width * rng.normal(size=points.shape), volume, ends)


def combined(
    tracks: list[MeasuredTrack], resolution: Resolution, shift=None
) -> tuple[BentTracks, np.ndarray]:
    """(source, values of combinations that exist)."""
    nothing = [np.zeros_like(track.points) for track in tracks]
    if shift is not None:
        tracks = [replace(track, points=track.points + shift(track)) for track in tracks]
        known = [track.points - shift(track) for track in tracks]
    else:
        known = [track.points for track in tracks]
    source, seen = bent_tracks(tracks, (known, nothing), VOLUMES, resolution, Room.of(tracks, len(tracks)))
    part = seen["tracks"]
    return source, np.asarray(part.value)[np.asarray(part.valid)]


@pytest.mark.parametrize("energy", [300.0, 2000.0, 50000.0])
def test_combinations_of_scattered_noisy_tracks_have_unit_variance(energy):
    """The momentum is estimated from each track, under a spectrum whose mean is some GeV.

    At the ends of what is met the prior pulls: by a third of the variance at most.
    """
    rng = np.random.default_rng(3)
    _, values = combined([muon(rng, energy) for _ in range(60)], RESOLUTION)
    error = np.sqrt(2 / len(values))
    assert len(values) == 60 * 2 * 28
    assert abs(np.mean(values)) < 4 / np.sqrt(len(values))
    assert 2 / 3 - 4 * error < np.mean(values**2) < 4 / 3 + 4 * error


def test_bends_of_cosmic_muons_are_measured_within_their_errors():
    """A parabola of unit height at the end, which is not there, fitted to single tracks of unknown momentum.

    Points are right but for scattering, so that all of it says what the momentum is. Soft muons are measured
    badly and hard ones well: errors of the best quarter are below half of those of the worst.
    """
    rng = np.random.default_rng(8)
    energies = 3600.0 * (rng.uniform(size=150) ** (-1 / 1.7) - 1) + 100.0  # (T + 3.6 GeV)^-2.7
    pulls, errors = [], []
    for energy in energies:
        track = muon(rng, energy)
        places = [track.points], [np.zeros_like(track.points)]
        room = Room.of([track], 1)
        source, seen = bent_tracks([track], places, VOLUMES, RESOLUTION, room, degree=1)
        part, n = seen["tracks"], len(track.points)
        parabola = np.zeros((source.points.shape[0], 2))
        parabola[:n, 1] = np.linspace(0, 1, n) ** 2
        slope = np.asarray(source.combined(jnp.asarray(parabola)))[np.asarray(part.valid)]
        value = np.asarray(part.value)[np.asarray(part.valid)]
        errors.append(1 / np.sqrt(slope @ slope))
        pulls.append(slope @ value * errors[-1])
    assert abs(np.mean(pulls)) < 3 / np.sqrt(len(pulls))
    assert 0.8 < np.std(pulls) < 1.2
    assert np.quantile(errors, 0.25) < 0.5 * np.quantile(errors, 0.75)


def test_a_line_is_not_seen():
    rng = np.random.default_rng(4)
    tracks = [muon(rng, 3000.0) for _ in range(5)]

    def shift(track):
        s = np.linspace(0, 1, len(track.points))[:, None]
        return np.array([0.0, 0.0, 0.3]) + s * np.array([0.0, 0.0, -0.2])

    _, before = combined(tracks, RESOLUTION)
    _, after = combined(tracks, RESOLUTION, shift)
    # the line along which distances are counted is the same: what remains is second order in the shift
    np.testing.assert_allclose(after, before, atol=2e-2 * np.abs(before).max())


def test_a_tracker_adds_two_combinations_in_each_direction_that_see_a_shift():
    rng = np.random.default_rng(5)
    tracks = [muon(rng, 3000.0)]
    free, values = combined(tracks, RESOLUTION)
    anchored, more = combined(tracks, replace(RESOLUTION, tracker=0.1))
    assert len(more) == len(values) + 4
    shifted = jnp.ones((anchored.points.shape[0], 2))
    assert float(jnp.abs(free.combined(shifted)).max()) < 1e-4
    assert float(jnp.abs(anchored.combined(shifted)).max()) > 1.0


def test_without_a_time_a_shift_along_the_drift_is_not_seen():
    """Of a track through the cathode, whose halves move apart; with a time they are."""
    rng = np.random.default_rng(6)
    track = muon(rng, 3000.0)
    drift = VOLUMES.drift[track.volume]
    for known in (True, False):
        source, _ = combined([track], replace(RESOLUTION, t0_known=known))
        axes = np.asarray(source.axes)[: len(drift)]
        late = np.zeros((source.points.shape[0], 2))
        late[: len(drift)] = np.einsum("njx,nx->nj", axes, drift)
        seen = float(jnp.abs(source.combined(jnp.asarray(late))).max())
        assert (seen > 1.0) if known else (seen < 1e-4)


@pytest.mark.parametrize("name", ["across", "drift", "tracker"])
def test_a_resolution_is_a_positive_length(name):
    with pytest.raises(ValueError, match=rf"Resolution.{name} = -1.0 cm: expected a positive length"):
        Resolution(**{name: -1.0})
