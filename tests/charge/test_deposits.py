"""From segments to clouds at the anode."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.charge.deposits import averaged_dedx, deposit_layout, drift_to_anode, fluctuate
from dptoolkit.charge.drift import ConstantDrift, Diffusion
from dptoolkit.charge.field import UniformField
from dptoolkit.events import Electrons, Segments, segments_from_arrays
from dptoolkit.geometry import Volumes

SPEED, D_L, D_T, TAU = 0.16, 4.0e-6, 8.8e-6, 3000.0


@pytest.fixture(scope="module")
def volumes() -> Volumes:
    """Drift from x = 100 cm to the anode at 0."""
    return Volumes.from_boxes(np.array([[50.0, 0, 0]]), np.array([100.0, 80, 80]), ["-x"])


@eqx.filter_jit
def _drift(segments, layout, volumes):
    freed = 4e4 * segments.de * segments.valid
    parts = (
        UniformField(),
        ConstantDrift(velocity=SPEED, lifetime=TAU),
        Diffusion(longitudinal=D_L, transverse=D_T),
    )
    return drift_to_anode(segments, freed, 1.4 * freed, layout, volumes, *parts)


def clouds(segments: Segments, volumes: Volumes, step: float = 0.1) -> Electrons:
    return jax.tree.map(
        np.asarray, _drift(segments, deposit_layout(segments, volumes, step=step, dedx_length=0), volumes)
    )


def line(start, end, de: float = 2.0, pieces: int = 1) -> Segments:
    """A straight segment of constant dE/dx, given in pieces."""
    edges = np.linspace(np.array(start, float), np.array(end, float), pieces + 1)
    return segments_from_arrays(edges[:-1], edges[1:], np.full(pieces, de / pieces))


def moments(cloud: Electrons) -> np.ndarray:
    """Charge, means and covariances of the whole, as the signal of a linear read-out depends on them."""
    n = cloud.n / cloud.n.sum()
    means = [np.sum(n * x) for x in (cloud.across, cloud.up, cloud.time)]
    variances = [
        np.sum(n * (v + (x - mean) ** 2))
        for v, x, mean in zip(
            (cloud.var_across, cloud.var_up, cloud.var_time),
            (cloud.across, cloud.up, cloud.time),
            means,
            strict=True,
        )
    ]
    cross = np.sum(n * (cloud.cov_across_up + (cloud.across - means[0]) * (cloud.up - means[1])))
    return np.array([cloud.n.sum(), *means, *variances, cross])


def test_variances_grow_as_two_d_t(volumes):
    """sigma_t^2 = 2 D_L t / v^2 in time, 2 D_T t across, from zero at the anode."""
    x = np.array([0.0, 1.0, 10.0, 50.0, 100.0])
    points = np.stack([x, 0 * x, 3 * np.arange(5.0)], axis=1)
    segments = segments_from_arrays(points, points, np.ones(5), event=np.arange(5))
    found = clouds(segments, volumes)
    time = x / SPEED
    np.testing.assert_allclose(found.time[:5], time, atol=1e-12)
    np.testing.assert_allclose(found.var_time[:5], 2 * D_L * time / SPEED**2, atol=1e-15)
    np.testing.assert_allclose(found.var_across[:5], 2 * D_T * time, atol=1e-15)
    np.testing.assert_allclose(found.var_up[:5], 2 * D_T * time, atol=1e-15)
    np.testing.assert_allclose(found.cov_across_up[:5], 0, atol=1e-15)
    np.testing.assert_allclose(2 * found.n[:5], 4e4 * np.exp(-time / TAU))


def test_a_line_has_the_moments_of_a_line(volumes):
    """Mean in the middle, variance length^2 / 12 along each axis; exact however it is cut."""
    for step in (0.05, 0.5, 5.0):
        charge, across, up, time, var_a, var_u, var_t, cross = moments(
            clouds(line([40, 1, 2], [41, 3, 5]), volumes, step)
        )
        drift_time = 40.5 / SPEED
        assert charge == pytest.approx(8e4 * np.exp(-drift_time / TAU), rel=1e-5)
        np.testing.assert_allclose([across, up, time], [-3.5, 2.0, drift_time], rtol=1e-3)
        spread = 2 * D_T * drift_time
        np.testing.assert_allclose(
            [var_a, var_u, cross], [9 / 12 + spread, 4 / 12 + spread, -6 / 12], rtol=2e-3
        )
        assert var_t == pytest.approx(1 / 12 / SPEED**2 + 2 * D_L * drift_time / SPEED**2, rel=2e-3)


@pytest.mark.parametrize("rise", [0.3, 1.0, 3.0])
def test_after_a_long_drift_place_and_time_stay_correlated_within_one_line(volumes, rise):
    """Or the signal of a pad would rise as if diffusion were larger: 0.6 % of D_L for lines of 0.5 mm."""
    run = 0.05 / np.hypot(1, rise)
    found = clouds(line([60, 0, 0], [60 + rise * run, 0, run]), volumes, 0.05)
    n = found.n / found.n.sum()
    across, time = found.across - np.sum(n * found.across), found.time - np.sum(n * found.time)
    assert abs(np.sum(n * across * time)) == pytest.approx(rise * run**2 / 12 / SPEED, rel=1e-3)


@pytest.mark.parametrize("pieces", [2, 3, 10, 64])
def test_splitting_a_segment_changes_nothing(volumes, pieces):
    whole = moments(clouds(line([30, -2, 1], [31.3, 0.5, 4]), volumes))
    split = moments(clouds(line([30, -2, 1], [31.3, 0.5, 4], pieces=pieces), volumes))
    np.testing.assert_allclose(split, whole, rtol=1e-6)


@pytest.mark.parametrize("step", [0.02, 0.1, 0.5])
def test_merging_keeps_charge_and_moments(volumes, step):
    """Geant4 steps of 0.1 mm with a tenth of deposits at points; compared with no merging at all."""
    rng = np.random.default_rng(0)
    turns = rng.normal(0, 0.02, (400, 3)).cumsum(axis=0)
    path = np.array([20.0, 0, 0]) + (np.array([0.3, 0.5, 0.8]) + turns * 0.1).cumsum(axis=0) * 0.01
    point = rng.random(399) < 0.1
    end = np.where(point[:, None], path[:-1], path[1:])
    segments = segments_from_arrays(path[:-1], end, rng.exponential(0.02, 399))
    found, exact = clouds(segments, volumes, step), clouds(segments, volumes, 0.0005)
    assert (found.n > 0).sum() <= 2 * (4.2 / step + 3)
    np.testing.assert_allclose(moments(found), moments(exact), rtol=1e-6, atol=1e-9)


def test_merging_never_joins_events_tracks_or_distant_steps(volumes):
    start = np.array([[10, 0, 0], [10, 0, 0.01], [10, 0, 0.02], [10, 5, 0.03]], float)
    segments = segments_from_arrays(
        start,
        start + np.array([0, 0, 0.01]),
        np.ones(4),
        event=np.array([0, 1, 1, 1]),
        track=np.array([0, 0, 1, 1]),
    )
    found = clouds(segments, volumes, step=1.0)
    assert (found.n > 0).sum() == 2 * 4


def test_order_and_padding_change_nothing(volumes):
    rng = np.random.default_rng(1)
    start = rng.uniform([5, -30, -30], [95, 30, 30], (20, 3))
    segments = segments_from_arrays(start, start + rng.normal(0, 0.3, (20, 3)), np.ones(20))
    turned = jax.tree.map(lambda x: x[::-1], segments)
    np.testing.assert_allclose(
        moments(clouds(turned, volumes)), moments(clouds(segments, volumes)), rtol=1e-9
    )


def test_what_is_outside_the_volume_leaves_nothing(volumes):
    """Half of a segment that crosses the cathode, and none of one beyond it."""
    crossing, beyond = line([99.0, 0, 0], [101.0, 0, 0]), line([101.0, 0, 0], [102.0, 0, 0])
    inside = line([99.0, 0, 0], [100.0, 0, 0], de=1.0)
    np.testing.assert_allclose(
        moments(clouds(crossing, volumes)), moments(clouds(inside, volumes)), rtol=1e-5
    )
    assert clouds(beyond, volumes).n.sum() == 0


def test_a_step_without_length_has_the_energy_loss_of_a_stopping_electron(volumes):
    point = np.array([[10.0, 0, 0]])
    segments = segments_from_arrays(point, point, np.array([0.1]))
    dedx = averaged_dedx(segments, deposit_layout(segments, volumes, step=0.1, dedx_length=0))
    assert float(dedx[0]) == pytest.approx(0.1 / (0.0135 / 1.396), rel=0.02)


def test_energy_loss_is_averaged_over_the_declared_length_and_not_beyond_a_track(volumes):
    """0.1 cm steps of 1 and 3 MeV/cm average to 2 over 0.2 cm; dx = 0 adds its energy to its group."""
    edges = np.stack([np.full(9, 10.0), np.zeros(9), 0.1 * np.arange(9)], axis=1)
    segments = segments_from_arrays(edges[:-1], edges[1:], np.tile([0.1, 0.3], 4), track=np.repeat([0, 1], 4))
    fine, coarse = (
        averaged_dedx(segments, deposit_layout(segments, volumes, step=0.1, dedx_length=length))
        for length in (0, 0.2)
    )
    np.testing.assert_allclose(fine, np.tile([1.0, 3.0], 4), rtol=1e-9)
    np.testing.assert_allclose(coarse, 2.0, rtol=1e-9)


def test_gradients_are_finite_for_points_on_the_anode_and_steps_without_energy(volumes):
    start = np.array([[0.0, 0, 0], [5, 1, 1], [7, 2, 2]])
    segments = segments_from_arrays(
        start, start + np.array([[0, 0, 0], [0, 0, 0.1], [0, 0, 0]]), np.array([1.0, 0.0, 0.0])
    )
    layout = deposit_layout(segments, volumes, step=0.1, dedx_length=0)

    def observable(start, end, de):
        moved = eqx.tree_at(lambda s: (s.start, s.end, s.de), segments, (start, end, de))
        return sum(
            jnp.sum(x) for x in jax.tree.leaves(_drift(moved, layout, volumes)) if x.dtype == jnp.float64
        )

    for slope in jax.grad(observable, argnums=(0, 1, 2))(segments.start, segments.end, segments.de):
        assert np.isfinite(slope).all()


def test_the_mean_of_fluctuated_clouds_is_the_expectation_in_charge_mean_and_variance(volumes):
    """And the charge is binomial: of the n / survival freed, n arrive."""
    expected = _drift(line([50, 0, 0], [50.05, 0, 0.08], de=0.002), deposit_layout(
        line([50, 0, 0], [50.05, 0, 0.08], de=0.002), volumes, step=1.0, dedx_length=0), volumes)  # fmt: skip
    samples = jax.vmap(lambda key: fluctuate(expected, key))(jax.random.split(jax.random.key(0), 20_000))
    n, survival = float(expected.n[0]), float(expected.survival[0])
    found = np.asarray(samples.n[:, 0])
    assert found.mean() == pytest.approx(n, abs=4 * found.std() / 141)
    assert found.var() == pytest.approx(n * (1 - survival), rel=0.05)
    for name, variance in (("across", "var_across"), ("up", "var_up"), ("time", "var_time")):
        place = np.asarray(getattr(samples, name)[:, 0])
        spread = float(getattr(expected, variance)[0])
        assert place.mean() == pytest.approx(float(getattr(expected, name)[0]), abs=4 * place.std() / 141)
        assert place.var() + float(getattr(samples, variance)[0, 0]) == pytest.approx(spread, rel=1e-2)
