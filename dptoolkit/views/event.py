"""One event: its read-out, its segments and its numbers, ready to be laid out on a page or in an app."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from bokeh.models import GridBox, LayoutDOM, TabPanel, Tabs

from dptoolkit.charge.wires import WirePlane
from dptoolkit.config import Detector
from dptoolkit.detector import LArTPC
from dptoolkit.events import Hits, Segments, SensorHits, Waveforms
from dptoolkit.optical import OpticalDetector
from dptoolkit.views.assemble import common_time, groups
from dptoolkit.views.elements import draw
from dptoolkit.views.link import Places, freed_electrons, pixel_places, wire_places
from dptoolkit.views.linked import Plane, pixel_figures, wire_figures
from dptoolkit.views.pixels import PixelGrid
from dptoolkit.views.segments3d import scene
from dptoolkit.views.sensors import Wall, plate_map, sensor_points

MAX_TABS = 12
"""Volumes with signals that get a tab of their own, the largest first."""

TAB_STYLE = """
:host(.bk-above) .bk-header{border-bottom:1px solid var(--line)} .bk-tab{color:var(--muted)}
.bk-tab.bk-active{color:var(--text);background:var(--surface);border-color:var(--line)}
"""

Readout = Waveforms | Hits | SensorHits
Row = tuple[str, str, str]
"""Name, value, unit."""
Shown = tuple[str, int]
"""A plane and one of its groups."""


@dataclass(frozen=True)
class EventView:
    """An event as figures need it; without a detector there are no volumes and no links."""

    segments: Segments | None = None
    readout: Mapping[str, Readout] = field(default_factory=dict)
    detector: Detector | None = None
    event: int = 0
    limit: float | None = None
    """Signal at which the colours of wire planes saturate; automatic without."""

    @property
    def argon(self) -> LArTPC | None:
        """The detector, if it drifts charge: what links segments with planes is known of these."""
        return self.detector if isinstance(self.detector, LArTPC) else None

    @cached_property
    def charge(self) -> np.ndarray | None:
        """Electrons that each segment frees."""
        if self.argon is None or self.segments is None:
            return None
        return freed_electrons(self.argon, self.segments)

    @cached_property
    def places(self) -> Mapping[str, Places]:
        """Where segments are expected in the read-out."""
        if self.argon is None or self.segments is None:
            return {}
        return {**wire_places(self.argon, self.segments), **pixel_places(self.argon, self.segments)}

    def scene(self) -> dict:
        """The content of the three-dimensional view."""
        if self.segments is None:
            raise ValueError("segments: this event has none, so there is no three-dimensional view of it")
        region = None if self.detector is None else self.detector.region
        return scene(self.segments, region, self.event, charge=self.charge, places=self.places)


def readout_layout(view: EventView) -> LayoutDOM | None:
    """All planes of the event, a tab for every drift volume or assembly with signals; None without any."""
    found: dict[str, list[Shown]] = {}
    for plane, readout in _planes(view):
        if isinstance(readout, SensorHits):
            continue
        for group in groups(readout, view.event):
            found.setdefault(_label(view, plane, group), []).append((plane, group))
    names = [plane for plane, _ in _planes(view)]
    lit = [name for name, readout in _planes(view) if isinstance(readout, SensorHits) and _shines(view, name)]
    tabs = [
        TabPanel(
            child=_grid(view, sorted(shown, key=lambda part: (names.index(part[0]), part[1]))), title=label
        )
        for label, shown in list(found.items())[:MAX_TABS]
    ] + [TabPanel(child=_wall_tabs(view, name), title=name) for name in lit]
    if not tabs:
        return None
    if len(tabs) == 1:
        return tabs[0].child
    return Tabs(tabs=tabs, sizing_mode="stretch_both", stylesheets=[TAB_STYLE])


def summary(view: EventView) -> list[Row]:
    """The numbers beside the figures."""
    rows: list[Row] = []
    if view.segments is not None:
        chosen = np.asarray(view.segments.valid) & (np.asarray(view.segments.event) == view.event)
        energy = float(np.asarray(view.segments.de)[chosen].sum())
        length = float(np.asarray(view.segments.dx)[chosen].sum())
        rows += [("segments", f"{chosen.sum()}", ""), ("energy", f"{energy:.1f}", "MeV")]
        rows += [("path length", f"{length:.1f}", "cm")]
        if view.charge is not None:
            rows.append(("charge freed", f"{view.charge[chosen].sum() / 1e6:.3f}", "10⁶ e⁻"))
        if view.detector is not None:
            middle = (np.asarray(view.segments.start) + np.asarray(view.segments.end))[chosen] / 2
            outside = int((view.detector.region.locate(middle) < 0).sum())
            rows.append(("outside the volumes", f"{outside}", "segments"))
    for plane, readout in _planes(view):
        rows += _plane_summary(plane, readout, view.event)
    return rows


def _planes(view: EventView) -> list[tuple[str, Readout]]:
    """The planes as charge meets them; a file knows them by name only."""
    names = [] if view.argon is None else [plane.name for plane in view.argon.planes]
    names += [name for name in view.readout if name not in names]
    return [(name, view.readout[name]) for name in names if name in view.readout]


def _plane_summary(plane: str, readout: Readout, event: int) -> list[Row]:
    chosen = np.asarray(readout.valid) & (np.asarray(readout.event) == event)
    if isinstance(readout, Hits):
        probability = np.asarray(readout.probability)[chosen]
        charge = float((probability * np.asarray(readout.charge)[chosen]).sum())
        return [
            (f"{plane}: hits", f"{probability.sum():.0f}", ""),
            (f"{plane}: charge", f"{charge / 1e6:.3f}", "10⁶ e⁻"),
        ]
    if isinstance(readout, SensorHits):
        pe = np.asarray(readout.pe, float)[chosen]
        charge, hit = float(np.asarray(readout.charge, float)[chosen].sum()), -np.expm1(-pe)
        sampled = bool((pe == np.round(pe)).all())
        return [
            (f"{plane}: photoelectrons", f"{pe.sum():.0f}", "direct"),
            (f"{plane}: charge", f"{charge:.0f}", "pe"),
            (f"{plane}: sensors hit", f"{(pe > 0).sum() if sampled else hit.sum():.0f}", ""),
        ]
    samples = np.where(np.asarray(readout.mask()), np.asarray(readout.samples), 0.0)[chosen]
    if samples.size == 0:
        return [(f"{plane}: signal", "none", "")]
    total = float(samples.sum()) * readout.tick_period
    span = f"{samples.min():.0f} … {samples.max():.0f}"
    return [
        (f"{plane}: smallest … largest", span, readout.unit),
        (f"{plane}: sum", f"{total:.0f}", f"{readout.unit}·µs"),
    ]


def _grid(view: EventView, shown: list[Shown]) -> LayoutDOM:
    wires = [(name, group) for name, group in shown if isinstance(view.readout[name], Waveforms)]
    plots = wire_figures(_wire_planes(view, wires), view.limit) if wires else []
    for name, group in shown:
        hits = view.readout[name]
        if isinstance(hits, Hits):
            plots += pixel_figures(hits, group, view.event, _pixel_grid(view, name, group))
    columns = 1 if len(plots) == 1 else 2
    cells = [(plot, *divmod(number, columns)) for number, plot in enumerate(plots)]
    return GridBox(children=cells, sizing_mode="stretch_both", spacing=4)


def _shines(view: EventView, name: str) -> bool:
    """Whether there is light to show; where its sensors are, only the detector knows."""
    known = isinstance(view.detector, OpticalDetector) or (
        view.argon is not None and view.argon.light is not None
    )
    return known and bool(groups(view.readout[name], view.event))


def _wall_tabs(view: EventView, name: str) -> LayoutDOM:
    """The walls with their sensors by charge and by time."""
    hits = view.readout[name]
    assert isinstance(hits, SensorHits)
    tabs = []
    for color in ("charge", "time"):
        if isinstance(view.detector, OpticalDetector):
            figure = sensor_points(hits, Wall.of(view.detector), view.event, color=color)
        else:
            assert view.argon is not None
            figure = plate_map(hits, view.argon, view.event, color=color)
        tabs.append(TabPanel(child=draw(figure), title=color))
    return Tabs(tabs=tabs, sizing_mode="stretch_both", stylesheets=[TAB_STYLE])


def _wire_planes(view: EventView, shown: list[Shown]) -> list[Plane]:
    """The planes over their common time; one that is seen twice says of which volume it is."""
    readouts = [_waveforms(view, name) for name, _ in shown]
    windows = common_time(
        [(readout, group, view.event) for readout, (_, group) in zip(readouts, shown, strict=True)]
    )
    names = [name for name, _ in shown]
    return [
        Plane(name, readout, group, view.event, window, _volume(view, group) if names.count(name) > 1 else "")
        for (name, group), readout, window in zip(shown, readouts, windows, strict=True)
    ]


def _waveforms(view: EventView, plane: str) -> Waveforms:
    readout = view.readout[plane]
    assert isinstance(readout, Waveforms)
    return readout


def _pixel_grid(view: EventView, name: str, volume: int) -> PixelGrid:
    hits = view.readout[name]
    assert isinstance(hits, Hits)
    if view.detector is None:
        return PixelGrid.counted(hits, name)
    return PixelGrid.of(view.detector, volume, name)


def _label(view: EventView, plane: str, group: int) -> str:
    """The drift volume, or the assembly with its volumes where any plane is wrapped around it."""
    faces = _faces(view)
    if not faces:
        return _volume(view, group)
    assembly = group if _wrapped(view, plane) else faces[group]
    volumes = [_volume(view, volume) for volume, owner in enumerate(faces) if owner == assembly]
    return f"assembly {assembly}: {', '.join(volumes)}"


def _faces(view: EventView) -> list[int]:
    """Assembly of every drift volume; empty where no wires are wrapped."""
    planes = () if view.argon is None else view.argon.planes
    tables = [plane.assembly for plane in planes if isinstance(plane, WirePlane) and plane.wrapped]
    return [assembly for assembly, _ in tables[0]] if tables else []


def _wrapped(view: EventView, name: str) -> bool:
    planes = () if view.argon is None else view.argon.planes
    return any(isinstance(plane, WirePlane) and plane.name == name and plane.wrapped for plane in planes)


def _volume(view: EventView, group: int) -> str:
    names = () if view.detector is None else view.detector.region.names
    return names[group] if group < len(names) else f"volume {group}"
