"""Seeds of tracks: the path, the sense and the end, from hits drawn by hand."""

import dataclasses

import numpy as np
import pytest

from dptoolkit.reconstruction import NoLine
from dptoolkit.reconstruction.seed import Seed, find_seed, followed
from tests.reconstruction.stopping_muon import path, views_of_muon

N_KINKS = 8


@pytest.mark.parametrize("michel", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_stopping_muon_is_found_with_its_sense_and_its_end(michel: bool, seed: int) -> None:
    """The end is that of the rise of its charge, also where its electron goes on as straight."""
    points = path()
    found = find_seed(views_of_muon(points, np.random.default_rng(seed), michel), N_KINKS)
    assert found.beyond == 0
    assert np.linalg.norm(found.start - points[0]) < 0.5
    assert np.linalg.norm(found.end - points[-1]) < 1.0
    away = np.linalg.norm(found.points(np.linspace(0, 1, 21))[:, None] - points, axis=2).min(axis=1)
    assert np.median(away) < 0.1


def test_kinks_follow_a_track_that_bends() -> None:
    """A straight line is centimetres off half way; ends and kinks together are not."""
    points = path(curve=8.0)
    views = views_of_muon(points, np.random.default_rng(1))
    straight = Seed(points[0], points[-1], np.zeros((N_KINKS, 2)))
    bent = followed(straight, views)
    middle = points[len(points) // 2]
    off = [
        np.linalg.norm(one.points(np.linspace(0, 1, 201)) - middle, axis=1).min() for one in (straight, bent)
    ]
    assert off[0] > 2.0 and off[1] < 0.15


def test_a_seed_is_the_path_of_its_source() -> None:
    seed = Seed(np.zeros(3), np.array([3.0, 4.0, 12.0]), np.full((N_KINKS, 2), 0.02))
    line = seed.line(n_segments=20)
    assert seed.points(np.linspace(0, 1, 21)) == pytest.approx(np.asarray(line.points()), abs=1e-9)


def test_hits_of_something_else_do_not_matter() -> None:
    points, rng = path(), np.random.default_rng(3)
    views = views_of_muon(points, rng)
    dirty = []
    for view in views:
        low, high = view.points.min(axis=0), view.points.max(axis=0)
        more = rng.uniform(low, high, (12, 2))
        charge = np.concatenate([view.charge, np.full(12, np.median(view.charge))])
        dirty.append(dataclasses.replace(view, points=np.concatenate([view.points, more]), charge=charge))
    found = find_seed(dirty, N_KINKS)
    assert np.linalg.norm(found.start - points[0]) < 1.0 and np.linalg.norm(found.end - points[-1]) < 1.5


@pytest.mark.parametrize("tilt", [0.0, 0.05, 0.15])
def test_a_track_along_the_wires_of_one_plane_is_found_by_the_others(tilt: float) -> None:
    """The plane that collects sees it end-on, so that induced signals have to say where it stops."""
    direction = np.array([tilt, 1.0, tilt]) / np.linalg.norm([tilt, 1.0, tilt])
    points = path(50.0, 0.5, direction)
    found = find_seed(views_of_muon(points, np.random.default_rng(2)), N_KINKS)
    assert np.linalg.norm(found.start - points[0]) < 1.0 and np.linalg.norm(found.end - points[-1]) < 1.5


def test_a_track_at_one_drift_distance_is_found_by_its_ends() -> None:
    """All hits are at one time: only where planes see the ends says how it runs along the anode."""
    direction = np.array([0.0, 0.4, 0.9]) / np.linalg.norm([0.4, 0.9])
    points = path(50.0, 0.0, direction)
    found = find_seed(views_of_muon(points, np.random.default_rng(4)), N_KINKS)
    assert np.linalg.norm(found.start - points[0]) < 1.0 and np.linalg.norm(found.end - points[-1]) < 1.5


def test_what_is_no_track_says_why() -> None:
    views = views_of_muon(path(length=2.5, curve=0.0), np.random.default_rng(0))
    with pytest.raises(NoLine, match=r"hits|shorter"):
        find_seed(views, N_KINKS)
    with pytest.raises(NoLine, match="fewer than"):
        find_seed(views_of_muon(path(), np.random.default_rng(0))[:1], N_KINKS)
