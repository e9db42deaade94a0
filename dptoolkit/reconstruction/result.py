"""What a reconstruction found in an event: segments, parameters and their covariance, how the fit ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from dptoolkit.events import Segments


@dataclass(frozen=True)
class Reconstructed:
    """One event under its best hypothesis.

    `segments` is the fitted charge as energy deposits in the frame of the detector; `event` is 0.
    Tracks have a few named parameters; where every segment is free, `names` is empty and the errors are
    columns of the segments.
    """

    number: int
    """Of the event in its file."""
    segments: Segments
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    values: Float[np.ndarray, " k"] = field(default_factory=lambda: np.zeros(0))
    covariance: Float[np.ndarray, "k k"] = field(default_factory=lambda: np.zeros((0, 0)))
    columns: Mapping[str, tuple[Float[np.ndarray, " n"], str]] = field(default_factory=dict)
    """More about every segment by name: values, unit (`de_error`, ...)."""
    log_likelihoods: Mapping[str, float] = field(default_factory=dict)
    """Greatest log-likelihood of each hypothesis (`muon`, `proton`, ...) that was fitted."""
    hypothesis: str = ""
    """The best of them."""
    loss: float = 0.0
    converged: bool = True
    stopped: str = ""
    seconds: float = 0.0
    """Of processor time, without compiling."""

    def __post_init__(self) -> None:
        k = len(self.names)
        if len(self.units) != k or self.values.shape != (k,) or self.covariance.shape != (k, k):
            raise ValueError(
                f"Reconstructed: {k} names want as many units and values and a square covariance, got "
                f"{len(self.units)}, {self.values.shape}, {self.covariance.shape}"
            )
        for name, (values, _) in self.columns.items():
            if len(values) != len(self.segments):
                raise ValueError(f"Reconstructed.columns[{name!r}]: expected a value for every segment")


@dataclass(frozen=True)
class NotReconstructed:
    """Why an event has no result."""

    number: int
    reason: str
