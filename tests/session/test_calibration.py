"""The view-model of the calibration in a plain script: a toy is made, fitted and told."""

import numpy as np
import pytest

from dptoolkit.config import load_tpc
from dptoolkit.generation import Request, generate_files
from dptoolkit.io import InputError
from dptoolkit.session.calibration import EDGES, OWN, LiveCalibration
from dptoolkit.views.live_calibration import report_of
from tests.session.test_runner import wait

FREE = ["recombination.a", "field.strength"]


@pytest.fixture
def model():
    made = LiveCalibration(detector="small-pixel", events=3, noise=False, free=FREE, seed=2)
    yield made
    made.close()
    assert made.join(60)


@pytest.mark.slow
def test_a_toy_finds_its_truth_and_says_what_its_events_tell(model):
    assert model.rows() == [] and model.result() is None
    with pytest.raises(ValueError, match="no fit yet"):
        report_of(model)
    model.begin()
    model.go()
    wait(lambda: not model.frame.busy, 400)
    assert model.frame.converged, model.frame.activity
    assert [row.name for row in model.rows()] == FREE
    for row in model.rows():
        assert abs(row.start / row.truth - 1) > 1e-3, "the fit must not start from the truth"
        assert row.values[0] == pytest.approx(row.truth, rel=1e-3)
        assert row.error > 0
    steps, distances = model.ways()
    assert list(steps) == list(range(len(model.frame.history)))
    assert np.abs(distances[0]).max() > 0.05 and np.abs(distances[-1]).max() < 0.02
    assert model.frame.seen.batches == 3 and len(model.frame.seen.counts) == len(EDGES) - 1
    assert model.frame.seen.counts.sum() > 100
    page = report_of(model)
    assert "<html" in page and "small-pixel" in page and "Converged" in page


def test_the_state_comes_back_from_a_link(model):
    other = LiveCalibration()
    other.from_query(model.query())
    assert other.to_dict() == model.to_dict()
    assert other.free == FREE and other.detector == "small-pixel" and other.noise is False


def test_another_detector_has_other_parameters(model):
    assert "drift.lifetime" in model.choices
    model.detector = "small-wire"
    assert model.free == [] and "recombination.alpha" in model.choices


def test_a_wrong_parameter_ends_the_fit_with_its_name(model):
    model.free = ["drift.lifetim"]
    model.begin()
    wait(lambda: not model.frame.busy, 60)
    assert model.frame.status == "failed" and "lifetim" in model.frame.activity


def test_an_uploaded_file_is_the_sample_and_a_wrong_one_is_named(model, tmp_path):
    path = tmp_path / "mine.h5"
    generate_files(Request("muons", 2, seed=1), load_tpc("small-pixel"), path)
    model.open_upload("mine.h5", path.read_bytes(), 1.0)
    assert model.sample == OWN
    with pytest.raises(InputError, match=r"broken\.h5"):
        model.open_upload("broken.h5", b"nothing", 1.0)
    with pytest.raises(InputError, match="--max-upload"):
        model.open_upload("large.h5", b"0" * 2000, 0.001)
    assert model.sample == OWN
