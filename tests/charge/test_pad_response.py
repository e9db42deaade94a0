"""Pad responses: the closed form, its separable form, and finite-element tables of the same induction."""

import os
from pathlib import Path

import numpy as np
import pytest

from dptoolkit.charge.pad_response import (
    PadResponse,
    build_pad_response,
    pad_weighting_potential,
    tabulated_pad_response,
)

PITCH = 0.4434
VELOCITY = 0.1596  # [cm/us] at 0.5 kV/cm and 87 K: the drift of both finite-element tables
TABLES = {"pixel_response_3p8mm.npy": (0.05, 0.38), "pixel_response_2021.npy": (0.1, 0.4434)}
FOLDER = Path(os.environ.get("DPTOOLKIT_DATA", Path(__file__).parents[2] / ".." / "shared" / "data")) / "tpc"


@pytest.fixture(scope="module")
def response() -> PadResponse:
    return build_pad_response(PITCH)


def table_of(name):
    if not (FOLDER / name).exists():
        pytest.skip(f"{FOLDER / name} is absent: set DPTOOLKIT_DATA to the folder of reference data")
    sampling, pitch = TABLES[name]
    return np.load(FOLDER / name), sampling, pitch


def sum_over_pads(response, per_pitch=10):
    """Sum of Q over all pads, at every place of a cell: (per_pitch, per_pitch, n_z)."""
    place = np.arange(response.nodes.size) % per_pitch
    fold = (np.arange(per_pitch)[:, None] == place).astype(float)
    return np.einsum("ui,vj,ijz->uvz", fold, fold, response.charge())


def closed_form(nodes, heights, pitch, pad):
    """The convention in its own words: w, cut and switched off; the row sums evened for pads that tile."""
    n, per_pitch = nodes.size, round(pitch / (nodes[1] - nodes[0]))
    w = pad_weighting_potential(nodes[:, None, None], nodes[:, None], heights, pad)
    w[[0, -1]] /= 2
    w[:, [0, -1]] /= 2
    cell = np.where(np.isclose(abs(nodes), pitch / 2), 0.5, abs(nodes) < pitch / 2)
    if pad == pitch:
        place = np.arange(n) % per_pitch
        for _ in range(2):  # x, then y
            rows = np.stack([w[place == u].sum(0) for u in range(per_pitch)])
            w = w + cell[:, None, None] * (rows.mean(0) - rows[place])
            w = w.transpose(1, 0, 2)
    w = w * np.cos(np.pi / 2 * np.clip(2 * heights / heights[-1] - 1, 0, 1)) ** 2
    w[..., 0] = np.outer(cell, cell)
    return w


def relative_errors(response, pad, sigma=0.02):
    """Relative L2 error of Q, and of dQ/dz after a Gaussian of `sigma` [cm], on a fine grid of heights."""
    truth = closed_form(response.nodes, response.heights, response.pitch, pad)
    miss = response.charge() - truth
    fine = np.arange(-5 * sigma, response.heights[-1] + 5 * sigma, sigma / 8)
    kernel = np.exp(-0.5 * (np.arange(-40, 41) / 8) ** 2)

    def current(charge):
        q = np.apply_along_axis(lambda f: np.interp(fine, response.heights, f), -1, charge)
        return np.apply_along_axis(lambda f: np.convolve(np.diff(f), kernel, "same"), -1, q)

    norm = np.linalg.norm
    return norm(miss) / norm(truth), norm(current(miss)) / norm(current(truth))


def test_on_the_plane_the_potential_is_one_inside_and_zero_outside():
    x = np.array([0.0, 0.2, -0.221, 0.222, 0.5])
    w = pad_weighting_potential(x, 0.1, 1e-12, PITCH)
    assert np.allclose(w, [1, 1, 1, 0, 0], atol=1e-8)
    assert np.allclose(pad_weighting_potential(PITCH / 2, [0.0, PITCH / 2], 0.0, PITCH), [0.5, 0.25])


def test_far_away_a_pad_is_a_dipole():
    x, y, z = 30.0, -20.0, 50.0
    r = np.sqrt(x**2 + y**2 + z**2)
    assert pad_weighting_potential(x, y, z, PITCH) == pytest.approx(
        PITCH**2 * z / (2 * np.pi * r**3), rel=1e-4
    )


def test_above_its_centre_a_pad_subtends_the_textbook_solid_angle():
    z = 0.7 * PITCH
    assert pad_weighting_potential(0, 0, z, PITCH) == pytest.approx(
        2 / np.pi * np.arcsin(1 / (1 + (2 * z / PITCH) ** 2)), rel=1e-12
    )


def test_pads_that_tile_a_large_square_add_up_to_it():
    centre = (np.arange(7) - 3) * PITCH
    args = (0.3, 1.0)
    tiles = sum(
        pad_weighting_potential(0.1 - a, 0.07 - b, args[0], PITCH, gap=args[1])
        for a in centre
        for b in centre
    )
    assert tiles == pytest.approx(
        pad_weighting_potential(0.1, 0.07, args[0], 7 * PITCH, gap=args[1]), abs=1e-12
    )


@pytest.mark.parametrize("z", [0.01, 0.3, 0.9, 1.0])
def test_an_infinite_tiling_under_a_cathode_is_a_parallel_plate(z):
    assert pad_weighting_potential(0.4, -0.2, z, 16.0, gap=1.0, n_images=300) == pytest.approx(
        1 - z, abs=1e-6
    )


def test_an_infinite_tiling_without_a_cathode_takes_the_whole_charge():
    assert pad_weighting_potential(0.1, 0.1, 0.5, 1e7) == pytest.approx(1, abs=1e-6)


def test_the_images_have_converged():
    z = np.linspace(0.01, 0.99, 9)
    few, many = (pad_weighting_potential(0.3, 0.1, z, PITCH, 1.0, n) for n in (20, 400))
    assert np.allclose(few, many, atol=1e-8)
    assert np.allclose(pad_weighting_potential(0.3, 0.1, 1.0, PITCH, 1.0), 0, atol=1e-7)


@pytest.mark.parametrize("nodes_per_pitch", [10, 20])
def test_the_pads_share_the_same_total_at_every_place(nodes_per_pitch):
    response = build_pad_response(PITCH, nodes_per_pitch=nodes_per_pitch)
    total = sum_over_pads(response, nodes_per_pitch)
    assert np.allclose(total, response.total, atol=1e-12)
    assert response.total[0] == pytest.approx(1, abs=1e-14)
    assert response.total[-1] == 0
    assert np.all(np.diff(response.total) < 0)


@pytest.mark.parametrize("pad", [None, 0.36])
def test_each_signal_starts_at_zero_and_collects_exactly_its_own_cell(pad):
    response = build_pad_response(PITCH, pad=pad)
    cell = np.clip(np.round((PITCH / 2 - abs(response.nodes)) / PITCH * 10) + 1, 0, 2) / 2
    assert np.allclose(response.charge()[..., 0], np.outer(cell, cell), atol=1e-14)
    assert np.allclose(response.charge()[..., -1], 0, atol=1e-14)
    assert np.array_equal(response.factors[0], cell)
    assert np.array_equal(response.profiles[:, 0] == 0, np.arange(len(response.profiles)) > 0)


def test_the_response_has_the_symmetry_of_the_square(response):
    q = response.charge()
    assert np.allclose(q, q.transpose(1, 0, 2), atol=1e-14)
    assert np.allclose(q, q[::-1], atol=1e-14)
    assert np.allclose(response.nodes, -response.nodes[::-1])


@pytest.mark.parametrize(("tolerance", "pad"), [(1e-3, PITCH), (3e-4, PITCH), (1e-4, PITCH), (3e-4, 0.36)])
def test_charge_and_smoothed_current_are_within_the_tolerance_of_the_closed_form(tolerance, pad):
    errors = relative_errors(build_pad_response(PITCH, pad=pad, tolerance=tolerance), pad)
    assert max(errors) < tolerance * 1.05  # 5 %: two ways to smooth the current


def test_nine_terms_are_enough_and_none_cancels_another(response):
    assert len(response.factors) <= 9
    assert np.abs(response.profiles).max() <= 1 + 1e-9
    assert np.abs(response.factors).max() <= 1.1


def test_evening_moves_less_than_one_percent_of_an_electron(response):
    truth = pad_weighting_potential(
        response.nodes[1:-1, None, None], response.nodes[1:-1, None], response.heights[1:56], PITCH
    )
    moved = response.charge()[1:-1, 1:-1, 1:56] - truth
    assert response.heights[55] < 2 * PITCH < response.heights[57]
    assert np.abs(moved).max() < 0.01


def test_the_late_part_of_the_far_induction_is_one_percent_of_an_electron(response):
    far = response.heights > 2 * PITCH
    own = response.charge()[25, 25]
    assert np.abs(own - pad_weighting_potential(0, 0, response.heights, PITCH))[far].max() < 0.012


@pytest.mark.parametrize(("height", "bound"), [(0, 0.009), (1, 0.004), (3, 0.001)])
def test_sharpened_a_gaussian_deposit_sees_the_closed_form_between_the_nodes(response, height, bound):
    """Against 0.036, 0.019 and 0.010 for the node values themselves: a deposit of 0.05 cm, relative L2."""
    sharp = response.sharpened()
    fine = np.arange(-300, 301) * PITCH / 150
    hats = np.maximum(0, 1 - abs(fine[:, None] - sharp.nodes) * 10 / PITCH)
    blur = np.exp(-0.5 * ((fine[:, None] - fine) / 0.05) ** 2)
    blur = (blur / blur.sum(1, keepdims=True))[75:-75]
    p = sharp.factors @ hats.T @ blur.T
    seen = np.einsum("ri,rj,r->ij", p, p, sharp.profiles[:, height])
    z = max(response.heights[height], 1e-12)
    truth = blur @ pad_weighting_potential(fine[:, None], fine, z, PITCH) @ blur.T
    assert np.linalg.norm(seen - truth) < bound * np.linalg.norm(truth)
    assert np.allclose(sum_over_pads(sharp), sharp.total, atol=1e-12)


def test_a_low_cathode_shortens_the_window():
    response = build_pad_response(PITCH, gap=1.0)
    assert response.heights[-1] == 1.0
    assert np.allclose(sum_over_pads(response), response.total, atol=1e-12)


def test_a_smaller_pad_sees_less_before_arrival_and_the_same_after(response):
    small = build_pad_response(PITCH, pad=0.36)
    assert np.all(small.total[1:-1] < response.total[1:-1] + 1e-3)
    assert np.allclose(sum_over_pads(small)[..., 0], 1, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pad": 0.5}, "pad = 0.5"),
        ({"gap": -1.0}, "gap = -1.0"),
        ({"nodes_per_pitch": 5}, "nodes_per_pitch = 5"),
        ({"tolerance": 0.0}, "tolerance = 0.0"),
        ({"tolerance": 1e-15}, "not reached"),
        ({"dz": 0.0}, "dz = 0.0"),
        ({"n_neighbours": -1}, "n_neighbours = -1"),
    ],
)
def test_wrong_use_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_pad_response(PITCH, **arguments)


def with_grounded_walls(x, y, z, pad, cathode, wall):
    """The closed form in a box: images of alternate sign in walls at x, y = +-wall, and in the cathode."""
    images = range(-2, 3) if np.isfinite(wall) else [0]
    wall = wall if np.isfinite(wall) else 0.0
    return sum(
        (-1) ** (i + j) * pad_weighting_potential(x - 2 * i * wall, y - 2 * j * wall, z, pad, cathode, 3)
        for i in images
        for j in images
    )


def finite_element_charge(name, heights_in_pitches):
    """Induced charge of the table at heights above the plane, the pitch, the height of its cathode."""
    table, sampling, pitch = table_of(name)
    charge = np.cumsum(table, axis=-1) * sampling
    time = sampling * np.arange(1, charge.shape[-1] + 1)
    arrival = np.interp(0.999, charge[0, 0], time)
    at = arrival - np.asarray(heights_in_pitches) * pitch / VELOCITY
    charge = np.apply_along_axis(lambda q: np.interp(at, time, q), -1, charge)
    return np.where(np.any(table, axis=-1)[..., None], charge, np.nan), pitch, VELOCITY * arrival


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "wall"), [("pixel_response_3p8mm.npy", 1.5), ("pixel_response_2021.npy", np.inf)]
)
def test_finite_elements_lie_between_the_closed_forms_of_the_pad_and_of_the_pitch(name, wall):
    """The tables were solved in a box: a cathode at 3.2 and 2.9 pitches; the 3.8 mm one has walls at 1.5.

    The pad is narrower than the pitch (3/4 of it at least) and paths bend near the plane, which makes
    arrivals differ by 0.05 cm (the tables' own spread over the pad). Between these limits of the closed
    form, with the box's images, both tables lie to 0.002 electrons at all bins and heights above a
    quarter pitch; bin (7, 7) of the 3.8 mm table is empty. 0.002 is the error of the cathode's height.
    A pad of 0.88 (0.81) pitches alone agrees to 0.014 (0.024) at the centre, 0.03 (0.003) at neighbours.
    The default, free of box and gap, differs by 0.067 (0.106) at the centre, 0.023 (0.143) at the edge
    bin, 0.055 (0.114) at the next pad's edge bin and 0.031 (0.023) at its centre: it induces earlier.
    """
    heights = np.linspace(0.25, 2.75, 11)
    charge, pitch, cathode = finite_element_charge(name, heights)
    x = (np.arange(15)[:, None, None] + 0.5) * pitch / 10
    z, y = heights * pitch, x[:, 0]
    spread = 0.05
    limits = [
        with_grounded_walls(x, y, z + sign * spread, pad * pitch, cathode + spread, wall * pitch)
        for sign in (-1, 1)
        for pad in (0.75, 1)
    ]
    seen = ~np.isnan(charge)
    assert seen.mean() > 0.99
    assert np.all((charge > np.min(limits, axis=0) - 0.002)[seen])
    assert np.all((charge < np.max(limits, axis=0) + 0.002)[seen])


@pytest.mark.data
@pytest.mark.parametrize("name", TABLES)
def test_half_of_the_charge_is_seen_when_the_finite_elements_see_it(name):
    """Time at 50 % after arrival over the centre [us], closed form (pitch) and table, 3.8 mm; 4.4 mm.

    Centre -0.76, -0.64; -0.88, -0.67. Edge bin -0.34, -0.17; -0.40, -0.09. Corner -0.16, +0.27; -0.19,
    +0.22. The table is later, by no more than a 3/4 pitch pad is (w = 1/2 at 0.32 widths) plus the
    extra path to the pad's corner, which is where the table ends.
    """
    table, sampling, pitch = table_of(name)
    latest = -tabulated_pad_response(table, sampling, pitch / 10, pitch, VELOCITY).heights[0]
    charge = np.cumsum(table, axis=-1) * sampling
    time = sampling * np.arange(1, charge.shape[-1] + 1)
    arrival = np.interp(0.999, charge[0, 0], time)
    z = np.linspace(1, 1e-6, 2000) * pitch
    for i, j in ((0, 0), (4, 0), (4, 4)):
        w = pad_weighting_potential((i + 0.5) * pitch / 10, (j + 0.5) * pitch / 10, z, pitch)
        later = np.interp(0.5, charge[i, j], time) - arrival + np.interp(0.5, w, z) / VELOCITY
        assert 0 < later < (0.32 * 0.25 * pitch + latest) / VELOCITY


@pytest.mark.data
@pytest.mark.parametrize("name", TABLES)
def test_a_supplied_table_is_reproduced_and_collects_exactly(name):
    table, sampling, pitch = table_of(name)
    response = tabulated_pad_response(table, sampling, pitch / 10, pitch, VELOCITY, tolerance=1e-3)
    charge = response.charge()
    total = sum_over_pads(response)
    assert np.allclose(total[..., 0], 1, atol=1e-12)
    assert np.allclose(total.mean((0, 1)), response.total, atol=1e-12)
    assert np.allclose(charge[..., -1], 0, atol=1e-12)
    k = np.arange(1, response.heights.size)
    end = response.heights.size - 1
    bins = np.concatenate([np.zeros((15, 15, 1)), np.cumsum(table, axis=-1) * sampling], axis=-1)
    truth = bins[..., end - k]
    at_bin_corner = (truth[1:, 1:] + truth[:-1, 1:] + truth[1:, :-1] + truth[:-1, :-1]) / 4
    seen = charge[16:-1, 16:-1, 1:]
    assert np.linalg.norm(seen - at_bin_corner) < 1e-3 * np.linalg.norm(at_bin_corner)


def test_a_table_of_the_closed_form_gives_the_closed_form(response):
    """A table made of a finely timed closed form comes back: time, bins and mirror are read correctly."""
    bins = (np.arange(25) + 0.5) * PITCH / 10
    heights = np.linspace(4 * PITCH, 0, 401)
    charge = pad_weighting_potential(bins[:, None, None], bins[:, None], heights, PITCH)
    charge = (charge - charge[..., :1]) / (1 - heights[-1] - charge[..., :1])
    velocity, sampling = 0.2, 4 * PITCH / 400 / 0.2
    table = np.diff(charge, axis=-1) / sampling
    tabulated = tabulated_pad_response(table, sampling, PITCH / 10, PITCH, velocity)
    assert tabulated.heights[0] == pytest.approx(0, abs=0.01)
    assert tabulated.nodes == pytest.approx(response.nodes)
    at_half = [np.interp(0.3 * PITCH, r.heights, r.charge()[25, 25]) for r in (response, tabulated)]
    assert at_half[0] == pytest.approx(at_half[1], abs=0.015)


def test_a_table_of_the_wrong_shape_is_named():
    with pytest.raises(ValueError, match="table: shape"):
        tabulated_pad_response(np.zeros((14, 14, 20)), 0.1, 0.04434, PITCH, VELOCITY)
