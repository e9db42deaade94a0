"""Differentiable tracks: they conserve energy, follow their range, and have true gradients."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.events import Segments
from dptoolkit.params import free, infos, replace
from dptoolkit.sources.species import Species, species_named
from dptoolkit.sources.stopping import Argon, range_table
from dptoolkit.sources.tracks import Together, Track

KINKS = np.random.default_rng(3).normal(0, 0.02, (5, 2))
MUON = {"x": 1.0, "y": -2.0, "z": 3.0, "theta": 1.2, "phi": 0.4, "kinetic_energy": 250.0, "t0": 5.0}


@eqx.filter_jit
def made(source: Track | Together) -> Segments:
    return source()


@eqx.filter_jit
def longest(species: Species, energy: float) -> jax.Array:
    return range_table(Argon(), species).range(jnp.asarray(energy))


@pytest.fixture(scope="module")
def muon() -> Track:
    return Track(**MUON, kinks=KINKS, n_segments=40)


@pytest.mark.parametrize("particle", ["electron", "muon", "pion", "kaon", "proton"])
@pytest.mark.parametrize("energy", [5.0, 137.0, 900.0])
def test_a_track_that_stops_deposits_its_kinetic_energy(particle: str, energy: float):
    segments = made(Track(kinetic_energy=energy, particle=particle, n_segments=50))
    assert float(segments.de.sum()) == pytest.approx(energy, rel=1e-13)
    assert (np.asarray(segments.de) > 0).all()
    length = longest(species_named(particle), energy)
    assert float(segments.dx.sum()) == pytest.approx(float(length), rel=1e-12)


def test_a_track_cut_short_deposits_what_it_lost(muon: Track):
    short = made(Track(**MUON, n_segments=40, longest=30.0))
    whole = made(Track(**MUON, n_segments=4000))
    before = np.cumsum(np.asarray(whole.dx)) <= 30.0
    assert float(short.dx.sum()) == pytest.approx(30.0)
    assert float(short.de.sum()) == pytest.approx(float(whole.de[before].sum()), rel=1e-3)


def test_steps_join_and_have_the_length_of_the_path(muon: Track):
    segments = made(muon)
    np.testing.assert_allclose(segments.start[1:], segments.end[:-1], atol=1e-12)
    np.testing.assert_allclose(segments.start[0], [1.0, -2.0, 3.0])
    distance = np.linalg.norm(segments.end - segments.start, axis=1)
    np.testing.assert_allclose(distance, segments.dx, rtol=1e-12)
    assert ((np.diff(segments.t0) > 0) & (np.diff(segments.t0) < 0.01)).all()


def test_the_first_step_goes_along_the_angles(muon: Track):
    theta, phi = MUON["theta"], MUON["phi"]
    expected = [np.cos(theta), np.sin(theta) * np.sin(phi), np.sin(theta) * np.cos(phi)]
    np.testing.assert_allclose(made(muon).direction[0], expected)


def test_a_kink_turns_what_follows_by_its_angle():
    segments = made(Track(**MUON, kinks=np.array([[0.1, 0.0]]), n_segments=10))
    cosines = np.sum(np.asarray(segments.direction[0]) * np.asarray(segments.direction), axis=1)
    np.testing.assert_allclose(cosines, np.where(np.arange(10) < 5, 1, np.cos(0.1)))


def test_gradients_are_finite_differences_for_every_parameter(muon: Track):
    selected = free(muon, list(infos(muon)))
    weights = [np.random.default_rng(k).normal(size=shape) for k, shape in enumerate([(40, 3), (40,), (40,)])]

    @jax.jit
    def moment(values):
        segments = selected.merge(values)()
        parts = (segments.start + segments.end, segments.de, segments.t0)
        return sum(jnp.sum(part * weight) for part, weight in zip(parts, weights, strict=True))

    slopes = jax.grad(moment)(selected.values)
    assert len(slopes) == 10
    for path, value in selected.values.items():
        h = 1e-5 * max(1.0, float(jnp.abs(value).max()))
        for index in np.ndindex(value.shape):
            up, down = (float(moment(selected.values | {path: value.at[index].add(s * h)})) for s in (1, -1))
            assert float(slopes[path][index]) == pytest.approx((up - down) / (2 * h), rel=2e-5, abs=1e-7), (
                path
            )


def test_kinks_are_expected_to_grow_as_the_muon_slows_down(muon: Track):
    scale = np.asarray(eqx.filter_jit(lambda track: track.kink_scale())(muon))
    assert scale.shape == (5,) and (np.diff(scale) > 0).all()
    assert 0.005 < scale[0] < 0.1


def test_tracks_of_a_vertex_are_one_source_with_numbered_tracks():
    vertex = Together((Track(n_segments=8), Track(particle="proton", n_segments=16)))
    segments = made(vertex)
    assert len(segments) == 24
    assert np.asarray(segments.track).tolist() == [1] * 8 + [2] * 16
    assert set(np.asarray(segments.pdg)) == {13, 2212}
    assert "tracks.1.theta" in infos(vertex)


def test_a_track_stands_where_a_file_of_segments_does(small_wire):
    middle = (small_wire.volumes.low[0] + small_wire.volumes.high[0]) / 2
    track = Track(
        x=middle[0], y=middle[1], z=middle[2], theta=1.0, phi=0.3, kinetic_energy=30.0, n_segments=32
    )
    layout = small_wire.layout(track())

    @jax.jit
    def charge(energy):
        readout = small_wire(replace(track, {"kinetic_energy": energy})(), layout=layout)
        return sum(jnp.sum(wires.samples**2) for wires in readout.values())

    difference = (charge(30.001) - charge(29.999)) / 0.002
    assert float(jax.grad(charge)(30.0)) == pytest.approx(float(difference), rel=1e-3)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"particle": "muom"}, "muon"),
        ({"n_segments": 0}, "n_segments"),
        ({"kinks": np.zeros((4, 3))}, "kinks"),
        ({"longest": 0.0}, "longest"),
        ({"kinetic_energy": -1.0}, "kinetic_energy"),
    ],
)
def test_wrong_tracks_are_refused_by_name(wrong: dict, message: str):
    with pytest.raises(ValueError, match=message):
        Track(**wrong)
