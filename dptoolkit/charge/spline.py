"""Distortions that a fit can take the form of: the edges of a potential, a smooth spline, a voxel table."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dptoolkit.charge.field import (
    AbstractField,
    AbstractPotentialField,
    Speed,
    in_detector,
    sizes,
    steepness,
    strength_of,
)
from dptoolkit.geometry import Volumes
from dptoolkit.params import param

SCALE = 0.1
"""Psi = `SCALE` L^2 x edges x shape, with shapes of order one for distortions of several per cent."""
DEGREE = 4
"""Of the splines: the field has continuous slopes."""


def coordinates(place: Float[Array, "n 3"], volume: Array, volumes: Volumes) -> Float[Array, "n 3"]:
    """(2u/U, 2v/V, -cos(pi w / L)), within -1 and 1.

    Whatever is a function of the last one has no slope along the drift at anode and cathode, so that
    a potential that is such a slope vanishes there.
    """
    size = sizes(volume, volumes, place.dtype)
    return jnp.concatenate(
        [2 * place[:, :2] / size[:, :2], -jnp.cos(jnp.pi * place[:, 2:] / size[:, 2:])], axis=1
    )


def edges(x: Float[Array, "n 3"], volume: Array, volumes: Volumes, grounded: bool) -> Float[Array, " n"]:
    """`SCALE` L^2 times what vanishes at the anode and, if `grounded`, on the field cage."""
    length = sizes(volume, volumes, x.dtype)[:, 2]
    cage = (1 - x[:, 0] ** 2) * (1 - x[:, 1] ** 2) if grounded else 1.0
    return SCALE * length**2 * cage * (1 + x[:, 2]) / 2


class SplineField(AbstractPotentialField):
    """A potential by a tensor product of B-splines of degree 4, times what vanishes on the walls.

    It vanishes on cathode and anode; on the field cage if that is `grounded` (its resistors hold it at the
    nominal potential), else it is free there. Linear in its `coefficients` (group, across, up, along the
    drift): one group for all volumes or, `groups` of them, one for each.
    """

    strength: Array = strength_of()
    coefficients: Array = param((), "1", symbol="c")
    pieces: tuple[int, ...] = eqx.field(static=True, default=(3, 3, 2))
    """Intervals along each axis."""
    groups: int = eqx.field(static=True, default=1)
    grounded: bool = eqx.field(static=True, default=True)

    def __post_init__(self) -> None:
        shape = (self.groups, *(n + DEGREE for n in self.pieces))
        self.coefficients = filled(self.coefficients, shape, "SplineField.coefficients")

    def integrated(self, place: Float[Array, "n 3"], volume: Array, volumes: Volumes) -> Float[Array, " n"]:
        x = coordinates(place, volume, volumes)
        across, up, along = (bsplines(x[:, axis], n) for axis, n in enumerate(self.pieces))
        of_groups = jnp.einsum("nk,nj,ni,gijk->ng", along, up, across, self.coefficients.astype(x.dtype))
        shape = jnp.take_along_axis(of_groups, (volume % self.groups)[:, None], axis=1)[:, 0]
        return edges(x, volume, volumes, self.grounded) * shape


class VoxelField(AbstractField):
    """A table of displacements with straight lines between its nodes, as experiments use them.

    Nodes (group, across, up, along the drift, 3) hold int_0^w (E - E_0) / E_0 dw' [cm] across, up and away
    from the anode; the field is its slope along the drift, with steps from one voxel to the next. Nothing
    makes that free of curl. At the anode it is zero; the first nodes are those behind it.
    """

    strength: Array = strength_of()
    table: Array = param((), "cm", symbol="D")
    voxels: tuple[int, ...] = eqx.field(static=True, default=(5, 5, 4))
    groups: int = eqx.field(static=True, default=1)

    def __post_init__(self) -> None:
        shape = (self.groups, self.voxels[0] + 1, self.voxels[1] + 1, self.voxels[2], 3)
        self.table = filled(self.table, shape, "VoxelField.table")

    def nominal(self) -> Float[Array, ""]:
        return self.strength

    def local(self, points: Float[Array, "n 3"], volume: Array, volumes: Volumes) -> Float[Array, "n 3"]:
        place = jnp.stack(volumes.to_local(points, volume), axis=1)
        slope = self._between(place, volume, volumes, slope=True)
        straight = jnp.asarray(volumes.drift, points.dtype)[volume]
        return self.strength * (straight + in_detector(list(slope.T), volume, volumes))

    def displacement(
        self, points: Float[Array, "n 3"], volume: Array, volumes: Volumes, speed: Speed
    ) -> Float[Array, "n 3"]:
        place = jnp.stack(volumes.to_local(points, volume), axis=1)
        across, up, away = self._between(place, volume, volumes, slope=False).T
        return in_detector([across, up, steepness(speed, self.strength) * away], volume, volumes)

    def _between(
        self, place: Float[Array, "n 3"], volume: Array, volumes: Volumes, slope: bool
    ) -> Float[Array, "n 3"]:
        """Values between the nodes, or their slope along the drift."""
        size = sizes(volume, volumes, place.dtype)
        x = place / size + jnp.array([0.5, 0.5, 0.0], place.dtype)
        table = jnp.pad(self.table.astype(place.dtype), [(0, 0), (0, 0), (0, 0), (1, 0), (0, 0)])
        index, share = [], []
        for axis, n in enumerate(self.voxels):
            at = jnp.clip(x[:, axis] * n, 0, n)
            first = jnp.clip(jnp.floor(at), 0, n - 1).astype(int)
            index.append(first)
            share.append(jnp.stack([1 - (at - first), at - first], axis=1))
        if slope:
            step = size[:, 2] / self.voxels[2]
            share[2] = jnp.stack([-1 / step, 1 / step], axis=1)
        i, j, k = (first[:, None] + np.arange(2) for first in index)
        corners = table[
            (volume % self.groups)[:, None, None, None],
            i[:, :, None, None],
            j[:, None, :, None],
            k[:, None, None, :],
        ]
        return jnp.einsum("nijkc,ni,nj,nk->nc", corners, *share)


def bsplines(x: Float[Array, " n"], pieces: int) -> Float[Array, "n m"]:
    """All B-splines on equal `pieces` of -1 .. 1 with repeated end knots (Cox and de Boor)."""
    inner = np.linspace(-1, 1, pieces + 1)
    knots = np.concatenate([np.full(DEGREE, -1.0), inner, np.full(DEGREE, 1.0)])
    cell = jnp.clip(jnp.floor((x + 1) / 2 * pieces), 0, pieces - 1)
    basis = (cell[:, None] == np.arange(-DEGREE, pieces + DEGREE)[None, :]).astype(x.dtype)
    for degree in range(1, DEGREE + 1):
        n = len(knots) - 1 - degree
        up, down = knots[degree : degree + n] - knots[:n], knots[degree + 1 :][:n] - knots[1 : n + 1]
        rise = np.where(up > 0, 1 / np.where(up > 0, up, 1.0), 0.0)
        fall = np.where(down > 0, 1 / np.where(down > 0, down, 1.0), 0.0)
        left = (x[:, None] - knots[:n]) * rise
        right = (knots[degree + 1 :][:n] - x[:, None]) * fall
        basis = left.astype(x.dtype) * basis[:, :n] + right.astype(x.dtype) * basis[:, 1 : n + 1]
    return basis


def filled(values: Any, shape: Sequence[int], name: str) -> Array:
    """`values`, or zeros where there are none; an error unless the shape is right."""
    if np.size(values) == 0:
        return jnp.zeros(tuple(shape), jnp.result_type(float))
    if np.shape(values) != tuple(shape):
        raise ValueError(f"{name}: expected shape {tuple(shape)}, got {np.shape(values)}")
    return jnp.asarray(values, jnp.result_type(float))
