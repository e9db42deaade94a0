"""One event: its read-out, its segments and its numbers, ready to be laid out on a page or in an app."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from bokeh.models import GridBox, LayoutDOM, TabPanel, Tabs

from dptoolkit.detector import LArTPC
from dptoolkit.events import Hits, Segments, Waveforms
from dptoolkit.views.assemble import common_time, groups
from dptoolkit.views.link import Places, freed_electrons, pixel_places, wire_places
from dptoolkit.views.pixels import PixelGrid, charge_against_time, hit_source, pixel_drift_view, pixel_plane
from dptoolkit.views.segments3d import scene
from dptoolkit.views.wires import share_time, waveform_figure, wire_plane

MAX_TABS = 12
"""Volumes with signals that get a tab of their own, the largest first."""

TAB_STYLE = """
:host(.bk-above) .bk-header{border-bottom:1px solid var(--line)} .bk-tab{color:var(--muted)}
.bk-tab.bk-active{color:var(--text);background:var(--surface);border-color:var(--line)}
"""

Row = tuple[str, str, str]
"""Name, value, unit."""


@dataclass(frozen=True)
class EventView:
    """An event as figures need it; without a detector there are no volumes and no links."""

    segments: Segments | None = None
    readout: Mapping[str, Waveforms | Hits] = field(default_factory=dict)
    detector: LArTPC | None = None
    event: int = 0
    limit: float | None = None
    """Signal at which the colours of wire planes saturate; automatic without."""

    @cached_property
    def charge(self) -> np.ndarray | None:
        """Electrons that each segment frees."""
        if self.detector is None or self.segments is None:
            return None
        return freed_electrons(self.detector, self.segments)

    @cached_property
    def places(self) -> Mapping[str, Places]:
        """Where segments are expected in the read-out."""
        if self.detector is None or self.segments is None:
            return {}
        return {**wire_places(self.detector, self.segments), **pixel_places(self.detector, self.segments)}

    def scene(self) -> dict:
        """The content of the three-dimensional view."""
        if self.segments is None:
            raise ValueError("segments: this event has none, so there is no three-dimensional view of it")
        volumes = None if self.detector is None else self.detector.volumes
        return scene(self.segments, volumes, self.event, charge=self.charge, places=self.places)


def readout_layout(view: EventView) -> LayoutDOM | None:
    """All planes of the event, a tab for every drift volume with signals; None without any."""
    found: dict[str, dict[str, int]] = {}
    for plane, readout in _planes(view):
        for group in groups(readout, view.event):
            found.setdefault(_label(view, plane, group), {})[plane] = group
    tabs = [
        TabPanel(child=_grid(view, planes), title=label) for label, planes in list(found.items())[:MAX_TABS]
    ]
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
        if view.charge is not None and view.detector is not None:
            rows.append(("charge freed", f"{view.charge[chosen].sum() / 1e6:.3f}", "10⁶ e⁻"))
            middle = (np.asarray(view.segments.start) + np.asarray(view.segments.end))[chosen] / 2
            outside = int((view.detector.volumes.locate(middle) < 0).sum())
            rows.append(("outside the volumes", f"{outside}", "segments"))
    for plane, readout in _planes(view):
        rows += _plane_summary(plane, readout, view.event)
    return rows


def _planes(view: EventView) -> list[tuple[str, Waveforms | Hits]]:
    """The planes as charge meets them; a file knows them by name only."""
    names = [] if view.detector is None else [plane.name for plane in view.detector.planes]
    names += [name for name in view.readout if name not in names]
    return [(name, view.readout[name]) for name in names if name in view.readout]


def _plane_summary(plane: str, readout: Waveforms | Hits, event: int) -> list[Row]:
    chosen = np.asarray(readout.valid) & (np.asarray(readout.event) == event)
    if isinstance(readout, Hits):
        probability = np.asarray(readout.probability)[chosen]
        charge = float((probability * np.asarray(readout.charge)[chosen]).sum())
        return [
            (f"{plane}: hits", f"{probability.sum():.0f}", ""),
            (f"{plane}: charge", f"{charge / 1e6:.3f}", "10⁶ e⁻"),
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


def _grid(view: EventView, planes: Mapping[str, int]) -> LayoutDOM:
    wires = {name: group for name, group in planes.items() if isinstance(view.readout[name], Waveforms)}
    plots = _wire_plots(view, wires) if wires else []
    for name, group in planes.items():
        if name not in wires:
            plots += _pixel_plots(view, name, group)
    columns = 1 if len(plots) == 1 else 2
    cells = [(plot, *divmod(number, columns)) for number, plot in enumerate(plots)]
    return GridBox(children=cells, sizing_mode="stretch_both", spacing=4)


def _wire_plots(view: EventView, planes: Mapping[str, int]) -> list:
    waveforms = {name: _waveforms(view, name) for name in planes}
    windows = common_time([(waveforms[name], group, view.event) for name, group in planes.items()])
    made = [
        wire_plane(waveforms[name], group, view.event, name=name, window=window, limit=view.limit)
        for (name, group), window in zip(planes.items(), windows, strict=True)
    ]
    share_time(made)
    return [*(plane.figure for plane in made), waveform_figure(made)]


def _waveforms(view: EventView, plane: str) -> Waveforms:
    readout = view.readout[plane]
    assert isinstance(readout, Waveforms)
    return readout


def _pixel_plots(view: EventView, name: str, volume: int) -> list:
    hits = view.readout[name]
    assert isinstance(hits, Hits)
    grid, time_height = _pixel_grid(view, name, hits, volume), _pixel_time(view, name)
    source = hit_source(hits, grid, volume, view.event)
    drift_views = [
        pixel_drift_view(source, grid, volume, name=name, axis=axis, time_height=time_height)
        for axis in ("across", "up")
    ]
    front = pixel_plane(source, grid, volume, name=name)
    return [front, *drift_views, charge_against_time(source, name)]


def _pixel_grid(view: EventView, name: str, hits: Hits, volume: int) -> PixelGrid:
    """The grid in the detector's coordinates; without a detector positions are counted in pixels of 1 cm."""
    if view.detector is None:
        chosen = np.asarray(hits.valid)
        column, row = np.asarray(hits.column)[chosen], np.asarray(hits.row)[chosen]
        return PixelGrid(1.0, int(column.max(initial=0)) + 1, int(row.max(initial=0)) + 1)
    plane = next(plane for plane in view.detector.planes if plane.name == name)
    names, middle, sign = zip(*view.detector.volumes.anode_axes(volume), strict=True)
    return PixelGrid(plane.pitch, plane.n_columns, plane.n_rows, names, middle, sign)


def _pixel_time(view: EventView, name: str) -> float:
    """Drift time over one pitch [us]: hits are as high as they are wide."""
    if view.detector is None:
        return 1.0
    plane = next(plane for plane in view.detector.planes if plane.name == name)
    return plane.pitch / float(view.detector.drift.speed(view.detector.field.nominal()))


def _label(view: EventView, plane: str, group: int) -> str:
    """The name of a drift volume or anode assembly."""
    if view.detector is None:
        return f"volume {group}"
    found = next((candidate for candidate in view.detector.planes if candidate.name == plane), None)
    if found is not None and getattr(found, "wrapped", 0):
        return f"assembly {group}"
    names = view.detector.volumes.names
    return names[group] if group < len(names) else f"volume {group}"
