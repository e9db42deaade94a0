"""The straight track of an event: a robust line through hits in space, and where it enters and ends.

A muon that crosses the detector ends on its walls, and one that stops has an end inside. An end is on a wall
if it is near exactly one; it is then moved there along the line. Hits are put at the drift distance that the
event's t0 and a nominal velocity give, so that near the cathode a wall is looked for a little further away.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from dptoolkit.events import Hits
from dptoolkit.geometry import Volumes

WIDTH = 1.5
"""Hits further from the line are of something else [cm]."""
PAIRS = 400
"""Lines through two hits that are tried."""
REFINED = 6
"""Rounds of least squares with the hits near the line."""
GAP = 5.0
"""Longest stretch without a hit [cm]."""
AT_WALL = 1.5
"""An end nearer than this to a wall is on it [cm] ..."""
UNKNOWN_SPEED = 0.06
"""... and along the drift further by this part of the drift distance."""
LEAST_HITS, LEAST_LENGTH, LEAST_SHARE = 12, 6.0, 0.6
"""What is called a track: hits, length [cm], share of the charge of the event."""


class NoLine(ValueError):
    """Why an event has no usable track."""


@dataclass(frozen=True)
class FoundLine:
    """A track from `start` to `end` [cm]."""

    start: Float[np.ndarray, " 3"]
    end: Float[np.ndarray, " 3"]
    on_wall: Bool[np.ndarray, "2 3"]
    """Coordinates of start and end that a wall fixes."""
    n_hits: int

    @property
    def stops(self) -> bool:
        """Whether its end is inside the detector."""
        return not self.on_wall[1].any()

    @property
    def length(self) -> float:
        """From start to end [cm]."""
        return float(np.linalg.norm(self.end - self.start))

    @property
    def direction(self) -> Float[np.ndarray, " 3"]:
        """Unit vector."""
        return (self.end - self.start) / self.length


def points_of(
    hits: Hits, plane: Any, volumes: Volumes, speed: float, t0: float
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
    """(place [cm], charge [electrons]) of the hits of a pixel plane, at the drift `speed` [cm/us]."""
    real = (np.asarray(hits.probability) > 0.5) & np.asarray(hits.valid)[:, None]
    pad, _ = np.nonzero(real)
    across = (np.asarray(hits.column)[pad] - (plane.n_columns - 1) / 2) * plane.pitch
    up = (np.asarray(hits.row)[pad] - (plane.n_rows - 1) / 2) * plane.pitch
    distance = (np.asarray(hits.time, float)[real] - t0) * speed
    points = volumes.to_global(across, up, distance, np.asarray(hits.volume)[pad])
    return points, np.asarray(hits.charge, float)[real]


def find_line(
    points: Float[np.ndarray, "n 3"], charge: Float[np.ndarray, " n"], volumes: Volumes
) -> FoundLine:
    """The one straight track that crosses or stops; `NoLine` says why there is none."""
    if len(points) < LEAST_HITS:
        raise NoLine(f"fewer than {LEAST_HITS} hits")
    weight = np.maximum(charge, 0.0)
    middle, direction, near = robust_line(points, weight)
    if near.sum() < LEAST_HITS or weight[near].sum() < LEAST_SHARE * weight.sum():
        raise NoLine("no straight track with most of the charge")
    along = longest_run(np.sort((points[near] - middle) @ direction))
    ends = middle + np.array([along[0], along[-1]])[:, None] * direction
    return line_between(ends, len(along), volumes)


def line_between(ends: Float[np.ndarray, "2 3"], n_hits: int, volumes: Volumes) -> FoundLine:
    """The track between two places, moved to the walls that they are near, in the sense in which it ran.

    It begins at a wall: above, if both ends are at walls.
    """
    length = float(np.linalg.norm(ends[1] - ends[0]))
    if length < LEAST_LENGTH:
        raise NoLine(f"a track shorter than {LEAST_LENGTH:g} cm")
    direction = (ends[1] - ends[0]) / length
    on_wall = np.stack([_wall(end, volumes) for end in ends])
    ends = np.stack([_moved(*each, direction, volumes) for each in zip(ends, on_wall, strict=True)])
    if not on_wall.any():
        raise NoLine("a track with both ends inside the detector")
    if not on_wall[0].any() or (on_wall.any(axis=1).all() and ends[0, 1] < ends[1, 1]):
        ends, on_wall = ends[::-1], on_wall[::-1]
    return FoundLine(ends[0].copy(), ends[1].copy(), on_wall.copy(), n_hits)


def robust_line(
    points: Float[np.ndarray, "n k"], weight: Float[np.ndarray, " n"], width: float = WIDTH
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"], Bool[np.ndarray, " n"]]:
    """(middle, direction, which points are near) of the line with most weight within `width` [cm] of it."""
    rng = np.random.default_rng(len(points))
    best, most = (0, 1), -1.0
    for first, second in rng.integers(0, len(points), (PAIRS, 2)):
        chord = points[second] - points[first]
        if np.linalg.norm(chord) < width:
            continue
        inside = weight[_distance(points, points[first], chord) < width].sum()
        if inside > most:
            best, most = (first, second), inside
    if most < 0:
        raise NoLine(f"all hits within {width:g} cm")
    middle, direction = points[best[0]], points[best[1]] - points[best[0]]
    for _ in range(REFINED):
        near = _distance(points, middle, direction) < width
        middle = np.average(points[near], axis=0, weights=weight[near])
        centred = (points[near] - middle) * np.sqrt(weight[near])[:, None]
        direction = np.linalg.svd(centred, full_matrices=False)[2][0]
    return middle, direction, _distance(points, middle, direction) < width


def _distance(points: np.ndarray, on_line: np.ndarray, along: np.ndarray) -> np.ndarray:
    offset, unit = points - on_line, along / np.linalg.norm(along)
    return np.linalg.norm(offset - (offset @ unit)[:, None] * unit, axis=1)


def longest_run(along: np.ndarray) -> np.ndarray:
    """The places along the line, sorted, of the longest stretch without a gap."""
    runs = np.split(along, np.flatnonzero(np.diff(along) > GAP) + 1)
    return max(runs, key=lambda run: run[-1] - run[0])


def _wall(end: np.ndarray, volumes: Volumes) -> np.ndarray:
    """Which coordinate of an end is on a wall of the box around all volumes."""
    low, high = volumes.bounds
    distances = np.abs(np.stack([end - low, high - end]))
    nearest = int(np.argmin(np.linalg.norm((volumes.low + volumes.high) / 2 - end, axis=1)))
    to_anode = abs(float((volumes.anode[nearest] - end) @ volumes.drift[nearest]))
    tolerance = AT_WALL + UNKNOWN_SPEED * to_anode * np.abs(volumes.drift[nearest])
    near = (distances < tolerance).any(axis=0) | (end < low) | (end > high)
    if near.sum() > 1:
        raise NoLine("a track that ends at an edge between two walls")
    return near


def _moved(end: np.ndarray, on_wall: np.ndarray, direction: np.ndarray, volumes: Volumes) -> np.ndarray:
    """The end, moved along the line to its wall."""
    if not on_wall.any():
        return end
    axis = int(np.argmax(on_wall))
    low, high = volumes.bounds
    wall = low[axis] if end[axis] - low[axis] < high[axis] - end[axis] else high[axis]
    if abs(direction[axis]) < 0.05:
        raise NoLine("a track that runs along a wall")
    moved = end + (wall - end[axis]) / direction[axis] * direction
    moved[axis] = wall
    if (moved < low - AT_WALL).any() or (moved > high + AT_WALL).any():
        raise NoLine("a track that ends at an edge between two walls")
    return moved
