"""From read-out back to what happened."""

from dptoolkit.reconstruction.lines import FoundLine, NoLine, find_line, points_of
from dptoolkit.reconstruction.result import NotReconstructed, Reconstructed

__all__ = ["FoundLine", "NoLine", "NotReconstructed", "Reconstructed", "find_line", "points_of"]
