"""`calibrate --field`: a distortion injected, recovered, reported, resumed; misuse in a line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml


@pytest.fixture(scope="module")
def cosmics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from typer.testing import CliRunner

    from dptoolkit.cli import app

    path = tmp_path_factory.mktemp("cosmics") / "muons.h5"
    words = ["generate", "cosmics", "-n", "60", "-d", "small-wire", "--seed", "5", "-o", str(path)]
    assert CliRunner().invoke(app, words).exit_code == 0
    return path


WORDS = ("calibrate", "-d", "small-wire", "--field", "--resolution", "0.3 mm", "--no-comparisons")


def test_a_distortion_is_recovered_interrupted_resumed_and_used(
    cli: Callable, cosmics: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "field"
    words = (*WORDS, "--data", cosmics, "--set", "field.amplitude=0.08", "--seed", 5, "-o", output)
    from dptoolkit.inference.optimise import GaussNewton

    step, calls = GaussNewton.step, []

    def interrupted(self, problem, state):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return step(self, problem, state)

    monkeypatch.setattr(GaussNewton, "step", interrupted)
    stopped = cli(*words)
    assert stopped.exit_code == 130, stopped.stderr
    assert "interrupted" in stopped.stderr and "--resume" in stopped.stderr
    monkeypatch.setattr(GaussNewton, "step", step)
    refused = cli(*words)
    assert refused.exit_code == 2 and "--resume" in refused.stderr

    done = cli(*words, "--resume")
    assert done.exit_code == 0, done.stderr
    result = json.loads((output / "result.json").read_text())
    assert result["schema"] == "dptoolkit.field-calibration/1" and result["converged"]
    assert result["truth"]["type"] == "PoissonField" and result["truth"]["amplitude"] == pytest.approx(0.08)
    assert {row["unit"] for row in result["parameters"]} == {"V/cm"} and len(result["correlation"]) == 3
    whole, covered = (result["field"][name] for name in ("whole", "covered"))
    assert 0 < covered["cells"] < whole["cells"] == 12**3
    assert whole["mean_absolute_error_V_per_cm"] < 0.6 * whole["without_correction_V_per_cm"]
    assert whole["ratio"] == pytest.approx(
        whole["mean_absolute_error_V_per_cm"] / whole["without_correction_V_per_cm"]
    )
    page = (output / "report.html").read_text()
    assert "Error and coverage" in page and "space points" in page

    config = yaml.safe_load((output / "detector.yaml").read_text())
    assert config["field"]["type"] == "FullPath"
    described = json.loads(cli("describe", output / "detector.yaml", "--json").stdout)["parameters"]
    assert "field.field.weights" in {row["path"] for row in described}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--resolution", "soon"), "--resolution 'soon'"),
        (("--tracker", "-1 mm"), "--tracker -1 mm: expected a positive length"),
        (("--tracker", "1 us"), "--tracker '1 us'"),
        (("--free", "drift.lifetime"), "--free means nothing with --field; leave it out"),
        (("--set", "field.amplitud=0.1"), "did you mean one of field.amplitude"),
    ],
)
def test_misuse_is_named_in_one_line(
    cli: Callable, cosmics: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    done = cli(*WORDS, "--data", cosmics, "-o", tmp_path / "field", *words)
    assert done.exit_code == 2 and message in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and not (tmp_path / "field").exists()
