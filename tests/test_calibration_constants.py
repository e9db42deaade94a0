"""Constants of a calibration: written, read back into the detector they belong to, refused by others."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dptoolkit.calibration_constants import Constants, config_digest, with_constants
from dptoolkit.cli.output import as_json
from dptoolkit.detector import LArTPC
from dptoolkit.params import get

VALUES = {"drift.lifetime": ("us", 1234.5), "recombination.a": ("1", 0.77)}


def written(path: Path, detector: LArTPC, /, **changes: Any) -> Path:
    constants = Constants(
        detector=detector.name,
        config_digest=config_digest(detector),
        names=tuple(VALUES),
        units=tuple(unit for unit, _ in VALUES.values()),
        values=np.array([value for _, value in VALUES.values()]),
        covariance=np.array([[400.0, -0.1], [-0.1, 1e-4]]),
        validity={"first_event": 3, "last_event": 90},
        data={"file": "readout.h5", "sha256": "0" * 64, "tracks": 20},
        method={"loss": "StragglingHits"},
    )
    document = json.loads(as_json("constants", constants.document()))
    path.write_text(json.dumps({**document, **changes}))
    return path


def test_constants_come_back_with_errors_and_say_for_whom_they_hold(
    small_pixel: LArTPC, tmp_path: Path
) -> None:
    path = written(tmp_path / "constants.json", small_pixel)
    document = json.loads(path.read_text())
    assert document["schema"] == "dptoolkit.constants/1" and document["version"]
    assert document["validity"] == {"first_event": 3, "last_event": 90}
    assert [row["error"] for row in document["parameters"]] == pytest.approx([20.0, 0.01])
    changed, note = with_constants(small_pixel, path)
    for name, (_, value) in VALUES.items():
        assert float(get(changed, name)) == pytest.approx(value)
    assert "WARNING" not in note and float(get(small_pixel, "drift.lifetime")) == pytest.approx(2200.0)


def test_another_configuration_is_said_and_another_detector_refused(
    small_pixel: LArTPC, small_wire: LArTPC, tmp_path: Path
) -> None:
    other = {"detector": {"name": "small-pixel", "config_sha256": "1" * 64}}
    _, note = with_constants(small_pixel, written(tmp_path / "constants.json", small_pixel, **other))
    assert "WARNING: the configuration of small-pixel" in note
    with pytest.raises(ValueError, match="expected those of 'small-wire'"):
        with_constants(small_wire, tmp_path / "constants.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "dptoolkit.calibration/1"}, "expected 'dptoolkit.constants/1'"),
        ({"parameters": [{"path": "drift.life", "unit": "us", "value": 1.0}]}, "drift.life = 1.0 us"),
        ({"parameters": [{"path": "drift.lifetime", "unit": "ms", "value": 1.0}]}, "has the unit 'us'"),
        ({"parameters": [{"path": "drift.lifetime", "unit": "us", "value": None}]}, "None us"),
    ],
)
def test_what_is_no_constant_says_why(
    change: dict[str, Any], message: str, small_pixel: LArTPC, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        with_constants(small_pixel, written(tmp_path / "constants.json", small_pixel, **change))


def test_a_file_that_is_no_json_is_refused(small_pixel: LArTPC, tmp_path: Path) -> None:
    (tmp_path / "constants.json").write_text("lifetime: 3 ms")
    with pytest.raises(ValueError, match="is no JSON"):
        with_constants(small_pixel, tmp_path / "constants.json")
