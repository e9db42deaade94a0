"""Hits of free charge: unbiased where hits are in doubt, and a pull on charge that no pad reports."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.charge.larpix import LArPix
from dptoolkit.charge.pixel_hits import Before, PixelHits
from dptoolkit.events import Hits
from dptoolkit.inference.pad_hits import FAR, STRAY, PadHits, hit_residuals, mills
from tests.inference.decay import hits

FRONT_END = LArPix(max_hits=3)
LOSS = PadHits(
    hit_noise=float(FRONT_END.hit_noise),
    helping_noise=float(FRONT_END.helping_noise),
    threshold=float(FRONT_END.threshold),
)


def pulses(charge: jax.Array) -> jax.Array:
    """Charges [electrons] that rise within 2 us, a row each."""
    return charge[:, None] * jnp.clip((jnp.arange(256) - 60) / 20, 0, 1)


def expected(charge: jax.Array, observed: Hits) -> Hits:
    """What the front end makes of `charge`, given the observed hits."""
    start, waveforms = jnp.zeros(len(charge)), pulses(charge)
    before = Before(observed.time, observed.probability > 0.5)
    found = FRONT_END(waveforms, start, before=before)
    total, left = (of(waveforms, start, before) for of in (FRONT_END.integrated, FRONT_END.left))
    return rows(found, total, left)


def sampled(charge: float, n: int) -> Hits:
    """Of `n` pads that collect `charge` [electrons] each."""
    found = FRONT_END(pulses(jnp.full(n, charge)), jnp.zeros(n), jax.random.key(3))
    total = jnp.sum(found.charge * found.probability, axis=1)
    return rows(found, total, total)


def rows(found: PixelHits, total: jax.Array, left: jax.Array) -> Hits:
    """A row a pad."""
    of_hits = ("charge", "time", "probability", "charge_sigma", "time_sigma", "correlation")
    index = {name: jnp.zeros(len(total), jnp.int32) for name in ("event", "volume", "column", "row")}
    parts = {name: getattr(found, name) for name in of_hits}
    return Hits(**parts, total=total, left=left, **index, valid=jnp.ones(len(total), bool))


@pytest.mark.parametrize("charge", [4000.0, 5000.0, 6000.0, 9000.0])
def test_charges_at_the_threshold_come_out_right(charge: float) -> None:
    """One charge is fitted to 3 000 pads: it is within 1 % or its noise of the truth."""
    n = 3000
    observed = sampled(charge, n)

    @jax.jit
    def residuals(x: jax.Array) -> jax.Array:
        return LOSS.residuals({"p": expected(jnp.full(n, x), observed)}, {"p": observed})

    slope_of = jax.jit(jax.jacfwd(residuals))
    x = jnp.asarray(1.1 * charge)
    for _ in range(6):
        r, j = residuals(x), slope_of(x)
        x = x - jnp.sum(r * j) / jnp.sum(j**2)
    error = float(1 / jnp.sqrt(jnp.sum(j**2)))
    assert abs(float(x) - charge) < 0.01 * charge + 3 * error
    assert error < 0.01 * charge


@pytest.mark.parametrize("charge", [4000.0, 5000.0, 6000.0])
def test_noise_that_helped_a_hit_is_mills_ratio(charge: float) -> None:
    observed = sampled(charge, 8000)
    happened = np.asarray(observed.probability[:, 0]) > 0.5
    excess = (np.asarray(observed.charge[:, 0]) - charge)[happened].mean()
    chance = expected(jnp.full(1, charge), jax.tree.map(lambda x: 0 * x[:1], observed)).probability[0, 0]
    assert float(chance) == pytest.approx(happened.mean(), abs=0.02)
    assert excess == pytest.approx(float(FRONT_END.helping_noise * mills(chance)), abs=60.0)


def test_half_the_square_is_the_likelihood_of_what_happened() -> None:
    chance = np.random.default_rng(1).uniform(0.02, 0.98, (6, 2))
    predicted = hits(np.random.default_rng(2), probability=chance)
    happened = np.arange(12).reshape(6, 2) % 2
    observed = dataclasses.replace(predicted, probability=jnp.asarray(happened, float))
    cost = 0.5 * np.asarray(hit_residuals(predicted, observed)) ** 2
    assert cost == pytest.approx(-np.log(np.where(happened, chance, 1 - chance)))


def test_certain_outcomes_cost_nothing_and_impossible_ones_a_constant_with_finite_slopes() -> None:
    base = hits(np.random.default_rng(2), 1)
    for chance, happened, cost in ((1.0, 1.0, 0.0), (0.0, 0.0, 0.0), (0.0, 1.0, 7.0), (1.0, 0.0, 7.0)):
        observed = dataclasses.replace(base, probability=jnp.full((1, 2), happened))

        def half_square(p, observed=observed):
            predicted = dataclasses.replace(base, probability=jnp.full((1, 2), p))
            return 0.5 * jnp.sum(hit_residuals(predicted, observed)[0, :1] ** 2)

        assert float(half_square(chance)) == pytest.approx(-np.log(STRAY) * cost / 7.0, abs=1e-9)
        assert np.isfinite(jax.grad(half_square)(chance))


def test_charge_that_no_hit_follows_pulls_however_much_it_is() -> None:
    """P(hit) has no slope there."""
    nothing = jax.tree.map(lambda x: 0 * x, sampled(1.0, 2))
    nothing = dataclasses.replace(nothing, valid=jnp.ones(2, bool))

    def loss(charge: jax.Array) -> jax.Array:
        return LOSS({"p": expected(jnp.full(2, charge), nothing)}, {"p": nothing})

    edge = LOSS.threshold + FAR * LOSS.hit_noise
    for charge in (1.3 * edge, 3 * edge, 10 * edge):
        assert float(jax.grad(loss)(charge)) * LOSS.hit_noise > 0.5
    assert float(jax.grad(loss)(100.0)) == pytest.approx(0.0, abs=1e-6)


def test_what_follows_the_last_hit_counts_as_left() -> None:
    """A second rise of 30 ke without a hit is left; the first is in the window of its hit."""
    charge = pulses(jnp.full(1, 9e3)) + 30e3 * jnp.clip((jnp.arange(256) - 180) / 20, 0, 1)
    none = jnp.zeros((1, 3))
    hit = Before(none.at[0, 0].set(7.5), jnp.asarray([[True, False, False]]))
    silent = Before(none, jnp.zeros((1, 3), bool))
    assert float(FRONT_END.left(charge, jnp.zeros(1), hit)[0]) == pytest.approx(30e3, rel=1e-6)
    assert float(FRONT_END.left(charge, jnp.zeros(1), silent)[0]) == pytest.approx(39e3, rel=1e-6)


def test_pads_whose_hits_were_all_used_say_nothing_of_what_is_left() -> None:
    base = hits(np.random.default_rng(2), 2, np.ones((2, 2)))
    observed = dataclasses.replace(base, charge=base.charge)
    full = dataclasses.replace(base, left=jnp.full(2, 1e5))
    assert float(LOSS({"p": full}, {"p": observed})) == pytest.approx(
        float(LOSS({"p": dataclasses.replace(base, left=jnp.zeros(2))}, {"p": observed}))
    )


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="threshold = 0"):
        PadHits(threshold=0.0)
    with pytest.raises(ValueError, match="helping_noise = -1"):
        PadHits(helping_noise=-1.0)
