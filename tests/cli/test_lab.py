"""JupyterLab on copies of the notebooks: what a user changed is never lost."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from dptoolkit import lab
from dptoolkit.shipped import shipped_folder

SHIPPED = sorted(path.name for path in shipped_folder("notebooks").glob("*.ipynb"))
PATIENCE = 120.0
"""For JupyterLab to start where other programs share the cores [s]."""


def test_all_notebooks_are_copied_and_edited_ones_are_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "course"
    assert list(lab.working_copy(folder).added) == SHIPPED
    edited, removed = folder / SHIPPED[0], folder / SHIPPED[1]
    edited.write_text("mine")
    removed.unlink()
    second = lab.working_copy(folder)
    assert second.added == (removed.name,) and second.kept == (edited.name,)
    assert edited.read_text() == "mine"
    assert removed.read_bytes() == (shipped_folder("notebooks") / removed.name).read_bytes()
    assert str(folder) in second.note and "kept" in second.note


def test_the_shipped_notebooks_are_not_worked_in(cli: Callable) -> None:
    result = cli("lab", "--no-browser", "-o", shipped_folder("notebooks"))
    assert result.exit_code == 2 and "choose another -o" in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize(("name", "message"), [("file", "is a file"), ("no/course", "does not exist")])
def test_a_wrong_folder_is_told(name: str, message: str, cli: Callable, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = cli("lab", "-o", tmp_path / name)
    assert result.exit_code == 2 and message in result.stderr


def test_without_jupyterlab_the_extra_is_named(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jupyterlab", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = cli("lab", "-o", tmp_path / "course")
    assert result.exit_code == 2 and "dptoolkit[notebooks]" in result.stderr
    assert not (tmp_path / "course").exists()


@pytest.mark.slow
def test_jupyterlab_starts_offline_shows_the_copies_and_ends_at_ctrl_c(tmp_path: Path) -> None:
    pytest.importorskip("jupyterlab")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "dptoolkit", "lab", "--no-browser", "-o", "course", "--port", str(port)]
    environment = os.environ | {"JUPYTER_TOKEN": "secret", "JUPYTER_CONFIG_DIR": str(tmp_path / "config")}
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            words, cwd=tmp_path, env=environment, stderr=file, stdin=subprocess.DEVNULL
        )
    home = f"http://127.0.0.1:{port}"
    try:
        assert "version" in _answer(f"{home}/api", process)
        assert "jupyter" in _answer(f"{home}/lab?token=secret", process).lower()
        listed = json.loads(_answer(f"{home}/api/contents?token=secret", process))["content"]
        assert sorted(entry["name"] for entry in listed) == SHIPPED
        shown = _answer(f"{home}/lab?token=secret", process)
        assert '"news": {"disabled": true}' in shown.replace("&quot;", '"')
        if Path("/proc").is_dir():
            assert b"PANEL_INLINE=True" in Path(f"/proc/{process.pid}/environ").read_bytes()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) in (0, 130), log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert log.read_text().startswith(f"notebooks: course: {len(SHIPPED)} notebooks copied")
    assert "Traceback" not in log.read_text()


def _answer(url: str, process: subprocess.Popen) -> str:
    """What a server says, once it is there."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                return answer.read().decode()
        except OSError:
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.3)
