"""The linear algebra of a step of Gauss-Newton: with the matrix, within bounds, and without it."""

from typing import Any

import numpy as np

from dptoolkit.inference.problem import Normal


def step_inside(normal: Normal, damping: float, room: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """The damped step within `room` (least and greatest change): who would leave it is held at its edge."""
    low, high = room
    move, free = np.zeros(len(low)), np.ones(len(low), bool)
    while free.any():
        gradient = normal.gradient + normal.matrix @ np.where(free, 0.0, move)
        part = Normal(normal.loss, gradient[free], normal.matrix[np.ix_(free, free)])
        move[free] = _solve(part, damping)
        leaving = free & ((move < low) | (move > high))
        if not leaving.any():
            break
        move = np.clip(move, low, high)
        free &= ~leaving
    return move


def _solve(normal: Normal, damping: float) -> np.ndarray:
    """The damped step; directions that nothing depends on are left where they are."""
    scale = np.sqrt(np.maximum(np.diag(normal.matrix), 1e-300))
    matrix = normal.matrix / np.outer(scale, scale) + damping * np.eye(len(scale))
    size, vectors = np.linalg.eigh(matrix)
    useful = size > 1e-7 * size.max()
    along = vectors.T @ (normal.gradient / scale)
    return -(vectors[:, useful] @ (along[useful] / size[useful])) / scale


Pairs = list[tuple[np.ndarray, np.ndarray]]
"""Vectors v with the products A v."""


def learnt(solve: Any, pairs: Pairs) -> Any:
    """The preconditioner `solve` of A, made exact along the last vectors whose products are known.

    L-BFGS with the vectors of conjugate gradients (J. L. Morales, J. Nocedal, SIAM J. Optim. 10 (2000) 1079).
    """
    known = [(v, av, 1 / float(v @ av)) for v, av in pairs if float(v @ av) > 0]

    def improved(r: np.ndarray) -> np.ndarray:
        r, parts = r.copy(), []
        for v, av, inverse in reversed(known):
            parts.append(inverse * float(v @ r))
            r -= parts[-1] * av
        x = solve(r)
        for (v, av, inverse), part in zip(known, reversed(parts), strict=True):
            x = x + v * (part - inverse * float(av @ x))
        return x

    return improved


def conjugate(
    product: Any, b: np.ndarray, most: int, solve: Any = None, enough: float = 1e-6
) -> tuple[np.ndarray, float]:
    """Solve A x = b; returns x and b A^-1 b / 2, about. `solve` is a preconditioner: about the inverse of A.

    It ends when the squared residual, preconditioned, has fallen to a part `enough`. What `most` products
    leave of it counts as well, as much as the preconditioner knows of it.
    """
    known = solve is not None
    solve = solve or (lambda r: r)
    x, r = np.zeros_like(b), b.copy()
    p = solve(r)
    square = float(r @ p)
    first = square
    for _ in range(most):
        if square <= enough * first:
            break
        ap = product(p)
        length = square / max(float(p @ ap), 1e-300)
        x, r = x + length * p, r - length * ap
        y = solve(r)
        square, before = float(r @ y), square
        p = y + square / before * p
    return x, float(0.5 * b @ x) + (0.5 * square if known else 0.0)
