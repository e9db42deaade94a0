"""An installed Chrome or Chromium, started once without a window; needs no other package."""

import os
import shutil
import subprocess
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
BROWSER_VARIABLE = "DPTOOLKIT_BROWSER"
FLAGS = (
    "--headless=new", "--no-sandbox", "--hide-scrollbars", "--disable-background-networking",
    "--disable-component-update", "--no-first-run", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
)  # fmt: skip
TIMEOUT = 90
"""[s]"""
SETTLE = 4000
"""Virtual time that a page gets to draw itself [ms]."""


def find_browser() -> str:
    """The program that draws pictures; an error says how to get one."""
    wanted = os.environ.get(BROWSER_VARIABLE)
    for name in [wanted] if wanted else BROWSERS:
        found = shutil.which(name)
        if found:
            return found
    missing = f"{BROWSER_VARIABLE}={wanted} does not exist" if wanted else "no Chrome or Chromium was found"
    raise RuntimeError(
        f"PNG and SVG need a browser and {missing}; install one (apt install chromium), name it in "
        f"{BROWSER_VARIABLE}, or save HTML and use the button in its toolbar"
    )


def browse(page: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a self-contained page with more `options` of the browser; `folder` is for its files."""
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    command = [
        find_browser(), *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--virtual-time-budget={SETTLE}",
        *options, file.as_uri(),
    ]  # fmt: skip
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"the browser {command[0]} ended with code {error.returncode}: {last}") from error
    except subprocess.TimeoutExpired:
        raise RuntimeError(
            f"the browser {command[0]} took more than {TIMEOUT} s; save HTML instead"
        ) from None
