"""Small files to read and to break."""

import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.events import Hits, Segments, Waveforms, segments_from_arrays
from dptoolkit.geometry import Volumes
from dptoolkit.io import Batch, Run, Truth
from tests.io.makers import LARNDSIM, PSTEP, STEPS


@pytest.fixture
def larndsim_rows() -> np.ndarray:
    """Four steps in events 7, 3, 7, 12: unsorted, one with dx 0."""
    rows = np.zeros(4, LARNDSIM)
    rows["eventID"], rows["trackID"], rows["pdgId"] = [7, 3, 7, 12], [1, 1, 2, 1], [13, 13, 11, 2212]
    rows["dE"], rows["dx"], rows["dEdx"] = [2.0, 4.0, 0.1, 8.0], [1.0, 2.0, 0.0, 1.5], [2.0, 2.0, 0.0, 99.0]
    rows["x_end"], rows["y_start"], rows["y_end"], rows["t0"] = [1.0, 2.0, 0.25, 1.0], 5.0, 5.0, [1, 2, 3, 4]
    return rows


@pytest.fixture
def steps_rows() -> np.ndarray:
    rows = np.zeros(3, STEPS)
    rows["event"], rows["track"], rows["pdg"], rows["de"] = [0, 0, 4], 1, 11, [0.2, 0.3, 0.4]
    rows["z0"], rows["z1"], rows["t0"] = [0, 10, 0], [10, 20, 5], [0, 1, 2]
    return rows


@pytest.fixture
def pstep_rows() -> np.ndarray:
    rows = np.zeros(2, PSTEP)
    rows["x"], rows["theta"], rows["dx"], rows["de"], rows["t"] = [5, 15], np.pi / 2, 10, 1.5, [1, 2]
    rows["pdg"], rows["track_id"] = [13, 2147483647], [0, 2147483647]
    return rows


@pytest.fixture
def module0() -> Volumes:
    """Two volumes that face away from a cathode at x = 0, as in Module 0."""
    return Volumes.from_boxes([[-15.2, 0, 0], [15.2, 0, 0]], [30.4, 124.0, 62.0], ["-x", "+x"])


@pytest.fixture
def segments() -> Segments:
    """Six segments of three events, in no order, one of them padding."""
    rng = np.random.default_rng(1)
    start = rng.uniform(-20, 20, (6, 3))
    made = segments_from_arrays(
        start, start + rng.normal(size=(6, 3)), rng.uniform(1, 2, 6), t0=rng.uniform(0, 9, 6),
        event=np.array([2, 0, 0, 1, 2, 0]), track=np.arange(6), pdg=np.array([13, 13, 11, 211, 2212, 11]),
    )  # fmt: skip
    return Segments(**{**vars(made), "valid": made.valid.at[5].set(False)})


@pytest.fixture
def waveforms() -> Waveforms:
    """Four blocks of 3 wires x 5 ticks, the second of them padding."""
    samples = np.random.default_rng(2).integers(-400, 400, (4, 3, 5))
    ints = {"event": [0, 0, 0, 2], "group": [0, 0, 1, 0], "channel": [3, 0, 6, 9], "tick": [0, 0, 5, 10]}
    return Waveforms(
        samples=jnp.asarray(samples, jnp.result_type(float)),
        valid=jnp.asarray([True, False, True, True]),
        **{name: jnp.asarray(values, jnp.int32) for name, values in ints.items()},
        n_channels=12, tick_period=0.5, unit="ADC",
    )  # fmt: skip


@pytest.fixture
def hits() -> Hits:
    """Four pixels with up to two hits; the last row is padding."""
    real = jnp.result_type(float)
    probability = jnp.asarray([[1, 1], [1, 0], [1, 0], [0, 0]], real)
    values = jnp.asarray(np.random.default_rng(3).uniform(5e3, 2e4, (4, 2)), real) * probability
    arrays = {
        "charge": values, "time": values / 100, "probability": probability, "total": values.sum(1) + 1,
        "left": values.sum(1) + 1,
        "event": jnp.asarray([0, 1, 2, 0], jnp.int32), "volume": jnp.asarray([0, 1, 0, 0], jnp.int32),
        "column": jnp.asarray([4, 5, 6, 0], jnp.int32), "row": jnp.asarray([7, 8, 9, 0], jnp.int32),
        "valid": jnp.asarray([True, True, True, False]),
    }  # fmt: skip
    names = Hits.__dataclass_fields__
    return Hits(**arrays, **{name: values for name in names if name not in arrays})


@pytest.fixture
def batch(segments: Segments, waveforms: Waveforms, hits: Hits) -> Batch:
    truth = {
        "pads": Truth(
            np.array([[0, 0], [0, 0], [0, 1], [1, 0], [2, 0]]),
            np.array([1, 2, 1, 3, 4]),
            np.array([0.25, 0.75, 1, 1, 1]),
        ),
        "U": Truth(np.array([[3, 1, 2], [3, 1, 2], [0, 0, 4]]), np.array([0, 4, 1]), np.array([0.5, 0.5, 1])),
    }
    particles = {name: np.arange(3) for name in ("event", "track", "parent", "ancestor", "group", "pdg")}
    particles |= {"kinetic_energy": np.array([1.0, 2.0, 3.0])}
    return Batch(np.array([2, 5, 11]), segments, {"U": waveforms, "pads": hits}, truth, None, particles)


@pytest.fixture
def run() -> Run:
    return Run("name: tiny\n", "tiny", 7, False, {"input": "muons.h5"})
