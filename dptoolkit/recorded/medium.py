"""What a calibration with recorded tracks needs to know of a read-out, pixels or wires: one class a kind."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dptoolkit.detector import LArTPC, Readout
from dptoolkit.inference.losses import AbstractResidualLoss
from dptoolkit.reconstruction.lines import FoundLine
from dptoolkit.recorded.tracks import Track


@dataclass(frozen=True)
class Residuals:
    """Channels that see a track in both data and model; a number a channel."""

    distance: np.ndarray
    """Drift distance [cm]."""
    charge: np.ndarray
    """Measured over predicted."""
    time: np.ndarray
    """Measured minus predicted [us]."""


class AbstractMedium(ABC):
    """How tracks are found in one kind of read-out, and how it is compared with the model."""

    channels: ClassVar[str]
    """What its channels are called."""
    bias: ClassVar[str] = ""
    """What is known to be wrong with charge scales, to be said to the user."""

    @abstractmethod
    def check(self, path: Path, readout: Readout, detector: LArTPC) -> None:
        """An `InputError` unless the detector has the channels of this read-out."""

    @abstractmethod
    def find(self, event: Readout, detector: LArTPC, t0: float) -> FoundLine:
        """The one muon of an event made at `t0` [us]; `NoLine` says why there is none."""

    @abstractmethod
    def loss(self, detector: LArTPC, event: Readout) -> AbstractResidualLoss:
        """The likelihood of tracks whose energy loss fluctuates."""

    @abstractmethod
    def thickness(self, track: Track, detector: LArTPC, loss: Any) -> float:
        """Path of the track that one channel sees [cm]: the mean logarithm, as channels count in the fit.

        The typical loss goes as the logarithm of the path, so that with this mean the channels together are
        right, if not each.
        """

    @abstractmethod
    def residuals(
        self, predicted: Readout, observed: Readout, detector: LArTPC, loss: Any, t0: float
    ) -> Residuals:
        """Of one event whose rows are aligned."""
