"""`train-visibility`: a table, a network and a report; interrupted and resumed; misuse in a line."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dptoolkit.config import source_text
from dptoolkit.surrogates.siren import SirenVisibility
from dptoolkit.surrogates.table import VisibilityTable
from tests.light.test_argon import LIGHT

QUICK = ("--voxel", "4 cm", "--photons", 32, "--steps", 24, "--check", 32)


@pytest.fixture(scope="module")
def lit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small detector whose plates are outside its drift volume."""
    path = tmp_path_factory.mktemp("lit") / "lit.yaml"
    path.write_text(source_text("small-pixel") + LIGHT.replace("8 cm]", "18 cm]"))
    return path


def test_a_map_is_made_trained_interrupted_resumed_and_used(
    lit: Path, cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "visibility"
    words = ("train-visibility", "-d", lit, "-o", output, *QUICK)
    from dptoolkit.surrogates import train

    whole = train.train

    def interrupted(table, visibility, plates, training, state, progress):
        def stop(state, loss):
            progress(state, loss)
            raise KeyboardInterrupt

        return whole(table, visibility, plates, training, state, stop)

    monkeypatch.setattr(train, "train", interrupted)
    stopped = cli(*words)
    assert stopped.exit_code == 130 and "after 8 steps; --resume" in stopped.stderr
    assert SirenVisibility.from_file(output / "network.h5") and not (output / "result.json").exists()
    monkeypatch.setattr(train, "train", whole)
    refused = cli(*words)
    assert refused.exit_code == 2 and "--resume" in refused.stderr and len(refused.stderr.splitlines()) == 1
    finer = cli(*words, "--resume", "--photons", 64)
    assert finer.exit_code == 2 and "was made with other options" in finer.stderr
    other = cli(*words, "--resume", "--no-prior")
    assert other.exit_code == 2 and "another training" in other.stderr
    done = cli(*words, "--resume")
    assert done.exit_code == 0, done.stderr
    result = json.loads((output / "result.json").read_text())
    assert result["schema"] == "dptoolkit.visibility/1" and result["steps"] == 24
    assert set(result["accuracy"]) == {"network", "prior", "table"}
    assert 0 < result["accuracy"]["network"]["rms_bias"] < 0.5
    page = (output / "report.html").read_text()
    assert "Gradient" in page and "collector 2" in page
    table = VisibilityTable.from_file(output / "table.h5")
    assert result["table_values"] == 2 * table.seen.size

    straight = cli(
        "train-visibility", output / "table.h5", "-d", lit, "-o", tmp_path / "straight", *QUICK[4:]
    )
    assert straight.exit_code == 0, straight.stderr
    one, two = (SirenVisibility.from_file(o / "network.h5").network for o in (output, tmp_path / "straight"))
    for weights, others in zip(one.weights, two.weights, strict=True):
        np.testing.assert_array_equal(weights, others)

    used = lit.with_name("used.yaml")
    visibility = json.dumps({"type": "SirenVisibility", "file": str(output / "network.h5")})
    used.write_text(lit.read_text().replace("{type: PointSource}", visibility))
    described = json.loads(cli("describe", used, "--json").stdout)["parameters"]
    assert "light.visibility.prior.rayleigh_length" in {row["path"] for row in described}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-d", "LIT"), "missing -o"),
        (("-d", "module0", "-o", "OUT"), "has no light of argon"),
        (("-d", "super-k", "-o", "OUT"), "has no light of argon"),
        (("-d", "LIT", "-o", "OUT", "--voxel", "2 kg"), "--voxel: cannot convert"),
        (("-d", "LIT", "-o", "OUT", "--voxel", "-2 cm"), "expected a positive length"),
        (("-d", "LIT", "-o", "OUT", "--estimator", "guess"), "expected one of photons, expected"),
        (("-d", "LIT", "-o", "OUT", "--set", "rayleigh=1 m"), "rayleigh_length"),
        (("none.h5", "-d", "LIT", "-o", "OUT"), "no such file; expected a visibility-table"),
        (("LIT", "-d", "LIT", "-o", "OUT"), "no HDF5 file"),
        (("LIT", "-d", "LIT", "-o", "OUT", "--voxel", "2 cm"), "--voxel is for a new table"),
    ],
)
def test_misuse_says_what_was_expected(
    words: tuple[str, ...], message: str, lit: Path, cli: Callable, tmp_path: Path
) -> None:
    places = {"LIT": str(lit), "OUT": str(tmp_path / "out")}
    result = cli("train-visibility", *(places.get(word, word) for word in words))
    assert result.exit_code == 2 and message in result.stderr, result.stderr
    assert not (tmp_path / "out").exists()
