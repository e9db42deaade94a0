"""Fits: everything is stated against `Problem`, whatever the detector and whatever is free."""

from dptoolkit.inference.fit import FitResult, fit
from dptoolkit.inference.losses import GaussianChi2
from dptoolkit.inference.problem import Experiment, Problem, SegmentSource

__all__ = ["Experiment", "FitResult", "GaussianChi2", "Problem", "SegmentSource", "fit"]
