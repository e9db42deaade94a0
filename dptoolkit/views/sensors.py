"""Light in its place and size: photosensors on the unrolled wall of a tank, plates on the walls of a TPC."""

from dataclasses import dataclass
from typing import Any, Literal

import holoviews as hv
import numpy as np
from bokeh.models import Circle, DataRange1d

from dptoolkit.detector import LArTPC
from dptoolkit.events import SensorHits
from dptoolkit.optical import OpticalDetector
from dptoolkit.views.elements import Hook, in_theme, inked, quantity, replace_glyph, styled, without_grid
from dptoolkit.views.pixels import VISIBLE
from dptoolkit.views.wires import SLIM

SHOWN = 0.02
"""Sensors of an expectation with fewer photoelectrons are drawn like those without light."""
HOVER = [
    ("sensor", "@sensor (@surface)"),
    ("charge", "@charge{0.00} pe"),
    ("photoelectrons", "@pe{0.00}"),
    ("time", "@time{0.0} ns"),
]
CORNERS = ("x0", "y0", "x1", "y1")


@dataclass(frozen=True)
class Wall:
    """The unrolled wall of a tank [m]."""

    position: np.ndarray
    """Of every sensor (k, 2)."""
    radius: float
    """Of a sensor."""
    surface: np.ndarray
    """Name of the surface of every sensor."""
    outline: list[np.ndarray]
    """Lines around the surfaces."""
    axes: tuple[str, str]
    """What the axes of the picture are called."""

    @classmethod
    def of(cls, detector: OpticalDetector) -> "Wall":
        """The wall of a detector."""
        tank = detector.tank
        names = np.array(tank.surfaces)[tank.sensors.surface]
        lines = [line / 100 for line in tank.unrolled_outline()]
        return cls(tank.unrolled() / 100, detector.sensor.radius / 100, names, lines, tank.unrolled_axes)


def sensor_points(
    hits: SensorHits,
    wall: Wall,
    event: int = 0,
    *,
    color: Literal["charge", "time"] = "charge",
    name: str = "",
) -> hv.Overlay:
    """The wall with the sensors that have light: charge on a logarithmic scale, or mean time [ns]."""
    columns = sensor_columns(hits, wall, event)
    dark = np.ones(len(wall.position), bool)
    dark[columns["sensor"]] = False
    without = _styled_dark(hv.Points(wall.position[dark], ["x", "y"]), wall)
    title = f"{name or 'direct light'}, {'charge' if color == 'charge' else 'mean time'}"
    dimensions = [quantity("sensor"), quantity("surface"), quantity("charge", "pe"), quantity("pe"),
                  quantity("time", "ns")]  # fmt: skip
    points = hv.Points(columns, [quantity("x", "m"), quantity("y", "m")], dimensions)
    lit = styled(
        points,
        title=title,
        **_coloured(columns, color),
        tools=["hover"],
        hover_tooltips=HOVER,
        hooks=[in_theme("color_color_mapper", palette=VISIBLE), _as_discs(wall.radius), without_grid],
    )
    outline = styled(hv.Path(wall.outline, ["x", "y"]), hooks=[inked(line_color="muted")])
    return styled(
        outline * without * lit,
        title=title,
        xlabel=f"{wall.axes[0]} [m]",
        ylabel=f"{wall.axes[1]} [m]",
        show_grid=False,
        hooks=[_equal_scales],
    )


def plate_map(
    hits: SensorHits, detector: LArTPC, event: int = 0, *, color: Literal["charge", "time"] = "charge"
) -> hv.Overlay:
    """The plates of all drift volumes, wall beside wall: charge on a logarithmic scale, or mean time [ns]."""
    if detector.light is None:
        raise ValueError(
            f"detector {detector.name!r} has no light, so the places of its plates are not known"
        )
    walls = plate_walls(detector)
    lit = _lit(hits, event)
    plate = lit["sensor"]
    places = {name: walls.corners[plate, k].astype(np.float32) for k, name in enumerate(CORNERS)}
    columns = {**places, "surface": walls.volume[plate], **lit}
    dimensions = [quantity("sensor"), quantity("surface"), quantity("charge", "pe"), quantity("pe"),
                  quantity("time", "ns")]  # fmt: skip
    title = f"{detector.light.name}, {'charge' if color == 'charge' else 'mean time'}"
    every = styled(
        hv.Rectangles(walls.corners), hooks=[inked(fill_color="page", line_color="muted")], line_width=0.5
    )
    boxes = styled(
        hv.Rectangles(columns, list(CORNERS), dimensions),
        title=title,
        **_coloured(columns, color),
        line_width=0,
        tools=["hover"],
        hover_tooltips=HOVER,
        hooks=[in_theme("color_color_mapper", palette=VISIBLE), without_grid],
    )
    return styled(
        every * boxes,
        title=title,
        xlabel=f"walls of {', '.join(dict.fromkeys(walls.volume))}, side by side [m]",
        ylabel="along the walls [m]",
        show_grid=False,
        show_legend=False,
        hooks=[_equal_scales],
    )


@dataclass(frozen=True)
class PlateWalls:
    """Where the plates of a TPC are in the picture [m]."""

    corners: np.ndarray
    """x0, y0, x1, y1 of every plate (k, 4)."""
    volume: np.ndarray
    """Name of the drift volume of every plate."""


def plate_walls(detector: LArTPC) -> PlateWalls:
    """The two walls of every drift volume, side by side, upright where a plate has an upright side."""
    assert detector.light is not None
    plates, volumes = detector.light.plates, detector.volumes
    upright = np.abs(plates.sides @ volumes.up[0]) > 0.5
    order = np.where(upright[:, :1], [[1, 0]], [[0, 1]])  # of the two sides: across, then up
    middle = np.take_along_axis(np.einsum("pk,psk->ps", plates.center, plates.sides), order, axis=1)
    reach = np.take_along_axis(plates.half, order, axis=1)
    one = np.concatenate([middle - reach, middle + reach], axis=1) / 100
    width = 1.25 * (one[:, 2].max() - one[:, 0].min())
    side = (plates.inwards.sum(axis=1) < 0).astype(float)
    place = (2 * np.arange(len(volumes))[:, None] + side) * width - one[:, 0].min()
    shifted = one + place[..., None] * np.array([1.0, 0.0, 1.0, 0.0])
    return PlateWalls(shifted.reshape(-1, 4), np.repeat(np.array(volumes.names), len(plates)))


def _coloured(columns: dict[str, np.ndarray], color: str) -> dict[str, Any]:
    """Options of colours by charge or time."""
    return {
        "color": color,
        "cmap": VISIBLE["light"],
        "clim": _limits(columns, color),
        "cnorm": "log" if color == "charge" else "linear",
        "colorbar": True,
        "clabel": "pe" if color == "charge" else "ns",
        **SLIM,
        "cticks": None if color == "charge" else SLIM["cticks"],
    }


def sensor_columns(hits: SensorHits, wall: Wall, event: int = 0) -> dict[str, np.ndarray]:
    """The sensors with light as columns: x, y [m], sensor, surface, charge, pe, time [ns]."""
    lit = _lit(hits, event)
    sensor = lit["sensor"]
    return {
        "x": wall.position[sensor, 0].astype(np.float32),
        "y": wall.position[sensor, 1].astype(np.float32),
        "surface": wall.surface[sensor],
        **lit,
    }


def _lit(hits: SensorHits, event: int) -> dict[str, np.ndarray]:
    """The sensors of an event that have light, the brightest last: sensor, charge, pe, time [ns]."""
    lit = np.asarray(hits.valid) & (np.asarray(hits.event) == event) & (np.asarray(hits.pe) > SHOWN)
    row = np.flatnonzero(lit)
    row = row[np.argsort(np.asarray(hits.charge)[row], kind="stable")]
    return {
        "sensor": np.asarray(hits.sensor)[row].astype(np.int32),
        "charge": np.asarray(hits.charge, np.float32)[row],
        "pe": np.asarray(hits.pe, np.float32)[row],
        "time": np.asarray(hits.time_ns, np.float32)[row],
    }


def _limits(columns: dict[str, np.ndarray], color: str) -> tuple[float, float]:
    values = columns[color].astype(float)
    if len(values) == 0:
        return 0.1, 1.0
    if color == "charge":
        high = max(float(np.quantile(values, 0.995)), 1.0)
        return max(float(np.quantile(values, 0.02)), high / 300), high
    order = np.argsort(values)
    share = np.cumsum(columns["pe"][order].astype(float))
    low, high = np.interp([0.01, 0.93], share / share[-1], values[order])
    return float(low), max(float(high), float(low) + 1.0)


def _styled_dark(points: hv.Points, wall: Wall) -> hv.Points:
    return styled(points, hooks=[_as_discs(wall.radius), inked(fill_color="page")], line_width=0)


def _equal_scales(plot: Any, _element: Any) -> None:
    """A hook that makes a metre as long up as it is across, whatever place the figure has."""
    ranges = {name: DataRange1d(range_padding=0.02) for name in ("x_range", "y_range")}
    plot.state.update(match_aspect=True, **ranges)


def _as_discs(radius: float) -> Hook:
    """A hook that draws points as discs in units of the axes."""

    def hook(plot: Any, _element: Any) -> None:
        glyph = plot.handles["glyph"]
        disc = Circle(x=glyph.x, y=glyph.y, radius=radius, fill_color=glyph.fill_color, line_color=None)
        replace_glyph(plot, disc)

    return hook
