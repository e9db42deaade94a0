"""Parameters are declared once; everything else finds them by their path."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from dptoolkit.charge.drift import ConstantDrift, Diffusion, MobilityDrift
from dptoolkit.params import Component, free, get, infos, param, replace


class Channel(Component):
    gain: Array = param(1.0, "mV/fC", bounds=(0.1, 10.0), symbol="g", reference="a paper")
    name: str = eqx.field(static=True, default="U")


class Instrument(Component):
    drift: MobilityDrift
    channels: tuple[Channel, ...]
    efficiency: Array = param((0.1, 0.2, 0.3), "1", bounds=(0.0, 1.0))


@pytest.fixture
def instrument() -> Instrument:
    return Instrument(drift=MobilityDrift(), channels=(Channel(name="U"), Channel(gain=2.0, name="V")))


def test_every_parameter_is_found_by_its_path_nested_ones_too(instrument):
    assert list(infos(instrument)) == [
        "drift.temperature",
        "drift.lifetime",
        "channels.U.gain",
        "channels.V.gain",
        "efficiency",
    ]


def test_an_info_is_the_declaration_and_the_value(instrument):
    info = infos(instrument)["channels.V.gain"]
    assert (info.unit, info.bounds, info.symbol, info.reference) == ("mV/fC", (0.1, 10.0), "g", "a paper")
    assert float(info.value) == 2.0


def test_values_are_arrays_in_the_precision_of_the_session():
    assert Diffusion().longitudinal.dtype == jnp.result_type(float)
    assert Diffusion().longitudinal.dtype == jnp.float64


def test_text_is_converted_to_the_declared_unit():
    assert float(MobilityDrift(lifetime="2.2 ms").lifetime) == pytest.approx(2200.0)
    assert float(Diffusion(transverse="8.8 cm2/s").transverse) == pytest.approx(8.8e-6)


def test_replace_changes_what_it_names_and_nothing_else(instrument):
    other = replace(instrument, {"drift.lifetime": "3 ms", "channels.V.gain": 3, "efficiency[1]": 0.9})
    assert float(other.drift.lifetime) == pytest.approx(3000.0)
    assert float(other.channels[1].gain) == 3.0
    np.testing.assert_allclose(other.efficiency, [0.1, 0.9, 0.3])
    unchanged = set(infos(instrument)) - {"drift.lifetime", "channels.V.gain", "efficiency"}
    for path in unchanged:
        assert float(get(other, path)) == float(get(instrument, path))
    assert float(instrument.drift.lifetime) == 2200.0


def test_one_number_fills_an_array_parameter(instrument):
    np.testing.assert_allclose(replace(instrument, {"efficiency": 0.5}).efficiency, 0.5)


def test_replacing_every_value_by_itself_changes_nothing(instrument):
    same = replace(instrument, {path: info.value for path, info in infos(instrument).items()})
    assert eqx.tree_equal(same, instrument)


def test_free_selects_with_wildcards_and_merges_back(instrument):
    selected = free(instrument, ["channels.*.gain", "drift.lifetime"])
    assert list(selected.values) == ["channels.U.gain", "channels.V.gain", "drift.lifetime"]
    merged = selected.merge({path: value * 2 for path, value in selected.values.items()})
    assert float(merged.channels[1].gain) == 4.0
    assert eqx.tree_equal(selected.merge(selected.values), instrument)


def test_free_is_differentiable(instrument):
    selected = free(instrument, ["drift.lifetime", "efficiency[2]"])

    def observable(values):
        model = selected.merge(values)
        return model.drift.surviving(jnp.asarray(100.0)) * model.efficiency[2]

    slopes = jax.grad(observable)(selected.values)
    survival = np.exp(-100 / 2200)
    assert float(slopes["efficiency[2]"]) == pytest.approx(survival)
    assert float(slopes["drift.lifetime"]) == pytest.approx(0.3 * survival * 100 / 2200**2)


def test_a_prefix_detector_may_be_left_out_or_added(instrument):
    assert float(get(instrument, "detector.drift.lifetime")) == 2200.0


@pytest.mark.parametrize(
    "build, message",
    [
        (
            lambda: MobilityDrift(lifetime=-3.0),
            r"MobilityDrift.lifetime = -3 us: expected a value between 50 and",
        ),
        (lambda: MobilityDrift(lifetime="3 cm"), r"cannot convert 3.0 'cm' to 'us'"),
        (lambda: MobilityDrift(lifetime=None), r"expected a number in 'us', got None"),
        (lambda: MobilityDrift(lifetime=True), r"expected a number in 'us', got True"),
        (lambda: MobilityDrift(lifetime={}), r"expected a number in 'us', got \{\}"),
        (lambda: MobilityDrift(lifetime="long"), r"'long'"),
        (lambda: MobilityDrift(temperature=float("nan")), r"MobilityDrift.temperature = nan K"),
        (lambda: ConstantDrift(velocity=float("inf")), r"ConstantDrift.velocity = inf cm/us"),
    ],
)
def test_a_wrong_value_is_refused_by_name(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"drift.lifetme": 1.0}, r"no parameter 'drift.lifetme'; did you mean one of drift.lifetime"),
        ({"drift.lifetime": 1.0}, r"drift.lifetime = 1 us: expected a value between 50 and 1e\+06 us"),
        ({"drift.lifetime": "3 kV"}, r"drift.lifetime: cannot convert 3.0 'kV' to 'us'"),
        ({"drift.lifetime": [100.0, 200.0]}, r"drift.lifetime: expected shape \(\), got \(2,\)"),
        ({"efficiency": [0.1, 0.2]}, r"efficiency: expected shape \(3,\), got \(2,\)"),
        ({"efficiency[0]": 2.0}, r"efficiency\[0\] = 2: expected a value between 0 and 1"),
        ({"efficiency[7]": 0.5}, r"efficiency\[7\]"),
        ({"drift lifetime": 1.0}, r"'drift lifetime' is not a parameter path"),
    ],
)
def test_a_wrong_replacement_is_refused_by_path(instrument, change, message):
    with pytest.raises(ValueError, match=message):
        replace(instrument, change)


@pytest.mark.parametrize("path", ["drift.nothing", "efficiency[7]"])
def test_a_wrong_free_path_is_refused(instrument, path):
    with pytest.raises(ValueError, match=path.split("[")[0]):
        free(instrument, [path])
