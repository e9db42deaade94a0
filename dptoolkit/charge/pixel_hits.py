"""Hits of pixels: what a front end reports, and what of it may be known before."""

import equinox as eqx
from jaxtyping import Array, Bool, Float

PerPixel = Float[Array, " p"]
PerHit = Float[Array, "p h"]


class PixelHits(eqx.Module):
    """What the front end reports: a row a pixel, a column a hit of that pixel.

    An expectation holds probabilities, and charge, time and window given the hit; a sample holds
    probabilities 0 or 1 and rounded values. Columns without a hit are 0.
    """

    charge: PerHit
    """As decoded from the ADC [electrons]."""
    time: PerHit
    """Crossing of the threshold [us]."""
    probability: PerHit
    adc: PerHit
    """Counts; not rounded in an expectation."""
    window_start: PerHit
    """The integration: from the reset before the hit ... [us]"""
    window_end: PerHit
    """... to the end of the hold [us]."""
    charge_sigma: PerHit
    """Standard deviation of the charge given the hit, rounding included [electrons]; 0 in a sample."""
    time_sigma: PerHit
    """Of the time given the hit [us]."""
    correlation: PerHit
    """Of charge and time given the hit."""
    overflow: PerPixel
    """Probability that all columns are used and more than a threshold of charge follows."""


class Before(eqx.Module):
    """Hits that are known: those of each column stand before those of the next."""

    time: PerHit
    """[us]"""
    happened: Bool[Array, "p h"]
