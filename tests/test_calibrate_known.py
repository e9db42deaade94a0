"""Recorded read-out along known segments: what is read back from a file is what was recorded."""

from pathlib import Path

import numpy as np
import pytest

from dptoolkit.calibrate import Calibration, known_events
from dptoolkit.detector import LArTPC
from dptoolkit.inference.losses import AbstractResidualLoss
from dptoolkit.simulation import Options, simulate_file
from tests.cli.makers import NUMBERS, write_muons


@pytest.fixture(scope="module")
def recorded(small_wire: LArTPC, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    muons = write_muons(folder / "muons.h5", NUMBERS)
    simulate_file(muons, small_wire, folder / "readout.h5", Options(seed=3))
    return folder / "readout.h5"


def test_a_slice_of_the_events_has_its_own_segments_and_waveforms(recorded: Path, small_wire: LArTPC) -> None:
    (every,), (whole,) = known_events(recorded, small_wire)
    (some,), (part,) = known_events(recorded, small_wire, "1:3")
    last = np.asarray(every.valid) & (np.asarray(every.event) == 2)
    mine = np.asarray(some.valid) & (np.asarray(some.event) == 1)
    assert np.array_equal(np.asarray(every.start)[last], np.asarray(some.start)[mine])
    for name, waveforms in whole.items():
        rows, kept = np.asarray(waveforms.event) == 2, np.asarray(part[name].event) == 1
        assert rows.any()
        assert np.array_equal(np.asarray(waveforms.samples)[rows], np.asarray(part[name].samples)[kept])
        assert set(np.asarray(part[name].event).tolist()) <= {0, 1}


def test_at_its_own_parameters_a_model_leaves_only_noise(recorded: Path, small_wire: LArTPC) -> None:
    """Residuals over the noise are about 1 wide: segments and waveforms are those of the same events."""
    problem = Calibration(small_wire, ["drift.lifetime"], noise=True).problem(
        *known_events(recorded, small_wire)
    )
    residuals = np.asarray(problem.residuals(problem.start))
    seen = residuals[residuals != 0]
    assert len(seen) > 1000 and 0.9 < seen.std() < 1.2
    predicted, observed = problem.compared(problem.start, 0)
    assert isinstance(problem.loss, AbstractResidualLoss)
    again = np.asarray(problem.loss.residuals(predicted, observed))
    assert np.allclose(again, residuals, atol=1e-6), "what is compared is what the loss sees"


def test_expected_signals_are_refused(small_wire: LArTPC, tmp_path: Path) -> None:
    muons = write_muons(tmp_path / "muons.h5", NUMBERS[:1])
    simulate_file(muons, small_wire, tmp_path / "expected.h5", Options(seed=None))
    with pytest.raises(ValueError, match="expected recorded ones"):
        known_events(tmp_path / "expected.h5", small_wire)
