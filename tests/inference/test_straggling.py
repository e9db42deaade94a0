"""Residuals with a tail: Moyal's likelihood above, smooth everywhere, bounded for what nobody can know."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.inference.losses import soft_residual
from dptoolkit.inference.pad_hits import STRAY
from dptoolkit.inference.straggling import EDGE, StragglingHits, moyal_residual
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


def landau(n: int, seed: int) -> np.ndarray:
    """Landau's lambda: the stable distribution of index 1 and skewness 1, by Chambers, Mallows and Stuck."""
    rng = np.random.default_rng(seed)
    angle, wait = rng.uniform(-np.pi / 2, np.pi / 2, n), rng.exponential(size=n)
    turned = np.pi / 2 + angle
    return turned * np.tan(angle) - np.log(wait * np.cos(angle) / turned)


def test_draws_of_landau_are_his() -> None:
    """Their median, and <exp(-lambda)> = 1."""
    drawn = landau(400_000, 1)
    assert np.median(drawn) == pytest.approx(1.356, abs=0.02)
    assert np.exp(-drawn).mean() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("total", [8e3, 20e3, 60e3])
@pytest.mark.parametrize("n_hits", [1, 3])
def test_fluctuating_charges_with_noise_give_the_charge_and_its_error(total: float, n_hits: int) -> None:
    """40 000 pads: the pull vanishes at the charge predicted, within 0.5 %; the curvature is 1 / variance."""
    loss, n = StragglingHits(), 40_000
    noise = loss.charge_noise * np.random.default_rng(2).normal(size=(n, n_hits))
    share = np.arange(1, n_hits + 1) / (n_hits * (n_hits + 1) / 2)
    charge = total * (1 + loss.relative * landau(n, 3))[:, None] * share + noise
    zero, one = jnp.zeros(charge.shape), jnp.ones(charge.shape)
    widths = {"charge_sigma": one, "time_sigma": one, "correlation": zero}
    base = hits(np.random.default_rng(4), n, np.ones((n, 2)))
    base = dataclasses.replace(base, charge=one, time=zero, probability=one, **widths)
    observed = {"p": dataclasses.replace(base, charge=jnp.asarray(charge))}

    def residuals(scale: jax.Array) -> jax.Array:
        predicted = dataclasses.replace(base, total=scale * total * jnp.ones(n))
        return loss.residuals({"p": predicted}, observed)[:n]

    here = jnp.asarray(1.0)
    r, j = residuals(here), jax.jacfwd(residuals)(here)
    slope = jax.grad(jax.grad(lambda scale: 0.5 * jnp.sum(residuals(scale) ** 2)))(here)
    assert abs(float(jnp.sum(r * j) / slope)) < 0.005
    spread = jnp.sqrt(jnp.sum((r * j) ** 2)) / slope
    assert float(spread * jnp.sqrt(jnp.sum(j**2))) == pytest.approx(1.0, abs=0.12)


def test_how_the_charge_of_a_pad_is_shared_by_its_hits_does_not_matter() -> None:
    rng = np.random.default_rng(5)
    predicted = hits(rng, probability=np.ones((6, 2)))
    observed = dataclasses.replace(predicted, charge=1.1 * predicted.charge)
    shared = dataclasses.replace(observed, charge=observed.charge + 3e3 * jnp.array([1.0, -1.0]))
    loss = StragglingHits()
    assert float(loss({"p": predicted}, {"p": shared})) == pytest.approx(
        float(loss({"p": predicted}, {"p": observed}))
    )


def test_what_is_typical_costs_nothing_and_a_stray_hit_a_constant() -> None:
    rng = np.random.default_rng(3)
    predicted = hits(rng, probability=np.ones((6, 2)))
    loss = StragglingHits(charge_noise=1e-3)
    typical = dataclasses.replace(predicted, charge=predicted.charge * (1 + loss.relative * np.log(2) / 2))
    assert float(loss({"p": predicted}, {"p": typical})) == pytest.approx(0.0, abs=1e-9)
    never = dataclasses.replace(predicted, probability=predicted.probability.at[0].set(0.0))
    for factor in (1.0, 100.0):
        far = dataclasses.replace(typical, charge=typical.charge.at[0].mul(factor))
        assert float(loss({"p": never}, {"p": far})) == pytest.approx(-2 * np.log(STRAY))


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="relative = 0"):
        StragglingHits(relative=0.0)
