"""Lengths of parallel wires on a rectangular anode."""

import numpy as np
from jaxtyping import Float


def wire_lengths(
    n_wires: int, pitch: float, angle: float, face: tuple[float, float]
) -> Float[np.ndarray, " w"]:
    """Length of every wire inside the face (width, height) of a volume [cm]."""
    position = (np.arange(n_wires) - (n_wires - 1) / 2) * pitch
    normal = np.array([np.cos(angle), np.sin(angle)])
    along = np.array([-normal[1], normal[0]])
    low, high = np.full(n_wires, -np.inf), np.full(n_wires, np.inf)
    for axis in range(2):
        if abs(along[axis]) > 1e-9:
            ends = (np.array([[-1], [1]]) * face[axis] / 2 - position * normal[axis]) / along[axis]
            low, high = np.maximum(low, ends.min(axis=0)), np.minimum(high, ends.max(axis=0))
    return np.maximum(high - low, 0.0)


def channel_lengths(lengths: Float[np.ndarray, " w"], wrapped: int) -> Float[np.ndarray, " c"]:
    """Length of wire on every channel [cm]; `wrapped` channels serve both faces, 0: a channel a wire."""
    if not wrapped:
        return lengths
    total = np.zeros(wrapped)
    for face in range(2):
        np.add.at(total, (np.arange(len(lengths)) + face * wrapped // 2) % wrapped, lengths)
    return total
