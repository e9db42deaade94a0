"""What a page looks like."""

import time

DARK = "rgb(13, 18, 24)"


def wait_for_dark(page):
    """Until the page has painted its dark background; its link changes before that."""
    body = page.locator("[class*=Column]").first
    deadline = time.monotonic() + 60
    while (colour := body.evaluate("e => getComputedStyle(e).backgroundColor")) != DARK:
        assert time.monotonic() < deadline, f"the background stayed {colour}"
        page.wait_for_timeout(100)
