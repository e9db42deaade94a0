"""From read-out back to what happened."""

from dptoolkit.reconstruction.distance import SegmentDistances, distances
from dptoolkit.reconstruction.lines import FoundLine, NoLine, find_line, points_of
from dptoolkit.reconstruction.result import NotReconstructed, Reconstructed
from dptoolkit.reconstruction.segments import SegmentSettings, find_segments, reconstruct_segments

__all__ = [
    "FoundLine",
    "NoLine",
    "NotReconstructed",
    "Reconstructed",
    "SegmentDistances",
    "SegmentSettings",
    "distances",
    "find_line",
    "find_segments",
    "points_of",
    "reconstruct_segments",
]
