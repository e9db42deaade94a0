"""A track is found where it was, within its errors, and its likelihood has the slope that fits follow."""

import dataclasses
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.config import load_tpc
from dptoolkit.detector import LArTPC
from dptoolkit.inference.problem import Problem
from dptoolkit.reconstruction.result import Reconstructed
from dptoolkit.reconstruction.seed import Seed
from dptoolkit.reconstruction.stages import along_the_track
from dptoolkit.reconstruction.track import (
    N_KINKS,
    kink_widths,
    quick,
    reconstruct_track,
    start_of,
    track_problem,
)
from dptoolkit.reconstruction.views import path_seen
from dptoolkit.sources.line import TypicalLoss, kink_places
from dptoolkit.sources.species import MUON
from dptoolkit.sources.stopping import Argon, range_table

DIRECTION = np.array([0.35, -0.5, 0.8]) / np.linalg.norm([0.35, -0.5, 0.8])
MIDDLE = np.array([2.0, 3.0, -1.0])


def muon(kinks: float = 0.0, particle: str = "muon") -> Seed:
    """A straight track of 25 cm, or one whose kinks are so many of their widths."""
    half = 12.5 * DIRECTION
    seed = Seed(MIDDLE - half, MIDDLE + half, np.zeros((N_KINKS, 2)))
    angles = kink_widths(seed, particle)[:, None] * np.random.default_rng(1).normal(size=(N_KINKS, 2))
    return dataclasses.replace(seed, kinks=kinks * angles)


@cache
def detector() -> LArTPC:
    return quick(load_tpc("small-wire"))


@cache
def event(particle: str = "muon") -> dict[str, Any]:
    """The noisy read-out of a particle that loses what is typical, without fluctuations, with kinks."""
    seed = muon(0.7, particle)
    typical = TypicalLoss(thickness=path_seen(seed.direction, detector()))
    line = dataclasses.replace(seed.line(particle), share=typical)
    return jax.tree.map(np.asarray, detector()(line(), key=jax.random.key(3)))


@cache
def reconstructed(particle: str, hypotheses: tuple[str, ...]) -> Reconstructed:
    return reconstruct_track(event(particle), detector(), 7, hypotheses)


def problem() -> Problem:
    return track_problem(muon(), detector(), event())


def test_its_slope_is_the_finite_difference_also_along_the_ends() -> None:
    """Of the loss that steps are judged by, each with its own layout, to what layouts differ by."""
    here = problem()
    z = start_of(here, muon()) + 0.01
    normal, step = here.normal(z), 1e-3
    assert here.gradient(z)[1] == pytest.approx(normal.gradient, rel=1e-6, abs=1e-6)
    frozen = here.frozen(z)
    for k in range(7):
        moved = [z.at[k].add(side * step) for side in (1, -1)]
        exact, anew = (float(f(moved[0]) - f(moved[1])) / (2 * step) for f in (frozen, here.value))
        assert normal.gradient[k] == pytest.approx(exact, rel=2e-2, abs=5.0)
        assert anew == pytest.approx(exact, rel=5e-2, abs=20.0)


def test_a_stopping_muon_is_found_within_its_errors() -> None:
    truth, found = muon(), reconstructed("muon", ("muon",))
    assert found.converged and found.number == 7
    errors = np.sqrt(np.diag(found.covariance))
    values = dict(zip(found.names, found.values, strict=True))
    sigma = dict(zip(found.names, errors, strict=True))
    for names, place in ((("x", "y", "z"), truth.start), (("x_end", "y_end", "z_end"), truth.end)):
        off = np.array([values[name] for name in names]) - place
        assert np.linalg.norm(off) < 0.3
        assert (np.abs(off) < 4 * np.array([sigma[name] for name in names])).all()
    assert abs(values["scale"] - 1) < 4 * sigma["scale"] < 0.1
    length = np.linalg.norm(np.diff(np.asarray(muon(0.7).line().points()), axis=0), axis=1).sum()
    energy = float(range_table(Argon(), MUON).energy(jnp.array([length]))[0])
    momentum = np.sqrt(energy * (energy + 2 * MUON.mass))
    assert abs(values["momentum"] - momentum) < 4 * sigma["momentum"] < 0.1 * momentum


def test_an_end_that_is_a_wire_off_is_moved_along_the_track() -> None:
    here, truth = problem(), muon()
    for off in (-0.6, 1.0):
        wrong = dataclasses.replace(truth, start=truth.start + off * DIRECTION)
        z = along_the_track(here, start_of(here, wrong))
        start = np.asarray(here.values(z)["source.start"])
        assert np.linalg.norm(start - truth.start) < 0.35 < abs(off)


def test_kinks_of_a_particle_that_stops_are_wider_and_closer_at_its_end() -> None:
    seed = muon()
    widths, places = kink_widths(seed, "muon"), kink_places(N_KINKS, seed.crowding)
    assert (np.diff(widths) > 0).all() and (np.diff(np.diff(places)) < 0).all()
    leaves = dataclasses.replace(seed, beyond=1000.0)
    assert kink_widths(leaves, "muon") == pytest.approx(np.full(N_KINKS, kink_widths(leaves, "muon")[0]))


@pytest.mark.slow
@pytest.mark.parametrize("particle", ["muon", "proton"])
def test_the_right_particle_is_the_most_likely(particle: str) -> None:
    found = reconstructed(particle, ("muon", "proton"))
    assert found.hypothesis == particle
    other = {"muon": "proton", "proton": "muon"}[particle]
    assert found.log_likelihoods[particle] > found.log_likelihoods[other] + 3
