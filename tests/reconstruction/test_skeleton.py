"""Skeletons: from points on a grid of pads to lines."""

import numpy as np
import pytest

from dptoolkit.reconstruction.skeleton import Skeleton, shared, skeleton, straightened

PITCH = 0.44


def on_pads(start: np.ndarray, end: np.ndarray, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """(places, charges) of a straight line as pads across y and z see it; x is known."""
    line = start + np.linspace(0, 1, n)[:, None] * (end - start)
    pads, which, counts = np.unique(
        np.rint(line[:, 1:] / PITCH).astype(int), axis=0, return_inverse=True, return_counts=True
    )
    x = np.bincount(which.ravel(), line[:, 0]) / counts
    return np.column_stack([x, pads * PITCH]), counts.astype(float)


def distance(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    step = end - start
    part = np.clip((points - start) @ step / (step @ step), 0, 1)
    return np.linalg.norm(points - start - part[:, None] * step, axis=1)


START, END = np.array([1.0, -7.0, -9.0]), np.array([4.0, 6.0, 8.0])


def test_points_on_pads_are_drawn_nearer_to_their_line() -> None:
    points, charge = on_pads(START, END)
    before = np.average(distance(points, START, END), weights=charge)
    after = np.average(distance(straightened(points, charge, 1.1), START, END), weights=charge)
    assert after < 0.6 * before


def test_the_skeleton_of_a_line_is_a_chain_with_all_of_its_charge() -> None:
    points, charge = on_pads(START, END)
    found = skeleton(points, charge, spacing=0.6, reach=1.1)
    assert len(found.edges) == len(found.nodes) - 1
    assert sorted(found.degree)[:3] == [1, 1, 2] and found.degree.max() == 2
    assert found.charge.sum() == pytest.approx(charge.sum())
    assert np.median(distance(found.nodes, START, END)) < PITCH / 4
    ends = found.nodes[found.degree == 1]
    gaps = [np.linalg.norm(ends - place, axis=1).min() for place in (START, END)]
    assert max(gaps) < 1.5 * PITCH


def test_three_prongs_meet_at_one_node_near_the_vertex() -> None:
    vertex = np.array([0.0, 0.1, 0.2])
    ends = [np.array([3.0, 9.0, 4.0]), np.array([-2.0, -8.0, 3.0]), np.array([1.0, 2.0, -9.0])]
    parts = [on_pads(vertex, end) for end in ends]
    points = np.concatenate([part[0] for part in parts])
    charge = np.concatenate([part[1] for part in parts])
    found = skeleton(points, charge, spacing=0.6, reach=1.1)
    assert (found.degree == 1).sum() == 3 and (found.degree == 3).sum() == 1
    assert np.linalg.norm(found.nodes[found.degree == 3][0] - vertex) < 2 * PITCH


def test_a_joint_names_the_nodes_and_edges_on_both_sides() -> None:
    nodes = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [2, 1, 0], [3, 0, 0]])
    found = Skeleton(nodes, np.array([[0, 1], [2, 1], [2, 3], [2, 4]]), np.ones(4))
    joint, edges = found.joints()
    assert joint.tolist() == [[0, 1, 2]] and edges.tolist() == [[0, 1]]


def test_charge_goes_to_the_nearest_edge() -> None:
    nodes = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
    edges = np.array([[0, 1], [1, 2]])
    found = shared(np.array([[0.2, 0.0, 0.0], [1.9, 0.0, 0.0]]), np.array([3.0, 5.0]), nodes, edges, 0.1)
    assert found == pytest.approx([3.0, 5.0], rel=1e-3)
