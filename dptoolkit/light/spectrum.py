"""The wavelengths at which spectra are known and summed."""

import numpy as np

WAVELENGTHS_NM = np.arange(280.0, 701.0, 5.0)
"""From where glass begins to transmit to where photocathodes no longer see."""

BAND_NM = (300.0, 700.0)
"""In which emitted photons are counted."""


def widths_nm(wavelengths_nm: np.ndarray = WAVELENGTHS_NM) -> np.ndarray:
    """Weights of the trapezoidal rule."""
    width = np.gradient(wavelengths_nm)
    width[[0, -1]] /= 2
    return width
