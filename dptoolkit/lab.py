"""JupyterLab on a working copy of the shipped notebooks.

Notebooks of the course are worked in, so what is copied once belongs to the user: a file that is there is
never replaced.
"""

import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dptoolkit.atomic import write_bytes
from dptoolkit.io.errors import InputError
from dptoolkit.shipped import shipped_folder

FIRST = "00_welcome.ipynb"
"""Opened when JupyterLab starts."""
OFFLINE = ("--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate")
"""JupyterLab asks no other host for news."""
QUIET = ("--ServerApp.answer_yes=True", "--ServerApp.allow_root=True")
"""Ctrl-C ends it without a question; it also starts in containers, where the user is root."""


@dataclass(frozen=True)
class WorkingCopy:
    """A folder of notebooks to work in."""

    folder: Path
    added: tuple[str, ...]
    """Copied now."""
    kept: tuple[str, ...]
    """There already, and different from what is shipped."""

    @property
    def note(self) -> str:
        """What was done, in a line."""
        text = f"{self.folder}: {len(self.added)} notebooks copied" if self.added else f"{self.folder}"
        if self.kept:
            plural = "s" if len(self.kept) > 1 else ""
            text += (
                f"; {len(self.kept)} with changes kept (to get the shipped one{plural} back, rename yours)"
            )
        return text


def working_copy(folder: str | Path) -> WorkingCopy:
    """Copy the shipped notebooks that `folder` does not have yet."""
    folder, shipped = Path(folder), shipped_folder("notebooks")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a folder for the notebooks; choose another -o")
    if not folder.absolute().parent.is_dir():
        raise InputError(f"{folder}: the folder {folder.parent} does not exist; make it first")
    if folder.exists() and folder.samefile(shipped):
        raise InputError(
            f"{folder}: holds the shipped notebooks themselves; choose another -o for your copies"
        )
    folder.mkdir(exist_ok=True)
    added, kept = [], []
    for original in sorted(shipped.glob("*.ipynb")):
        mine = folder / original.name
        if not mine.exists():
            write_bytes(mine, original.read_bytes())
            added.append(mine.name)
        elif mine.read_bytes() != original.read_bytes():
            kept.append(mine.name)
    return WorkingCopy(folder, tuple(added), tuple(kept))


def check_jupyter() -> None:
    """An error unless JupyterLab is installed."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise InputError(
            "JupyterLab is not installed; it is in the extra 'notebooks'; "
            'mend it with: pip install "dptoolkit[notebooks]"'
        )


def jupyter_command(folder: Path, port: int, browser: bool) -> list[str]:
    """The words that start JupyterLab there."""
    first = f"/lab/tree/{FIRST}" if (folder / FIRST).is_file() else "/lab"
    words = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder.resolve()}"]
    words += [f"--ServerApp.port={port}", f"--LabApp.default_url={first}", *QUIET, *OFFLINE]
    return words if browser else [*words, "--no-browser"]


def jupyter_environment(before: Mapping[str, str]) -> dict[str, str]:
    """With figures of Panel and HoloViews inside the notebooks, so that they show without a network."""
    return {**before, "PANEL_INLINE": "True"}


def start_jupyter(folder: Path, port: int, browser: bool) -> None:
    """Become JupyterLab: this process ends when it does, with its exit code."""
    words = jupyter_command(folder, port, browser)
    os.execve(words[0], words, jupyter_environment(os.environ))
