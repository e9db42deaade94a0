"""Training of a network on a visibility table: v = prior x exp(network), by a deviance of counts.

The deviance of photons n against their expectation mu is that of Poisson counts with an additional relative
spread sqrt(alpha), the negative binomial: -n ln mu + (n + 1/alpha) ln(1 + alpha mu), but for a constant. Its
slope (mu - n) / (1 + alpha mu) d ln mu is unbiased whatever the noise of the table, weighs faint places by
their counts and bright ones alike, and is Poisson's for alpha -> 0. Expected photons are worth as many
counted ones as have their noise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from jaxtyping import Array, Float, Int

from dptoolkit.atomic import write_bytes
from dptoolkit.light.plates import Plates
from dptoolkit.light.visibility import AbstractVisibility
from dptoolkit.surrogates.siren import Siren, SirenVisibility
from dptoolkit.surrogates.table import VisibilityTable

DELAY_WEIGHT = 0.1
"""Of the deviance of mean delays, against that of photons."""
STEPS_AT_ONCE = 8
"""In a compiled call; between two of them the training can be stopped."""


@dataclass(frozen=True)
class Training:
    """How a network is trained: its shape, the optimiser's schedule, and what error it may keep."""

    steps: int = 3000
    batch: int = 2048
    """Voxels."""
    width: int = 128
    depth: int = 4
    omega: float = 10.0
    learning_rate: float = 6e-3
    """The largest; it rises in the first twentieth of the steps and falls to zero as a cosine."""
    model_error: float = 0.01
    """Relative error below which counts no longer weigh more."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "width", "depth", "omega", "learning_rate", "model_error"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)}: expected a positive number")

    def optimiser(self) -> optax.GradientTransformation:
        """Muon for the matrices, Adam for the rest, with their schedule."""
        rate = optax.warmup_cosine_decay_schedule(
            0.0, self.learning_rate, max(self.steps // 20, 1), max(self.steps, 2)
        )
        return optax.contrib.muon(rate, adam_b2=0.99)


class State(eqx.Module):
    """Where a training stands; with the same table and settings it goes on exactly from here."""

    network: Siren
    optimiser: Any
    step: Int[Array, ""]


def deviance(
    photons: Float[Array, "..."], expected: Float[Array, "..."], dispersion: Float[Array, ""] | float
) -> Float[Array, "..."]:
    """Of counts whose variance is mu + alpha mu^2, but for a constant; `dispersion` alpha > 0."""
    scaled = dispersion * expected
    return photons * jnp.log1p(1 / scaled) + jnp.log1p(scaled) / dispersion


def begin(
    table: VisibilityTable, prior: AbstractVisibility, plates: Plates, training: Training
) -> tuple[SirenVisibility, State]:
    """The untrained network of a table, which gives the prior in the mean over some voxels."""
    half = np.maximum(np.abs(table.low), np.abs(table.high))
    hidden = (training.width,) * training.depth
    key = jax.random.key(training.seed)
    visibility = SirenVisibility.untrained(prior, half, plates, hidden, training.omega, key)
    some = np.random.default_rng(training.seed).integers(len(table), size=training.batch)
    points, seen, delay = _rows(table, some)
    guess, late = prior(points, plates)
    share = jnp.log(jnp.sum(seen, axis=0) / jnp.sum(guess, axis=0))
    later = jnp.log(jnp.sum(seen * delay, axis=0) / jnp.sum(seen * late, axis=0))
    bias = jnp.nan_to_num(jnp.concatenate([share, later]), neginf=0.0, posinf=0.0)
    visibility = eqx.tree_at(lambda v: v.network.biases[-1], visibility, bias)
    return visibility, State(
        visibility.network, training.optimiser().init(visibility.network), jnp.asarray(0)
    )


def train(
    table: VisibilityTable,
    visibility: SirenVisibility,
    plates: Plates,
    training: Training,
    state: State,
    progress: Callable[[State, float], object] = lambda state, loss: None,
) -> State:
    """Go on from `state` to the last step; `progress` gets every new state and its loss, and may raise.

    Batches are read from the table when they are needed, so memory does not grow with it.
    """
    noise = (jnp.asarray(table.photons), jnp.asarray(training.model_error**2))
    optimiser = training.optimiser()
    while int(state.step) < training.steps:
        first = int(state.step)
        n = min(STEPS_AT_ONCE - first % STEPS_AT_ONCE, training.steps - first)
        batches = _rows(table, np.stack([_batch(len(table), training, first + k) for k in range(n)]))
        state, losses = _advance(visibility, plates, optimiser, noise, state, batches)
        progress(state, float(losses[-1]))
    return state


def _batch(n_voxels: int, training: Training, step: int) -> Int[np.ndarray, " b"]:
    """Voxels of a step: every voxel once, in random order, before any again."""
    size = min(training.batch, n_voxels)
    epoch, position = divmod(step, n_voxels // size)
    return _order(n_voxels, training.seed, epoch)[position * size : (position + 1) * size]


@lru_cache(maxsize=1)
def _order(n_voxels: int, seed: int, epoch: int) -> Int[np.ndarray, " n"]:
    return np.random.default_rng((seed, epoch)).permutation(n_voxels)


Batch = tuple[Float[Array, "*b 3"], Float[Array, "*b p"], Float[Array, "*b p"]]
"""Points [cm], what is seen of each, mean delays [ns]."""


def _rows(table: VisibilityTable, voxel: Int[np.ndarray, "*b"]) -> Batch:
    seen, delay = table.rows(voxel.ravel())
    real = jnp.result_type(float)
    return (
        jnp.asarray(table.points(voxel.ravel()).reshape(*voxel.shape, 3), real),
        jnp.asarray(seen.reshape(*voxel.shape, -1), real),
        jnp.asarray(delay.reshape(*voxel.shape, -1), real),
    )


@eqx.filter_jit
def _advance(
    visibility: SirenVisibility,
    plates: Plates,
    optimiser: optax.GradientTransformation,
    noise: tuple[Array, Array],
    state: State,
    batches: Batch,
) -> tuple[State, Array]:
    def one(state: State, batch: Batch) -> tuple[State, Array]:
        def loss(network: Siren) -> Array:
            return mean_deviance(eqx.tree_at(lambda v: v.network, visibility, network), plates, noise, batch)

        value, slope = jax.value_and_grad(loss)(state.network)
        change, moments = optimiser.update(slope, state.optimiser, cast(Any, state.network))
        return State(eqx.apply_updates(state.network, change), moments, state.step + 1), value

    return jax.lax.scan(one, state, batches)


def mean_deviance(
    visibility: SirenVisibility, plates: Plates, noise: tuple[Array, Array], batch: Batch
) -> Float[Array, ""]:
    """Of probabilities and delays, over points and plates, in units of 1 / dispersion."""
    points, seen, delay = batch
    photons, dispersion = noise
    probability, late = visibility(points, plates)
    expected = photons * probability
    of_photons = deviance(photons * seen, expected, dispersion)
    counted = jax.lax.stop_gradient(expected / (1 + dispersion * expected))
    ratio = jnp.where(delay > 0, delay / late, 1.0)
    of_delays = jnp.where(delay > 0, counted * (ratio - 1 - jnp.log(ratio)), 0.0)
    return dispersion * jnp.mean(of_photons + DELAY_WEIGHT * of_delays)


def save_state(path: str | Path, state: State, plan: str) -> Path:
    """A checkpoint; `plan` says what must be the same when it is read."""
    arrays: dict[str, Any] = {f"leaf{k}": np.asarray(leaf) for k, leaf in enumerate(jax.tree.leaves(state))}
    content = BytesIO()
    np.savez(content, plan=np.array(plan), **arrays)
    return write_bytes(path, content.getvalue())


def load_state(path: str | Path, like: State, plan: str) -> State:
    """A checkpoint of a training with this `plan`; raises `ValueError` if it is of another."""
    leaves, shape = jax.tree.flatten(like)
    try:
        with np.load(path) as file:
            if str(file["plan"]) != plan:
                raise ValueError(
                    f"{path}: is of another training; expected the same detector, table and options: choose "
                    f"another -o, or begin anew with --force"
                )
            found = [jnp.asarray(file[f"leaf{k}"]) for k in range(len(leaves))]
    except (OSError, KeyError, BadZipFile) as error:
        raise ValueError(f"{path}: is no checkpoint ({error}); begin anew with --force") from None
    return jax.tree.unflatten(shape, found)
