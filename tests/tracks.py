"""Segments and detectors that the tests of the contract of detectors share."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import yaml

from dptoolkit.config import from_yaml, source_text
from dptoolkit.detector import LArTPC
from dptoolkit.events import Segments, segments_from_arrays


def tracks(detector: LArTPC, n: int = 8, seed: int = 0, length: float = 0.8, margin: float = 1.5) -> Segments:
    """Segments at random places and in random directions, each an event of its own."""
    rng = np.random.default_rng(seed)
    low, high = detector.volumes.low[0] + margin, detector.volumes.high[0] - margin
    start = rng.uniform(low, high, (n, 3))
    step = rng.normal(size=(n, 3))
    step *= length / np.linalg.norm(step, axis=1, keepdims=True)
    return segments_from_arrays(
        start, start + step, rng.uniform(1.5, 4.0, n), event=np.arange(n), track=np.arange(n)
    )


def special(detector: LArTPC) -> Segments:
    """Along the drift up to the anode, at a point, at a point on the anode, across the drift close to it."""
    anode, cathode = detector.volumes.low[0, 0], detector.volumes.high[0, 0]
    start = np.array(
        [[anode + 1.0, 1.03, 2.07], [anode + 9.0, -2.2, 1.3], [anode, 3.317, -1.1837], [anode + 0.2, 0, -3]]
    )
    end = np.array(
        [[anode, 1.03, 2.07], [anode + 9.0, -2.2, 1.3], [anode, 3.317, -1.1837], [anode + 0.2, 0.53, -3.2]]
    )
    assert cathode > start[:, 0].max()
    return segments_from_arrays(start, end, np.array([3.0, 0.2, 0.2, 2.0]), track=np.arange(4))


def together(first: Segments, second: Segments) -> Segments:
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, second)


def variant(name: str, **parts: Any) -> LArTPC:
    """A named detector with other parts."""
    config = yaml.safe_load(source_text(name)) | parts
    return from_yaml(yaml.safe_dump(config), name)
