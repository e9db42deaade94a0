"""A map on which fits walk: HoloViews draws the map once, raw Bokeh the ways as they grow."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, PointDrawTool, Renderer

from dptoolkit.inference.fit import Snapshot
from dptoolkit.inference.landscape import Landscape
from dptoolkit.views.elements import rendered
from dptoolkit.views.landscape import landscape_map
from dptoolkit.views.live import METHOD_COLOURS
from dptoolkit.views.theme import themed, token

Moved = Callable[[float, float], None]


class WalkedMap:
    """A map with the ways of two fits; `moved` is told where the start was put by a click or a drag."""

    def __init__(
        self, found: Landscape, *, truth: Any, estimate: Any, title: str, moved: Moved | None = None
    ):
        self.found = found
        self.figure = rendered(landscape_map(found, truth=truth, estimate=estimate)).state
        self.figure.update(
            sizing_mode="stretch_both",
            frame_width=None,
            frame_height=None,
            width=None,
            height=None,
            min_border=4,
        )
        self.figure.title.text = title
        self.figure.toolbar_location = None
        for legend in self.figure.legend:
            legend.update(border_line_alpha=0, padding=0, margin=0, label_text_font_size="12px")
        self.ways, self.ends = [], []
        for colour in METHOD_COLOURS:
            way, end = (ColumnDataSource({"x": [], "y": []}) for _ in range(2))
            halo = self.figure.line("x", "y", source=way, line_width=5, line_alpha=0.75)
            themed(halo.glyph, line_color=token("surface"))
            self.figure.line("x", "y", source=way, line_width=2.2, line_color=colour)
            dots = self.figure.scatter("x", "y", source=way, size=5, fill_color=colour)
            head = self.figure.scatter("x", "y", source=end, size=13, fill_color=colour)
            for marks in (dots, head):
                themed(marks.glyph, line_color=token("surface"))
            self.ways.append(way)
            self.ends.append(end)
        self._placed: list[tuple[Snapshot | None, list[np.ndarray]]] = [(None, []) for _ in METHOD_COLOURS]
        self._moved, self._writing = moved, False
        self.start = ColumnDataSource({"x": [], "y": []})
        if moved is not None:
            self._add_start()

    def update(
        self, histories: Sequence[Sequence[Snapshot]], start: Mapping[str, float] | None = None
    ) -> None:
        """Show the way of every method, and where the next begins."""
        for i, (way, end) in enumerate(zip(self.ways, self.ends, strict=True)):
            history = histories[i] if i < len(histories) else []
            points = self._points(i, history)
            way.data = {"x": points[:, 0], "y": points[:, 1]}
            end.data = {"x": points[-1:, 0], "y": points[-1:, 1]}
        if start is not None and self._moved is not None:
            x, y = (float(value) for value in self.found.place(start))
            if list(self.start.data["x"]) != [x] or list(self.start.data["y"]) != [y]:
                self._writing = True
                self.start.data = {"x": [x], "y": [y]}
                self._writing = False

    def _points(self, i: int, history: Sequence[Snapshot]) -> np.ndarray:
        """Where the steps of a way are (steps, 2); those that were placed before are kept."""
        first, placed = self._placed[i]
        if not history or first is not history[0] or len(history) < len(placed):
            placed = []
        placed = [*placed, *(self.found.place(snapshot.z) for snapshot in history[len(placed) :])]
        self._placed[i] = (history[0] if history else None, placed)
        return np.array(placed).reshape(-1, 2)

    def _add_start(self) -> None:
        marks: Any = self.figure.scatter("x", "y", source=self.start, size=18, marker="star", line_width=1.5)
        themed(marks.glyph, fill_color=token("text"), line_color=token("surface"))
        renderers: list[Renderer] = [marks]
        tool = PointDrawTool(renderers=renderers, num_objects=1, description="put the start")
        self.figure.tools = [tool]
        self.figure.toolbar.active_tap = tool
        self.start.on_change("data", self._told)

    def _told(self, _name: str, before: Any, after: Any) -> None:
        """A click or a drag in the browser; what `update` wrote is none."""
        if len(after["x"]) and self._moved is not None and not self._writing:
            x, y = float(after["x"][-1]), float(after["y"][-1])
            self._moved(x, y)
