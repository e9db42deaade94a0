"""Curvature of many local parameters by probing."""

import numpy as np
import pytest
from scipy.sparse import csr_array, diags_array

from dptoolkit.inference.local import colours, probed, solver
from dptoolkit.inference.steps import conjugate


def banded(n: int, width: int, seed: int = 0) -> tuple[np.ndarray, csr_array]:
    """(a positive matrix that is zero beyond `width` from its diagonal, where it is not)."""
    rng = np.random.default_rng(seed)
    near = diags_array([np.ones(n)] * (2 * width + 1), offsets=range(-width, width + 1), shape=(n, n))
    half = rng.normal(size=(n, n)) * (np.abs(np.subtract.outer(np.arange(n), np.arange(n))) <= width // 2)
    return half @ half.T + 0.1 * np.eye(n), csr_array(near)


def test_probing_finds_a_banded_matrix_exactly_in_few_products() -> None:
    matrix, near = banded(60, 4)
    asked = []
    found = probed(lambda v: (asked.append(1), matrix @ v)[1], near)
    assert found.toarray() == pytest.approx(matrix, abs=1e-12)
    assert len(asked) == 9


def test_two_parameters_of_one_colour_have_no_neighbour_in_common() -> None:
    _, near = banded(40, 3)
    colour = colours(near)
    for one in range(40):
        for other in range(one):
            shared = (near[[one]].toarray() * near[[other]].toarray()).any()
            assert not (shared and colour[one] == colour[other])


def test_a_good_preconditioner_solves_in_one_product() -> None:
    matrix, _ = banded(60, 4)
    b = np.arange(60.0)
    products = []
    product = lambda v: (products.append(1), matrix @ v)[1]  # noqa: E731
    x, fall = conjugate(product, b, 30, solver(csr_array(matrix), 0.0))
    assert x == pytest.approx(np.linalg.solve(matrix, b), rel=1e-6)
    assert fall == pytest.approx(0.5 * b @ x) and len(products) <= 2


def test_an_indefinite_matrix_still_preconditions() -> None:
    matrix, _ = banded(20, 2)
    wrong = matrix - 0.5 * np.diag(np.diag(matrix))
    solve = solver(csr_array(wrong), 0.0)
    v = np.ones(20)
    assert v @ solve(v) > 0
