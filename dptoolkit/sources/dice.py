"""Random numbers that belong to a particle: the same whatever else is simulated next to it.

A particle has a 64-bit state, and its stream is SplitMix64 (G. Steele et al., OOPSLA 2014): draw number j of
the state s is mix(s + j g). Arrays of particles draw together; nothing depends on who is in the array.
"""

import numpy as np

State = np.ndarray
"""uint64, one a particle."""
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_BRANCH = 0xD1342543DE82EF95
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class Dice:
    """Draws for particles of these states; every draw is a new number for each of them.

    How often one draws must not depend on the other particles in the array: a loop that ends when all
    have what they need draws from a `branch`.
    """

    def __init__(self, state: State) -> None:
        self.state = state

    def bits(self) -> np.ndarray:
        """64 random bits a particle; also a state for a daughter."""
        self.state = self.state + GOLDEN
        return mix(self.state)

    def branch(self, label: int) -> "Dice":
        """Another stream of the same particles."""
        return Dice(mix(self.state ^ np.uint64(label * _BRANCH % 2**64)))

    def uniform(self) -> np.ndarray:
        """In (0, 1), never an end."""
        return _real(self.bits())

    def uniforms(self, n: int) -> np.ndarray:
        """`n` draws, a row each."""
        states = self.state + GOLDEN * np.arange(1, n + 1, dtype=np.uint64)[:, None]
        self.state = states[-1]
        return _real(mix(states))

    def exponential(self) -> np.ndarray:
        """Mean 1."""
        return -np.log(self.uniform())

    def direction(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Isotropic unit vectors."""
        first, second = self.uniforms(2)
        cosine, angle = 2 * first - 1, 2 * np.pi * second
        sine = np.sqrt(1 - cosine**2)
        return sine * np.cos(angle), sine * np.sin(angle), cosine

    def poisson(self, mean: np.ndarray, most: int = 3) -> np.ndarray:
        """Small counts, cut at `most`."""
        left = self.uniform()
        term = np.exp(-mean)
        count = np.zeros(len(mean), np.int64)
        for k in range(1, most + 1):
            left = left - term
            count += left > 0
            term = term * mean / k
        return count

    def of(self, chosen: np.ndarray) -> "Dice":
        """Dice of some particles; the others draw no more."""
        return Dice(self.state[chosen])


def _real(bits: np.ndarray) -> np.ndarray:
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def mix(state: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64."""
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return state ^ (state >> np.uint64(31))


def turned(
    direction: tuple[np.ndarray, np.ndarray, np.ndarray], cosine: np.ndarray, angle: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors at polar angle arccos(`cosine`) and azimuth `angle` around `direction`."""
    x, y, z = direction
    sine = np.sqrt(np.maximum(0.0, 1 - cosine**2))
    sign = np.where(z >= 0, 1.0, -1.0)  # orthonormal basis of Duff et al., JCGT 6 (2017)
    a = -1 / (sign + z)
    b = x * y * a
    first, second = sine * np.cos(angle), sine * np.sin(angle)
    return _unit(
        first * (1 + sign * x * x * a) + second * b + cosine * x,
        first * sign * b + second * (sign + y * y * a) + cosine * y,
        -first * sign * x - second * y + cosine * z,
    )


def _unit(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    norm = np.sqrt(x * x + y * y + z * z)
    return x / norm, y / norm, z / norm
