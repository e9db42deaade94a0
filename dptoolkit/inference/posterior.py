"""Posterior samples by NUTS (Hoffman and Gelman 2014), through blackjax, in whitened coordinates.

The prior is flat in the fit coordinates. With w = L^T (z - z_hat) and F = L L^T a Gaussian posterior is
the unit Gaussian, so one step size suits all directions. For up to `MOST` parameters; needs the extra
`posterior`.
"""

import importlib.util
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dptoolkit.inference.fit import coordinates_of
from dptoolkit.inference.problem import Problem
from dptoolkit.inference.uncertainty import uncertainty

MOST = 20


@dataclass(frozen=True)
class Posterior:
    """Samples of the free parameters."""

    names: tuple[str, ...]
    z: np.ndarray
    """Coordinates (n, k)."""
    samples: np.ndarray
    """Physical values (n, k)."""
    acceptance: float
    """Mean probability that a step is accepted."""
    divergent: int
    """Steps at which the integration failed: with more than a few the samples cannot be trusted."""

    @property
    def mean(self) -> np.ndarray:
        return self.samples.mean(axis=0)

    @property
    def covariance(self) -> np.ndarray:
        """In physical units (k, k)."""
        return np.atleast_2d(np.cov(self.samples.T))


def posterior(problem: Problem, at: Any, *, n: int = 1000, warmup: int = 300, seed: int = 0) -> Posterior:
    """`n` samples around the estimate `at`, after `warmup` steps that set the step size.

    Events are laid out once, at the estimate: the posterior must be narrow enough for that.
    """
    if importlib.util.find_spec("blackjax") is None:
        raise ValueError("posterior needs blackjax: pip install 'dptoolkit[posterior]'")
    centre = coordinates_of(problem, at)
    if len(centre) > MOST:
        raise ValueError(f"posterior: expected at most {MOST} parameters, got {len(centre)}")
    known = uncertainty(problem, centre)
    if known is None or known.unidentifiable:
        named = "the loss has no residuals" if known is None else "; ".join(known.unidentifiable)
        raise ValueError(f"posterior: not every direction is determined ({named})")
    back = jnp.asarray(np.linalg.inv(np.linalg.cholesky(known.matrix)).T, centre.dtype)
    loss = problem.frozen(centre)
    w, acceptance, divergent = _sampled(
        lambda w: -loss(centre + back @ w), len(centre), (n, warmup), jax.random.key(seed)
    )
    z = centre + w @ back.T
    physical = jax.vmap(lambda z: problem.coordinates.flat(problem.values(z)))(z)
    return Posterior(
        problem.names, np.asarray(z), np.asarray(physical, float), float(acceptance), int(divergent)
    )


def _sampled(density: Any, size: int, lengths: tuple[int, int], key: Any) -> tuple[Any, Any, Any]:
    """(samples (n, size), mean acceptance, number of divergent steps)."""
    import blackjax

    n, warmup = lengths
    first, second = jax.random.split(key)
    adaptation: Any = blackjax.window_adaptation(blackjax.nuts, density)
    (state, settings), _ = adaptation.run(first, jnp.zeros(size), num_steps=warmup)
    kernel = blackjax.nuts(density, **settings)

    def step(state: Any, key: Any) -> Any:
        found: Any = kernel.step(key, state)
        state, info = found
        return state, (state.position, info.acceptance_rate, info.is_divergent)

    _, (w, acceptance, divergent) = jax.jit(lambda state, keys: jax.lax.scan(step, state, keys))(
        state, jax.random.split(second, n)
    )
    return w, acceptance.mean(), divergent.sum()
