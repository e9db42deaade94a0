"""Reconstruction against truth on a page: a histogram of every quantity, and the table."""

from typing import Any

import holoviews as hv
import numpy as np

from dptoolkit.io.event_file import EventFile
from dptoolkit.reconstruction.evaluation import detector_of, entries_of
from dptoolkit.reconstruction.files import Reconstruction
from dptoolkit.views.report import Section, Table, report_page

COLUMNS = ("median", "p68", "mean", "error", "bias", "pull_width")
UNITS = {"vertex_cm": "cm", "direction_deg": "deg", "distance_mm": "mm"}


def evaluation_page(found: Reconstruction, truth: EventFile, report: dict[str, Any]) -> str:
    """Self-contained HTML."""
    index = {int(number): i for i, number in enumerate(truth.event_numbers)}
    sizes: dict[str, list[float]] = {}
    detector = detector_of(found)
    for event in found.reconstructed:
        true = truth.select(slice(index[event.number], index[event.number] + 1))
        for name, entry in entries_of(event, true, detector).items():
            sizes.setdefault(name, []).append(entry.size)
    rows = [
        [name, *("" if report[name][c] is None else f"{report[name][c]:.4g}" for c in COLUMNS)]
        for name in sizes
    ]
    part = report["efficiency"]
    text = f"{len(found.reconstructed)} of {part['events']} events are reconstructed."
    sections = [Section("Resolutions", text, table=Table(("quantity", *COLUMNS), rows))]
    for name, values in sizes.items():
        counts, edges = np.histogram(values, bins=min(40, max(5, len(values) // 2)))
        title = f"{name.split('_')[0]} [{UNITS.get(name, '1')}]"
        figure = hv.Histogram((edges, counts), kdims=[title], vdims=["events"])
        sections.append(Section(name, figure=figure))
    facts = {"detector": found.native.run.detector_name, "events": str(part["events"])}
    return report_page("Reconstruction against truth", sections, facts)
