"""Losses: how badly a prediction disagrees with what was observed, `(predicted, observed) -> scalar`."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from dptoolkit.detector import Readout
from dptoolkit.events import Waveforms


class GaussianChi2(eqx.Module):
    """Half the sum of squared differences over a constant, uncorrelated noise: -ln L of a Gaussian."""

    noise: float = eqx.field(static=True)
    """Standard deviation of a sample, in the unit of the read-out."""

    def __check_init__(self) -> None:
        if not self.noise > 0:
            raise ValueError(f"GaussianChi2: noise = {self.noise}: expected a positive standard deviation")

    def residuals(self, predicted: Readout, observed: Readout) -> Float[Array, " r"]:
        """Normalised differences of all samples that exist in both."""
        parts = []
        for name, waveforms in predicted.items():
            other = observed[name]
            if not isinstance(waveforms, Waveforms) or not isinstance(other, Waveforms):
                raise ValueError(f"GaussianChi2 compares waveforms; {name} is a {type(waveforms).__name__}")
            difference = jnp.where(waveforms.mask(), waveforms.samples - other.samples, 0.0)
            parts.append(difference.ravel() / self.noise)
        return jnp.concatenate(parts)

    def __call__(self, predicted: Readout, observed: Readout) -> Float[Array, ""]:
        return 0.5 * jnp.sum(self.residuals(predicted, observed) ** 2)
