"""The leaderboard in a browser: a team appears when its file does, and only totals are shown."""

import os
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.apps.colours import wait_for_dark
from tests.challenges import write_challenge, write_submission

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def challenge(tmp_path):
    folder = write_challenge(tmp_path / "challenge")
    write_submission(folder / "submissions/owls.json", 2200.0, 300.0)
    return folder


@pytest.fixture
def board(challenge):
    """Starts a server of the board with options of the command line; its address."""
    running = []

    def start(*options):
        words = [sys.executable, "-m", "dptoolkit", "serve", "leaderboard", "--challenge", str(challenge)]
        port = 5600 + os.getpid() % 400 + len(running)
        running.append(subprocess.Popen([*words, "--port", str(port), *options], stderr=subprocess.DEVNULL))
        home = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                urllib.request.urlopen(home).read()
                return home
            except OSError:
                assert running[-1].poll() is None
                time.sleep(0.1)
        raise AssertionError("the server did not start")

    yield start
    for process in running:
        process.terminate()
        process.wait(20)


def test_a_team_appears_when_it_hands_in_and_the_truth_does_not(watched, board, challenge):
    home = board()
    page = watched.page
    page.goto(f"{home}/leaderboard")
    page.get_by_text("owls").wait_for()
    write_submission(challenge / "submissions/cats.json", 2010.0, 30.0)
    (challenge / "submissions/dogs.json").write_text("{")
    page.get_by_text("cats").wait_for()
    page.get_by_text("dogs.json: is no JSON").wait_for()
    teams = page.locator("td b").all_inner_texts()
    assert teams == ["cats", "owls", "dogs"]
    assert page.locator(".bk-Figure").count() == 0, "deviations tell the truth"
    page.get_by_role("button", name="dark", exact=True).click()
    page.wait_for_function("location.search.includes('theme=dark')")
    wait_for_dark(page)
    assert page.evaluate("document.documentElement.scrollHeight") <= 720
    assert watched.errors == [] and watched.foreign(home) == []


def test_at_the_end_the_deviations_are_revealed(watched, board):
    home = board("--reveal")
    watched.page.goto(f"{home}/leaderboard")
    watched.page.locator(".bk-Figure canvas").first.wait_for()
    assert watched.errors == [] and watched.foreign(home) == []


def test_without_a_challenge_the_page_says_how_to_name_one(watched, served):
    watched.page.goto(f"{served}/leaderboard")
    watched.page.get_by_text("--challenge FOLDER").wait_for()
    assert watched.errors == []
