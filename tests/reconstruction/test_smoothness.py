"""What is expected of a cloud of segments."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.inference.experiment import Experiment
from dptoolkit.params import free
from dptoolkit.reconstruction.skeleton import Skeleton
from dptoolkit.reconstruction.smoothness import Smooth
from dptoolkit.sources.cloud import SegmentCloud


def chain(n: int = 6, bend: float = 0.0, dedx: float = 2.0) -> tuple[Skeleton, SegmentCloud]:
    """A line along z of nodes 0.5 cm apart that turns by `bend` [rad] in its middle."""
    nodes = np.zeros((n + 1, 3))
    nodes[:, 2] = 0.5 * np.arange(n + 1)
    nodes[n // 2 + 1 :, 1] = np.tan(bend) * 0.5 * np.arange(1, n - n // 2 + 1)
    edges = np.stack([np.arange(n), np.arange(1, n + 1)], axis=1)
    length = np.linalg.norm(np.diff(nodes, axis=0), axis=1)
    return Skeleton(nodes, edges, np.ones(n)), SegmentCloud.of(nodes, edges, dedx * length)


class Nothing:
    """A detector that a prior does not look at."""

    def layout(self, inputs: Any, /) -> Any:
        raise AssertionError

    def __call__(self, inputs: Any, /, key: Any = None, layout: Any = None) -> Any:
        raise AssertionError


def penalty(prior: Smooth, cloud: SegmentCloud) -> float:
    return float(0.5 * jnp.sum(prior.residuals(type("E", (), {"source": cloud})()) ** 2))


def test_a_straight_even_line_where_it_was_found_costs_nothing() -> None:
    found, cloud = chain()
    assert penalty(Smooth.of(found, cloud), cloud) == pytest.approx(0, abs=1e-20)


def test_a_bend_of_one_width_costs_about_a_half_and_a_hard_one_grows_linearly() -> None:
    def cost(bend: float) -> float:
        found, cloud = chain(bend=bend)
        return penalty(Smooth.of(found, cloud, bend=0.02), cloud)

    one = 0.02 * np.sqrt(0.5)
    assert cost(one) == pytest.approx(np.sqrt(2) - 1, rel=0.02)
    assert cost(40 * one) / cost(20 * one) == pytest.approx(2, rel=0.1)


def test_padding_costs_nothing_and_its_slopes_are_finite() -> None:
    found, cloud = chain(bend=0.1)
    prior = Smooth.of(found, cloud)
    chosen = free(cloud, ["shift", "dedx"])
    slope = jax.grad(
        lambda v: 0.5 * jnp.sum(prior.residuals(type("E", (), {"source": chosen.merge(v)})()) ** 2)
    )(chosen.values)
    assert all(np.isfinite(np.asarray(part)).all() for part in slope.values())
    assert np.asarray(slope["dedx"])[len(found.edges) :] == pytest.approx(0)


def test_nothing_is_expected_of_the_angles_of_a_vertex() -> None:
    nodes = np.array([[0.0, 0, 0], [0, 0, 0.5], [0, 0.5, 0], [0.5, 0, 0]])
    edges = np.array([[0, 1], [0, 2], [0, 3]])
    cloud = SegmentCloud.of(nodes, edges, np.ones(3))
    assert penalty(Smooth.of(Skeleton(nodes, edges, np.ones(3)), cloud), cloud) == pytest.approx(0, abs=1e-20)


def test_a_jump_of_the_energy_loss_costs() -> None:
    found, cloud = chain()
    jump = free(cloud, ["dedx"]).merge({"dedx": cloud.dedx.at[3].multiply(np.exp(0.4))})
    two_changes = 2 * (np.sqrt(2) - 1)
    assert penalty(Smooth.of(found, cloud, fluctuation=0.4, charge=1e6), jump) == pytest.approx(
        two_changes, rel=1e-3
    )


def test_an_experiment_is_all_it_needs() -> None:
    found, cloud = chain()
    assert Smooth.of(found, cloud).residuals(Experiment(Nothing(), cloud)).shape[0] > 0
