"""View-model of the leaderboard: the submissions of a challenge, scored as they come in.

A team hands in `submissions/TEAM.json`, or a folder `submissions/TEAM/` with the result.json of `calibrate`.
Until it is revealed a board shows totals only: who knows how far each estimate is off has the truth.
"""

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import param

from dptoolkit.challenge_folder import SUBMISSIONS, check_belongs, truth_file_of
from dptoolkit.scoring import Envelope, Score, read_envelope, read_submission, score
from dptoolkit.session.state import AppModel

CHALLENGE, REVEAL = "DPTOOLKIT_CHALLENGE", "DPTOOLKIT_REVEAL"
"""Environment variables by which an app learns its challenge, and whether it shows the truth."""
Signature = tuple[int, int]
"""Time of change [ns] and size of a file."""


@dataclass(frozen=True)
class Entry:
    """What a team handed in; `score` is None where it cannot be scored, and `wrong` says why."""

    team: str
    score: Score | None
    wrong: str = ""

    @property
    def reported(self) -> int:
        """How many of the hidden parameters."""
        return 0 if self.score is None else sum(row.error is not None for row in self.score.parameters)


class Leaderboard(AppModel):
    """The board of the challenge in a folder; `refresh()` looks for what is new."""

    kept = ("theme",)
    leading = ()

    revealed = param.Boolean(default=False, constant=True, doc="Whether deviations and pulls are shown")

    def __init__(self, folder: str | Path | None = None, revealed: bool | None = None, **more: Any) -> None:
        super().__init__(**more)
        named = os.environ.get(CHALLENGE) if folder is None else folder
        self.folder = None if not named else Path(named)
        with param.edit_constant(self):
            self.revealed = os.environ.get(REVEAL) == "1" if revealed is None else revealed
        self.entries: tuple[Entry, ...] = ()
        self.envelope: Envelope | None = None
        self.wrong = ""
        self._seen: dict[Path, Signature] = {}
        self._known: dict[tuple[Path, Signature], Entry] = {}
        self._looked = False

    def refresh(self) -> bool:
        """Score what has come in or changed; whether there is anything else to show."""
        before = self._looked, self._seen, self.wrong
        self._looked = True
        self._open()
        if self.envelope is None or self.folder is None:
            return before != (True, self._seen, self.wrong)
        self._seen = {path: found for path in submissions(self.folder) if (found := _signature(path))}
        if before == (True, self._seen, self.wrong):
            return False
        self._known = {key: self._known.get(key) or self._entry(key[0]) for key in self._seen.items()}
        self.entries = ordered(self._known.values())
        return True

    def _open(self) -> None:
        """Read the truth, once it is there."""
        if self.envelope is not None:
            return
        if self.folder is None:
            self.wrong = "no challenge; start the server with: dptoolkit serve leaderboard --challenge FOLDER"
            return
        try:
            envelope = read_envelope(truth_file_of(self.folder))
            check_belongs(self.folder, envelope)
        except (ValueError, OSError) as error:
            self.wrong = _without(error, self.folder.absolute().parent)
            return
        self.envelope, self.wrong = envelope, ""

    def _entry(self, path: Path) -> Entry:
        assert self.envelope is not None
        team = path.parent.name if path.name == "result.json" else path.stem
        try:
            return Entry(team, score(read_submission(path, self.envelope), self.envelope))
        except (ValueError, OSError) as error:
            return Entry(team, None, _without(error, path.parent))


def submissions(folder: Path) -> list[Path]:
    """The files that were handed in."""
    place = folder / SUBMISSIONS
    found = [*place.glob("*.json"), *place.glob("*/result.json")]
    return sorted(path for path in found if not path.name.startswith("."))


def ordered(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The best first, and those without a score last."""

    def place(entry: Entry) -> tuple[float, str]:
        return (math.inf if entry.score is None else -entry.score.total_bits), entry.team

    return tuple(sorted(entries, key=place))


def show_challenge(folder: str | Path, revealed: bool) -> None:
    """Have the boards of this process, and of those it starts, show the challenge in `folder`."""
    check_belongs(folder, read_envelope(truth_file_of(folder)))
    os.environ[CHALLENGE] = str(Path(folder).absolute())
    os.environ[REVEAL] = "1" if revealed else "0"


def _signature(path: Path) -> Signature | None:
    """None if it has just gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _without(error: Exception, folder: Path) -> str:
    """What is wrong, without where on the server it is."""
    text = str(error.strerror) if isinstance(error, OSError) else str(error)
    return text.replace(f"{folder}{os.sep}", "")
