"""Five people on one server at once: two fit the same, one fits and cancels, one sweeps, one looks around."""

from __future__ import annotations

import re

import pytest

from encoding import FitSpec, Store
from encoding.storage.keys import stage_of
from tests.browser.driving import SLOW, open_page, wait_begun, wait_idle

SAME = "explore?components=37"
SWEEP = "layers?components=29"
LOOKED_AT = {
    "data": "What did subject 1 see",
    "compare": "Which of two models",
    "learn?lesson=rois&show=true": "2. Regions of interest",
    "predict": "What would the visual cortex of subject 1",
    "weights": "Weights",
}
BARS = ".st-key-bars .js-plotly-plot"
LONG = 300_000  # milliseconds


@pytest.fixture
def sessions(new_page):
    """Five pages, each in a context of its own, none of which may show an exception or log an error."""
    return [new_page() for _ in range(5)]


def press(page, key: str) -> None:
    page.locator(f".st-key-{key} button").click()


def shown(page) -> str:
    return page.locator("[data-testid=stMain]").inner_text()


def fits_in(folder) -> list[FitSpec]:
    """The spec of every fit in the Store."""
    store = Store(folder)
    keys = [key for key in store.keys() if stage_of(key) == "fit"]  # noqa: SIM118 - a Store is no dict
    return [FitSpec.from_dict(store.provenance(key)["made_from"]["spec"]) for key in keys]


def test_a_job_is_shared_by_tabs_survives_a_closed_one_can_be_cancelled_and_is_on_no_page_of_another_person(new_page, app):
    fits, browses = new_page(), new_page()
    open_page(fits, f"{app.url}/explore?{SLOW}")
    press(fits, "fit")
    fits.get_by_text(re.compile(r"\d % so far|\d s so far")).wait_for(timeout=60_000)
    look_at(browses, app.url, "compare", LOOKED_AT["compare"])
    fits.goto("about:blank")
    other = new_page()
    open_page(other, f"{app.url}/explore?{SLOW}")
    press(other, "cancel")
    other.get_by_text("Cancelled.").wait_for(timeout=60_000)
    look_at(browses, app.url, "data", LOOKED_AT["data"])


@pytest.mark.nightly
def test_five_sessions_fit_cancel_sweep_and_browse_at_once(sessions, app):
    server = app.url
    one, other, cancels, sweeps, browses = sessions
    for page, path in zip(sessions, (SAME, SAME, f"explore?{SLOW}", SWEEP, "data"), strict=True):
        page.goto(f"{server}/{path}", wait_until="commit")
    for page in sessions:
        wait_begun(page)
        wait_idle(page)

    press(cancels, "fit")
    cancels.get_by_text(re.compile(r"\d % so far|\d s so far")).wait_for(timeout=60_000)  # it runs; the others wait behind it
    press(one, "fit")
    press(other, "fit")
    press(sweeps, "start_sweep")
    for page in (one, other, sweeps):
        page.get_by_text("in the queue").first.wait_for(timeout=60_000)
    looked = list(LOOKED_AT.items())
    for path, title in looked[:2]:
        look_at(browses, server, path, title)
    press(cancels, "cancel")
    cancels.get_by_text("Cancelled.").wait_for(timeout=60_000)
    for path, title in looked[2:]:
        look_at(browses, server, path, title)

    for page in (one, other):
        page.wait_for_selector(BARS, timeout=LONG)
        wait_idle(page)
    sweeps.get_by_text("Every layer is fitted").wait_for(timeout=LONG)
    wait_idle(sweeps)
    for page in (one, other):
        assert "PCA 37" in shown(page) and "energy of Gabor filters" in shown(page) and "Cancelled" not in shown(page)
    assert len(figures(one)) > 20 and figures(one) == figures(other)
    assert "Cancelled." in shown(cancels) and "layer4 of untrained resnet50" in shown(cancels)
    assert cancels.locator(".js-plotly-plot").count() == 0 and cancels.locator("canvas[data-frames]").count() == 0
    assert "Which of 3 layers of pixels and Gabor filters" in shown(sweeps) and sweeps.locator(".st-key-brain canvas").count() <= 1

    found = fits_in(app.folder)
    assert [spec.n_components for spec in found if spec.n_components in (37, 29)].count(37) == 1
    assert sorted(spec.layers for spec in found if spec.n_components == 29) == [("energy",), ("rgb",), ("simple",)]
    assert not [spec for spec in found if spec.backbone == "torchvision/resnet50"]
    jobs_are_what_was_asked(browses, server)


def look_at(page, server: str, path: str, title: str) -> None:
    """Open a page and see by the beginning of its title that it is that one, and that nothing of another session is on it."""
    open_page(page, f"{server}/{path}")
    assert page.locator("[data-testid=stMain] h1").first.inner_text().startswith(title)
    for theirs in ("PCA 37", "layer4", "Cancelled."):
        assert theirs not in shown(page)


def figures(page) -> list[float]:
    """The lengths of the bars of every ROI, as drawn."""
    drawn = "document.querySelector('.st-key-bars .js-plotly-plot')._fullData"  # .data holds them packed
    return page.evaluate(f"{drawn}.filter(d => d.type === 'bar').flatMap(d => Array.from(d.x))")


def jobs_are_what_was_asked(page, server: str) -> None:
    """The queue holds each different job once, and the one that two asked for did its work in one run."""
    open_page(page, f"{server}/cache")
    titles = page.locator("[data-testid=stMain] strong").all_inner_texts()
    of_37 = [title for title in titles if "PCA 37" in title]
    assert len(of_37) == 1 and of_37[0].startswith("Fit demo subj01, Gabor filters energy")
    assert len([title for title in titles if title.startswith("Sweep: ") and "PCA 29" in title]) == 1
    rows = page.locator("[data-testid=stVerticalBlock]").filter(has_text="PCA 37")
    row = rows.filter(has=page.locator("[data-testid=stExpander]")).last
    assert "done" in row.inner_text()
    row.get_by_text("Log").click()
    log = row.locator("code")
    log.wait_for()
    assert "components: exact" in log.inner_text()  # a second run would find them done; brief stages leave no line on a busy machine
