"""The folder of a challenge without a detector: what scoring and the leaderboard need of it."""

import json
from dataclasses import asdict
from pathlib import Path

from dptoolkit.challenge_folder import SAMPLE, SUBMISSIONS, digest, truth_file_of
from dptoolkit.scoring import TRUTH_SCHEMA, Envelope, HiddenParameter

TRUTH = {"drift.lifetime": 2000.0, "recombination.a": 0.84}


def write_challenge(folder: Path) -> Path:
    (folder / SUBMISSIONS).mkdir(parents=True)
    (folder / SAMPLE).write_bytes(b"muons")
    hidden = (
        HiddenParameter("drift.lifetime", "us", 500.0, 5000.0, TRUTH["drift.lifetime"]),
        HiddenParameter("recombination.a", "1", 0.78, 0.88, TRUTH["recombination.a"]),
    )
    envelope = Envelope("small-pixel", 7, digest(folder / SAMPLE), hidden)
    truth_file_of(folder).write_text(json.dumps({"schema": TRUTH_SCHEMA, **asdict(envelope)}))
    return folder


def write_submission(path: Path, lifetime: float, error: float, **more: object) -> Path:
    rows = [{"path": "drift.lifetime", "unit": "us", "estimate": lifetime, "error": error, **more}]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"parameters": rows}))
    return path
