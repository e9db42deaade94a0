"""Light of argon: solid angles, one budget with the charge, the contract, and what the YAML says."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.config import from_yaml, load_detector, source_text, to_yaml, tpc
from dptoolkit.detector import LArTPC
from dptoolkit.events import segments_from_arrays, take
from dptoolkit.light.argon import ArgonLight, LightPlate
from dptoolkit.light.plates import Plates
from dptoolkit.light.scintillation import Scintillation
from dptoolkit.light.visibility import PointSource
from dptoolkit.params import free, infos, replace
from tests.light.makers import closed_plates
from tests.tracks import together

LIGHT = """
light:
  scintillation: {}
  visibility: {type: PointSource}
  sensor: {efficiency: [0.01, 0.02, 0.03]}
  plates:
    normal: z
    centers: [[0 cm, -4 cm, -8 cm], [0 cm, 4 cm, -8 cm], [1 cm, 0 cm, 8 cm]]
    sizes: [[6 cm, 7 cm], [6 cm, 7 cm], [4 cm, 12 cm]]
"""


@pytest.fixture(scope="module")
def detector() -> LArTPC:
    found = from_yaml(source_text("small-pixel") + LIGHT)
    assert isinstance(found, LArTPC)
    return found


@pytest.fixture(scope="module")
def muon(detector):
    return track(detector)


def track(detector, n=20, event=0, t0=0.0, seed=0, length=8.0):
    """A straight line of `n` steps through the middle of the first volume."""
    rng = np.random.default_rng(seed)
    middle = (detector.volumes.low[0] + detector.volumes.high[0]) / 2
    unit = rng.normal(size=3)
    unit /= np.linalg.norm(unit)
    points = middle + np.linspace(-0.5, 0.5, n + 1)[:, None] * length * unit
    return segments_from_arrays(points[:-1], points[1:], np.full(n, 2.1 * length / n), t0=t0, event=event)


def closed_box(detector, **sensor) -> LArTPC:
    """All six walls of the volume are plates."""
    plates = closed_plates(detector.volumes.high[0] - detector.volumes.low[0])
    plate = LightPlate(**{"efficiency": 1.0, **sensor}).for_all(6 * len(detector.volumes))
    light = ArgonLight(Scintillation(), PointSource(absorption_length=1e6), plate, plates)
    return dataclasses.replace(detector, light=light)


@eqx.filter_jit
def expected(detector, segments, deposits, times):
    """The light alone, without planes."""
    return detector.shine(segments, deposits, times)


def light_of(detector, segments, made=expected):
    deposits = detector.cut(segments)
    return made(detector, detector._pad(segments), deposits, detector.light_times(segments))


def test_the_solid_angle_of_a_rectangle_is_its_integral():
    plates = Plates.on_walls(np.array([[1.0, -2.0, 5.0]]), np.array([[6.0, 8.0]]), np.array([2]))
    x, y = (np.linspace(c - h, c + h, 2001)[1::2] for c, h in ((1.0, 3.0), (-2.0, 4.0)))
    grid = np.stack([*np.meshgrid(x, y), np.full((1000, 1000), 5.0)], axis=-1)
    for point in ([0.0, 0.0, 0.0], [1.0, -2.0, 4.0], [9.0, 3.0, -1.0], [1.0, -6.0, 4.5]):
        offset = grid - np.array(point)
        integrand = offset[..., 2] / np.linalg.norm(offset, axis=-1) ** 3
        exact = integrand.mean() * 6.0 * 8.0
        assert float(plates.solid_angle(jnp.array([point]))[0, 0]) == pytest.approx(exact, rel=2e-4)
    assert float(plates.solid_angle(jnp.array([[1.0, -2.0, 6.0]]))[0, 0]) == 0.0, "from behind"


def test_a_closed_box_of_perfect_plates_counts_every_photon(detector, muon):
    box = closed_box(detector)
    _, photons = box.freed(box._pad(muon), box.cut(muon))
    light = light_of(box, muon)
    absorbed = 15.0 / 1e6  # some 15 cm of the way, an absorption length of 10 km
    assert float(light.pe.sum()) == pytest.approx(float(photons.sum()) * (1 - absorbed), rel=1e-5)
    assert float(photons.sum()) > 1e5


def test_what_is_not_freed_as_charge_shines(detector, muon):
    """W_ph (L + Q) is the energy, whatever the field: charge and light anti-correlate."""
    box, quanta = closed_box(detector), []
    for field in (0.2, 0.5, 1.0):
        changed = replace(box, {"field.strength": field})
        freed, _ = changed.freed(changed._pad(muon), changed.cut(muon))
        quanta.append((float(freed.sum()), float(light_of(changed, muon).pe.sum())))
    charge, light = np.array(quanta).T
    assert (np.diff(charge) > 0).all() and (np.diff(light) < 0).all()
    energy = float(muon.de.sum()) * 1e6
    np.testing.assert_allclose((charge + light) * float(box.quanta.w_ph), energy, rtol=3e-5)


def test_light_comes_with_the_delay_of_argon_and_of_its_way(detector):
    middle = (detector.volumes.low + detector.volumes.high)[:1] / 2
    point = segments_from_arrays(middle, middle, np.array([1.0]), t0=7.0)
    light = light_of(detector, point)
    delay, variance = detector.light.scintillation.moments()
    way = np.linalg.norm(detector.light.plates.center, axis=1)
    plates = len(way)
    np.testing.assert_allclose(light.time_ns[:plates], float(delay) + way / 13.4, rtol=1e-5)
    np.testing.assert_allclose(light.time_sigma_ns[:plates], np.sqrt(float(variance) + 2.0**2), rtol=1e-4)
    np.testing.assert_allclose(light.start[:plates], 7.0)


def test_order_padding_chunks_and_other_events_change_nothing(detector, muon, monkeypatch):
    other = track(detector, event=1, t0=3.0, seed=5)
    alone, both = light_of(detector, muon), light_of(detector, together(muon, other))
    n = len(alone.pe)
    assert len(both.pe) == 4 * n and (np.asarray(both.valid) == (np.asarray(both.event) < 2)).all()
    for name in ("pe", "time_ns", "time_sigma_ns"):
        np.testing.assert_allclose(getattr(both, name)[:n], getattr(alone, name), rtol=1e-6)
    np.testing.assert_allclose(both.start[n : 2 * n], 3.0)
    assert float(both.pe[2 * n :].sum()) == 0
    turned = light_of(detector, take(muon, np.arange(len(muon))[::-1]))
    np.testing.assert_allclose(turned.pe, alone.pe, rtol=1e-6)
    monkeypatch.setattr("dptoolkit.light.argon.AT_ONCE", 32)
    chunked = light_of(detector, muon, expected.__wrapped__)
    np.testing.assert_allclose(chunked.pe, alone.pe, rtol=1e-6)


def test_segments_outside_the_volumes_give_no_light_and_a_volume_lights_its_own_plates(detector, muon):
    far = segments_from_arrays(np.full((1, 3), 900.0), np.full((1, 3), 901.0), np.array([50.0]))
    np.testing.assert_allclose(
        light_of(detector, together(muon, far)).pe, light_of(detector, muon).pe, rtol=1e-6
    )
    wall = detector.volumes.high[0] * np.array([[0.0, 0.0, 1.0]])
    up = np.array([0.0, 0.0, 1.0])
    leaving = segments_from_arrays(wall - 3 * up, wall + 4 * up, np.array([14.0]))
    within = segments_from_arrays(wall - 3 * up, wall, np.array([6.0]))
    np.testing.assert_allclose(light_of(detector, leaving).pe, light_of(detector, within).pe, rtol=1e-3)
    two = load_detector("2x2")
    middle = (two.volumes.low[3] + two.volumes.high[3]) / 2
    flash = segments_from_arrays(middle[None], middle[None] + 1.0, np.array([10.0]))
    pe = np.asarray(light_of(two, flash).pe).reshape(len(two.volumes), -1)
    assert (pe[3] > 0).all() and pe.sum() == pytest.approx(pe[3].sum())
    # from one module through the gap into the next: the light of its two halves, each in its own module
    one, other = 3, 7
    ends = np.stack([(two.volumes.low[k] + two.volumes.high[k]) / 2 for k in (one, other)])
    whole = segments_from_arrays(ends[:1], ends[1:], np.array([2.0 * np.linalg.norm(ends[1] - ends[0])]))
    pe = np.asarray(light_of(two, whole).pe).reshape(len(two.volumes), -1).sum(axis=1)
    assert set(np.flatnonzero(pe)) == {one, other, *_crossed(two, ends)}
    cuts = np.linspace(ends[0], ends[1], 201)
    fine = segments_from_arrays(cuts[:-1], cuts[1:], np.linalg.norm(np.diff(cuts, axis=0), axis=1) * 2.0)
    finely = np.asarray(light_of(two, fine).pe).reshape(len(two.volumes), -1).sum(axis=1)
    np.testing.assert_allclose(pe, finely, rtol=3e-3)


def _crossed(detector, ends):
    """Volumes on the straight way."""
    found = detector.volumes.locate(np.linspace(ends[0], ends[1], 2001))
    return set(found[found >= 0])


def test_the_gradient_by_every_parameter_energy_and_position_is_the_finite_difference(detector, muon):
    layout, times = detector.cut(muon), detector.light_times(muon)
    padded = detector._pad(muon)
    weights = jnp.asarray(np.random.default_rng(2).normal(size=len(light_of(detector, muon).pe)))
    paths = [p for p in infos(detector) if p.startswith(("light.", "recombination.", "quanta.", "field."))]
    chosen = free(detector, paths)

    def value(values, de, shift):
        moved = eqx.tree_at(
            lambda s: (s.de, s.start, s.end), padded, (de, padded.start + shift, padded.end + shift)
        )
        light = expected(chosen.merge(values), moved, layout, times)
        return jnp.sum(weights * (light.charge + light.pe * (light.time_ns + light.time_sigma_ns) / 1e3))

    at = (chosen.values, padded.de, jnp.zeros(3))
    slopes = jax.grad(value, argnums=(0, 1, 2))(*at)
    for path in paths:
        direction = jnp.ones_like(chosen.values[path])
        step = 1e-5 * max(float(jnp.abs(chosen.values[path]).max()), 1e-2)
        ends = [value({**at[0], path: at[0][path] + sign * step * direction}, *at[1:]) for sign in (1, -1)]
        slope = float(jnp.sum(slopes[0][path]))
        assert slope == pytest.approx(float(ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-6), path
    for which in (3, 11):
        step = 1e-5 * jnp.zeros_like(padded.de).at[which].set(1.0)
        ends = [value(at[0], at[1] + sign * step, at[2]) for sign in (1, -1)]
        assert float(slopes[1][which]) == pytest.approx(float(ends[0] - ends[1]) / 2e-5, rel=1e-5)
    for axis in range(3):
        step = 1e-5 * jnp.eye(3)[axis]
        ends = [value(*at[:2], sign * step) for sign in (1, -1)]
        assert float(slopes[2][axis]) == pytest.approx(float(ends[0] - ends[1]) / 2e-5, rel=1e-4)


def test_the_mean_of_samples_is_the_expectation(detector, muon):
    layout = detector.layout(muon)
    wanted = detector(muon, layout=layout)["light"]
    samples = [detector(muon, key=jax.random.key(k), layout=layout)["light"] for k in range(60)]
    pe = np.array([s.pe for s in samples])
    error = np.sqrt(np.asarray(wanted.pe) / len(samples))
    assert float(wanted.pe.max()) > 20
    np.testing.assert_array_less(np.abs(pe.mean(axis=0) - wanted.pe), 4 * error + 1e-9)
    charge = np.array([s.charge for s in samples])
    assert charge.sum() == pytest.approx(pe.sum(), rel=0.02)
    time = np.average([s.time_ns for s in samples], axis=0, weights=np.maximum(pe, 1e-9))
    sigma = np.asarray(wanted.time_sigma_ns) / np.sqrt(np.maximum(pe.sum(axis=0), 1))
    lit = np.asarray(wanted.pe) > 1
    np.testing.assert_array_less(np.abs(time - np.asarray(wanted.time_ns))[lit], 4.5 * sigma[lit])
    drawn = np.array([s.time_ns for s in samples])[pe > 0]
    assert drawn.min() > -5 * float(detector.light.sensor.transit_spread_ns), "light before the particle"


def test_the_times_of_single_photons_are_those_of_two_decays():
    """A mixture of two exponentials: mean, spread and median."""
    argon, n = Scintillation(), 40_000
    times, _ = argon.draw(jnp.ones(n), jax.random.key(0))
    mean, variance = (float(part) for part in argon.moments())
    assert float(times.mean()) == pytest.approx(mean, abs=4 * np.sqrt(variance / n))
    assert float(times.std()) == pytest.approx(np.sqrt(variance), rel=0.03)
    assert float(jnp.mean(times < 20.0)) == pytest.approx(
        0.3 * (1 - np.exp(-20 / 6.5)) + 0.7 * 20 / 1530, abs=0.01
    )


def test_the_planes_see_the_same_with_and_without_light(detector, muon):
    dark = tpc(detector)
    assert dark.light is None and detector.light is not None
    key = jax.random.key(3)
    for one, other in ((detector(muon), dark(muon)), (detector(muon, key=key), dark(muon, key=key))):
        assert set(one) - set(other) == {"light"}
        np.testing.assert_allclose(one["pixels"].charge, other["pixels"].charge, rtol=1e-9)


def test_a_detector_with_light_written_as_yaml_is_the_same_detector(detector):
    changed = replace(
        detector, {"light.sensor.efficiency[1]": 0.5, "light.visibility.absorption_length": "9 m"}
    )
    again = from_yaml(to_yaml(changed))
    for path, info in infos(changed).items():
        np.testing.assert_allclose(infos(again)[path].value, info.value, rtol=1e-12, err_msg=path)
    np.testing.assert_array_equal(again.light.plates.center, detector.light.plates.center)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("normal: z", "normal: w", "light.plates: normal 'w': expected x, y or z"),
        ("sizes: [[6 cm, 7 cm], ", "sizes: [", "expected centers of three lengths and as many sizes of two"),
        ("[1 cm, 0 cm, 8 cm]", "[1 cm, 0 cm, 0 cm]", "no plate can lie in the middle"),
        ("-4 cm", "-4 kg", "light.plates: cannot convert"),
        ("[0.01, 0.02, 0.03]", "[0.01, 0.02]", "LightPlate.efficiency: expected one value, or"),
        ("type: PointSource", "type: Table", "type 'Table' is unknown; expected one of PointSource"),
        ("scintillation: {}", "colour: blue", "light: unknown key 'colour'"),
        ("  sensor: {efficiency", "  sensor: {colour: 1, efficiency", "light.sensor: unknown key 'colour'"),
    ],
)
def test_a_mistake_in_the_yaml_of_light_is_named(old, new, message):
    assert old in LIGHT
    with pytest.raises(ValueError, match=message):
        from_yaml(source_text("small-pixel") + LIGHT.replace(old, new, 1))


def test_the_page_of_an_event_shows_the_plates(detector, muon):
    from dptoolkit.views.event import EventView, readout_layout, summary
    from dptoolkit.views.sensors import plate_map, plate_walls

    readout = detector(muon)
    view = EventView(muon, readout, detector)
    assert [tab.title for tab in readout_layout(view).tabs][-1] == "light"
    assert any(name == "light: photoelectrons" for name, _, _ in summary(view))
    boxes = plate_map(readout["light"], detector).get(1)
    np.testing.assert_allclose(
        np.sort(boxes["charge"]), np.sort(np.asarray(readout["light"].charge)), rtol=1e-5
    )
    corners = plate_walls(detector).corners
    walls = [corners[[0, 1]], corners[[2]]]
    assert walls[0][:, 2].max() < walls[1][:, 0].min(), "the two walls stand side by side"
    np.testing.assert_allclose(corners[:3, 1], [-0.075, 0.005, -0.06], atol=1e-6)
    area = np.prod(corners[:, 2:] - corners[:, :2], axis=1)
    np.testing.assert_allclose(area[:3], [42e-4, 42e-4, 48e-4])
    with pytest.raises(ValueError, match="has no light"):
        plate_map(readout["light"], tpc(detector))
