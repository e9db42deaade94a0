"""Fluctuations of the energy lost in a step to collisions below the delta-ray cut.

Collisions of energy T happen xi dT/T^2 times a step. With kappa = xi / cut, the loss relative to its
mean, in units of the cut, has the characteristic function exp(kappa int_0^1 (e^{isx} - 1 - isx) / x^2 dx):
Vavilov's distribution without its term in beta^2 (P. V. Vavilov, JETP 5 (1957) 749), that is Landau's for
kappa -> 0 and a Gaussian for kappa >> 1. Its quantiles are tabulated once. The binding of the atomic
electrons is left out: it widens the loss in 4 mm of argon by some per cent.
"""

from functools import cache

import numpy as np
from scipy.special import sici

LEAST, MOST = 0.005, 30.0
"""kappa of the table. Below, larger transfers are left out; above, the shape is the last one, a Gaussian."""
N_KAPPA, N_LOGIT, TAIL = 36, 361, 14.0
SAMPLES = 2**15


def fluctuation(xi: np.ndarray, cut: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Loss minus its mean [MeV] at the quantiles `u`; `xi` and `cut` [MeV]."""
    table = quantiles()
    cut = np.minimum(cut, xi / LEAST)
    kappa = xi / cut
    row = np.clip(np.log(kappa / LEAST) / np.log(MOST / LEAST), 0, 1) * (N_KAPPA - 1)
    column = (np.clip(np.log(u / (1 - u)), -TAIL, TAIL) + TAIL) / (2 * TAIL) * (N_LOGIT - 1)
    i, j = np.minimum(row.astype(int), N_KAPPA - 2), np.minimum(column.astype(int), N_LOGIT - 2)
    p, q = row - i, column - j
    low = table[i, j] * (1 - q) + table[i, j + 1] * q
    high = table[i + 1, j] * (1 - q) + table[i + 1, j + 1] * q
    return cut * np.sqrt(kappa) * (low * (1 - p) + high * p)


@cache
def quantiles() -> np.ndarray:
    """Loss / (cut sqrt(kappa)) by rows of ln kappa and columns of logit u."""
    return np.stack([_quantiles_at(kappa) for kappa in np.geomspace(LEAST, MOST, N_KAPPA)])


def _quantiles_at(kappa: float) -> np.ndarray:
    window = 30 + 30 * np.sqrt(kappa)
    s = 2 * np.pi / window * np.arange(1, SAMPLES // 2 + 1)
    sine, cosine = sici(s)
    real = 1 - np.cos(s) - s * sine
    imaginary = s * (cosine - np.log(s) - np.euler_gamma + 1) - np.sin(s)
    spectrum = np.concatenate([[1.0], np.exp(kappa * (real - 1j * imaginary))])
    density = np.maximum(np.fft.fftshift(np.fft.irfft(spectrum, SAMPLES)), 0.0)
    loss = window * (np.arange(SAMPLES) / SAMPLES - 0.5)
    below = np.cumsum(density) - density / 2
    above = np.cumsum(density[::-1])[::-1] - density / 2
    inside = (below > 1e-9) & (above > 1e-9)
    logit = np.log(below[inside] / above[inside])
    found = np.interp(np.linspace(-TAIL, TAIL, N_LOGIT), logit, loss[inside])
    return (found - _mean(found)) / np.sqrt(kappa)


def _mean(values: np.ndarray) -> float:
    """Mean over u of a function that is linear between the nodes in logit u."""
    logit = np.linspace(-TAIL, TAIL, 40 * (N_LOGIT - 1) + 1)
    u = 1 / (1 + np.exp(-logit))
    fine = np.interp(logit, np.linspace(-TAIL, TAIL, N_LOGIT), values)
    return float(np.sum(np.diff(u) * (fine[1:] + fine[:-1]) / 2))
