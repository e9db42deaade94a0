"""Scores of a challenge: accuracy and honest errors pay, and broken submissions say why."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from dptoolkit.scoring import (
    LEAST_BITS,
    Envelope,
    Estimate,
    HiddenParameter,
    Submission,
    bits,
    read_envelope,
    read_submission,
    score,
)

LIFETIME = HiddenParameter("drift.lifetime", "us", 500.0, 5000.0, 2000.0)
BIRKS = HiddenParameter("recombination.a", "1", 0.78, 0.88, 0.84)
ENVELOPE = Envelope("small-pixel", 7, "", (LIFETIME, BIRKS))


def written(folder: Path, document: object) -> Path:
    path = folder / "team.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def row(path: str, estimate: object, error: object, **more: object) -> dict:
    return {"path": path, "estimate": estimate, "error": error, **more}


def test_half_the_error_is_worth_one_bit_if_the_estimate_is_right() -> None:
    wide, narrow = (bits(Estimate(2000.0, error), LIFETIME) for error in (200.0, 100.0))
    assert narrow - wide == pytest.approx(1.0)


def test_no_error_gains_more_on_average_than_the_honest_one() -> None:
    """Truths scatter around the estimate by 50 us; the mean score is best where the error says so."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    errors = 50.0 * np.geomspace(0.5, 2.0, 41)

    def mean(error: float) -> float:
        truths = [HiddenParameter("p", "us", 500.0, 5000.0, 2000.0 + 50.0 * node) for node in nodes]
        gained = [bits(Estimate(2000.0, error), truth) for truth in truths]
        return float(np.dot(weights, gained) / weights.sum())

    assert errors[np.argmax([mean(error) for error in errors])] == pytest.approx(50.0, rel=0.04)


def test_the_gain_is_the_ratio_of_the_densities_at_the_truth() -> None:
    density = math.exp(-0.5 * 1.5**2) / (math.sqrt(2 * math.pi) * 100.0)
    assert bits(Estimate(2150.0, 100.0), LIFETIME) == pytest.approx(math.log2(density * 4500.0))


def test_a_slip_costs_ten_bits_and_not_more() -> None:
    assert bits(Estimate(4000.0, 1.0), LIFETIME) == LEAST_BITS
    assert bits(Estimate(4000.0, 1e-300), LIFETIME) == LEAST_BITS


def test_what_is_left_out_gives_nothing_and_the_rest_adds_up(tmp_path: Path) -> None:
    one = score(Submission({"drift.lifetime": Estimate(2100.0, 100.0)}), ENVELOPE)
    assert one.parameters[1].bits == 0 and one.parameters[1].estimate is None
    assert one.total_bits == one.parameters[0].bits
    assert one.parameters[0].pull == pytest.approx(1.0)
    assert one.parameters[0].deviation_percent == pytest.approx(5.0)
    both = Submission({"drift.lifetime": Estimate(2100.0, 100.0), "recombination.a": Estimate(0.84, 0.01)})
    assert score(both, ENVELOPE).total_bits == pytest.approx(
        one.total_bits + bits(Estimate(0.84, 0.01), BIRKS)
    )


@pytest.mark.parametrize(
    "document",
    [
        [row("drift.lifetime", 2100, 100)],
        {"parameters": [row("detector.drift.lifetime", 2100.0, 100.0, unit="us", pull=None)]},
        {"parameters": [row("drift.lifetime", 2.1, 0.1, unit="ms")]},
        {"parameters": [row("drift.lifetime", "2.1 ms", "100 us")]},
        {"schema": "dptoolkit.calibration/1", "parameters": [row("drift.lifetime", 2100, 100, truth=None)]},
    ],
)
def test_several_ways_to_write_the_same_submission_are_read(document: object, tmp_path: Path) -> None:
    found = read_submission(written(tmp_path, document), ENVELOPE).estimates["drift.lifetime"]
    assert (found.estimate, found.error) == pytest.approx((2100.0, 100.0))


def test_parameters_that_are_not_hidden_are_ignored_and_named(tmp_path: Path) -> None:
    rows = [row("recombination.a", 0.84, 0.01), row("recombination.k", 0.05, None)]
    found = read_submission(written(tmp_path, rows), ENVELOPE)
    assert found.ignored == ("recombination.k",) and list(found.estimates) == ["recombination.a"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("9" * 10_000, "is no JSON"),
        ("\x00", "is no JSON"),
        ("{}", "no list of parameters"),
        ("null", "no list of parameters"),
        ([], "no list of parameters"),
        ([1], "no list of parameters"),
        ([{"estimate": 1}], "no 'path'"),
        ([row("drift.lifetim", 1, 1)], "expected some of drift.lifetime"),
        ([row("drift.lifetime", 2000, 100)] * 2, "twice"),
        ([row("drift.lifetime", None, 100)], "no 'estimate'"),
        ([row("drift.lifetime", 2000, None)], "no 'error'"),
        ([row("drift.lifetime", 2000, 0)], "expected a positive number"),
        ([row("drift.lifetime", 2000, -5)], "expected a positive number"),
        ([row("drift.lifetime", "long", 5)], "estimate"),
        ([row("drift.lifetime", True, 5)], "estimate"),
        ([row("drift.lifetime", [2000], 5)], "estimate"),
        ([row("drift.lifetime", 10**400, 5)], "estimate"),
        ([row("drift.lifetime", 2000, 5, unit="kV")], "cannot convert"),
        ('[{"path": "drift.lifetime", "estimate": NaN, "error": 1}]', "finite"),
        ("[" + " " * 2**20 + "]", "small JSON file"),
    ],
)
def test_a_broken_submission_says_what_is_wrong(document: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as told:
        read_submission(written(tmp_path, document), ENVELOPE)
    assert "team.json" in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (None, "kept beside its folder"),
        ("{", "is no JSON"),
        ({"schema": "dptoolkit.calibration/1"}, "expected 'dptoolkit.challenge-truth/1'"),
        ({"schema": "dptoolkit.challenge-truth/1"}, "is damaged"),
    ],
)
def test_a_missing_or_broken_truth_says_how_to_mend_it(
    document: object, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "none.json" if document is None else written(tmp_path, document)
    with pytest.raises(ValueError, match=message):
        read_envelope(path)
