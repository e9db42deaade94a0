"""Pixel planes: hits on the anode in their true size, the two drift views, and charge against time.

`across` and `up` run along the columns and the rows; what they are called, and where, says the grid.
"""

from dataclasses import dataclass
from typing import Any, Literal

import holoviews as hv
import numpy as np
from bokeh.models import Rect

from dptoolkit.detector import LArTPC
from dptoolkit.events import Hits
from dptoolkit.views.elements import Hook, in_theme, inked, quantity, replace_glyph, styled
from dptoolkit.views.theme import SEQUENTIAL
from dptoolkit.views.wires import SLIM

SHOWN = 0.05
"""Hits of an expectation that are less probable than this are left out; the others fade with it."""
AXES = {"front": ("across", "up"), "across": ("across", "time"), "up": ("up", "time")}
"""What the views of a plane show on their axes."""
VISIBLE = {theme: colors[40:] for theme, colors in SEQUENTIAL.items()}
HOVER = [
    ("pixel", "column @column, row @row"),
    ("time", "@time{0.0} µs"),
    ("charge", "@charge{0.00} ke⁻"),
    ("probability", "@probability{0.00}"),
]


@dataclass(frozen=True)
class PixelGrid:
    """Where the centres of columns and rows are, and what the axes are called."""

    pitch: float
    n_columns: int
    n_rows: int
    names: tuple[str, str] = ("across", "up")
    middle: tuple[float, float] = (0.0, 0.0)
    sign: tuple[float, float] = (1.0, 1.0)
    """-1 where the coordinate falls as the column or row grows."""
    unit: str = "cm"
    name: str = "pixels"
    """Of the plane."""
    drift_time: float = 1.0
    """Over one pitch [us]: hits are as high as they are wide."""

    @classmethod
    def of(cls, detector: LArTPC, volume: int, name: str = "pixels") -> "PixelGrid":
        """The plane `name` in the coordinates of the detector [cm]."""
        plane = next((plane for plane in detector.planes if plane.name == name), None)
        if plane is None:
            known = ", ".join(plane.name for plane in detector.planes)
            raise ValueError(f"name = {name!r}: this detector has the planes {known}")
        names, middle, sign = zip(*detector.volumes.anode_axes(volume), strict=True)
        drift_time = plane.pitch / float(detector.drift.speed(detector.field.nominal()))
        return cls(
            plane.pitch, plane.n_columns, plane.n_rows, names, middle, sign, name=name, drift_time=drift_time
        )

    @classmethod
    def counted(cls, hits: Hits, name: str = "pixels") -> "PixelGrid":
        """Positions in columns and rows, where the detector is not known."""
        chosen = np.asarray(hits.valid)
        n_columns, n_rows = (
            int(np.asarray(number)[chosen].max(initial=0)) + 1 for number in (hits.column, hits.row)
        )
        middle = ((n_columns - 1) / 2, (n_rows - 1) / 2)
        return cls(1.0, n_columns, n_rows, ("column", "row"), middle, unit="", name=name)

    def across(self, column: np.ndarray) -> np.ndarray:
        """Centre of a column."""
        return self.middle[0] + self.sign[0] * (column - (self.n_columns - 1) / 2) * self.pitch

    def up(self, row: np.ndarray) -> np.ndarray:
        """Centre of a row."""
        return self.middle[1] + self.sign[1] * (row - (self.n_rows - 1) / 2) * self.pitch


def pixel_points(
    hits: Hits,
    volume: int,
    event: int = 0,
    *,
    grid: PixelGrid | None = None,
    view: Literal["front", "across", "up"] = "front",
    color: Literal["charge", "time"] = "charge",
) -> hv.Points:
    """Hits of a drift volume as large as their pixels: the anode, or time [us] against one of its axes.

    Without a `grid` positions are counted in columns and rows.
    """
    grid = grid or PixelGrid.counted(hits)
    columns, dimensions = hit_columns(hits, grid, volume, event), _dimensions(grid)
    x, y = AXES[view]
    values = columns[color]
    low, high = (float(values.min()), float(np.quantile(values, 0.98))) if len(values) else (0.0, 1.0)
    low = 0.0 if color == "charge" else low
    height = grid.pitch if view == "front" else grid.drift_time
    return styled(
        _points(columns, dimensions, x, y),
        title=f"{grid.name}, {dimensions[y].label} against {dimensions[x].label}",
        xlim=_ends(columns[x]),
        ylim=_ends(columns[y]),
        color=color,
        cmap=VISIBLE["light"],
        clim=(low, max(high, low + 1e-6)),
        colorbar=True,
        clabel=dimensions[color].unit,
        **SLIM,
        tools=["hover"],
        hover_tooltips=HOVER,
        hooks=[in_theme("color_color_mapper", palette=VISIBLE), _as_pixels(grid.pitch, height, color)],
    )


def charge_points(hits: Hits, volume: int, event: int = 0, *, grid: PixelGrid | None = None) -> hv.Points:
    """Charge [1000 electrons] of the hits of a drift volume against their time [us]."""
    grid = grid or PixelGrid.counted(hits)
    columns = hit_columns(hits, grid, volume, event)
    return styled(
        _points(columns, _dimensions(grid), "time", "charge"),
        title=f"{grid.name}, charge against time",
        xlim=_ends(columns["time"]),
        ylim=_ends(columns["charge"]),
        size=4,
        alpha=0.55,
        line_width=0,
        tools=["hover"],
        hover_tooltips=HOVER,
        hooks=[inked(fill_color="accent")],
    )


def hit_columns(hits: Hits, grid: PixelGrid, volume: int, event: int = 0) -> dict[str, np.ndarray]:
    """Hits of a volume as columns: across, up, time [us], charge [ke-], probability, column, row."""
    pixels = np.asarray(hits.valid) & (np.asarray(hits.event) == event) & (np.asarray(hits.volume) == volume)
    probability = np.asarray(hits.probability) * pixels[:, None]
    pixel, number = np.nonzero(probability > SHOWN)
    order = np.argsort(np.asarray(hits.charge)[pixel, number], kind="stable")
    pixel, number = pixel[order], number[order]
    column, row = np.asarray(hits.column)[pixel], np.asarray(hits.row)[pixel]
    return {
        "across": grid.across(column).astype(np.float32),
        "up": grid.up(row).astype(np.float32),
        "time": np.asarray(hits.time, np.float32)[pixel, number],
        "charge": (np.asarray(hits.charge)[pixel, number] / 1000).astype(np.float32),
        "probability": probability[pixel, number].astype(np.float32),
        "column": column.astype(np.int32),
        "row": row.astype(np.int32),
    }


def _dimensions(grid: PixelGrid) -> dict[str, hv.Dimension]:
    across, up = grid.names
    return {
        "across": quantity("across", grid.unit, across),
        "up": quantity("up", grid.unit, up),
        "time": quantity("time", "µs"),
        "charge": quantity("charge", "ke⁻"),
        "probability": quantity("probability"),
        "column": quantity("column"),
        "row": quantity("row"),
    }


def _points(columns: dict[str, np.ndarray], dimensions: dict[str, hv.Dimension], x: str, y: str) -> hv.Points:
    others = [name for name in dimensions if name not in (x, y)]
    return hv.Points(columns, [dimensions[x], dimensions[y]], [dimensions[name] for name in others])


def _as_pixels(width: float, height: float, color: str) -> Hook:
    """A hook that draws points as rectangles in units of the axes, which fade with their probability."""

    def hook(plot: Any, _element: Any) -> None:
        glyph = plot.handles["glyph"]
        color_of = {"field": color, "transform": plot.handles["color_color_mapper"]}
        rectangle = Rect(
            x=glyph.x, y=glyph.y, width=width, height=height, fill_color=color_of,
            fill_alpha={"field": "probability"}, line_color=None,
        )  # fmt: skip
        replace_glyph(plot, rectangle)
        source = plot.handles["source"]
        source.data = {name: values for name, values in source.data.items() if name != "color"}

    return hook


def _ends(values: np.ndarray) -> tuple[float, float]:
    if len(values) == 0:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low) + 0.5
    return low - margin, high + margin
