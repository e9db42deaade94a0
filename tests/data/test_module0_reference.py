"""Totals of Module 0 events against larnd-sim-jax's hits, which were made without noise.

Events are chosen by geometry alone: every segment more than 2 cm from the anodes (the reference loses
charge that arrives inside its response window) and no trajectory over 50 cm (missing there).
"""

from pathlib import Path

import h5py
import jax
import numpy as np
import pytest

from dptoolkit.events import segments_from_arrays
from dptoolkit.params import replace

pytestmark = [pytest.mark.data, pytest.mark.slow]
ANODE, NEAR, LONG = 30.431, 2.0, 50.0


def chosen(rows: np.ndarray) -> list[int]:
    """Numbers of the events that can be compared."""
    numbers = []
    for number in np.unique(rows["eventID"]):
        event = rows[rows["eventID"] == number]
        reach = max(np.abs(event["x_start"]).max(), np.abs(event["x_end"]).max())
        tracks = np.bincount(np.unique(event["trackID"], return_inverse=True)[1], event["dx"])
        if reach < ANODE - NEAR and tracks.max() < LONG:
            numbers.append(int(number))
    return numbers


def reference_totals(file: Path) -> dict[int, float]:
    """Charge of all hits by event [electrons]."""
    totals: dict[int, float] = {}
    with h5py.File(file) as hits:
        for batch in hits.values():
            for name, group in batch.items():
                number = int(name.split("_")[1])
                totals[number] = totals.get(number, 0.0) + float(np.sum(group["Q"][:])) * 1e3
    return totals


def test_charge_after_threshold_is_that_of_the_reference_within_3_percent(data: Path, named):
    """Sum over the events of the three files, each file too."""
    quiet = {f"planes.pixels.front_end.{name}": 0.0 for name in ("reset_noise", "uncorrelated_noise")}
    detector = replace(named("module0"), quiet)
    ratios = []
    for file in range(3):
        with h5py.File(data / "segments" / f"module0_muons_{file}.h5") as source:
            rows = source["segments"][:]
        expected = reference_totals(data / "reference" / f"module0_muons_{file}_hits.h5")
        numbers = [number for number in chosen(rows) if number in expected]
        assert len(numbers) >= 5
        rows = rows[np.isin(rows["eventID"], numbers)]
        start, end = (
            np.stack([rows[f"{axis}_{which}"] for axis in "xyz"], axis=1) for which in ("start", "end")
        )
        segments = segments_from_arrays(
            start, end, rows["dE"], dx=rows["dx"], track=rows["trackID"].astype(int), pdg=rows["pdgId"],
            event=np.searchsorted(numbers, rows["eventID"]),
        )  # fmt: skip
        hits = jax.tree.map(np.asarray, detector(segments)["pixels"])
        ratios.append(np.sum(hits.charge * hits.probability) / sum(expected[number] for number in numbers))
    assert np.abs(np.array(ratios) - 1).max() < 0.03, ratios
