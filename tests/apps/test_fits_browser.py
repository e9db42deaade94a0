"""The apps of running fits in a browser: every control is used, and a fit converges on the screen."""

import os
import re
import time

import pytest

from tests.apps.colours import wait_for_dark

pytestmark = [pytest.mark.browser, pytest.mark.slow]

READY = "step 0 paused"


@pytest.fixture
def opened(watched, served):
    """Opens an app with the state of a link and waits until its fits are ready."""

    def open_app(path):
        watched.page.goto(f"{served}/{path}")
        watched.page.get_by_text(READY).first.wait_for()
        return watched.page

    yield open_app
    assert watched.errors == [] and watched.foreign(served) == []


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def choose(page, label, option):
    page.get_by_label(label, exact=False).first.select_option(label=option)


def test_live_fit_steps_pauses_at_once_and_converges_on_the_screen(opened):
    page = opened("live_fit?first=adam&second=nobody")
    assert page.locator(".bk-Figure canvas").count() >= 6
    press(page, "step")
    page.get_by_text("step 1 paused").first.wait_for()
    paused, delays = page.get_by_text(re.compile(r"step \d+ paused")).first, []
    for _ in range(3):
        press(page, "start")
        page.get_by_text("running").first.wait_for()
        page.wait_for_timeout(300)
        press(page, "pause")
        began = time.monotonic()
        paused.wait_for()
        delays.append(time.monotonic() - began)
    held = paused.inner_text()
    # half a second where a core is free; where programs share the cores, it gets its share of them
    assert min(delays) < 0.5 * max(1.0, os.getloadavg()[0] / os.cpu_count()), delays
    page.wait_for_timeout(300)
    assert paused.inner_text() == held
    press(page, "reset")
    page.get_by_text(READY).first.wait_for()
    choose(page, "method", "gauss-newton")
    page.locator("small", has_text="gauss-newton").first.wait_for()
    press(page, "start")
    page.get_by_text("converged").first.wait_for()
    pulls = [float(cell) for cell in page.locator("tr td:last-child").all_inner_texts() if cell]
    assert len(pulls) == 2 and all(abs(pull) < 4 for pull in pulls)


def test_every_control_of_the_live_fit_works_and_its_link_restores_them(opened):
    page = opened("live_fit")
    press(page, "dark")
    choose(page, "against", "rmsprop")
    page.locator("small", has_text="rmsprop").first.wait_for()
    choose(page, "learning rate", "0.01")
    choose(page, "method", "adam")
    page.get_by_text(READY).nth(1).wait_for()
    press(page, "alpha")
    page.get_by_text("held", exact=True).first.wait_for()
    handle = page.locator(".noUi-handle").last
    handle.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("location.search.includes('drift.lifetime')")
    press(page, "copy link")
    link = page.url
    assert "second=rmsprop" in link and "theme=dark" in link and "learning_rate=0.01" in link
    press(page, "start")
    page.get_by_text("step 2").first.wait_for()
    page.goto(link)
    page.get_by_text(READY).nth(1).wait_for()
    shown = [select.evaluate("s => s.selectedOptions[0].label") for select in page.locator("select").all()]
    assert shown[-4:] == ["chi-squared", "adam", "rmsprop", "0.01"]
    assert page.get_by_text("held", exact=True).count() == 1
    wait_for_dark(page)
    choose(page, "scenario", "A valley without end")
    page.get_by_text("the Fisher matrix has an eigenvalue of zero").wait_for()
    page.get_by_text("∞").nth(1).wait_for()  # the errors of both


def test_keys_step_run_pause_and_reset_a_fit_but_leave_a_slider_alone(opened):
    page = opened("live_fit?first=adam&second=nobody&speed=5.0")
    page.keyboard.press("ArrowRight")
    page.get_by_text("step 1 paused").first.wait_for()
    press(page, "step")  # the button keeps the focus, and the space bar would press it again
    page.get_by_text("step 2 paused").first.wait_for()
    page.keyboard.press(" ")
    page.get_by_text("running").first.wait_for()
    page.keyboard.press(" ")
    paused = page.get_by_text(re.compile(r"step \d+ paused")).first
    paused.wait_for()
    held = paused.inner_text()
    page.locator(".noUi-handle").first.focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(500)
    assert paused.inner_text() == held
    page.locator("body").click(position={"x": 640, "y": 5})
    page.keyboard.press("Home")
    page.get_by_text(READY).first.wait_for()


def test_a_lesson_shows_the_controls_that_its_scenario_asks_for(opened):
    page = opened("live_fit?scenario=squared_difference&lesson=true")
    named = [label.strip() for label in page.locator("label").all_inner_texts()]
    assert "loss" in named and page.get_by_text("steps a second").count() == 1
    assert not {"scenario", "method", "against", "learning rate"} & set(named)
    assert page.get_by_role("button", name="copy link of the lesson").count() == 0


def test_a_click_on_the_landscape_is_a_new_start(opened):
    page = opened("landscape?points=8&second=nobody&beside=slices+through+the+minimum")
    page.wait_for_function("!document.body.innerText.includes('computing the map')")
    page.locator(".bk-Figure").nth(3).wait_for()
    box = page.locator(".bk-Figure").first.bounding_box()
    assert box["height"] > 300
    page.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + 0.6 * box["height"])
    page.get_by_text("converged").first.wait_for()
    assert "recombination.alpha" in page.url
    for label, option in (("values", "4 standard errors"), ("x axis", "drift.lifetime")):
        choose(page, label, option)
    page.get_by_role("button", name="dark", exact=True).click()
    assert page.evaluate("document.documentElement.scrollHeight") <= 720


def test_the_valley_is_seen_twice_and_a_second_sample_breaks_it(opened):
    page = opened("valley")
    page.locator(".bk-Figure").nth(3).wait_for()
    press(page, "start")
    page.get_by_text("converged").first.wait_for()
    assert page.get_by_text("without the 2nd").count() == 0
    page.locator("input[type=checkbox]").check()
    page.get_by_text("without the 2nd").wait_for()
    errors = [float(cell) for cell in page.locator("tr:nth-child(2) td").all_inner_texts()[1:4]]
    assert errors[0] < errors[2], "a second sample did not help"
    assert page.evaluate("document.documentElement.scrollHeight") <= 720


def test_a_calibration_converges_on_the_screen_and_its_report_is_saved(opened, tmp_path):
    page = opened('calibration?detector=small-pixel&events=3&noise=false&seed=2&free=["recombination.a"]')
    assert page.locator("tr.first").count() == 1, "one parameter is free"
    press(page, "start")
    page.get_by_text("converged").first.wait_for()
    truth, estimate = (float(page.locator(f"tr:nth-child({row}) td").nth(1).inner_text()) for row in (2, 3))
    assert abs(estimate / truth - 1) < 1e-3
    page.get_by_text("Information budget").wait_for()
    with page.expect_download() as saved:
        page.get_by_text("save report", exact=False).first.click()
    saved.value.save_as(tmp_path / "report.html")
    assert "Converged" in (tmp_path / "report.html").read_text()
    press(page, "dark")
    page.locator("input[type=checkbox]").check()
    page.get_by_text(READY).first.wait_for()
    assert "noise=true" in page.url and "theme=dark" in page.url
    page.locator("input[type=file]").set_input_files(
        {"name": "mine.h5", "mimeType": "application/octet-stream", "buffer": b"no events"}
    )
    page.get_by_text("mine.h5").first.wait_for()
    assert page.evaluate("document.documentElement.scrollHeight") <= 720


def test_a_wrong_link_is_told_and_the_default_is_shown(watched, served):
    page = watched.page
    page.goto(f"{served}/live_fit?scenario=<b>nothing")
    page.get_by_text("The link is wrong").wait_for()
    chosen = page.locator("select").first.evaluate("s => s.selectedOptions[0].label")
    assert chosen == "Lifetime against recombination"
    assert page.get_by_text("<b>nothing").count() == 1, "what a link says is text and no markup"


def test_landing_page_has_a_card_with_a_picture_for_every_app(watched, served):
    watched.page.goto(served)
    names = (
        "Event display",
        "Live fit",
        "Loss landscape",
        "Correlation valley",
        "Calibration",
        "Leaderboard",
    )
    for name in names:
        watched.page.get_by_role("heading", name=name).wait_for()
    sizes = watched.page.locator("img").evaluate_all("all => all.map(image => image.naturalWidth)")
    assert len(sizes) == len(names) and all(size > 300 for size in sizes)
    assert watched.errors == [] and watched.foreign(served) == []
