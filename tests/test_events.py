"""What travels through the simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.events import Waveforms, bucket, deposit_length, pad, segments_from_arrays, shift, take


def three():
    start = np.array([[0.0, 0, 0], [1, 2, 3], [5, 5, 5]])
    end = np.array([[3.0, 4, 0], [1, 2, 5], [5, 5, 5]])
    return segments_from_arrays(
        start, end, np.array([10.0, 4.0, 0.01]), t0=np.arange(3.0), event=np.array([0, 0, 1]), pdg=13
    )


def test_length_and_direction_follow_from_the_ends():
    segments = three()
    np.testing.assert_allclose(segments.dx, [5, 2, 0])
    np.testing.assert_allclose(segments.direction, [[0.6, 0.8, 0], [0, 0, 1], [0, 0, 0]])
    np.testing.assert_allclose(segments.dedx[:2], [2, 2])


def test_a_given_path_length_wins_over_the_distance_of_the_ends():
    segments = segments_from_arrays(
        np.zeros((1, 3)), np.array([[3.0, 4, 0]]), np.array([12.0]), dx=np.array([6.0])
    )
    np.testing.assert_allclose(segments.dedx, [2])


def test_a_deposit_at_a_point_has_the_range_of_an_electron():
    """Katz and Penfold: 100 keV stops in 13.5 mg/cm2."""
    assert float(deposit_length(jnp.asarray([0.1]))[0] * 1.396) == pytest.approx(0.0135, rel=0.02)
    lengths = deposit_length(jnp.geomspace(1e-3, 2.5, 50))
    assert np.all(np.diff(lengths) > 0) and np.all(lengths > 0)


def test_gradients_of_a_point_are_finite():
    segments = three()

    def observable(start, de):
        moved = segments.__class__(**{**vars(segments), "start": start, "de": de})
        return jnp.sum(moved.direction) + jnp.sum(moved.dedx)

    for slope in jax.grad(observable, argnums=(0, 1))(segments.start, segments.de):
        assert np.isfinite(slope).all()


def test_padding_adds_segments_that_are_not_valid_and_carry_no_energy():
    padded = pad(three(), 8)
    assert len(padded) == 8
    assert padded.valid.tolist() == [True] * 3 + [False] * 5
    assert float(padded.de.sum()) == float(three().de.sum())
    np.testing.assert_array_equal(take(padded, np.asarray(padded.valid)).start, three().start)


def test_padding_to_less_is_refused():
    with pytest.raises(ValueError, match="cannot pad 3 segments to 2"):
        pad(three(), 2)


def test_shift_moves_both_ends_and_nothing_else():
    moved = shift(three(), jnp.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(moved.start - three().start, [[1, 2, 3]] * 3)
    np.testing.assert_allclose(moved.end - three().end, [[1, 2, 3]] * 3)
    np.testing.assert_array_equal(moved.dx, three().dx)


def test_buckets_are_few_and_large_enough():
    sizes = [bucket(n) for n in range(1, 5000)]
    assert all(size >= n for n, size in enumerate(sizes, start=1))
    assert all(size <= max(256, 4 * n) for n, size in enumerate(sizes, start=1))
    assert len(set(sizes)) <= 4


@pytest.mark.parametrize("start, end", [([[0, 0]], [[1, 1]]), ([[0, 0, 0]], [[0, 0, 0], [1, 1, 1]])])
def test_a_wrong_shape_is_refused_by_name_and_shape(start, end):
    with pytest.raises(ValueError, match=r"start and end: expected shape \(n, 3\)"):
        segments_from_arrays(np.array(start), np.array(end), np.ones(1))


def test_a_column_of_another_length_is_refused():
    with pytest.raises(ValueError):
        segments_from_arrays(np.zeros((3, 3)), np.ones((3, 3)), np.ones(2))


def test_only_channels_on_the_plane_exist():
    ints = {name: jnp.asarray(value, jnp.int32) for name, value in
            {"event": [0, 0], "group": [0, 0], "channel": [8, 0], "tick": [0, 0]}.items()}  # fmt: skip
    waveforms = Waveforms(
        samples=jnp.ones((2, 4, 5)),
        valid=jnp.asarray([True, False]),
        n_channels=10,
        tick_period=0.5,
        unit="ADC",
        **ints,
    )
    np.testing.assert_array_equal(waveforms.mask()[:, :, 0], [[True, True, False, False], [False] * 4])
