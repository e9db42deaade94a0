"""Events that are given: segments of a file, the same every time."""

from dptoolkit.events import Segments
from dptoolkit.params import Component


class SegmentSource(Component):
    """A source that makes the same segments every time."""

    segments: Segments

    def __call__(self) -> Segments:
        return self.segments
