"""The contract of every detector: what is conserved, and what moves which way."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.detector import LArTPC, arrive
from dptoolkit.events import Segments, bucket, pad, segments_from_arrays, take
from dptoolkit.params import replace
from tests.tracks import special, together, tracks


@dataclass
class Signals:
    """Charge before the electronics of one plane, per event."""

    charge: np.ndarray
    time: np.ndarray


@eqx.filter_jit
def _before_electronics(detector: LArTPC, segments: Segments, layout: Any, places: dict[str, Any]):
    electrons = detector.electrons_at_anode(segments, layout.deposits)
    speed = detector.drift.speed(detector.field.nominal())
    found = {}
    for plane in detector.planes:
        induce = getattr(plane, "induce", None) or plane.collect
        found[plane.name] = induce(electrons, places[plane.name], speed)
    return electrons, found


def before_electronics(detector: LArTPC, segments: Segments) -> tuple[np.ndarray, dict[str, Signals]]:
    """(electrons at the anode per event, collected charge and mean time per event of every plane)."""
    n_events = int(segments.event.max()) + 1
    segments = pad(segments, bucket(len(segments)))
    layout = detector.layout(segments)
    near = arrive(detector, segments, layout.deposits)
    places = {
        plane.name: plane.every_pad(near) if hasattr(plane, "every_pad") else layout.planes[plane.name]
        for plane in detector.planes
    }
    electrons, found = jax.tree.map(np.asarray, _before_electronics(detector, segments, layout, places))
    arrived = np.bincount(electrons.event, electrons.n, n_events)
    signals = {}
    for plane in detector.planes:
        place, raw = places[plane.name], found[plane.name]
        charge, moment, size = np.zeros((3, n_events))
        if hasattr(plane, "collect"):
            area = float(np.real(plane.electronics.spectrum(jnp.zeros(1))[0])) / plane.tick_period
            ticks = place.block[:, 3, None] * raw.shape[2] + np.arange(raw.shape[2])
            used = np.arange(len(place.block)) < place.n_blocks
            per_tick = raw.sum(axis=1) / area * used[:, None]
            times = ticks * plane.tick_period
            np.add.at(charge, place.block[:, 0], per_tick.sum(axis=1))
            weight = np.abs(raw).sum(axis=1) * used[:, None]
            np.add.at(moment, place.block[:, 0], (weight * times).sum(axis=1))
            np.add.at(size, place.block[:, 0], weight.sum(axis=1))
        else:
            for pads, block in zip(place.pad, raw, strict=True):
                currents = np.abs(np.diff(block, axis=1, prepend=0.0)) * pads[:, 5:]
                times = (pads[:, 4, None] + np.arange(block.shape[1])) * plane.front_end.tick
                np.add.at(charge, pads[:, 0], block[:, -1] * pads[:, 5])
                np.add.at(moment, pads[:, 0], (currents * times).sum(axis=1))
                np.add.at(size, pads[:, 0], currents.sum(axis=1))
        signals[plane.name] = Signals(charge, moment / np.where(size > 0, size, np.nan))
    return arrived, signals


@pytest.fixture(params=["small-wire", "small-pixel"])
def detector(request: pytest.FixtureRequest, named) -> LArTPC:
    return named(request.param)


def test_charge_is_conserved_from_the_anode_to_the_signal(detector):
    """To 1e-3 at any place in the cell and any drift, before threshold and coupling; induction is zero.

    Deposits at 100 us: charge freed nearer than the response begins (10 cm) would cut it at tick 0.
    """
    rng = np.random.default_rng(3)
    segments = together(tracks(detector, 12, seed=1), take(special(detector), [0, 1, 3]))
    points = tracks(detector, 9, seed=2, length=0.0)
    cell = rng.uniform(0, 0.5, (9, 3)) + np.array([0, 1, 1])
    cell[:, 0] = detector.volumes.low[0, 0] + np.geomspace(0.01, detector.volumes.drift_length - 0.1, 9)
    points = eqx.tree_at(lambda s: (s.start, s.end), points, (jnp.asarray(cell), jnp.asarray(cell)))
    segments = together(segments, points)
    numbers, late = jnp.arange(len(segments), dtype=jnp.int32), jnp.full(len(segments), 100.0)
    segments = eqx.tree_at(lambda s: (s.event, s.t0), segments, (numbers, late))
    arrived, signals = before_electronics(detector, segments)
    assert arrived.min() > 1000
    for plane in detector.planes:
        collects = plane.name not in ("U", "V")
        np.testing.assert_allclose(signals[plane.name].charge / arrived, 1.0 if collects else 0.0, atol=1e-3)


def test_raising_the_field_makes_every_signal_earlier(detector):
    segments = tracks(detector)
    _, slow = before_electronics(detector, segments)
    _, fast = before_electronics(replace(detector, {"field.strength": 0.55}), segments)
    for name in slow:
        assert np.all(fast[name].time < slow[name].time)


def test_later_planes_are_later(small_wire):
    _, signals = before_electronics(small_wire, tracks(small_wire))
    assert np.all(signals["U"].time < signals["V"].time) and np.all(signals["V"].time < signals["Y"].time)


def test_a_shorter_lifetime_never_adds_charge(detector):
    segments = tracks(detector)
    charges = [
        before_electronics(replace(detector, {"drift.lifetime": tau}), segments)[1][
            detector.planes[-1].name
        ].charge
        for tau in (1e6, 3000.0, 300.0)
    ]
    assert np.all(charges[0] > charges[1]) and np.all(charges[1] > charges[2])


def comparable(detector: LArTPC, readout: dict) -> dict:
    """Every sample, or every hit, by where it is."""
    found = {}
    for name, part in jax.tree.map(np.asarray, readout).items():
        if hasattr(part, "samples"):
            for i in np.flatnonzero(part.valid):
                found[name, part.event[i], part.group[i], part.channel[i], part.tick[i]] = part.samples[i]
        else:
            for i in np.flatnonzero(part.valid):
                hits = (
                    np.stack([part.charge[i], part.time[i]])
                    * part.probability[i]
                    * (part.probability[i] > 1e-4)
                )
                found[name, part.event[i], part.volume[i], part.column[i], part.row[i]] = hits
    return found


def assert_same(first: dict, second: dict, scale: float, events: Any = None) -> None:
    """Equal where both are, and nothing where only one is."""
    for key in first.keys() | second.keys():
        a, b = first.get(key, 0.0), second.get(key, 0.0)
        if events is None or key[1] == events:
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=scale, err_msg=str(key))


SCALE = {"small-wire": 1e-6, "small-pixel": 1e-4}
"""[ADC] and [electrons, us]: far below anything seen; blocks and pads are occupied by clouds, which
depend on how a batch is dealt."""


def test_padding_and_order_change_nothing(detector):
    segments = together(tracks(detector, 6), special(detector))
    alone = comparable(detector, detector(segments))
    turned = take(segments, np.arange(len(segments))[::-1].copy())
    assert_same(alone, comparable(detector, detector(pad(segments, 96))), SCALE[detector.name])
    assert_same(alone, comparable(detector, detector(turned)), SCALE[detector.name])


def test_events_in_one_batch_are_events_one_by_one(detector):
    segments = tracks(detector, 4)
    batch = comparable(detector, detector(segments))
    for event in range(4):
        single = comparable(detector, detector(take(segments, np.asarray(segments.event) == event)))
        assert_same(batch, single, SCALE[detector.name], events=event)


def test_the_same_key_gives_the_same_sample_and_another_key_another(detector):
    segments = tracks(detector, 4)
    layout = detector.layout(segments)
    first, again, other = (
        comparable(detector, detector(segments, key=jax.random.key(seed), layout=layout))
        for seed in (0, 0, 1)
    )
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert any(not np.array_equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("transform", [jax.jit, jax.grad], ids=["jit", "grad"])
def test_without_a_layout_jit_and_grad_say_what_to_do(detector, transform):
    segments = tracks(detector, 2)

    def moved(x):
        return jnp.sum(
            jax.tree.leaves(detector(eqx.tree_at(lambda s: s.start, segments, segments.start + x)))[0].astype(
                float
            )
        )

    with pytest.raises(ValueError, match="layout"):
        transform(moved)(0.1)


def samples_of(detector: LArTPC, segments: Segments, n: int):
    """Expectation, and `n` samples stacked along the first axis."""
    layout = detector.layout(segments)
    draw = eqx.filter_jit(
        lambda keys: jax.lax.map(lambda key: detector(segments, key=key, layout=layout), keys)
    )
    found = draw(jax.random.split(jax.random.key(3), n))
    return detector(segments, layout=layout), found


@pytest.mark.slow
def test_the_mean_of_wire_samples_is_the_expectation(small_wire):
    """Within the statistics of 100 samples: fluctuations, noise and rounding have no bias."""
    expected, samples = samples_of(small_wire, tracks(small_wire, 1, seed=4), 100)
    for name, waveforms in expected.items():
        there = np.asarray(waveforms.mask())
        values = np.asarray(samples[name].samples)[:, there]
        pulls = (values.mean(axis=0) - np.asarray(waveforms.samples)[there]) / (
            values.std(axis=0, ddof=1) / 10
        )
        assert np.abs(pulls).max() < 6
        assert np.mean(pulls**2) == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_the_mean_of_pixel_samples_is_the_expectation(small_pixel):
    """The charge on every pad exactly; the first hit in its probability and, given the hit, charge and time.

    The stated accuracy of the noise average is 0.4 % in probability, 0.05 us and 20 e.
    """
    n = 400
    expected, samples = (x["pixels"] for x in samples_of(small_pixel, tracks(small_pixel, 2, seed=4), n))
    total, drawn = np.asarray(expected.total), np.asarray(samples.total)
    pulls = (drawn.mean(axis=0) - total)[total > 50] / (drawn.std(axis=0)[total > 50] / np.sqrt(n))
    assert np.abs(pulls).max() < 6
    probability, fired = np.asarray(expected.probability[:, 0]), np.asarray(samples.probability[:, :, 0])
    spread = np.sqrt(probability * (1 - probability) / n)
    assert np.all(np.abs(fired.mean(axis=0) - probability) < 5 * spread + 0.01)
    likely = probability > 0.5
    assert likely.sum() > 3
    for name, bias in (("charge", 60.0), ("time", 0.08)):
        value = np.where(fired, np.asarray(getattr(samples, name))[:, :, 0], np.nan)[:, likely]
        error = np.nanstd(value, axis=0) / np.sqrt(fired[:, likely].sum(axis=0))
        difference = np.nanmean(value, axis=0) - np.asarray(getattr(expected, name))[likely, 0]
        assert np.all(np.abs(difference) < 5 * error + bias), name


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["sbnd", "microboone", "icarus", "protodune-sp", "dune-fd-hd", "module0", "2x2", "ndlar"]
)
def test_every_volume_of_every_detector_gives_its_charge(named, name):
    """A short track in the middle of each volume, an event each: what arrives is collected."""
    detector = named(name)
    n = len(detector.volumes)
    middle = (detector.volumes.low + detector.volumes.high) / 2 + [0.0, 1.03, 2.11]
    step = 0.3 * detector.volumes.up + 0.2 * detector.volumes.across + 0.1 * detector.volumes.drift
    segments = segments_from_arrays(middle, middle + step, np.full(n, 0.8), event=np.arange(n), t0=100.0)
    arrived, signals = before_electronics(detector, segments)
    assert arrived.min() > 5000
    collected = {plane.name: signals[plane.name].charge for plane in detector.planes}
    if hasattr(detector.planes[0], "collect"):
        np.testing.assert_allclose(collected[detector.planes[-1].name], arrived, rtol=1e-3)
        for signal in signals.values():
            assert np.isfinite(signal.time).all()
    else:
        np.testing.assert_allclose(sum(collected.values()), arrived, rtol=1e-3)


def test_more_clouds_in_the_same_blocks_need_no_more_blocks(small_wire):
    """Items and blocks grow apart: coupling, noise and digitisation run on what is read out."""
    one = tracks(small_wire, 1, length=6.0)
    many = take(one, np.zeros(400, int))
    places = [small_wire.layout(segments).planes["Y"] for segments in (one, many)]
    assert len(places[1].items.cloud) > len(places[0].items.cloud)
    assert len(places[1].block) == len(places[0].block)


def test_wires_of_one_block_that_are_not_on_the_plane_read_nothing(small_wire):
    """The last block of a plane has rows beyond its last wire; charge beside the plane adds nothing there."""
    plane = small_wire.planes[-1]
    edge = plane.n_wires * plane.pitch / 2
    assert plane.n_wires % 16
    volumes = small_wire.volumes
    end = volumes.anode[0] - 5.0 * volumes.drift[0] + edge * volumes.across[0]
    segments = segments_from_arrays(end - 0.1 * volumes.across[0], end, np.array([0.5]))
    segments = pad(segments, bucket(1))
    layout = small_wire.layout(segments)
    near = arrive(small_wire, segments, layout.deposits)
    speed = small_wire.drift.speed(small_wire.field.nominal())
    raw = eqx.filter_jit(plane.collect)(near, layout.planes[plane.name], speed)
    wire = layout.planes[plane.name].block[:, 2, None] * 16 + np.arange(16)
    assert np.abs(np.asarray(raw)[wire < plane.n_wires]).max() > 1
    assert np.all(np.asarray(raw)[wire >= plane.n_wires] == 0)


def test_clouds_of_segments_need_no_padding_by_hand(small_pixel: LArTPC) -> None:
    points = np.array([[0.0, 0.0, 0.0], [1.0, 0.5, 0.2], [2.0, 1.0, 0.4]])
    segments = segments_from_arrays(points[:-1], points[1:], np.full(2, 2.4))
    deposits = small_pixel.layout(segments).deposits
    bare = small_pixel.electrons_at_anode(segments, deposits)
    padded = small_pixel.electrons_at_anode(pad(segments, bucket(len(segments))), deposits)
    assert float(bare.n.sum()) > 1e4
    assert np.array_equal(np.asarray(bare.n), np.asarray(padded.n))
