"""Residuals with a tail: Moyal's likelihood above, smooth everywhere, bounded for what nobody can know."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.inference.straggling import EDGE, StragglingHits, moyal_residual, soft_residual
from tests.inference.decay import hits


def test_half_the_square_is_the_likelihood_of_moyal() -> None:
    u = jnp.linspace(EDGE + 0.01, 30, 200)
    half_square = np.asarray(0.5 * moyal_residual(u) ** 2)
    assert half_square == pytest.approx(np.asarray((u + jnp.exp(-u) - 1) / 2), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("residual", [moyal_residual, soft_residual])
def test_residuals_are_smooth_and_rise(residual) -> None:
    u = jnp.linspace(-8, 8, 4001)
    slope = jax.vmap(jax.grad(residual))(u)
    assert (slope > 0).all() and np.abs(np.diff(slope)).max() < 0.01
    assert np.asarray(slope) == pytest.approx(np.gradient(np.asarray(residual(u)), np.asarray(u)), abs=2e-3)


def test_moyal_charges_pull_to_their_most_probable_value() -> None:
    """The score vanishes on average: 20 000 draws of -ln(chi2_1)."""
    u = -np.log(np.random.default_rng(0).normal(size=20_000) ** 2)
    inside = u[u > EDGE]
    assert len(inside) > 0.95 * len(u)
    pull = jax.grad(lambda shift: jnp.sum(moyal_residual(jnp.asarray(u) - shift) ** 2) / 2)(0.0)
    assert abs(float(pull)) / len(u) < 0.06


def test_a_perfect_prediction_costs_nothing_and_a_stray_hit_a_constant() -> None:
    rng = np.random.default_rng(3)
    predicted = hits(rng, probability=np.ones((6, 2)))
    observed = dataclasses.replace(predicted, probability=jnp.ones((6, 2)))
    loss = StragglingHits()
    assert float(loss({"p": predicted}, {"p": observed})) == pytest.approx(0.0, abs=1e-12)
    never = dataclasses.replace(predicted, probability=predicted.probability.at[0, 0].set(0.0))
    for factor in (1.0, 100.0):
        far = dataclasses.replace(observed, charge=observed.charge.at[0, 0].mul(factor))
        assert float(loss({"p": never}, {"p": far})) == pytest.approx(2.0)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="relative = 0"):
        StragglingHits(relative=0.0)
