"""Make the pictures of the README and of the landing page: python docs/make_pictures.py (needs Chromium).

Those of the apps are taken with playwright from a server of their own: `--apps` makes only these.
"""

import json
import re
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dptoolkit.cache import enable_compilation_cache
from dptoolkit.challenge import new_challenge
from dptoolkit.challenge_folder import SUBMISSIONS
from dptoolkit.config import load_detector
from dptoolkit.session.leaderboard import show_challenge
from dptoolkit.session.serve import PICTURES, apps_folder, server
from dptoolkit.sources.example import example_muon
from dptoolkit.views.browser import FLAGS, find_browser
from dptoolkit.views.event import EventView
from dptoolkit.views.export import page_png
from dptoolkit.views.report import event_page

TEAMS = {"narwhals": (0.01, 1.0), "quokkas": (0.03, 1.3), "bold-voles": (0.03, 0.4), "axolotls": (0.12, 1.0)}
"""Imagined teams: how well they measure, in ranges, and by how much they claim another error."""
WAIT = 300_000
"""For an app to compile [ms]."""
SHOTS = {
    "event_display": "",
    "live_fit": "?scenario=lifetime_recombination",
    "landscape": "?scenario=squared_difference&theme=dark",
    "valley": "",
    "calibration": "?detector=small-wire&events=8",
    "leaderboard": "",
}
"""Apps and the states in which they are shown."""
DONE = {
    "live_fit": r"step [3-9]\d",
    "landscape": r"step [6-9]\d",
    "valley": r"step [4-9]\d",
    "calibration": "converged",
}
"""What they say when the picture is taken."""


def main() -> None:
    """The example muon in sbnd, as `dptoolkit view` shows it; then every app."""
    enable_compilation_cache()
    if "--apps" not in sys.argv:
        detector = load_detector("sbnd")
        segments = example_muon((60.0, 20.0, 250.0), (-0.5, -0.3, 0.8))
        readout = detector(segments, key=jax.random.key(1))
        page = event_page(EventView(segments, readout, detector), {"detector": "sbnd", "seed": "1"})
        page_png(page, Path(__file__).parent / "event_display.png")
    chosen = [name for name in sys.argv[1:] if name in SHOTS] or list(SHOTS)
    with tempfile.TemporaryDirectory() as folder:
        if "leaderboard" in chosen:
            show_challenge(rehearsal(Path(folder) / "challenge"), revealed=True)
        take_apps(chosen, apps_folder() / PICTURES)


def rehearsal(folder: Path) -> Path:
    """A challenge with teams that are drawn: estimates scatter around the truth by the true error."""
    made, rng = new_challenge(folder, seed=1, n_events=1), np.random.default_rng(1)
    for team, (width, claimed) in TEAMS.items():
        rows = []
        for hidden in made.envelope.parameters:
            error = width * (hidden.high - hidden.low)
            found = {"estimate": rng.normal(hidden.truth, error), "error": claimed * error}
            rows.append({"path": hidden.path, **found})
        (folder / SUBMISSIONS / f"{team}.json").write_text(json.dumps({"parameters": rows}))
    (folder / SUBMISSIONS / "in-a-hurry.json").write_text("{")
    return folder


def take_apps(names: list[str], folder: Path) -> None:
    """A picture of 1280 x 720 pixels of each app."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(exist_ok=True)
    ports: list[int] = []
    started = threading.Event()

    def run() -> None:
        import asyncio

        asyncio.set_event_loop(asyncio.new_event_loop())
        running = server(port=0)
        ports.append(running.port)
        started.set()
        running.io_loop.start()

    threading.Thread(target=run, daemon=True).start()
    started.wait()
    flags = [flag for flag in FLAGS if not flag.startswith("--headless")]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_browser(), args=flags)
        for name in names:
            page = chromium.new_page(viewport={"width": 1280, "height": 720})
            page.set_default_timeout(WAIT)
            page.goto(f"http://127.0.0.1:{ports[0]}/{name}{SHOTS[name]}")
            _wait_for(page, name)
            page.screenshot(path=folder / f"{name}.png")
            page.close()
        chromium.close()


def _wait_for(page: Any, name: str) -> None:
    if name == "leaderboard":
        page.get_by_text("teams", exact=False).first.wait_for()
        page.wait_for_timeout(2000)
        return
    if name not in DONE:
        page.get_by_text("read-out expectation").wait_for()
        page.wait_for_timeout(3000)
        return
    page.get_by_text("step 0 paused").nth(0 if name == "calibration" else 1).wait_for()
    if name in ("landscape", "valley"):
        page.locator(".bk-Figure").nth(2).wait_for()
        for _ in range(WAIT // 1000):
            if page.get_by_text("points", exact=False).filter(visible=True).count() == 0:
                break
            page.wait_for_timeout(1000)
    page.get_by_role("button", name="start", exact=True).click()
    page.get_by_text(re.compile(DONE[name])).first.wait_for()
    page.wait_for_timeout(500)


if __name__ == "__main__":
    main()
