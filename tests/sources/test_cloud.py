"""Clouds of segments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.detector import LArTPC
from dptoolkit.events import take
from dptoolkit.inference.experiment import Experiment
from dptoolkit.params import free, infos
from dptoolkit.sources.cloud import SMALLEST, SegmentCloud, lengths_of

NODES = np.array([[0.0, 0, 0], [0.5, 0.2, 0], [1.0, 0.2, 0.5], [1.2, -0.4, 0]])
EDGES = np.array([[0, 1], [1, 2], [1, 3]])


def test_edges_are_segments_between_their_nodes() -> None:
    cloud = SegmentCloud.of(NODES, EDGES, np.array([1.0, 2.0, 3.0]), t0=5.0)
    made = take(cloud(), np.asarray(cloud.valid))
    assert np.asarray(made.start) == pytest.approx(NODES[EDGES[:, 0]])
    assert np.asarray(made.end) == pytest.approx(NODES[EDGES[:, 1]])
    assert np.asarray(made.dx) == pytest.approx(
        np.linalg.norm(NODES[EDGES[:, 1]] - NODES[EDGES[:, 0]], axis=1)
    )
    assert np.asarray(made.de).tolist() == [1, 2, 3] and set(np.asarray(made.t0)) == {5.0}


def test_padding_has_no_energy_and_one_size_serves_many_events() -> None:
    cloud = SegmentCloud.of(NODES, EDGES, np.ones(3))
    assert len(cloud()) == SMALLEST and len(cloud.nodes) == SMALLEST
    assert float(jnp.sum(cloud().de)) == 3.0
    assert not np.asarray(cloud().valid)[3:].any()


def test_a_shift_moves_the_edges_that_share_the_node() -> None:
    cloud = SegmentCloud.of(NODES, EDGES, np.ones(3))
    moved = free(cloud, ["shift"]).merge({"shift": cloud.shift.at[1].add(jnp.array([0.1, 0.0, 0.0]))})
    change = np.linalg.norm(np.asarray(moved().end - cloud().end), axis=1)
    assert change[:3] == pytest.approx([0.1, 0, 0])
    assert np.linalg.norm(np.asarray(moved().start - cloud().start), axis=1)[:3] == pytest.approx(
        [0, 0.1, 0.1]
    )


def test_places_and_energies_are_declared() -> None:
    cloud = SegmentCloud.of(NODES, EDGES, np.ones(3))
    assert {"shift", "dedx", "t0"} <= set(infos(cloud))
    assert infos(cloud)["dedx"].scale == "log"


def test_edges_to_missing_nodes_are_an_error() -> None:
    with pytest.raises(ValueError, match="edges between existing nodes"):
        SegmentCloud.of(NODES, np.array([[0, 4]]), np.ones(1))


def test_a_length_of_zero_has_a_finite_slope() -> None:
    steps = jnp.zeros((1, 3))
    assert float(lengths_of(steps)[0]) == 0
    assert np.isfinite(np.asarray(jax.jacfwd(lengths_of)(steps))).all()


def test_the_slope_of_the_read_out_is_the_finite_difference(small_wire: LArTPC) -> None:
    # far from walls and ticks, where nothing is cut anew
    cloud = SegmentCloud.of(NODES + np.array([0.1, 0.3, 0.2]), EDGES, np.ones(3))
    experiment = Experiment(small_wire, cloud)
    layout = experiment.layout()
    chosen = free(experiment, ["source.shift", "source.dedx"])
    weight = {
        name: np.random.default_rng(1).normal(size=w.samples.shape)
        for name, w in experiment(layout=layout).items()
    }

    def loss(values):
        found = chosen.merge(values)(layout=layout)
        return sum(jnp.sum(jnp.asarray(weight[name]) * w.samples) for name, w in found.items())

    slope = jax.grad(loss)(chosen.values)
    for path, index in (("source.shift", (1, 0)), ("source.shift", (2, 1)), ("source.dedx", (0,))):
        h = 1e-5
        there, back = (
            loss({**chosen.values, path: chosen.values[path].at[index].add(step)}) for step in (h, -h)
        )
        assert float(slope[path][index]) == pytest.approx(float((there - back) / (2 * h)), rel=1e-4)
