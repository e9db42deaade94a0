"""The leaderboard: scores come in by themselves, and before it is revealed nothing tells the truth."""

import os
from pathlib import Path

import pytest

from dptoolkit.session.leaderboard import CHALLENGE, REVEAL, Leaderboard, show_challenge
from tests.challenges import TRUTH, write_challenge, write_submission


@pytest.fixture
def challenge(tmp_path: Path) -> Path:
    return write_challenge(tmp_path / "challenge")


def test_teams_are_ranked_by_their_bits_and_broken_files_come_last(challenge: Path) -> None:
    write_submission(challenge / "submissions/owls.json", 2050.0, 60.0)
    write_submission(challenge / "submissions/cats/result.json", 2010.0, 30.0)
    (challenge / "submissions/dogs.json").write_text("{")
    (challenge / "submissions/.half.json.partial").write_text("{")
    board = Leaderboard(challenge)
    assert board.refresh()
    assert [entry.team for entry in board.entries] == ["cats", "owls", "dogs"]
    assert board.entries[0].reported == 1 and board.entries[2].score is None
    assert board.entries[2].wrong.startswith("dogs.json: is no JSON"), "and not where on the server it is"


def test_what_comes_in_or_changes_is_seen_and_nothing_else_is_new(challenge: Path) -> None:
    board = Leaderboard(challenge)
    assert board.refresh() and not board.refresh() and board.entries == ()
    path = write_submission(challenge / "submissions/owls.json", 2500.0, 60.0)
    assert board.refresh() and not board.refresh()
    poor = board.entries[0].score
    write_submission(path, 2010.0, 60.0)
    os.utime(path, ns=(1, 1))  # a clock too coarse to tell two writes apart
    assert board.refresh()
    assert poor is not None and board.entries[0].score is not None
    assert board.entries[0].score.total_bits > poor.total_bits
    path.unlink()
    assert board.refresh() and board.entries == ()


def test_a_challenge_that_is_not_there_yet_is_told_and_then_found(tmp_path: Path) -> None:
    board = Leaderboard(tmp_path / "challenge")
    assert board.refresh() and "challenge.truth.json: no such file" in board.wrong
    assert str(tmp_path) not in board.wrong
    assert not board.refresh(), "the same is not told twice"
    write_challenge(tmp_path / "challenge")
    assert board.refresh() and board.wrong == "" and board.envelope is not None


def test_without_a_challenge_the_board_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CHALLENGE, raising=False)
    board = Leaderboard()
    assert board.refresh() and "--challenge FOLDER" in board.wrong and not board.revealed


def test_the_server_tells_its_boards_which_challenge_to_show(
    challenge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CHALLENGE, "")
    monkeypatch.setenv(REVEAL, "0")
    show_challenge(challenge, revealed=True)
    board = Leaderboard()
    assert board.revealed and board.refresh() and board.wrong == ""


def test_a_truth_of_another_challenge_is_refused(challenge: Path) -> None:
    (challenge / "control_sample.h5").write_bytes(b"other muons")
    with pytest.raises(ValueError, match="not the one this truth belongs to"):
        show_challenge(challenge, revealed=False)


def test_a_table_of_totals_does_not_tell_the_truth(challenge: Path) -> None:
    from dptoolkit.views.leaderboard import board_table

    write_submission(challenge / "submissions/<b>owls.json", 2100.0, 100.0)
    board = Leaderboard(challenge)
    board.refresh()
    table = board_table(board.entries, 2)
    assert "&lt;b&gt;owls" in table and "1 of 2 reported" in table
    assert str(int(TRUTH["drift.lifetime"])) not in table and "+1.0" not in table


def test_deviations_are_drawn_in_per_cent_of_the_range(challenge: Path) -> None:
    from dptoolkit.views.leaderboard import Deviations

    write_submission(challenge / "submissions/owls.json", 2090.0, 45.0)
    board = Leaderboard(challenge)
    board.refresh()
    assert board.envelope is not None
    deviations = Deviations([one.path for one in board.envelope.parameters])
    deviations.update(board.entries, {one.path: one.high - one.low for one in board.envelope.parameters})
    drawn = deviations._points.data
    assert list(drawn["x"]) == pytest.approx([2.0]) and list(drawn["high"]) == pytest.approx([3.0])
    assert list(drawn["pull"]) == pytest.approx([2.0]) and list(drawn["y"]) == [1.0]
