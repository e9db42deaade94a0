"""Fixtures of the tests of inference."""

import pytest

from dptoolkit.inference import Problem
from tests.inference.decay import toy


@pytest.fixture
def problem() -> Problem:
    return toy()
