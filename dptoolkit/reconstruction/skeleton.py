"""From points with charge to a skeleton: nodes joined by edges along what is dense, a tree in each piece.

Points are drawn to the line that their neighbours make (moving least squares; D. Levin, 2003), then every
connected piece is cut into slices of equal distance along itself from one of its ends. The parts of a slice
are the nodes and those that touch are joined, so that a prong leaves a track where it parts from it (the
Reeb graph of the distance).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, dijkstra, minimum_spanning_tree
from scipy.spatial import KDTree

ELONGATED = 2.0
"""Ratio of the widths along and across from which the neighbours of a point make a line."""
SHORTEST = 0.1
"""Length given to what is a point [cm]."""


@dataclass(frozen=True)
class Skeleton:
    """Nodes [cm], edges as pairs of them, and the charge of every edge."""

    nodes: Float[np.ndarray, "m 3"]
    edges: Int[np.ndarray, "n 2"]
    charge: Float[np.ndarray, " n"]

    @property
    def degree(self) -> Int[np.ndarray, " m"]:
        """Edges at every node."""
        return np.bincount(self.edges.ravel(), minlength=len(self.nodes))

    def joints(self) -> tuple[Int[np.ndarray, "k 3"], Int[np.ndarray, "k 2"]]:
        """Where a line goes on: (node before, node, node after), and the two edges that meet there."""
        order = np.argsort(self.edges.ravel(), kind="stable")
        through = np.flatnonzero(self.degree == 2)
        first = np.searchsorted(self.edges.ravel()[order], through)
        pair = np.stack([order[first], order[first + 1]], axis=1) if len(through) else np.zeros((0, 2), int)
        edge, side = pair // 2, pair % 2
        other = self.edges[edge, 1 - side]
        return np.stack([other[:, 0], through, other[:, 1]], axis=1), edge


def skeleton(
    points: Float[np.ndarray, "n 3"], charge: Float[np.ndarray, " n"], *, spacing: float, reach: float
) -> Skeleton:
    """Of points nearer than `reach` [cm] to each other, with nodes about `spacing` [cm] apart."""
    points = straightened(points, charge, reach)
    graph = _graph(points, reach)
    n_pieces, piece = connected_components(graph, directed=False)
    nodes, edges = [], []
    for number in range(n_pieces):
        rows = np.flatnonzero(piece == number)
        found, joined = _sliced(points[rows], charge[rows], csr_array(graph[rows][:, rows]), spacing)
        edges.append(joined + sum(map(len, nodes)))
        nodes.append(found)
    places, pairs = np.concatenate(nodes), np.concatenate(edges)
    return Skeleton(places, pairs, shared(points, charge, places, pairs, spacing))


def straightened(
    points: Float[np.ndarray, "n 3"], charge: Float[np.ndarray, " n"], reach: float
) -> Float[np.ndarray, "n 3"]:
    """Points moved across onto the line of their neighbours, where these make one."""
    near = KDTree(points).sparse_distance_matrix(KDTree(points), 2 * reach, output_type="coo_matrix")
    weight = np.exp(-0.5 * (near.data / reach) ** 2) * charge[near.col]
    share = csr_array((weight, (near.row, near.col)), shape=(len(points), len(points)))
    total = share.sum(axis=1)
    total = np.where(total > 0, total, 1.0)[:, None]
    mean = (share @ points) / total
    square = (share @ (points[:, :, None] * points[:, None, :]).reshape(-1, 9)) / total
    size, axes = np.linalg.eigh(square.reshape(-1, 3, 3) - mean[:, :, None] * mean[:, None, :])
    along = axes[:, :, 2]
    projected = mean + along * np.sum((points - mean) * along, axis=1, keepdims=True)
    is_line = size[:, 2] > ELONGATED**2 * np.maximum(size[:, 1], 1e-12)
    return np.where(is_line[:, None], projected, points)


def shared(
    points: np.ndarray, charge: np.ndarray, nodes: np.ndarray, edges: np.ndarray, width: float
) -> Float[np.ndarray, " n"]:
    """Charge of points dealt to the edges nearest to them, by exp(-d^2 / 2 width^2)."""
    start, step = nodes[edges[:, 0]], nodes[edges[:, 1]] - nodes[edges[:, 0]]
    square = np.maximum(np.sum(step**2, axis=1), 1e-12)
    found = np.zeros(len(edges))
    for rows in np.array_split(np.arange(len(points)), len(points) // 1000 + 1):
        offset = points[rows, None] - start
        part = np.clip(np.sum(offset * step, axis=2) / square, 0.0, 1.0)
        far = np.sum((offset - part[:, :, None] * step) ** 2, axis=2)
        weight = np.exp(-0.5 * (far - far.min(axis=1, keepdims=True)) / width**2) * np.sqrt(square)
        found += charge[rows] @ (weight / weight.sum(axis=1, keepdims=True))
    return found


def _graph(points: np.ndarray, reach: float) -> csr_array:
    near = KDTree(points).sparse_distance_matrix(KDTree(points), reach, output_type="coo_matrix")
    length = np.maximum(near.data, 1e-6)  # zero would mean that there is no edge
    return csr_array((length, (near.row, near.col)), shape=(len(points),) * 2)


def _sliced(
    points: np.ndarray, charge: np.ndarray, graph: csr_array, spacing: float
) -> tuple[np.ndarray, np.ndarray]:
    """(nodes, edges) of one connected piece."""
    far = int(np.argmax(dijkstra(graph, indices=0)))
    passed = dijkstra(graph, indices=far)
    n_slices = max(1, round(passed.max() / spacing))
    place = np.minimum((passed / max(passed.max(), 1e-9) * n_slices).astype(int), n_slices - 1)
    links = coo_array(graph)
    within = place[links.row] == place[links.col]
    inside = csr_array((links.data[within], (links.row[within], links.col[within])), shape=graph.shape)
    n_nodes, node = connected_components(inside, directed=False)
    if n_nodes == 1:
        return _as_edge(points, charge)
    total = np.bincount(node, charge, n_nodes)
    nodes = np.stack([np.bincount(node, charge * x, n_nodes) / total for x in points.T], axis=1)
    a, b = node[links.row[~within]], node[links.col[~within]]
    length = np.maximum(np.linalg.norm(nodes[a] - nodes[b], axis=1), 1e-6)
    pairs, at = np.unique(np.stack([a, b], axis=1), axis=0, return_index=True)
    touching = csr_array((length[at], tuple(pairs.T)), shape=(n_nodes, n_nodes))
    tree = coo_array(minimum_spanning_tree(touching))
    edges = np.stack([tree.row, tree.col], axis=1)
    nodes, edges = _without_twigs(nodes, edges, total, 1.5 * spacing)
    return _to_the_ends(nodes, edges, points, spacing), edges


def _as_edge(points: np.ndarray, charge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A piece too small to slice: one edge along its longest extent."""
    middle = np.average(points, axis=0, weights=charge)
    along = np.linalg.svd(points - middle, full_matrices=False)[2][0]
    at = (points - middle) @ along
    low, high = min(at.min(), -SHORTEST / 2), max(at.max(), SHORTEST / 2)
    return middle + np.array([[low], [high]]) * along, np.array([[0, 1]])


def _without_twigs(
    nodes: np.ndarray, edges: np.ndarray, charge: np.ndarray, shortest: float
) -> tuple[np.ndarray, np.ndarray]:
    """Ends no longer than `shortest` that leave a longer line are no prongs; the faintest go first."""
    while True:
        degree = np.bincount(edges.ravel(), minlength=len(nodes))
        leaf = degree[edges] == 1
        branch = degree[edges] > 2
        short = np.linalg.norm(nodes[edges[:, 0]] - nodes[edges[:, 1]], axis=1) < shortest
        twig = np.flatnonzero((leaf & branch[:, ::-1]).any(axis=1) & short)
        if len(twig) == 0:
            break
        ends = np.where(leaf[twig, 0], edges[twig, 0], edges[twig, 1])
        edges = np.delete(edges, twig[np.argmin(charge[ends])], axis=0)
    used, edges = np.unique(edges, return_inverse=True)
    return nodes[used], edges.reshape(-1, 2)


def _to_the_ends(nodes: np.ndarray, edges: np.ndarray, points: np.ndarray, spacing: float) -> np.ndarray:
    """Last nodes are in the middle of their slice: moved to its outermost point."""
    nodes = nodes.copy()
    degree = np.bincount(edges.ravel(), minlength=len(nodes))
    for end, before in np.concatenate([edges, edges[:, ::-1]]):
        if degree[end] != 1:
            continue
        along = nodes[end] - nodes[before]
        along = along / max(float(np.linalg.norm(along)), 1e-9)
        offset = points - nodes[end]
        close = np.linalg.norm(offset, axis=1) < spacing
        nodes[end] = nodes[end] + max(0.0, float((offset[close] @ along).max(initial=0.0))) * along
    return nodes
