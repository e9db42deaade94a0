"""Pages of a trained visibility: its bias against the visibility, slices of its value and its gradient."""

from collections.abc import Mapping
from itertools import pairwise

import holoviews as hv
import numpy as np

from dptoolkit.light.plates import AXES, Plates
from dptoolkit.light.visibility import AbstractVisibility
from dptoolkit.surrogates.accuracy import Accuracy, slopes, values
from dptoolkit.surrogates.table import VisibilityTable
from dptoolkit.views.elements import in_theme, inked, legend_above, quantity, styled
from dptoolkit.views.report import Section, Table, report_page
from dptoolkit.views.theme import CATEGORIES, SEQUENTIAL

BINS = 12
"""Of the visibility."""
FINE = 90
"""Pixels of a slice along its longer side."""
SHOWN = 3000
"""Points of a scatter plot."""


def visibility_report(
    visibility: AbstractVisibility,
    table: VisibilityTable,
    plates: Plates,
    accuracies: Mapping[str, Accuracy],
    facts: Mapping[str, str],
) -> str:
    """A self-contained page; `accuracies` of the network first, then of what it is compared with."""
    network = next(iter(accuracies.values()))
    plate = int(np.argmax(np.prod(plates.half, axis=1)))
    where = f"collector {plate}, in the plane through its middle"
    sections = [
        Section(
            "Bias",
            "|p - t| / (p + t) of predictions p against photons t from points of their own, where t is above "
            f"{network.least:g}; half of a relative error. The photons have noise: dashed is the bias that "
            "it alone gives, and the table has the bias without it.",
            figure=bias_plot(accuracies),
            table=_numbers(accuracies),
        ),
        Section(
            "Visibility",
            f"Logarithm to base 10, {where}: the network and the table it was trained on.",
            figure=slices({"network": visibility, "table": table}, plates, plate, table),
        ),
        Section(
            "Gradient",
            f"Length of the gradient of ln v [1/cm], {where}: exact, and that of the table between voxels.",
            figure=slices({"network": visibility, "table": table}, plates, plate, table, gradient=True),
        ),
    ]
    return report_page("Visibility", sections, facts)


def bias_plot(accuracies: Mapping[str, Accuracy]) -> hv.Overlay:
    """Mean bias in bins of the visibility, and points of the first; dashed: noise of the photons alone."""
    x, y = quantity("visibility"), quantity("bias")
    first = next(iter(accuracies.values()))
    seen, bias = first.truth.probability[first.counted], np.maximum(first.bias[first.counted], 1e-5)
    some = np.random.default_rng(0).permutation(len(seen))[:SHOWN]
    parts = [
        styled(
            hv.Points((seen[some], bias[some]), [x, y]),
            size=2,
            alpha=0.25,
            hooks=[inked(fill_color="muted", line_color="muted")],
        )
    ]
    edges = np.geomspace(first.least, max(seen.max(), 2 * first.least) * 1.001, BINS + 1)
    middle = np.sqrt(edges[:-1] * edges[1:])
    for (name, one), colour in zip(accuracies.items(), CATEGORIES, strict=False):
        curve = [_in_bin(one, low, high)["mean_bias"] for low, high in pairwise(edges)]
        parts.append(styled(hv.Curve((middle, curve), x, y, label=name), color=colour, line_width=2))
    noise = [_in_bin(first, low, high)["noise"] for low, high in pairwise(edges)]
    parts.append(
        styled(
            hv.Curve((middle, noise), x, y, label="noise"),
            line_dash="dashed",
            hooks=[inked(line_color="text")],
        )
    )
    labels = {"xlabel": x.pprint_label, "ylabel": "|p - t| / (p + t)"}
    return styled(hv.Overlay(parts), logx=True, logy=True, ylim=(1e-4, 1.0), hooks=[legend_above], **labels)


def slices(
    visibilities: Mapping[str, AbstractVisibility],
    plates: Plates,
    plate: int,
    table: VisibilityTable,
    gradient: bool = False,
) -> hv.Layout:
    """Maps in the plane through the middle of a plate and the drift axis's middle, side by side."""
    normal = int(np.argmax(np.abs(plates.inwards[plate])))
    sides = [axis for axis in range(3) if axis != normal]
    across = max(sides, key=lambda axis: table.high[axis] - table.low[axis])
    x, y = (np.linspace(table.low[axis], table.high[axis], FINE) for axis in (normal, across))
    points = np.tile(plates.center[plate], (FINE * FINE, 1))
    points[:, normal], points[:, across] = (part.ravel() for part in np.meshgrid(x, y))
    found = {}
    for name, one in visibilities.items():
        seen = np.maximum(values(one, plates, points)[:, plate], 1e-12)
        if gradient:
            found[name] = np.linalg.norm(slopes(one, plates, points)[:, plate], axis=1) / seen
        else:
            found[name] = np.log10(seen)
    every = np.concatenate(list(found.values()))
    low, high = np.quantile(every, [0.005, 0.995])
    axes = [quantity(AXES[axis], "cm") for axis in (normal, across)]
    what = quantity("|grad ln v|", "1/cm") if gradient else quantity("log10 v")
    images = [
        styled(
            hv.Image((x, y, map_.reshape(FINE, FINE).astype(np.float32)), axes, [what]),
            title=name,
            cmap=SEQUENTIAL["light"],
            clim=(float(low), float(high)),
            colorbar=True,
            clabel=what.pprint_label,
            hooks=[in_theme("color_mapper", palette=SEQUENTIAL)],
        )
        for name, map_ in found.items()
    ]
    return hv.Layout(images).cols(2)


def _in_bin(one: Accuracy, low: float, high: float) -> dict[str, float]:
    return one.numbers((one.truth.probability >= low) & (one.truth.probability < high))


def share(value: float) -> str:
    """A relative error in words."""
    return "hidden by the noise" if np.isnan(value) else f"{value:.2%}"


def _numbers(accuracies: Mapping[str, Accuracy]) -> Table:
    rows = [
        (
            name,
            *(
                share(one.summary()[key])
                for key in ("mean_bound", "rms_bias", "mean_bias", "noise", "gradient_error")
            ),
        )
        for name, one in accuracies.items()
    ]
    head = (
        "",
        "mean bias without noise, at most",
        "its root mean square",
        "mean bias with noise",
        "noise alone",
        "relative error of the gradient",
    )
    return Table(head, rows)
