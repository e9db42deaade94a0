"""Data and prediction on the same rows."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.inference import GaussianChi2
from dptoolkit.inference.alignment import align, emptied, extended
from tests.inference.decay import Decay, hits


def test_rows_of_the_data_are_found_in_any_order():
    predicted = Decay()(jnp.asarray(1.0))
    shuffled = {"trace": jax.tree.map(lambda x: x[jnp.array([2, 0, 3, 1])], predicted["trace"])}
    extra, observed = align(shuffled, emptied(predicted))
    full = extended(predicted, extra)
    assert GaussianChi2(noise=1.0)(full, observed) == 0


def test_what_only_the_data_have_counts_in_full():
    short, long = (dataclasses.replace(Decay(), blocks=n)(jnp.asarray(1.0)) for n in (2, 3))
    extra, observed = align(long, emptied(short))
    loss = GaussianChi2(noise=1.0)(extended(short, extra), observed)
    assert loss == pytest.approx(0.5 * float(jnp.sum(long["trace"].samples[-1] ** 2)), rel=1e-9)


def test_what_only_the_model_has_is_compared_with_nothing():
    short, long = (dataclasses.replace(Decay(), blocks=n)(jnp.asarray(1.0)) for n in (2, 3))
    extra, observed = align(short, emptied(long))
    loss = GaussianChi2(noise=1.0)(extended(long, extra), observed)
    assert loss == pytest.approx(0.5 * float(jnp.sum(long["trace"].samples[-1] ** 2)), rel=1e-9)


def test_hits_are_matched_by_pad_and_keep_their_widths_from_the_prediction():
    rng = np.random.default_rng(0)
    mine, theirs = hits(rng), hits(rng)
    moved = jax.tree.map(lambda x: x[::-1], theirs)
    _, observed = align({"pads": moved}, {"pads": mine})
    np.testing.assert_array_equal(observed["pads"].charge[:6], theirs.charge)


def test_a_missing_plane_is_named():
    with pytest.raises(ValueError, match="'trace' is missing"):
        align({}, Decay()(jnp.asarray(1.0)))
