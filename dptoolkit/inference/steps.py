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


def conjugate(
    product: Any, b: np.ndarray, most: int, solve: Any = None, enough: float = 1e-6
) -> tuple[np.ndarray, float]:
    """Solve A x = b; returns x and b x / 2. `solve` is a preconditioner: about the inverse of A.

    It ends when the squared residual, preconditioned, has fallen to a part `enough`.
    """
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
    return x, float(0.5 * b @ x)
