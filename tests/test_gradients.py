"""The derivatives of every detector are those of its expectation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.detector import LArTPC
from dptoolkit.events import Segments
from dptoolkit.params import free, infos, replace
from tests.tracks import special, together, tracks, variant


def observable_of(detector: LArTPC, segments: Segments):
    """A weighted sum of all that is read out, as a jitted function of parameters and segments."""
    layout = detector.layout(segments)
    like = detector(segments, layout=layout)
    rng = np.random.default_rng(5)
    weights = jax.tree.map(
        lambda leaf: (
            jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape))
            if jnp.issubdtype(leaf.dtype, jnp.floating)
            else leaf
        ),
        like,
    )
    selected = free(detector, list(infos(detector)))

    def observable(values, places):
        start, end, de = places
        moved = eqx.tree_at(lambda s: (s.start, s.end, s.de), segments, (start, end, de))
        readout = selected.merge(values)(moved, layout=layout)
        total = jnp.asarray(0.0)
        for name, part in readout.items():
            w = weights[name]
            if hasattr(part, "samples"):
                total += jnp.sum(w.samples * part.samples)
            else:
                real = part.probability > 1e-6
                seen = w.charge * part.charge * 1e-3 + w.time * part.time + 10 * w.time
                total += (
                    jnp.sum(jnp.where(real, part.probability * seen, 0.0))
                    + jnp.sum(w.total * part.total) * 1e-3
                )
        return total

    return jax.jit(observable), selected.values, (segments.start, segments.end, segments.de)


VARIANTS = {
    "wires": lambda: variant(
        "small-wire",
        recombination={"type": "EllipsoidModifiedBox"},
        field={"type": "SpaceChargeField", "strength": "0.5 kV/cm", "amplitude": 0.03},
    ),
    "pixels": lambda: variant("small-pixel"),
    "quiet pixels": lambda: replace(
        variant("small-pixel", drift={"type": "ConstantDrift"}, recombination={"type": "ModifiedBox"}),
        {"planes.pixels.front_end.reset_noise": 0.0, "planes.pixels.front_end.uncorrelated_noise": 0.0},
    ),
}


STEPS = (1e-6, 1e-7, 1e-5, 1e-4)
"""Relative steps of the finite differences, one of which must agree: the cells on which the expectation of
noisy pixels is summed change by whole ticks, and its value then by 1e-5."""

UNSEEN = ("noise.", "quanta.w_ph", "digitiser.pedestal")
"""What an expectation does not depend on. Without noise, decoding undoes the ADC."""

OF_THE_ADC = ("front_end.v_ref", "front_end.v_cm", "front_end.v_pedestal", "front_end.gain")


def moves(segments: Segments):
    """(name, directions of start, end and energy): either end of a step, both of a deposit at a point."""
    rng = np.random.default_rng(2)
    point = np.all(np.asarray(segments.start == segments.end), axis=1)
    for i in range(len(segments)):
        at = np.zeros((len(segments), 3))
        at[i] = rng.normal(size=3)
        still, energy = np.zeros((len(segments), 3)), np.zeros(len(segments))
        if point[i]:
            yield ("point", i), (at, at, energy)
        else:
            yield ("start", i), (at, still, energy)
            yield ("end", i), (still, at, energy)
        yield ("energy", i), (still, still, at[:, 0])


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_gradient_is_the_finite_difference_for_every_parameter_position_and_energy(name):
    """Central differences in float64; parameters that an expectation does not see have derivative zero."""
    model = VARIANTS[name]()
    segments = together(tracks(model, 2, seed=11), special(model))
    segments = eqx.tree_at(lambda s: s.event, segments, jnp.zeros(len(segments), jnp.int32))
    observable, values, places = observable_of(model, segments)
    by_value, by_place = jax.jit(jax.grad(observable, argnums=(0, 1)))(values, places)
    rounding = 1e-13 * abs(float(observable(values, places)))
    wrong, zeros = {}, set()

    def compare(what, slope, along, scale, error=2e-4):
        differences = []
        for h in np.array(STEPS) * scale:
            up, down = along(h), along(-h)
            differences.append((up - down) / (2 * h))
            if abs(slope - differences[-1]) <= error * max(abs(slope), abs(differences[-1])) + rounding / h:
                return up == down and slope == 0
        wrong[what] = (slope, *differences)
        return False

    for path, value in values.items():
        if name == "quiet pixels" and "noise" in path:
            continue  # zero is the end of its range

        def along(h, path=path, value=value):
            return float(observable(values | {path: value + h}, places))

        if compare(path, float(by_value[path]), along, float(value)):
            zeros.add(path)
    for what, direction in moves(segments):

        def along(h, direction=direction):
            moved = tuple(place + h * d for place, d in zip(places, direction, strict=True))
            return float(observable(values, moved))

        slope = sum(float(jnp.sum(g * d)) for g, d in zip(by_place, direction, strict=True))
        compare(what, slope, along, 1.0, 2e-4)
    assert not wrong
    assert zeros == {
        path for path in zeros if any(word in path for word in UNSEEN + OF_THE_ADC * ("quiet" in name))
    }
