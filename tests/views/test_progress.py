"""Progress of a fit under the cell of a notebook."""

import dataclasses

import numpy as np

from dptoolkit.inference import fit
from dptoolkit.inference.fit import Snapshot
from dptoolkit.views.progress import LINES, FitProgress
from tests.inference.decay import toy


def snapshot(step: int) -> Snapshot:
    return Snapshot(step, {}, np.zeros(1), 12.5 / (step + 1), 3.0, 1.0, batches=1)


def test_the_bar_follows_the_batches_of_a_fit_and_the_text_its_steps() -> None:
    problem = toy()
    shown = FitProgress(problem)
    result = fit(problem, callback=shown)
    assert shown.bar.value == shown.bar.max == 1
    assert f"step {result.steps:3d} " in shown.text.value
    assert result.converged, "watching does not disturb"


def test_only_the_last_steps_stay() -> None:
    shown = FitProgress(toy())
    for step in range(LINES + 3):
        shown(snapshot(step))
    assert "step   2 " not in shown.text.value and f"step  {LINES + 2} " in shown.text.value


def test_a_stage_with_few_events_says_so() -> None:
    few = dataclasses.replace(snapshot(3), batches=2)
    assert few.line(4).endswith("(2 batches)") and not few.line(2).endswith("batches)")
