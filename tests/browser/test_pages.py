"""Every page as a person walks them: cold links, doors, keyboard, dark theme, an upload that means harm."""

from __future__ import annotations

import pytest

from pages.parts.learn.lessons import LESSONS
from tests import with_nightly
from tests.browser.accessibility import grave_findings
from tests.browser.driving import open_page, wait_idle
from tests.browser.driving_brain import settle

LAPTOP = {"width": 1280, "height": 800}
LESSON_SCREENS = ((1280, 720), (1024, 768), (1280, 800), (1920, 1080))
HARMFUL = {
    "harm.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "cut.jpg": b"\xff\xd8\xff\xe0\x00\x10JFIF" + b"\x00" * 40,
}
PAGES = ("explore", "data", "layers", "experiments", "compare", "predict", "weights", "learn", "cache")

BACKGROUND = "Math.max(...getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor.match(/[0-9]+/g))"


@pytest.fixture
def server(app):
    """The address of the app."""
    return app.url


def shown(page) -> str:
    """What a lesson says just happened."""
    return page.locator("[data-testid=stMain] p").filter(has_text="What this shows.").inner_text()


def lesson_named(name: str):
    return next(lesson for lesson in LESSONS if lesson.name == name)


def heading(page) -> str:
    return page.locator("[data-testid=stMain] h1").first.inner_text()


def test_the_first_visitor_of_a_fresh_server_may_come_by_any_link(page, start_app):
    open_page(page, start_app("app.py") + "/weights")
    assert heading(page) == "Weights" and page.get_by_text("Page not found").count() == 0
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Learn").click()
    page.wait_for_url("**/learn*")
    wait_idle(page)
    assert heading(page) == "Learn"


@pytest.fixture
def laptop(page):
    """The page on a laptop; another test finds it in the light theme again."""
    page.set_viewport_size(LAPTOP)
    yield page
    page.emulate_media(color_scheme="light")


@pytest.mark.parametrize("name", with_nightly(PAGES, always=("data", "experiments", "cache")))  # other tests open the others
def test_a_page_opens_by_its_link_in_both_themes_without_a_grave_finding_of_axe(laptop, server, name):
    open_page(laptop, f"{server}/{name}")
    headings = laptop.locator("[data-testid=stMain] :is(h1, h2, h3, h4)")
    levels = [int(name[1]) for name in headings.evaluate_all("all => all.map(each => each.tagName)")]
    assert levels[0] == 1 and 1 not in levels[1:] and max(map(int.__sub__, levels[1:], levels), default=0) <= 1
    assert laptop.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert laptop.evaluate(BACKGROUND) > 200
    assert not grave_findings(laptop)
    laptop.emulate_media(color_scheme="dark")
    laptop.wait_for_function(f"{BACKGROUND} < 60")
    wait_idle(laptop)
    assert not grave_findings(laptop, rules=("color-contrast",))


def test_home_paints_the_brain_and_its_doors_lead_on(page, server):
    open_page(page, server)
    page.wait_for_selector(".st-key-home_brain canvas[data-frames]", timeout=60_000)
    assert page.get_by_text("Simulated").first.is_visible()
    for door, ends in (("Show it your own image", "/predict"), ("Learn", "/learn")):
        if page.url.rstrip("/") != server:
            open_page(page, server)
        page.locator("[data-testid=stMain]").get_by_role("link", name=door).first.click()
        page.wait_for_url(f"**{ends}**")
        wait_idle(page)


def test_an_address_without_a_page_says_so_and_leads_on(page, server):
    page.guards.allowed.append("404")
    open_page(page, f"{server}/nope")
    assert heading(page) == "There is no page nope" and page.get_by_role("dialog").count() == 0
    page.locator("[data-testid=stMain]").get_by_role("link", name="Weights").click()
    page.wait_for_url("**/weights*")
    wait_idle(page)
    assert heading(page) == "Weights"


def test_an_old_link_to_the_first_page_still_opens_the_view_it_names(page, server):
    open_page(page, f"{server}/?layer=energy&roi=FFA-1")
    page.wait_for_url("**/explore?**")
    wait_idle(page)
    assert page.locator(".st-key-roi input").input_value() == "FFA-1"


def test_a_lesson_is_taken_with_the_keyboard_alone_and_its_link_opens_it(page, server):
    open_page(page, f"{server}/learn?lesson=ridge&show=true")
    slider = page.get_by_role("slider").first
    slider.wait_for(timeout=60_000)
    slider.focus()
    for _ in range(3):
        before = page.url
        page.keyboard.press("ArrowRight")
        page.wait_for_function("before => location.href !== before", arg=before)
        wait_idle(page)
    told = shown(page)
    link = page.url
    page.go_back()  # one step of the slider
    page.wait_for_function("before => location.href === before", arg=before)
    wait_idle(page)
    assert shown(page) != told
    open_page(page, link)
    page.get_by_text("What this shows.").wait_for()
    assert shown(page) == told


def test_the_browser_remembers_what_was_answered_until_it_is_told_to_begin_anew(new_page, server):
    page = new_page()
    open_page(page, f"{server}/learn?lesson=ridge")
    page.get_by_text(lesson_named("ridge").answers[0]).click()
    page.wait_for_function("() => localStorage.getItem('encoding-explorer-course')?.includes('ridge')")
    open_page(page, f"{server}/weights")  # a session that knows nothing of the last one
    open_page(page, f"{server}/learn")
    page.get_by_text(f"Answered: 1 of {len(LESSONS)}").wait_for()
    wait_idle(page)
    assert "done=ridge" in page.url
    page.get_by_role("button", name="Begin anew").click()
    page.get_by_text(f"Answered: 0 of {len(LESSONS)}").wait_for()
    page.wait_for_function("() => !localStorage.getItem('encoding-explorer-course')?.includes('ridge')")
    open_page(page, f"{server}/learn")
    assert page.get_by_text(f"Answered: 0 of {len(LESSONS)}").is_visible() and "done" not in page.url


def test_what_an_answer_showed_can_be_hidden_at_once(page, server):
    lesson = lesson_named("ridge")
    open_page(page, f"{server}/learn?lesson={lesson.name}")
    page.get_by_text(lesson.answers[0]).click()
    page.get_by_text("What this shows.").wait_for()
    wait_idle(page)
    page.get_by_test_id("stCheckbox").get_by_text("Show me").click()
    page.get_by_text("What this shows.").wait_for(state="detached")
    wait_idle(page)
    assert page.get_by_test_id("stException").count() == 0


@pytest.mark.parametrize("numbers", [range(1, 4), pytest.param(range(4, len(LESSONS) + 1), marks=pytest.mark.nightly)], ids=str)
def test_a_lesson_fits_on_one_screen_and_its_figures_grow_with_it(page, server, numbers):
    page.set_viewport_size(LAPTOP)
    open_page(page, f"{server}/learn?lesson={LESSONS[numbers[0] - 1].name}")
    main = page.locator("[data-testid=stMain]")
    for number in numbers:
        lesson = LESSONS[number - 1]
        if number > numbers[0]:
            page.locator(".st-key-next button").click()
        page.get_by_role("heading", name=f"{number}. {lesson.title}").wait_for()
        page.get_by_text(lesson.answers[-1]).click()  # the longest that a lesson gets: answered, and told why
        page.get_by_text("What this shows.").wait_for(timeout=60_000)
        main.get_by_text("Right", exact=True).or_(page.get_by_text("Not this time")).first.wait_for()
        main.locator(".js-plotly-plot").first.wait_for()
        wait_idle(page)
        tallest = []
        for width, height in LESSON_SCREENS:
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_timeout(300)
            page.wait_for_function("(height) => document.querySelector('[data-testid=stMain]').scrollHeight <= height", arg=height)
            tallest.append(page.evaluate("Math.max(...[...document.querySelectorAll('.js-plotly-plot')].map(plot => plot.clientHeight))"))
        page.set_viewport_size(LAPTOP)
        assert tallest[-1] > tallest[0] + 50, lesson.name  # figures take what a large screen has more


def test_an_upload_that_is_no_sound_picture_is_refused_in_a_sentence(page, server):
    page.guards.allowed.append("400")  # Streamlit's own refusal of a kind of file
    for name, content in HARMFUL.items():
        open_page(page, f"{server}/predict")
        chosen = page.locator("input[type=file]").first
        if chosen.count() == 0:
            page.get_by_text("Upload", exact=False).first.click()
            chosen.wait_for(state="attached")
        refused = page.locator("[data-testid=stAlert], [data-testid=stFileUploaderFileErrorMessage]")
        before = refused.count()
        chosen.set_input_files({"name": name, "mimeType": "image/png", "buffer": content})
        refused.nth(before).wait_for()
        wait_idle(page)
        assert page.locator("[data-testid=stException]").count() == 0, name


def test_the_slider_through_the_layers_repaints_the_brain_at_once_and_the_camera_stays(page, server):
    held: list[str | bytes] | None = None  # what the server answers meanwhile; None: it gets through

    def between(browser):
        of_server = browser.connect_to_server()
        of_server.on_message(lambda message: browser.send(message) if held is None else held.append(message))
        browsers.append(browser)

    browsers: list = []
    page.route_web_socket("**/_stcore/stream", between)
    open_page(page, f"{server}/layers?backbones=gabor")
    start = page.locator(".st-key-start_sweep button")
    if start.count() and start.is_enabled():
        start.click()
    page.get_by_text("Every layer is fitted").wait_for(timeout=240_000)
    wait_idle(page)
    canvas = page.locator(".st-key-layer_brain canvas")
    canvas.focus()
    at_first = canvas.get_attribute("data-camera")
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    settle(page)
    turned, title = canvas.get_attribute("data-camera"), canvas.get_attribute("data-title")
    assert turned != at_first
    page.locator(".st-key-shown_layer input[type=range]").first.focus()
    held = []
    page.keyboard.press("ArrowLeft")
    page.locator(f'.st-key-layer_brain canvas:not([data-title="{title}"])').wait_for(timeout=20_000)
    ahead = [canvas.get_attribute(f"data-{name}") for name in ("title", "frames", "camera")]
    held, waiting = None, held
    for message in waiting:
        browsers[-1].send(message)
    wait_idle(page)
    assert page.locator(".st-key-layer_brain_place").get_by_text(ahead[0]).is_visible()
    assert [canvas.get_attribute(f"data-{name}") for name in ("title", "frames", "camera")] == ahead  # the server's map was there already
    assert ahead[2] == turned
    said = page.url
    page.go_back()
    page.locator(f'.st-key-layer_brain canvas[data-title="{title}"]').wait_for(timeout=20_000)
    open_page(page, said)  # the link opens the same layer again, cold
    assert canvas.get_attribute("data-title") != title
