"""Small inputs, and the command line as a function."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dptoolkit.cli import app
from tests.cli.makers import NUMBERS, write_muons


@pytest.fixture
def cli() -> Callable:
    """`cli("simulate", ...)`: a result with exit_code, stdout and stderr."""
    runner = CliRunner()
    return lambda *words: runner.invoke(app, [str(word) for word in words])


@pytest.fixture(scope="session")
def muons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three events of ten steps near the middle of `small-wire`, in the format of edep-sim."""
    return write_muons(tmp_path_factory.mktemp("input") / "muons.h5", NUMBERS)
