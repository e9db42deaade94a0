"""Calibration with recorded read-out: the muons in it, and the problem in which they are fitted along."""

from dptoolkit.recorded.calibration import DEDX, RecordedCalibration, effective, residuals_of
from dptoolkit.recorded.medium import Residuals
from dptoolkit.recorded.sample import ControlSample, control_sample, medium_of
from dptoolkit.recorded.tracks import Track

__all__ = [
    "DEDX",
    "ControlSample",
    "RecordedCalibration",
    "Residuals",
    "Track",
    "control_sample",
    "effective",
    "medium_of",
    "residuals_of",
]
