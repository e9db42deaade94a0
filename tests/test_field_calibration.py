"""A distortion is recovered from generated muons: a part of it from few, nothing where there is none."""

import dataclasses
from functools import cache

import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.charge.field import AbstractField
from dptoolkit.charge.poisson import PoissonField
from dptoolkit.charge.spline import SplineField, VoxelField
from dptoolkit.config import load_tpc
from dptoolkit.detector import LArTPC
from dptoolkit.field_calibration import (
    FieldCalibration,
    TruePath,
    free_paths,
    measure,
    muon_paths,
    true_points,
)
from dptoolkit.field_map import Lattice, field_map
from dptoolkit.geometry import Volumes
from dptoolkit.io.errors import InputError
from dptoolkit.io.event_file import EventFile
from dptoolkit.reconstruction.bends import Resolution
from dptoolkit.sources.generator import generate
from dptoolkit.surrogates.potential import NetworkField

RESOLUTION = Resolution(0.05, 0.05)
N_MUONS, AMPLITUDE = 100, 0.1


@cache
def detector(amplitude: float) -> LArTPC:
    """The drift of `small-wire` in larger volumes, with ions in them."""
    field = PoissonField(amplitude=amplitude, modes=6)
    return dataclasses.replace(load_tpc("small-wire"), volumes=VOLUMES, field=field)


VOLUMES = Volumes.from_boxes([[0.0, 0, 0]], [100.0, 120, 140], ["-x"])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> EventFile:
    made = generate("cosmics", VOLUMES, np.arange(N_MUONS), seed=2)
    path = tmp_path_factory.mktemp("muons") / "muons.h5"
    return EventFile(made.segments, made.numbers, "generated", path)


@pytest.fixture(scope="module")
def paths(file: EventFile) -> list[TruePath]:
    return muon_paths(file, VOLUMES, 5.0)


def recovered(paths: list[TruePath], amplitude: float, model: AbstractField, resolution=RESOLUTION, seed=1):
    truth = detector(amplitude)
    tracks = measure(paths, truth, resolution, seed)
    found = FieldCalibration(truth, model, resolution).run(tracks)
    points, _ = true_points(tracks, found.detector)
    seen = points, [track.volume for track in tracks]
    return found, field_map(found, truth, Lattice(VOLUMES, 5), seen)


def test_paths_are_those_of_the_first_muon_of_an_event(paths, file):
    assert 60 < len(paths) <= N_MUONS
    for path in paths[:10]:
        steps = np.linalg.norm(np.diff(path.points, axis=0), axis=1)
        assert np.all(steps < 5.0 + 1e-9) and np.median(steps) > 4.99
        assert VOLUMES.encloses(path.points) and len(path.ends) in (1, 2)


def test_a_file_without_long_muons_is_refused(file):
    with pytest.raises(InputError, match="no muon runs through 8 points 100 cm apart"):
        muon_paths(file, VOLUMES, 100.0)


@pytest.fixture(scope="module")
def spline(paths):
    return recovered(paths, AMPLITUDE, SplineField(pieces=(1, 1, 1)))


def test_a_coarse_spline_recovers_a_part_of_a_distortion(spline):
    """Of few muons; it is too coarse for its own errors, which leave out what it cannot follow."""
    found, map_ = spline
    numbers = map_.summary()["whole"]
    assert found.converged
    assert numbers["without_correction_V_per_cm"] > 4.0
    assert numbers["ratio"] < 0.6


def test_the_combinations_of_the_data_are_met_with_unit_variance(spline):
    found, _ = spline
    problem, z = found.problem, jnp.asarray(found.results[-1].history[-1].z)
    number = next(i for i, seen in enumerate(problem.observed) if "tracks" in seen)
    expected, observed = (part["tracks"] for part in problem.compared(z, number))
    difference = np.asarray(expected.value - observed.value)[np.asarray(expected.valid)]
    assert len(difference) > 1000
    assert np.mean(difference**2) == pytest.approx(1.0, abs=0.15)


def test_no_distortion_is_recovered_as_none(paths):
    _, map_ = recovered(paths, 0.0, SplineField(pieces=(1, 1, 1)))
    pulls = (map_.found - map_.true) / map_.sigma
    assert np.sqrt(np.mean(pulls**2)) < 1.5


@pytest.mark.slow
def test_a_network_recovers_a_distortion(paths):
    found, map_ = recovered(paths, AMPLITUDE, NetworkField(hidden=(8, 8)))
    assert found.converged and map_.summary()["whole"]["ratio"] < 0.7


@pytest.mark.slow
def test_a_tracker_helps(paths, spline):
    """The truth is the same; where muons enter and leave is known to 1 mm."""
    anchored = dataclasses.replace(RESOLUTION, tracker=0.1)
    _, map_ = recovered(paths, AMPLITUDE, SplineField(pieces=(1, 1, 1)), anchored)
    assert map_.sigma.mean() < spline[1].sigma.mean()


@pytest.mark.slow
def test_voxels_recover_less(paths, spline):
    """Nothing keeps a table free of curl."""
    _, map_ = recovered(paths, AMPLITUDE, VoxelField(voxels=(3, 3, 3)))
    assert spline[1].summary()["whole"]["ratio"] < map_.summary()["whole"]["ratio"]


def test_derivatives_item_by_item_are_those_of_the_problem(paths):
    truth = detector(AMPLITUDE)
    model = NetworkField(hidden=(4,))
    tracks = measure(paths[:6], truth, RESOLUTION, 1)
    problem = FieldCalibration(truth, model, RESOLUTION).problem(tracks, model)
    z = problem.start + jnp.asarray(np.random.default_rng(0).normal(size=len(problem.start)))
    mine, theirs = problem.normal(z), super(type(problem), problem)._computed(z)
    assert mine.loss == pytest.approx(sum(part.loss for part in theirs), rel=1e-9)
    np.testing.assert_allclose(mine.gradient, sum(part.gradient for part in theirs), rtol=1e-7, atol=1e-7)
    matrix = sum(part.matrix for part in theirs)
    np.testing.assert_allclose(mine.matrix, matrix, rtol=1e-7, atol=1e-9 * np.abs(matrix).max())


def test_a_fit_goes_on_from_its_checkpoint(paths, tmp_path):
    truth, model = detector(AMPLITUDE), SplineField(pieces=(1, 1, 1))
    tracks = measure(paths[:20], truth, RESOLUTION, 1)
    calibration = FieldCalibration(truth, model, RESOLUTION)
    whole = calibration.run(tracks, checkpoint=tmp_path / "a.npz")
    again = calibration.run(tracks, checkpoint=tmp_path / "a.npz")
    np.testing.assert_array_equal(whole.model.coefficients, again.model.coefficients)
    assert [r.steps for r in whole.results] == [r.steps for r in again.results]


def test_only_the_distortion_is_free():
    assert free_paths(NetworkField()) == ["detector.field.weights"]
    assert free_paths(SplineField()) == ["detector.field.coefficients"]


def test_a_lattice_counts_each_track_once_a_cell():
    lattice = Lattice(VOLUMES, 4)
    line = np.linspace(VOLUMES.low[0] + 1, VOLUMES.high[0] - 1, 200)
    count = lattice.tracks([line, line[:2]], [np.zeros(200, int), np.zeros(2, int)])
    assert count.max() == 2 and (count == 1).sum() >= 4
    assert VOLUMES.locate(lattice.points).min() == 0
    own = lattice.tracks([point[None] for point in lattice.points], [np.zeros(1, int)] * len(lattice.points))
    np.testing.assert_array_equal(own, 1)
