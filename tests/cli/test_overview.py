"""The table of detectors counts what building them gives, without building their planes."""

import pytest

from dptoolkit.cli.overview import overview
from dptoolkit.config import detector_names, load_detector


@pytest.mark.parametrize("name", detector_names("OpticalDetector"))
def test_the_channels_of_a_tank_are_its_sensors(name: str) -> None:
    assert overview(name)["channels"] == len(load_detector(name).tank.sensors) > 1000


def test_the_light_of_a_tpc_is_listed_and_counted() -> None:
    row = overview("2x2")
    assert row["readout"] == "pixels, light"
    detector = load_detector("2x2")
    pads = {plane.name: plane.n_columns * plane.n_rows for plane in detector.planes}
    assert row["channels"] == 6 * pads["pixels"] + 2 * pads["fine"] + 8 * 16
