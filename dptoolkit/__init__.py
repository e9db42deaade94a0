"""Differentiable modelling of neutrino detectors: simulate, calibrate, reconstruct."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("dptoolkit")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0.0.0"
