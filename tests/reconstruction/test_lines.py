"""Straight tracks in hits: where they enter, where they stop, and what is none."""

import numpy as np
import pytest

from dptoolkit.detector import LArTPC
from dptoolkit.reconstruction import NoLine, find_line, points_of
from tests.recordings import straight_hits

CROSSING = ((-10.0, 4.0, -8.0), (10.0, -6.0, 9.0))
STOPPING = ((3.0, 17.736, 2.0), (-4.0, -2.0, 5.0))
SHORT = ((0.0, 0.0, 0.0), (1.0, 2.0, 3.0))


def found(detector: LArTPC, line: tuple, t0: float = 0.0, more: np.ndarray | None = None):
    hits = straight_hits(detector, *line, t0=t0)
    speed = float(detector.drift.speed(detector.field.nominal()))
    points, charge = points_of(hits, detector.planes[0], detector.volumes, speed, t0)
    if more is not None:
        points, charge = np.concatenate([points, more]), np.concatenate([charge, np.full(len(more), 2.5e4)])
    return find_line(points, charge, detector.volumes)


def test_a_crossing_track_ends_on_the_walls(small_pixel: LArTPC) -> None:
    line = found(small_pixel, CROSSING, t0=250.0)
    assert not line.stops and line.on_wall.tolist() == [[True, False, False]] * 2
    assert line.start == pytest.approx(CROSSING[0], abs=0.3) and line.start[0] == pytest.approx(-10)
    assert line.end == pytest.approx(CROSSING[1], abs=0.3)


def test_a_stopping_track_ends_where_it_stops(small_pixel: LArTPC) -> None:
    for line in (STOPPING, STOPPING[::-1]):
        seen = found(small_pixel, line)
        assert seen.stops and seen.on_wall[0].tolist() == [False, True, False]
        assert seen.end == pytest.approx(STOPPING[1], abs=0.5)


def test_hits_of_something_else_do_not_move_it(small_pixel: LArTPC) -> None:
    noise = np.random.default_rng(1).uniform(-9, 9, (14, 3))
    clean, dirty = found(small_pixel, CROSSING), found(small_pixel, CROSSING, more=noise)
    assert dirty.start == pytest.approx(clean.start, abs=0.2)
    assert dirty.end == pytest.approx(clean.end, abs=0.2)


@pytest.mark.parametrize(
    ("line", "why"),
    [(SHORT, "fewer than 12 hits"), (((0.0, 0.0, 0.0), (4.0, 5.0, 6.0)), "both ends inside")],
)
def test_what_is_no_track_says_why(small_pixel: LArTPC, line: tuple, why: str) -> None:
    with pytest.raises(NoLine, match=why):
        found(small_pixel, line)


def test_a_cloud_is_no_track(small_pixel: LArTPC) -> None:
    cloud = np.random.default_rng(2).uniform(-9, 9, (60, 3))
    with pytest.raises(NoLine, match="most of the charge"):
        find_line(cloud, np.ones(60), small_pixel.volumes)


def test_an_end_at_an_edge_is_on_no_wall_for_sure(small_pixel: LArTPC) -> None:
    with pytest.raises(NoLine, match="edge between two walls"):
        found(small_pixel, ((10.0, 17.0, -8.0), (-10.0, -6.0, 9.0)))
