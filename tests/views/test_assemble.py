import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.events import Waveforms
from dptoolkit.views.assemble import Window, dense, embedded, groups, waveform


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


def test_embedded_image_keeps_the_signal_to_sixteen_bits(waveforms):
    image = embedded(waveforms, 0, 0)
    exact, _, _ = dense(waveforms, 0, 0)
    assert np.abs(image.values.T * image.unit_step - exact).max() <= image.unit_step / 2 * 1.001


def test_embedded_image_keeps_counts_exactly(waveforms):
    import equinox as eqx

    counts = eqx.tree_at(lambda w: w.samples, waveforms, jnp.round(100 * waveforms.samples))
    image = embedded(counts, 0, 0)
    assert image.unit_step == 1.0
    np.testing.assert_array_equal(image.values.T, dense(counts, 0, 0)[0])


def test_rebinning_keeps_the_strongest_sample(monkeypatch, waveforms):
    monkeypatch.setattr("dptoolkit.views.assemble.MAX_CELLS", 300)
    image = embedded(waveforms, 0, 0)
    exact, _, _ = dense(waveforms, 0, 0)
    assert image.values.size <= 400 and image.channels_per_bin * image.ticks_per_bin > 1
    assert np.abs(image.values).max() * image.unit_step == pytest.approx(np.abs(exact).max(), rel=1e-3)
