"""The folder of a challenge: names of its files, and whether a truth belongs to it. Needs no JAX."""

import hashlib
from pathlib import Path

from dptoolkit.scoring import Envelope

SAMPLE, TASK, HOW_TO, SUBMISSIONS = "control_sample.h5", "challenge.json", "README.md", "submissions"


def truth_file_of(folder: str | Path) -> Path:
    """Where the truth of a challenge is kept: beside its folder, not in it."""
    folder = Path(folder).absolute()
    return folder.with_name(f"{folder.name}.truth.json")


def check_belongs(folder: str | Path, envelope: Envelope) -> None:
    """An error unless this truth is that of the challenge in `folder`."""
    sample = Path(folder) / SAMPLE
    if not sample.is_file():
        raise ValueError(f"{folder}: holds no {SAMPLE}; expected the folder that challenge new has made")
    if digest(sample) != envelope.sample_sha256:
        raise ValueError(
            f"{folder}: its {SAMPLE} is not the one this truth belongs to; name the right file with --truth, "
            f"or make the challenge again"
        )


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
