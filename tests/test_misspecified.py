"""Calibrations whose model is not what made the data."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.calibrate import Calibration, Toy, calibrate, check_alike
from dptoolkit.charge.recombination import ModifiedBox
from dptoolkit.detector import LArTPC
from dptoolkit.events import Segments, segments_from_arrays
from dptoolkit.params import replace

DEDX = np.geomspace(1.7, 6.0, 12)
"""Along every track [MeV/cm]."""


def slanted_tracks(n: int) -> Segments:
    """An event a track, at a random angle to the anode and through half of the drift distances."""
    rng, tracks = np.random.default_rng(3), []
    for _ in range(n):
        start = np.array([rng.uniform(-9, 9), rng.uniform(-6, 6), -3.0])
        end = np.array([-start[0], rng.uniform(-6, 6), 3.0])
        points = start + (end - start) * np.linspace(0, 1, len(DEDX) + 1)[:, None]
        tracks.append((points[:-1], points[1:], DEDX * np.linalg.norm(end - start) / len(DEDX)))
    number = np.repeat(np.arange(n), len(DEDX))
    return segments_from_arrays(*map(np.concatenate, zip(*tracks, strict=True)), event=number, track=number)


@pytest.mark.slow
def test_birks_fitted_to_a_modified_box_gives_its_charge_and_the_right_lifetime(small_pixel: LArTPC) -> None:
    """The wrong law takes the values of the right one where the data are, and leaves the rest alone."""
    maker = dataclasses.replace(small_pixel, recombination=ModifiedBox())
    toy = Toy(maker, {"drift.lifetime": 2600.0})
    events = slanted_tracks(4)
    free = ["recombination.a", "recombination.k", "drift.lifetime"]
    problem = Calibration(small_pixel, free, start={"drift.lifetime": 1500.0}).problem(
        [events], [toy.observe(events, 0)]
    )
    result = calibrate(problem)
    assert result.converged and result.uncertainty is not None
    found = {path.removeprefix("detector."): value for path, value in result.history[-1].values.items()}
    lifetime, error = float(found["drift.lifetime"]), result.uncertainty.errors[-1]
    assert abs(lifetime - 2600.0) < error, "less than the error of a noise that these data do not have"

    dedx, field = jnp.asarray(DEDX), jnp.full(len(DEDX), 0.5)
    fitted = replace(small_pixel, found).recombination(dedx, field, 0 * field)
    true = maker.recombination(dedx, field, 0 * field)
    np.testing.assert_allclose(fitted, true, rtol=0.02)  # the laws bend differently at small dE/dx
    assert float(jnp.sum(dedx * fitted) / jnp.sum(dedx * true)) == pytest.approx(1.0, abs=5e-3)


def test_a_maker_of_other_planes_is_refused(small_pixel: LArTPC, small_wire: LArTPC) -> None:
    with pytest.raises(ValueError, match=r"planes .* are not those of small-pixel"):
        check_alike(small_wire, small_pixel)
