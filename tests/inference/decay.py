"""A detector of three parameters and a few lines: inference must not know more of a detector than this."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dptoolkit.events import Hits, Waveforms
from dptoolkit.inference import Experiment, GaussianChi2, Problem
from dptoolkit.params import Component, param

WIRES, TICKS, NOISE = 2, 16, 0.1


class Decay(Component):
    """Wire w sees height x partner x exp(-t / lifetime) (1 + w slope) in each of its blocks."""

    height: Array = param(4.0, "1", bounds=(0.1, 50.0), typical=(2.0, 8.0))
    partner: Array = param(1.0, "1", bounds=(0.1, 10.0))
    lifetime: Array = param(8.0, "us", bounds=(1.0, 1e3), typical=(4.0, 16.0), scale="inverse")
    slope: Array = param((0.0, 0.0), "1", bounds=(-2.0, 2.0))
    blocks: int = eqx.field(static=True, default=3)

    def layout(self, inputs: Any) -> np.ndarray:
        """Blocks that exist: the first padded one does not."""
        return np.arange(-1, self.blocks)

    def __call__(self, inputs: Any, key: Array | None = None, layout: Any = None) -> dict[str, Waveforms]:
        block = jnp.asarray(self.layout(inputs) if layout is None else layout)
        time = block[:, None, None] * TICKS + jnp.arange(TICKS)
        scale = self.height * self.partner * inputs
        samples = scale * jnp.exp(-time / self.lifetime) * (1 + self.slope[:, None])
        if key is not None:
            samples = samples + NOISE * jax.random.normal(key, samples.shape)
        valid = block >= 0
        zeros = jnp.zeros(len(block), jnp.int32)
        return {
            "trace": Waveforms(
                samples=jnp.where(valid[:, None, None], samples, 0.0),
                event=zeros, group=zeros, channel=zeros,
                tick=jnp.asarray(block * TICKS, jnp.int32), valid=valid,
                n_channels=WIRES, tick_period=1.0, unit="ADC",
            )
        }  # fmt: skip


class Charge(Component):
    """A source that frees the same charge every time."""

    charge: Array = param(1.0, "1", bounds=(0.0, 10.0))

    def __call__(self) -> Array:
        return self.charge


TRUTH = {"height": 5.0, "lifetime": 11.0}


def toy(key: Array | None = None, free: tuple[str, ...] = ("height", "lifetime"), **start: float) -> Problem:
    """Data made with `TRUTH`, fitted from `start`."""
    model = dataclasses.replace(Decay(), **start)
    observed = dataclasses.replace(Decay(), **TRUTH)(jnp.asarray(1.0), key=key)
    return Problem(Experiment(model, Charge()), free, GaussianChi2(noise=NOISE), observed)


def hits(rng: np.random.Generator, n: int = 6, probability: np.ndarray | None = None) -> Hits:
    """Pads with up to two hits."""
    shape = (n, 2)
    chance = rng.uniform(0.05, 0.95, shape) if probability is None else probability
    charge = rng.uniform(6e3, 2e4, shape)
    total = jnp.asarray(charge.sum(axis=1))
    ints = {name: jnp.asarray(np.arange(n) if name == "column" else np.zeros(n), jnp.int32)
            for name in ("event", "volume", "column", "row")}  # fmt: skip
    return Hits(
        charge=jnp.asarray(charge), time=jnp.asarray(rng.uniform(10, 200, shape)),
        probability=jnp.asarray(chance), charge_sigma=jnp.full(shape, 900.0),
        time_sigma=jnp.full(shape, 0.4), correlation=jnp.full(shape, 0.3),
        total=total, left=total, valid=jnp.ones(n, bool), **ints,
    )  # fmt: skip
