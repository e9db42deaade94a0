"""From read-out back to what happened."""

from dptoolkit.reconstruction.lines import FoundLine, NoLine, find_line, points_of

__all__ = ["FoundLine", "NoLine", "find_line", "points_of"]
