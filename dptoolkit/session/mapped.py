"""A race on a map: two of the free parameters, and maps of them that a worker computes."""

from collections.abc import Iterator
from typing import Any

import param

from dptoolkit.session.jobs import Job, JobState
from dptoolkit.session.race import Race
from dptoolkit.workers import Progress

NOTHING = JobState()
SAME = JobState(ended=True, error="a map needs two different parameters")


class MappedRace(Race):
    """Subclasses say what maps are wanted and compute them."""

    kept = (*Race.kept, "x", "y")

    x = param.Selector(default="", objects=[""], doc="Parameter along the horizontal axis")
    y = param.Selector(default="", objects=[""], doc="Parameter along the vertical axis")

    def __init__(self, **controls: Any):
        self._job: Job | None = None
        self._asked: Any = None
        super().__init__(**controls)
        mapped = [name for name in self.kept if name not in ("scenario", "start", "held", "speed", "theme")]
        self.param.watch(self._map_changed, mapped)

    @property
    def axes(self) -> tuple[str, str]:
        """The two parameters, in full."""
        return self.x, self.y

    @property
    def map_state(self) -> JobState:
        """How far the maps are."""
        if self.x == self.y:
            return SAME
        return NOTHING if self._job is None else self._job.state

    def wanted(self) -> tuple[Any, ...]:
        """What the maps depend on."""
        raise NotImplementedError

    def maps(self, wanted: tuple[Any, ...], progress: Progress) -> Iterator[Any]:
        """The maps, from coarse to fine; called in a worker."""
        raise NotImplementedError

    def begin(self) -> None:
        super().begin()
        self._map_changed()

    def close(self) -> None:
        super().close()
        self._asked = None
        if self._job is not None:
            self._job.close()

    def join(self, timeout: float) -> bool:
        return super().join(timeout) and (self._job is None or self._job.join(timeout))

    def place_start(self, axes: tuple[str, ...], x: float, y: float) -> None:
        """Begin at a point of a map with these axes, and go; that map may be of before a change of axes."""
        place: dict[str, float] = {}
        for path, value in zip(axes, (x, y), strict=True):
            low, high = self.setup().problem.infos[path].bounds
            place[path] = float(min(max(value, low), high))
        self.start = dict(self.start) | place
        self.go()

    def _wishes(self) -> None:
        super()._wishes()
        paths = list(self.chosen.parameters)
        self.param.x.objects = self.param.y.objects = paths
        self.param.update(x=paths[0], y=paths[1])

    def _map_changed(self, *_events: Any) -> None:
        """Compute the maps that are wanted, unless that is being done."""
        wanted = self.wanted()
        if not self._opened or self.x == self.y or self._asked == wanted:
            return
        if self._job is not None:
            self._job.close()
        self._asked = wanted
        self._job = Job(lambda progress: self.maps(wanted, progress))
