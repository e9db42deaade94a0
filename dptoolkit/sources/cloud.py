"""Clouds of segments: energy deposits anywhere, joined where they touch; no model of a track.

Nodes are joined by edges, and every edge is a straight deposit. Where every node is free, so is every
deposit; that edges share their nodes makes the length of each, and with it dE/dx, follow from its
neighbours' places.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from dptoolkit.events import Segments, bucket
from dptoolkit.params import Component, param

SMALLEST = 128
"""Least padded number of nodes and of edges: few sizes mean few compilations."""


class SegmentCloud(Component):
    """Deposits along the edges from node `first` to node `last`; node i is at `seed` + `shift`.

    Shifts are from where the nodes were found: so a coordinate of a fit is a distance, wherever the event is.
    An edge has a `dedx`, not an energy: where a node slides along its line, what is deposited there stays.
    """

    shift: Array = param((), "cm", bounds=(-50.0, 50.0), typical=(-0.2, 0.2))
    dedx: Array = param((), "MeV/cm", bounds=(1e-6, 1e5), typical=(1.5, 3.0), scale="log")
    t0: Array = param(0.0, "us", symbol="t_0")
    seed: Float[Array, "m 3"] = eqx.field(default=None)
    """Where the nodes were found [cm]."""
    first: Int[np.ndarray, " n"] = eqx.field(default=None)
    last: Int[np.ndarray, " n"] = eqx.field(default=None)
    valid: Bool[np.ndarray, " n"] = eqx.field(default=None)
    """Edges that exist; the rest are padding."""

    @classmethod
    def of(cls, nodes: np.ndarray, edges: np.ndarray, de: np.ndarray, t0: float = 0.0) -> "SegmentCloud":
        """From nodes (m, 3) [cm], edges (n, 2) as pairs of nodes and energies (n) [MeV]; padded."""
        if len(edges) == 0 or len(edges) != len(de) or np.max(edges) >= len(nodes):
            raise ValueError(
                f"SegmentCloud: {len(nodes)} nodes, {len(edges)} edges, {len(de)} energies: expected an "
                f"energy for every edge, at least one, and edges between existing nodes"
            )
        real: Any = jnp.result_type(float)
        m, n = bucket(len(nodes) + 1, SMALLEST), bucket(len(edges), SMALLEST)
        places = np.concatenate([nodes, np.broadcast_to(nodes[:1], (m - len(nodes), 3))])
        ends = np.concatenate([edges, np.full((n - len(edges), 2), m - 1)]).astype(np.int32)
        length = np.linalg.norm(nodes[edges[:, 1]] - nodes[edges[:, 0]], axis=1)
        if not (length > 0).all():
            raise ValueError(f"SegmentCloud: edge {np.argmin(length)} has no length; leave it out")
        dedx = np.concatenate([np.asarray(de) / length, np.ones(n - len(de))])
        return cls(
            shift=jnp.zeros((m, 3), real),
            dedx=jnp.asarray(dedx, real),
            t0=jnp.asarray(t0, real),
            seed=jnp.asarray(places, real),
            first=ends[:, 0],
            last=ends[:, 1],
            valid=np.arange(n) < len(edges),
        )

    @property
    def nodes(self) -> Float[Array, "m 3"]:
        """Where the nodes are [cm]."""
        return self.seed + self.shift

    @property
    def steps(self) -> Float[Array, "n 3"]:
        """From the first to the last node of every edge [cm]."""
        nodes = self.nodes
        return nodes[self.last] - nodes[self.first]

    @property
    def de(self) -> Float[Array, " n"]:
        """Energies of the edges [MeV]; 0 of padding."""
        return jnp.where(self.valid, self.dedx * lengths_of(self.steps), 0.0)

    def __call__(self) -> Segments:
        """A segment for every edge, padding included."""
        nodes, n = self.nodes, len(self.valid)
        return Segments(
            start=nodes[self.first],
            end=nodes[self.last],
            de=self.de,
            dx=lengths_of(self.steps),
            t0=jnp.broadcast_to(self.t0, n),
            event=jnp.zeros(n, jnp.int32),
            track=jnp.arange(1, n + 1, dtype=jnp.int32),
            pdg=jnp.zeros(n, jnp.int32),
            valid=jnp.asarray(self.valid),
        )


def lengths_of(steps: Float[Array, "n 3"]) -> Float[Array, " n"]:
    """Lengths of vectors [cm]; 0, with a slope of 0, for those without."""
    square = jnp.sum(steps**2, axis=1)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
