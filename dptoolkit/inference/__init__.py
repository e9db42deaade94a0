"""Fits: everything is stated against `Problem`, whatever the detector and whatever is free."""

from dptoolkit.inference.campaign import Campaign, ToyFit, run_toys
from dptoolkit.inference.experiment import Experiment
from dptoolkit.inference.fit import FitResult, Snapshot, fit, graduated, steps
from dptoolkit.inference.information import Budget, information_budget
from dptoolkit.inference.landscape import Axis, Landscape, landscape, whitened
from dptoolkit.inference.losses import (
    CensoredHits,
    GaussianChi2,
    HitLikelihood,
    MultiScale,
    PoissonLikelihood,
    SquaredDifference,
)
from dptoolkit.inference.multistart import Basin, MultiStart, multistart, spread_starts
from dptoolkit.inference.optimise import METHODS, FirstOrder, GaussNewton
from dptoolkit.inference.problem import Problem
from dptoolkit.inference.profile import Profile, profile
from dptoolkit.inference.profiled import Own, ProfiledProblem
from dptoolkit.inference.straggling import StragglingHits
from dptoolkit.inference.uncertainty import Uncertainty, from_hessian, uncertainty
from dptoolkit.sources.recorded import SegmentSource

__all__ = [
    "METHODS",
    "Axis",
    "Basin",
    "Budget",
    "Campaign",
    "CensoredHits",
    "Experiment",
    "FirstOrder",
    "FitResult",
    "GaussNewton",
    "GaussianChi2",
    "HitLikelihood",
    "Landscape",
    "MultiScale",
    "MultiStart",
    "Own",
    "PoissonLikelihood",
    "Problem",
    "Profile",
    "ProfiledProblem",
    "SegmentSource",
    "Snapshot",
    "SquaredDifference",
    "StragglingHits",
    "ToyFit",
    "Uncertainty",
    "fit",
    "from_hessian",
    "graduated",
    "information_budget",
    "landscape",
    "multistart",
    "profile",
    "run_toys",
    "spread_starts",
    "steps",
    "uncertainty",
    "whitened",
]
