"""Networks of sines, and the visibility of argon light as one.

SIREN: Sitzmann et al., arXiv:2006.09661; for the visibility of a liquid-argon TPC: arXiv:2211.01505.
"""

from collections.abc import Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import equinox as eqx
import h5py
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

import dptoolkit
from dptoolkit.atomic import write_bytes
from dptoolkit.light.plates import Plates
from dptoolkit.light.visibility import AbstractVisibility, PointSource, ScatteredSource, Uniform
from dptoolkit.params import infos, replace
from dptoolkit.surrogates.files import Group, labelled, opened

KIND, VERSION = "visibility-network", 1
PARTS = ("weights", "biases")
PRIORS = {cls.__name__: cls for cls in (Uniform, PointSource, ScatteredSource)}
"""What a network may multiply."""


class Siren(eqx.Module):
    """x -> sin(omega (W x + b)) -> ... -> W x + b: smooth, with exact derivatives of every order.

    Weights begin uniform in +-1/n in the first layer of n inputs, in +-sqrt(6/n)/omega in the others; those
    of the last are zero, so that the network begins as 0.
    """

    weights: tuple[Float[Array, "_ _"], ...]
    biases: tuple[Float[Array, " _"], ...]
    omega: float = eqx.field(static=True, default=10.0)

    @classmethod
    def draw(cls, sizes: Sequence[int], omega: float, key: Key[Array, ""]) -> "Siren":
        """Of layers with these numbers of inputs, ..., outputs."""
        weights, biases = [], []
        last = len(sizes) - 2
        for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
            bound = 1 / n_in if layer == 0 else 0.0 if layer == last else np.sqrt(6 / n_in) / omega
            for_weight, for_bias = jax.random.split(jax.random.fold_in(key, layer))
            shift = 0.0 if layer == last else 1 / np.sqrt(n_in)
            weights.append(jax.random.uniform(for_weight, (n_in, n_out), minval=-bound, maxval=bound))
            biases.append(jax.random.uniform(for_bias, (n_out,), minval=-shift, maxval=shift))
        return cls(tuple(weights), tuple(biases), omega)

    def __call__(self, x: Float[Array, "n i"]) -> Float[Array, "n o"]:
        """`x` within -1 and 1."""
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = jnp.sin(self.omega * (x @ weight.astype(x.dtype) + bias.astype(x.dtype)))
        return x @ self.weights[-1].astype(x.dtype) + self.biases[-1].astype(x.dtype)

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(part.size for part in jax.tree.leaves((self.weights, self.biases)))


class SirenVisibility(AbstractVisibility):
    """The prior times exp(network), for probability and mean delay alike."""

    network: Siren
    prior: AbstractVisibility
    half: Float[np.ndarray, " 3"]
    """Half lengths of the box of positions that become -1 .. 1, from the middle of the drift volume [cm]."""
    even: Bool[np.ndarray, " 3"]
    """Axes along which walls and plates are their own mirror images: x^2 stands for x."""

    @classmethod
    def untrained(
        cls,
        prior: AbstractVisibility,
        half: Float[np.ndarray, " 3"],
        plates: Plates,
        hidden: tuple[int, ...],
        omega: float,
        key: Key[Array, ""],
    ) -> "SirenVisibility":
        """The prior itself, with sine layers of `hidden` units."""
        network = Siren.draw((3, *hidden, 2 * len(plates)), omega, key)
        return cls(network, prior, np.asarray(half, float), plates.even)

    @classmethod
    def from_file(cls, path: str | Path) -> "SirenVisibility":
        """As `save` wrote it; raises `ValueError` if it is something else."""
        with opened(path, KIND, VERSION) as file:
            prior, values = PRIORS[file.attrs["prior"]](), file["prior"].attrs
            layers = [
                [jnp.asarray(file[f"{part}/{k}"][()]) for k in range(len(file[part]))] for part in PARTS
            ]
            network = Siren(tuple(layers[0]), tuple(layers[1]), float(file.attrs["omega"]))
            half, even = np.asarray(file.attrs["half"], float), np.asarray(file.attrs["even"], bool)
            return cls(network, replace(prior, dict(values)), half, even)

    def save(self, path: str | Path) -> Path:
        """Write the file of `from_file`."""
        content = BytesIO()
        with h5py.File(content, "w") as opening:
            file: Group = opening
            labelled(file, KIND, VERSION)
            file.attrs["dptoolkit_version"] = dptoolkit.__version__
            file.attrs["omega"], file.attrs["even"] = self.network.omega, self.even
            file.attrs["half"], file.attrs["unit"] = self.half, "cm"
            file.attrs["prior"] = type(self.prior).__name__
            for name, info in infos(self.prior).items():
                file.require_group("prior").attrs[name] = float(info.value)
            file.require_group("prior")
            for part, layers in zip(PARTS, (self.network.weights, self.network.biases), strict=True):
                for k, values in enumerate(layers):
                    file[f"{part}/{k}"] = np.asarray(values)
        return write_bytes(path, content.getvalue())

    def __call__(
        self, points: Float[Array, "n 3"], plates: Plates
    ) -> tuple[Float[Array, "n p"], Float[Array, "n p"]]:
        seen, delay = self.prior(points, plates)
        more, later = self.logarithms(points)
        if more.shape[1] != len(plates):
            raise ValueError(f"a network for {more.shape[1]} plates: expected {len(plates)}")
        return seen * jnp.exp(more), delay * jnp.exp(later)

    def logarithms(self, points: Float[Array, "n 3"]) -> tuple[Float[Array, "n p"], Float[Array, "n p"]]:
        """Of (probability, mean delay) over those of the prior."""
        x = points / jnp.asarray(self.half, points.dtype)
        out = self.network(jnp.where(jnp.asarray(self.even), 2 * x**2 - 1, x))
        n_plates = out.shape[1] // 2
        return out[:, :n_plates], out[:, n_plates:]
