"""Water: the published numbers, and what they must obey."""

import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.light.medium import JOINT_NM, Clear, Water

PUBLISHED = {  # n, group index, absorption, symmetric, asymmetric and total length [m]; arXiv:1307.0162
    337.0: (1.3515, 1.408, 586, 76, 4800, 66),
    375.0: (1.346, 1.390, 552, 128, 9368, 103),
    400.0: (1.3436, 1.3815, 400, 176, 9886, 121),
    420.0: (1.342, 1.377, 277, 222, 8957, 122),
    445.0: (1.340, 1.370, 163, 292, 7513, 103),
    473.0: (1.338, 1.365, 88, 390, 6228, 71),
}


@pytest.mark.parametrize("nm", PUBLISHED)
def test_water_has_the_published_indices_and_lengths(nm):
    water, at = Water(), jnp.array([nm])
    n, group, absorption, symmetric, asymmetric, total = PUBLISHED[nm]
    assert float(water.index(at)[0]) == pytest.approx(n, abs=4e-4)
    assert float(water.group_index(at)[0]) == pytest.approx(group, abs=2e-3)
    assert 0.01 / float(water.absorption(at)[0]) == pytest.approx(absorption, rel=0.02)
    assert 0.01 / float(water.scattering(at)[0]) == pytest.approx(
        1 / (1 / symmetric + 1 / asymmetric), rel=0.02
    )
    assert 0.01 / float(water.extinction(at)[0]) == pytest.approx(total, rel=0.02)


def test_absorption_above_the_joint_is_that_of_pure_water():
    lengths = 0.01 / np.asarray(Water().absorption(jnp.array([500.0, 550.0, 600.0, 650.0])))
    np.testing.assert_allclose(lengths, [49.0, 17.7, 4.50, 2.94], rtol=0.01)  # Pope and Fry 1997
    below, above = 0.01 / np.asarray(Water().absorption(jnp.array([JOINT_NM - 0.01, JOINT_NM + 0.01])))
    assert below == pytest.approx(above, rel=0.1)


def test_the_group_index_is_the_slope_of_the_index_against_frequency():
    water, at, h = Water(index_shift=0.003), jnp.linspace(300, 650, 8), 1e-3
    slope = (water.index(at + h) - water.index(at - h)) / (2 * h)
    np.testing.assert_allclose(water.group_index(at), water.index(at) - at * slope, rtol=1e-8)


def test_a_clear_medium_loses_as_much_as_its_attenuation_length_says():
    clear, at = Clear(n=1.4, attenuation_length=500.0), jnp.linspace(300, 600, 3)
    np.testing.assert_allclose(clear.extinction(at), 1 / 500)
    np.testing.assert_allclose(clear.group_index(at), 1.4)
