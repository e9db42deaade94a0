import subprocess
import sys
import time
import urllib.request

import pytest

from dptoolkit.views.browser import find_browser

FLAGS = [
    "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-background-networking", "--disable-component-update", "--no-first-run",
]  # fmt: skip


@pytest.fixture(scope="session")
def browser():
    """The installed Chromium, without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    try:
        program = find_browser()
    except RuntimeError as error:
        pytest.skip(str(error))
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()


PATIENCE_MS = 600_000
"""A page compiles first; where other programs share the cores, for minutes. It is no claim about speed."""


class Watched:
    """A page and what it should not do: errors and requests to other hosts."""

    def __init__(self, browser, scheme="light"):
        self.context = browser.new_context(viewport={"width": 1280, "height": 720}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.errors, self.requests = [], []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda text: self.errors.append(text.text) if text.type == "error" else None)
        self.page.on("request", lambda request: self.requests.append(request.url))

    def foreign(self, home):
        inside = (home, home.replace("http", "ws"), "data:", "blob:", "about:")
        return [url for url in self.requests if not url.startswith(inside)]


@pytest.fixture
def watched(browser):
    page = Watched(browser)
    yield page
    page.context.close()


@pytest.fixture(scope="session")
def served():
    """Address of the apps, served by another process on a free port."""
    code = (
        "from dptoolkit.session.serve import server\n"
        "s = server(port=0, max_upload=2)\n"
        "print(s.port, flush=True)\n"
        "s.run_until_shutdown()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    home = f"http://127.0.0.1:{int(process.stdout.readline())}"
    for _ in range(100):
        try:
            urllib.request.urlopen(home).read()
            break
        except OSError:
            time.sleep(0.1)
    yield home
    process.terminate()
    process.wait(20)
