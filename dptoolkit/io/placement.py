"""Where a file's events sit in a detector: `--place auto|file|X,Y,Z[,AXIS]|random`."""

from dataclasses import replace
from itertools import product

import numpy as np
from jaxtyping import Float

from dptoolkit.events import Segments
from dptoolkit.geometry import TOLERANCE, Region
from dptoolkit.io.errors import InputError
from dptoolkit.io.event_file import Box, EventFile

AXES = "xyz"


def place(events: EventFile, region: Region, how: str = "auto", seed: int = 0) -> tuple[EventFile, str]:
    """`events` in the frame of the detector, and one line that says what was done."""
    how = how.strip()
    if how == "file":
        return events, "placement: positions as they are in the file"
    if how == "auto":
        return _auto(events, region)
    if how == "random":
        return _random(events, region, seed)
    return _explicit(events, region, how)


def count_outside(segments: Segments, region: Region) -> tuple[int, float]:
    """Number of segments whose middle lies in no drift volume, and their fraction of the energy."""
    middle = (np.asarray(segments.start, float) + np.asarray(segments.end, float)) / 2
    valid, de = np.asarray(segments.valid), np.asarray(segments.de, float)
    outside = valid & (region.locate(middle) < 0)
    total = de[valid].sum()
    return int(outside.sum()), float(de[outside].sum() / total) if total > 0 else 0.0


def outside_notes(segments: Segments, region: Region, name: str, how: str) -> list[str]:
    """What to tell of segments outside the active volume of the detector `name`; empty if there are none.

    `how` they were placed: for much outside, other ways are told.
    """
    outside, fraction = count_outside(segments, region)
    if not outside:
        return []
    count = int(np.asarray(segments.valid).sum())
    notes = [f"{outside} of {count} segments ({fraction:.1%} of the energy) are outside the active volume"]
    if fraction > 0.5:
        others = [f"--place {way}" for way in ("auto", "X,Y,Z", "random") if way != how.strip()]
        notes.append(
            f"WARNING: {fraction:.0%} of the energy lies outside the active volume of {name}: "
            f"place the file with {' or '.join(others)}"
        )
    return notes


def _auto(events: EventFile, region: Region) -> tuple[EventFile, str]:
    box = events.bounds
    if box is None:
        return events, "placement: no segments to place"
    if _is_inside(box, region):
        return events, "placement: inside the active volume as it stands, not moved" + _axis_note(
            events, region
        )
    target, where = _target(box, region)
    by = (target[0] + target[1]) / 2 - (box[0] + box[1]) / 2
    moved = events.moved(events.columns["start"] + by, events.columns["end"] + by, f"shifted by {_cm(by)}")
    note = f"placement: all events shifted by {_cm(by)} to the centre of {where}"
    if not _fits(box, target):
        size = target[1] - target[0]
        note += f"; the file ({_cm(box[1] - box[0])}) is larger than the detector ({_cm(size)})"
    return replace(moved, bounds=(box[0] + by, box[1] + by)), note + _axis_note(events, region)


def _target(box: Box, region: Region) -> tuple[Box, str]:
    """The box whose centre takes the file: all volumes, unless that is a gap and one group has room."""
    everything = region.bounds
    shift = (everything[0] + everything[1]) / 2 - (box[0] + box[1]) / 2
    groups = region.groups()
    if len(groups) == 1 or _is_inside((box[0] + shift, box[1] + shift), region) or not _fits(box, groups[0]):
        return everything, "the active volume"
    return groups[0], f"the first of {len(groups)} separate active volumes"


def _is_inside(box: Box, region: Region) -> bool:
    """Whether every corner of `box` is in an active volume, or in a small gap between them."""
    return region.encloses(np.array(list(product(*np.stack(box).T))))


def _fits(box: Box, room: Box) -> bool:
    return bool((box[1] - box[0] <= room[1] - room[0] + 2 * TOLERANCE).all())


def _explicit(events: EventFile, region: Region, how: str) -> tuple[EventFile, str]:
    parts = [part.strip() for part in how.split(",")]
    axis = parts.pop().lower() if len(parts) == 4 else ""
    try:
        by = np.array([float(part) for part in parts])
    except ValueError:
        by = np.zeros(0)
    if by.shape != (3,) or not np.isfinite(by).all() or axis not in ("", *AXES):
        raise InputError(
            f"place {how!r}: expected auto, file, random, or X,Y,Z[,AXIS] in cm with AXIS one of x, y, z "
            f"(the file axis that becomes the drift axis), such as 0,10.5,-20,z"
        )
    turn = (_drift_axis(region) - AXES.index(axis)) % 3 if axis else 0
    start, end, box = (
        _turn(events.columns["start"], turn),
        _turn(events.columns["end"], turn),
        events.bounds,
    )
    what = f"file axis {axis} along the drift, " if axis else ""
    moved = events.moved(start + by, end + by, f"{what}shifted by {_cm(by)}")
    if box is not None:
        moved = replace(moved, bounds=(_turn(box[0], turn) + by, _turn(box[1], turn) + by))
    return moved, f"placement: {what}file origin at {_cm(by)}"


def _random(events: EventFile, region: Region, seed: int) -> tuple[EventFile, str]:
    """The first point of an event goes anywhere in the active volume, in any orientation."""
    start, end = events.columns["start"].copy(), events.columns["end"].copy()
    edges = np.searchsorted(events.columns["event"], np.arange(events.n_events + 1))
    for index, number in enumerate(events.event_numbers):
        rows = slice(edges[index], edges[index + 1])
        if rows.start == rows.stop:
            continue
        rng = np.random.default_rng([seed % 2**64, int(number) % 2**64])
        point, rotation = region.random_point(rng), _rotation(rng)
        first = start[rows][0].copy()
        start[rows] = (start[rows] - first) @ rotation.T + point
        end[rows] = (end[rows] - first) @ rotation.T + point
    note = f"placement: position and rotation of every event drawn with seed {seed}"
    return events.moved(start, end, f"random, seed {seed}"), note


def _rotation(rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """Isotropic: from a unit quaternion with normal components (Shoemake 1992)."""
    w, x, y, z = (q := rng.normal(size=4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _turn(points: np.ndarray, steps: int) -> np.ndarray:
    """The cyclic permutation of axes x -> y -> z -> x, `steps` times: a rotation."""
    return np.roll(points, steps, axis=-1)


def _drift_axis(region: Region) -> int:
    axes = set(region.axes)
    if len(axes) > 1:
        raise InputError("place: the volumes drift along different axes; give X,Y,Z without AXIS")
    return axes.pop()


def _axis_note(events: EventFile, region: Region) -> str:
    axes = {AXES[axis] for axis in region.axes}
    if events.drift_axis is None or axes == {events.drift_axis}:
        return ""
    return (
        f"; the file's drift axis is {events.drift_axis}, the detector's {'/'.join(sorted(axes))}: "
        f"X,Y,Z,{events.drift_axis} would turn it"
    )


def _cm(vector: np.ndarray) -> str:
    return "(" + ", ".join(f"{value + 0.0:.2f}" for value in vector) + ") cm"
