"""Hits lie where the charge was, in the frame of the detector."""

import dataclasses

import jax
import numpy as np
import pytest

from dptoolkit.detector import LArTPC
from dptoolkit.events import segments_from_arrays
from dptoolkit.reconstruction.views import _joined, check_views, views_of

MIDDLE = np.array([-6.0, 4.0, -9.0])


def short_track(detector: LArTPC, t0: float = 0.0) -> dict:
    """The expected read-out of 2 cm of a muon across all wires."""
    half = np.array([0.1, 0.25, 0.96])
    points = MIDDLE + np.linspace(-1, 1, 21)[:, None] * half
    segments = segments_from_arrays(points[:-1], points[1:], np.full(20, 0.21), t0=t0)
    return jax.tree.map(np.asarray, detector(segments))


def test_every_plane_of_wires_sees_the_charge_where_it_was(small_wire: LArTPC) -> None:
    """To 2 mm, of wires 3 mm apart: what collects too, which sees charge 1.5 us (2.3 mm) early."""
    views = views_of(short_track(small_wire), small_wire)
    assert len(views) == 3 and [view.collects for view in views] == [False, False, True]
    for view in views:
        middle = np.average(view.points, axis=0, weights=view.charge)
        assert middle == pytest.approx(view.axes @ MIDDLE, abs=0.2)


def test_the_time_of_the_event_is_taken_off(small_wire: LArTPC) -> None:
    one = views_of(short_track(small_wire), small_wire)
    two = views_of(short_track(small_wire, t0=20.0), small_wire, t0=20.0)
    for a, b in zip(one, two, strict=True):
        assert np.average(b.points[:, 1], weights=b.charge) == pytest.approx(
            np.average(a.points[:, 1], weights=a.charge), abs=0.05
        )


def test_pixels_see_all_three_coordinates(small_pixel: LArTPC) -> None:
    (view,) = views_of(short_track(small_pixel), small_pixel)
    assert view.axes == pytest.approx(np.eye(3)) and view.collects
    assert np.average(view.points, axis=0, weights=view.charge) == pytest.approx(MIDDLE, abs=0.3)


def test_parallel_wires_of_two_volumes_are_one_view(small_wire: LArTPC) -> None:
    views = views_of(short_track(small_wire), small_wire)
    turned = [
        dataclasses.replace(view, axes=view.axes * [[-1.0], [1.0]], points=view.points * [-1.0, 1.0])
        for view in views
    ]
    joined = _joined([*views, *turned])
    assert len(joined) == 3
    for view, both in zip(views, joined, strict=True):
        assert both.points == pytest.approx(np.concatenate([view.points, view.points]))


def test_wrapped_wires_are_refused_in_words(named) -> None:
    with pytest.raises(ValueError, match="wrapped"):
        check_views(named("dune-fd-hd"))
