"""Tables and networks of visibility: one interface, exact gradients, training that recovers a known map."""

import dataclasses
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.config import from_yaml, source_text
from dptoolkit.light.argon_optics import ArgonOptics
from dptoolkit.light.box import LightBox
from dptoolkit.light.plates import Plates
from dptoolkit.light.visibility import PointSource, ScatteredSource, Uniform
from dptoolkit.surrogates.accuracy import Accuracy, Check, photon_slopes, slope_error, slopes, values
from dptoolkit.surrogates.siren import Siren, SirenVisibility
from dptoolkit.surrogates.table import Filling, Seen, VisibilityTable, fill, filling_of, middles
from dptoolkit.surrogates.train import (
    Training,
    begin,
    deviance,
    load_state,
    mean_deviance,
    save_state,
    train,
)
from tests.light.test_argon import LIGHT

SIZE = np.array([16.0, 20.0, 14.0])
SHAPE = (8, 10, 7)


@pytest.fixture(scope="module")
def plates():
    return Plates.on_walls(
        np.array([[0.0, 4.0, -7.5], [1.0, -5.0, 7.5], [0.0, -4.0, -7.5]]),
        np.array([[10.0, 7.0], [8.0, 6.0], [12.0, 6.0]]),
        np.array([2, 2, 2]),
    )


@pytest.fixture(scope="module")
def known(plates):
    """A map in closed form, and the same as a table without noise."""
    truth = ScatteredSource(rayleigh_length=60.0)
    points = middles(-SIZE / 2, SIZE / 2, SHAPE, np.arange(np.prod(SHAPE)))
    seen, delay = (np.asarray(part).reshape(*SHAPE, -1) for part in truth(jnp.asarray(points), plates))
    return truth, VisibilityTable(-SIZE / 2, SIZE / 2, seen, delay, 1e6)


def random_points(n, seed=0, part=0.45):
    return np.random.default_rng(seed).uniform(-part, part, (n, 3)) * SIZE


def test_a_table_has_its_values_in_the_middle_of_voxels_and_lines_between(known, plates):
    _, table = known
    voxel = np.array([0, 17, 333, len(table) - 1])
    seen, delay = table(jnp.asarray(table.points(voxel)), plates)
    np.testing.assert_allclose(seen, table.rows(voxel)[0], rtol=1e-9)
    np.testing.assert_allclose(delay, table.rows(voxel)[1], rtol=1e-9)
    linear = np.einsum("nk,k->n", table.points(np.arange(len(table))), [0.01, 0.02, -0.005]) + 0.5
    flat = eqx.tree_at(lambda t: t.seen, table, np.repeat(linear[:, None], 3, axis=1).reshape(*SHAPE, 3))
    points = random_points(50, part=0.499)
    np.testing.assert_allclose(
        values(flat, plates, points)[:, 1], points @ [0.01, 0.02, -0.005] + 0.5, rtol=1e-6
    )


def test_gradients_by_position_are_finite_differences(known, plates):
    truth, table = known
    network = untrained(plates)
    points = random_points(20, seed=3)
    for one in (truth, table, network, PointSource()):
        exact, step = slopes(one, plates, points), 1e-5
        for axis in range(3):
            shift = step * np.eye(3)[axis]
            ends = [values(one, plates, points + sign * shift) for sign in (1, -1)]
            np.testing.assert_allclose(
                exact[..., axis], (ends[0] - ends[1]) / (2 * step), rtol=1e-4, atol=1e-9
            )


def untrained(plates, seed=0):
    """A network with something in its last layer."""
    found = SirenVisibility.untrained(
        ScatteredSource(), SIZE / 2, plates, (16, 16), 10.0, jax.random.key(seed)
    )
    last = 0.1 * jax.random.normal(jax.random.key(seed + 1), found.network.weights[-1].shape)
    return eqx.tree_at(lambda v: v.network.weights[-1], found, last)


def test_weights_are_symmetric_and_an_untrained_network_is_its_prior(plates):
    network = Siren.draw((3, 256, 256, 5), 10.0, jax.random.key(0))
    for layer, bound in ((0, 1 / 3), (1, np.sqrt(6 / 256) / 10)):
        weights = np.asarray(network.weights[layer])
        assert abs(weights.mean()) < 4 * bound / np.sqrt(3 * weights.size)
        assert 0.97 * bound < weights.max() <= bound and -bound <= weights.min() < -0.97 * bound
    fresh = SirenVisibility.untrained(ScatteredSource(), SIZE / 2, plates, (8, 8), 10.0, jax.random.key(0))
    points = random_points(5)
    np.testing.assert_allclose(values(fresh, plates, points), values(ScatteredSource(), plates, points))


def test_a_network_is_even_where_walls_and_plates_are(plates):
    assert not plates.even.any()
    middle = dataclasses.replace(plates, center=plates.center * np.array([0.0, 1.0, 1.0]))
    np.testing.assert_array_equal(middle.even, [True, False, False])
    network, points = untrained(middle), random_points(20)
    mirrored = values(network, middle, points * np.array([-1.0, 1.0, 1.0]))
    np.testing.assert_allclose(mirrored, values(network, middle, points), rtol=1e-12)
    other = values(network, middle, points * np.array([1.0, -1.0, 1.0]))
    assert np.abs(other / mirrored - 1).max() > 0.01


def test_the_deviance_is_least_at_the_mean_and_poisson_without_dispersion():
    """For any weighting, the mean of noisy counts minimises it: no bias by noise."""
    counts = jnp.asarray(np.random.default_rng(0).negative_binomial(4.0, 4.0 / 34.0, 20_000).astype(float))
    for dispersion in (1e-4, 0.25, 3.0):
        slope = jax.grad(lambda mu, a=dispersion: jnp.mean(deviance(counts, mu, a)))(counts.mean())
        assert abs(float(slope)) < 1e-9
    mu = jnp.asarray([3.0, 30.0, 200.0])
    poisson = mu - 25.0 * jnp.log(mu)
    found = deviance(jnp.asarray(25.0), mu, 1e-7)
    np.testing.assert_allclose(np.diff(found), np.diff(poisson), rtol=1e-4)


@pytest.mark.parametrize("prior", [PointSource(), Uniform()])
def test_training_recovers_a_known_map_far_from_its_prior(known, plates, prior):
    truth, table = known
    training = Training(steps=600, batch=256, width=32, depth=2, learning_rate=1e-2)
    visibility, state = begin(table, prior, plates, training)
    state = train(table, visibility, plates, training, state)
    trained = eqx.tree_at(lambda v: v.network, visibility, state.network)
    points = random_points(300, seed=4, part=0.4)
    exact = values(truth, plates, points)
    bias = [
        np.mean(np.abs(p - exact) / (p + exact))
        for p in (values(v, plates, points) for v in (trained, prior))
    ]
    assert bias[0] < 0.02 and bias[0] < bias[1] / 4
    late, exact_late = (np.asarray(v(jnp.asarray(points), plates)[1]) for v in (trained, truth))
    np.testing.assert_allclose(np.median(late / exact_late), 1.0, atol=0.02)
    size = lambda v: np.linalg.norm(slopes(v, plates, points) - slopes(truth, plates, points))  # noqa: E731
    assert size(trained) < size(table), "smoother than differences of voxels"


def test_a_training_goes_on_exactly_where_it_stopped(known, plates, tmp_path):
    _, table = known
    training = Training(steps=20, batch=128, width=16, depth=2)
    visibility, start = begin(table, ScatteredSource(), plates, training)
    whole = train(table, visibility, plates, training, start)

    class Stop(Exception):
        pass

    left = []

    def stop(state, loss):
        left.append(state)
        raise Stop

    with pytest.raises(Stop):
        train(table, visibility, plates, training, start, stop)
    assert 0 < int(left[0].step) < 20
    path = save_state(tmp_path / "checkpoint.npz", left[0], "plan")
    again = train(table, visibility, plates, training, load_state(path, start, "plan"))
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="another training"):
        load_state(path, start, "other")


def test_the_deviance_of_a_perfect_network_has_no_slope_on_average(known, plates):
    """Counts that are Poisson about the truth leave it where it is."""
    truth, table = known
    points = jnp.asarray(table.points(np.arange(len(table))))
    exact, delay = truth(points, plates)
    counts = jax.random.poisson(jax.random.key(0), 50.0 * exact, (400, *exact.shape)) / 50.0
    noise = (jnp.asarray(50.0), jnp.asarray(1e-4))

    def loss(scale):
        scaled = SirenVisibility(
            eqx.tree_at(
                lambda n: n.biases[-1], Siren.draw((3, 4, 6), 10.0, jax.random.key(0)), jnp.full(6, scale)
            ),
            truth,
            SIZE / 2,
            np.zeros(3, bool),
        )
        one = jax.vmap(lambda n: mean_deviance(scaled, plates, noise, (points, n, delay)))
        return jnp.mean(one(counts))

    slope, curvature = jax.grad(loss)(0.0), jax.grad(jax.grad(loss))(0.0)
    assert abs(float(slope / curvature)) < 4 / np.sqrt(float(counts.sum()) * 50.0)


@pytest.fixture(scope="module")
def filling(plates):
    return Filling(
        LightBox.around(SIZE, plates), ArgonOptics(rayleigh_length=30.0, reflectivity=0.4), photons=64
    )


def test_a_table_is_completed_after_an_interruption_and_read_back(filling, plates, tmp_path, monkeypatch):
    monkeypatch.setattr("dptoolkit.surrogates.table.AT_ONCE", 16)
    whole = fill(tmp_path / "whole.h5", filling, -SIZE / 2, SIZE / 2, (3, 4, 3))

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "table.h5", filling, -SIZE / 2, SIZE / 2, (3, 4, 3), stop)
    assert [path.name for path in tmp_path.glob("table*")] == ["table.h5.partial"]
    told = []
    path = fill(
        tmp_path / "table.h5", filling, -SIZE / 2, SIZE / 2, (3, 4, 3), lambda done, total: told.append(done)
    )
    assert told == [32, 36] and not path.with_name("table.h5.partial").exists()
    one, other = VisibilityTable.mapped(whole), VisibilityTable.from_file(path)
    np.testing.assert_array_equal(one.seen, other.seen)
    assert one.photons == other.photons > 64, "worth more than counted ones"
    points = one.points(np.arange(36))
    np.testing.assert_allclose(
        one.rows(np.arange(36))[0], filling.at(points, np.arange(36)).probability, rtol=1e-6
    )
    with pytest.raises(ValueError, match="was made with other options"):
        fill(path, filling, -SIZE / 2, SIZE / 2, (3, 4, 4))
    assert fill(path, filling, -SIZE / 2, SIZE / 2, (3, 4, 3), stop) == path, "it is there already"
    again = filling_of(path, filling.box)
    assert again.described() == filling.described()
    elsewhere = LightBox.around(SIZE + 1.0, dataclasses.replace(plates, center=plates.center * 1.1))
    with pytest.raises(ValueError, match="other walls or collectors"):
        filling_of(path, elsewhere)


def test_a_table_of_counts_is_poisson_and_one_of_expected_photons_has_less_noise(filling):
    points = random_points(200, seed=8)
    counted, expected = (
        dataclasses.replace(filling, estimator=name, photons=400).at(points, np.arange(200))
        for name in ("photons", "expected")
    )
    pull = (counted.probability - expected.probability) / np.hypot(
        np.sqrt(expected.probability / 400), expected.error
    )
    assert abs(pull.mean()) < 4 / np.sqrt(pull.size) * 1.5 and 0.85 < pull.std() < 1.15
    assert np.median(expected.error / np.sqrt(expected.probability / 400)) < 0.4


def test_noise_drops_out_of_biases_and_slopes():
    rng = np.random.default_rng(0)
    truth = rng.uniform(1e-3, 1e-1, (4000, 2))
    noise = 0.05 * truth
    wrong = truth * (1 + 0.02 * rng.choice([-1, 1], truth.shape))
    seen = Seen(truth + noise * rng.normal(size=truth.shape), np.ones_like(truth), noise)
    numbers = Accuracy(wrong, seen).numbers()
    assert numbers["rms_bias"] == pytest.approx(0.01, rel=0.1)
    assert numbers["mean_bias"] > 0.02 > numbers["rms_bias"]
    assert Accuracy(wrong, seen).summary()["mean_bound"] == pytest.approx(0.01, rel=0.1)
    slope = rng.normal(size=(4000, 2, 3)) * truth[..., None]
    t1, t2 = (slope + 0.5 * truth[..., None] * rng.normal(size=slope.shape) for _ in range(2))
    off = slope * (1 + 0.1 * rng.choice([-1, 1], slope.shape))
    assert slope_error(off, t1, t2, truth) == pytest.approx(0.1, rel=0.2)
    t1, t2 = t1 + 20 * (t1 - slope), t2 + 20 * (t2 - slope)
    assert np.isnan(slope_error(slope, t1, t2, truth)), "noise hides it"


def test_photons_say_the_slope_of_the_direct_light(plates):
    direct = ArgonOptics(rayleigh_length=1e6, absorption_length=1e6, reflectivity=0.0)
    points = random_points(20, seed=2, part=0.35)
    found = photon_slopes(Filling(LightBox.around(SIZE, plates), direct, photons=200), points)
    exact = slopes(PointSource(absorption_length=1e6), plates, points)
    assert np.linalg.norm(found - exact) < 0.03 * np.linalg.norm(exact)


def test_a_check_tells_a_good_map_from_a_bad_one(filling):
    check = Check(dataclasses.replace(filling, optics=ArgonOptics()), -SIZE / 2, SIZE / 2, 64)
    good, bad = check(ScatteredSource()), check(Uniform())
    assert good.summary()["rms_bias"] < 0.15 < bad.summary()["rms_bias"]
    assert np.isnan(good.gradient_error), "photons from eight points do not tell a gradient"


def test_a_network_file_is_read_back_and_others_are_refused(plates, tmp_path):
    network = untrained(plates)
    path = network.save(tmp_path / "network.h5")
    again = SirenVisibility.from_file(path)
    points = random_points(10)
    np.testing.assert_allclose(values(again, plates, points), values(network, plates, points), rtol=1e-12)
    with pytest.raises(ValueError, match="'dptoolkit-visibility-network'; expected a visibility-table"):
        VisibilityTable.from_file(path)
    (tmp_path / "text.h5").write_text("nothing")
    with pytest.raises(ValueError, match="is no HDF5 file"):
        SirenVisibility.from_file(tmp_path / "text.h5")
    with pytest.raises(ValueError, match="no such file"):
        SirenVisibility.from_file(tmp_path / "none.h5")
    with pytest.raises(ValueError, match="a network for 3 plates: expected 2"):
        network(jnp.zeros((1, 3)), jax.tree.map(lambda part: part[:2], plates))


def test_a_detector_takes_a_network_as_the_visibility_of_its_light(plates, tmp_path):
    """One key of its YAML; positions have a gradient through it."""
    plain = from_yaml(source_text("small-pixel") + LIGHT)
    network = untrained(plain.light.plates)
    path = network.save(tmp_path / "network.h5")
    text = source_text("small-pixel") + LIGHT.replace(
        "{type: PointSource}", json.dumps({"type": "SirenVisibility", "file": str(path)})
    )
    detector = from_yaml(text)
    assert isinstance(detector.light.visibility, SirenVisibility)
    with pytest.raises(ValueError, match="expected 'file' alone"):
        from_yaml(text.replace('"file"', '"files"'))
    from tests.light.test_argon import light_of, track

    muon = track(detector)
    found, before = light_of(detector, muon), light_of(plain, muon)
    assert np.abs(found.pe / before.pe - 1).max() > 0.01
    layout, times, padded = detector.cut(muon), detector.light_times(muon), detector._pad(muon)

    @eqx.filter_jit
    def total(shift):
        moved = eqx.tree_at(lambda s: (s.start, s.end), padded, (padded.start + shift, padded.end + shift))
        return jnp.sum(detector.shine(moved, layout, times).pe[:3] * jnp.asarray([1.0, 2.0, -3.0]))

    slope = jax.grad(total)(jnp.zeros(3))
    for axis in range(3):
        step = 1e-4 * jnp.eye(3)[axis]
        assert float(slope[axis]) == pytest.approx(float(total(step) - total(-step)) / 2e-4, rel=1e-4)
