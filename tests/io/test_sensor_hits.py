"""Read-out of photosensors and kinetic energies in the native format."""

from pathlib import Path

import numpy as np
import pytest

from dptoolkit.events import SensorHits
from dptoolkit.io import Batch, Run, read_native, read_segments, write_native
from tests.light.makers import track


@pytest.fixture
def hits() -> SensorHits:
    rng = np.random.default_rng(0)
    pe = np.array([0.0, 1.5, 2.5, 0.0, 3.0])
    numbers = {name: rng.uniform(1, 9, 5) for name in ("charge", "time_ns", "time_sigma_ns", "start")}
    arrays = {name: np.asarray(values) for name, values in ({"pe": pe} | numbers).items()}
    import jax.numpy as jnp

    return SensorHits(
        **{name: jnp.asarray(values) for name, values in arrays.items()},
        sensor=jnp.array([4, 3, 2, 1, 0], jnp.int32),
        event=jnp.array([0, 1, 0, 0, 1], jnp.int32),
        valid=jnp.array([True, True, True, True, False]),
    )


def test_sensors_with_light_come_back_and_the_others_are_left_out(hits: SensorHits, tmp_path: Path) -> None:
    path, segments = tmp_path / "light.h5", track(4.0, 3)
    write_native(path, Batch(np.array([3, 7]), segments, {"pmt": hits}), Run(expectation=True))
    back = read_native(path).readout["pmt"]
    assert isinstance(back, SensorHits)
    assert list(back.sensor) == [2, 3] and list(back.event) == [0, 1] and list(back.pe) == [2.5, 1.5]
    for name in ("charge", "time_ns", "time_sigma_ns", "start"):
        np.testing.assert_array_equal(getattr(back, name), np.asarray(getattr(hits, name))[[2, 1]])
    only = read_native(path, "1:2").readout["pmt"]
    assert list(only.sensor) == [3] and list(only.event) == [0]


def test_kinetic_energies_come_back_where_they_were_and_are_absent_elsewhere(tmp_path: Path) -> None:
    known = track(4.0, 3)
    bare = known.__class__(**{**vars(known), "kinetic": None})
    for name, segments in (("known", known), ("bare", bare)):
        write_native(tmp_path / f"{name}.h5", Batch(np.array([0]), segments))
        back = read_segments(tmp_path / f"{name}.h5").segments
        if segments.kinetic is None:
            assert back.kinetic is None
        else:
            np.testing.assert_array_equal(back.kinetic, segments.kinetic)
