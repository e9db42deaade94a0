import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.events import Waveforms
from dptoolkit.views.assemble import Window, dense, groups, picture, sixteen_bits, strongest_channel, waveform


@pytest.fixture
def waveforms():
    rng = np.random.default_rng(0)
    return Waveforms(
        samples=jnp.asarray(rng.normal(size=(4, 16, 64))),
        event=jnp.array([0, 0, 0, 1]),
        group=jnp.array([0, 0, 1, 0]),
        channel=jnp.array([0, 16, 16, 0]),
        tick=jnp.array([64, 64, 128, 0]),
        valid=jnp.ones(4, bool),
        n_channels=24,
        tick_period=0.5,
        unit="ADC",
    )


def test_dense_places_every_sample_of_the_event_once(waveforms):
    image, channel0, tick0 = dense(waveforms, 0, 0)
    assert (channel0, tick0, image.shape) == (0, 64, (24, 64))
    np.testing.assert_array_equal(image[:16], waveforms.samples[0])
    np.testing.assert_array_equal(image[16:], waveforms.samples[1][:8])


def test_dense_cuts_blocks_at_the_window(waveforms):
    whole, _, _ = dense(waveforms, 0, 0)
    part, channel0, tick0 = dense(waveforms, 0, 0, Window(10, 20, 70, 90))
    assert (channel0, tick0) == (10, 70)
    np.testing.assert_array_equal(part, whole[10:20, 6:26])


def test_dense_of_a_window_far_away_is_zero(waveforms):
    image, _, _ = dense(waveforms, 0, 0, Window(1000, 1010, 5000, 5010))
    assert image.shape == (10, 10) and not image.any()


def test_waveform_is_a_row_of_the_image_at_its_times(waveforms):
    time, signal = waveform(waveforms, 0, 3)
    assert time[0] == 32.0 and time[1] - time[0] == 0.5
    np.testing.assert_array_equal(signal, waveforms.samples[0][3])


def test_groups_are_those_with_signals_the_largest_first(waveforms):
    assert groups(waveforms, 0) == [0, 1]
    assert groups(waveforms, 1) == [0]
    assert groups(waveforms, 7) == []


def test_strongest_channel_holds_the_largest_sample(waveforms):
    image, channel0, _ = dense(waveforms, 0, 0)
    row = np.unravel_index(np.argmax(np.abs(image)), image.shape)[0]
    assert strongest_channel(waveforms, 0) == channel0 + row


def test_picture_has_its_samples_at_their_channels_and_times(waveforms):
    seen = picture(waveforms, 0, 0)
    np.testing.assert_allclose(seen.values.T, dense(waveforms, 0, 0)[0], rtol=1e-6)
    np.testing.assert_array_equal(seen.channels, np.arange(24))
    np.testing.assert_array_equal(seen.times, 32.0 + 0.5 * np.arange(64))
    assert seen.bounds == (-0.5, 31.75, 23.5, 63.75)


def test_sixteen_bits_keep_the_signal():
    exact = np.random.default_rng(0).normal(size=(8, 9))
    values, step = sixteen_bits(exact)
    assert values.dtype == np.int16 and np.abs(values * step - exact).max() <= step / 2 * 1.001


def test_sixteen_bits_keep_counts_exactly():
    counts = np.round(100 * np.random.default_rng(0).normal(size=(8, 9)))
    values, step = sixteen_bits(counts)
    assert step == 1.0
    np.testing.assert_array_equal(values, counts)


def test_rebinning_keeps_the_strongest_sample_and_the_window(monkeypatch, waveforms):
    whole = picture(waveforms, 0, 0)
    monkeypatch.setattr("dptoolkit.views.assemble.MAX_CELLS", 300)
    seen = picture(waveforms, 0, 0)
    assert seen.values.size <= 400 and seen.channels_per_bin * seen.ticks_per_bin > 1
    assert np.abs(seen.values).max() == np.abs(whole.values).max()
    assert seen.bounds[:2] == whole.bounds[:2] and seen.times[0] > whole.times[0]
