"""Losses: least at the truth, finite gradients at the truth and far away, blind to padding and order."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.charge.larpix import LArPix
from dptoolkit.events import Hits
from dptoolkit.inference import CensoredHits, GaussianChi2, HitLikelihood, MultiScale, PoissonLikelihood
from dptoolkit.inference.losses import AbstractResidualLoss, ColouredChi2, SquaredDifference
from tests.inference.decay import TICKS, Decay, hits

LAGS = np.array([1.0, 0.6, 0.2])
OF_SAMPLES = {
    "GaussianChi2": GaussianChi2(noise=0.5),
    "ColouredChi2": ColouredChi2.of({"trace": (np.array([0.5, 0.7]), LAGS)}, TICKS),
    "SquaredDifference": SquaredDifference(),
    "PoissonLikelihood": PoissonLikelihood(),
    "MultiScale": MultiScale(time=4.0, channels=2),
}
OF_HITS = {"CensoredHits": CensoredHits(), "HitLikelihood": HitLikelihood()}


def trace(height: Any, shift: Any = 0.0) -> dict[str, Any]:
    """A pulse whose height and place can be moved."""
    found = Decay()(jnp.asarray(1.0))["trace"]
    time = found.tick[:, None, None] + jnp.arange(TICKS)
    pulse = height * jnp.exp(-0.5 * ((time - 20 - shift) / 3) ** 2) * jnp.ones((1, 2, 1))
    return {"trace": dataclasses.replace(found, samples=jnp.where(found.valid[:, None, None], pulse, 0.0))}


def pads(charge: Any = 1.0, time: Any = 0.0, n: int = 6) -> dict[str, Hits]:
    """Hits whose charge is scaled and whose time is shifted."""
    rng = np.random.default_rng(1)
    found = hits(rng, n, np.ones((n, 2)) * 0.999999)
    return {"pads": dataclasses.replace(found, charge=found.charge * charge, time=found.time + time)}


@pytest.mark.parametrize("name", OF_SAMPLES)
def test_a_loss_of_samples_is_least_at_the_truth_with_finite_gradients_everywhere(name):
    loss, truth = OF_SAMPLES[name], trace(7.0)
    value = lambda x: loss(trace(x[0], x[1]), truth)  # noqa: E731
    best = value(jnp.array([7.0, 0.0]))
    np.testing.assert_allclose(jax.grad(value)(jnp.array([7.0, 0.0])), 0, atol=1e-6)
    for place in ([6.0, 0.0], [8.0, 0.0], [7.0, 1.0], [7.0, -1.0], [1.0, 15.0], [40.0, -15.0]):
        x = jnp.array(place)
        assert value(x) > best
        assert np.isfinite(jax.grad(value)(x)).all()


@pytest.mark.parametrize("name", OF_HITS)
def test_a_loss_of_hits_is_least_at_the_truth_with_finite_gradients_everywhere(name):
    loss, truth = OF_HITS[name], pads()
    value = lambda x: loss(pads(x[0], x[1]), truth)  # noqa: E731
    best = value(jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(jax.grad(value)(jnp.array([1.0, 0.0])), 0, atol=1e-6)
    for place in ([0.9, 0.0], [1.1, 0.0], [1.0, 0.3], [1.0, -0.3], [0.2, 500.0]):
        x = jnp.array(place)
        assert value(x) > best
        assert np.isfinite(jax.grad(value)(x)).all()


@pytest.mark.parametrize("name", [*OF_SAMPLES, *OF_HITS])
def test_order_and_padding_of_rows_change_nothing(name):
    loss = {**OF_SAMPLES, **OF_HITS}[name]
    mine, theirs = (trace(5.0, 1.0), trace(7.0)) if name in OF_SAMPLES else (pads(1.1, 0.2), pads())
    (key,) = mine
    n = len(mine[key].valid)
    turned = jnp.concatenate([jnp.arange(n)[::-1], jnp.zeros(3, int)])

    def padded(part: Any) -> Any:
        grown = jax.tree.map(lambda x: x[turned], part)
        return dataclasses.replace(grown, valid=grown.valid & (jnp.arange(n + 3) < n))

    changed = loss({key: padded(mine[key])}, {key: padded(theirs[key])})
    assert changed == pytest.approx(float(loss(mine, theirs)), rel=1e-9)


@pytest.mark.parametrize(
    "name",
    [name for name, loss in {**OF_SAMPLES, **OF_HITS}.items() if isinstance(loss, AbstractResidualLoss)],
)
def test_the_gradient_is_that_of_the_residuals(name):
    """J^T r = d loss: Gauss-Newton goes down the loss that it reports."""
    loss = {**OF_SAMPLES, **OF_HITS}[name]
    make, truth = (trace, trace(7.0)) if name in OF_SAMPLES else (pads, pads())
    x = jnp.array([6.0, 0.5]) if name in OF_SAMPLES else jnp.array([1.05, 0.1])
    residuals = lambda x: loss.residuals(make(x[0], x[1]), truth)  # noqa: E731
    r, slope = residuals(x), jax.jacfwd(residuals)(x)
    np.testing.assert_allclose(slope.T @ r, jax.grad(lambda x: loss(make(*x), truth))(x), rtol=2e-3)


def test_a_blurred_loss_feels_a_pulse_that_does_not_overlap():
    """At 20 ticks the squared difference is flat; after averaging over 16 ticks it points to the truth."""
    truth = trace(7.0)
    slope = {
        name: float(jax.grad(lambda s, loss=loss: loss(trace(7.0, s), truth))(20.0))
        for name, loss in {"plain": GaussianChi2(noise=1.0), "blurred": MultiScale(time=16.0)}.items()
    }
    assert slope["blurred"] > 10 * abs(slope["plain"])


def test_the_multi_scale_noise_is_one():
    """White noise of a block far from its neighbours gives residuals of variance 1 inside it."""
    loss = MultiScale(time=4.0, channels=1, noise=0.3)
    empty = trace(0.0)
    noise = 0.3 * np.random.default_rng(0).normal(size=(300, *empty["trace"].samples.shape))
    found = [
        np.asarray(
            loss.residuals(empty, {"trace": dataclasses.replace(empty["trace"], samples=jnp.asarray(x))})
        )
        for x in noise
    ]
    variance = np.var(found, axis=0)
    inner = np.sort(variance)[-12:]
    assert inner.mean() == pytest.approx(1.0, abs=0.15)


def test_whitened_noise_is_white():
    """Residuals of noise with the stated correlation have covariance 1."""
    loss = OF_SAMPLES["ColouredChi2"]
    rng, n = np.random.default_rng(0), 20_000
    lags = np.zeros(TICKS)
    lags[:3] = LAGS
    root = np.linalg.cholesky(lags[np.abs(np.subtract.outer(np.arange(TICKS), np.arange(TICKS)))])
    noise = rng.normal(size=(n, TICKS)) @ root.T
    white = noise @ np.asarray(loss.whitening["trace"]).T
    np.testing.assert_allclose(np.cov(white.T), np.eye(TICKS), atol=0.05)


def test_a_pad_that_should_have_fired_costs_no_more_than_the_least_probability():
    rng = np.random.default_rng(2)
    silent, fired = hits(rng, 1, np.zeros((1, 2))), hits(rng, 1, np.array([[1.0, 0.0]]))
    cost = HitLikelihood(unlikely=1e-3)({"pads": silent}, {"pads": fired})
    assert cost == pytest.approx(np.log(1e3), rel=1e-3)


def test_the_loss_of_censored_hits_is_continuous_where_a_slow_charge_reaches_the_threshold():
    """The crossing leaps from never to late: an electron more must not cost more than a charge would."""
    front = LArPix(reset_noise=jnp.asarray(0.0), uncorrelated_noise=jnp.asarray(0.0), max_hits=2)
    pulse = 1 - jnp.exp(-jnp.arange(400) / 60.0)

    def seen(total):
        found = front(total * pulse[None], jnp.zeros(1))
        rest = {name: getattr(found, name) for name in ("charge", "time", "probability")}
        return dataclasses.replace(hits(np.random.default_rng(0), 1, np.zeros((1, 2))), **rest)

    observed = seen(jnp.asarray(6500.0))
    totals = jnp.arange(4900.0, 5400.0)
    losses = jax.vmap(lambda total: CensoredHits()({"pads": seen(total)}, {"pads": observed}))(totals)
    assert np.ptp(jax.vmap(lambda total: seen(total).probability[0, 0])(totals)) == 1.0
    assert np.abs(np.diff(losses)).max() < 0.5


def test_wrong_settings_and_wrong_observables_are_named():
    with pytest.raises(ValueError, match="noise = -1"):
        GaussianChi2(noise=-1)
    with pytest.raises(ValueError, match="power of two"):
        MultiScale(time=1.0, channels=3)
    with pytest.raises(ValueError, match="compares hits"):
        CensoredHits()(trace(1.0), trace(1.0))
