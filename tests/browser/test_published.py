"""A published site opened from its folder: it draws, and every view of it is a link. The guards see every request."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from encoding import Store, fit
from encoding.analysis.bootstrap import roi_intervals
from encoding.sites.site import publish, slug_of
from tests.browser.driving_brain import CANVAS, pixels
from tests.conftest import TINY, register_tiny

COLOURFUL = 60  # difference of the channels of a pixel that is not cortex


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of a site of two fits, and their pages' names."""
    with pytest.MonkeyPatch.context() as patch:
        dataset, folder = register_tiny(patch), tmp_path_factory.mktemp("published")
        dataset.change(vertices={hemi: np.arange(10) * 900 for hemi in ("lh", "rh")})
        store = Store(folder / "store")
        results = [fit(spec, store, device="cpu") for spec in (TINY, replace(TINY, layers=("colour",)))]
        for result in results:
            roi_intervals(result)
        yield publish(results, folder / "site", store, baseline=results[0]).as_uri(), [slug_of(result) for result in results]


def test_a_site_opens_from_its_folder_and_draws(page, site):
    address, (first, second) = site
    page.goto(f"{address}/{first}.html#score=r2&roi=driven&vertex=lh-900&surface=pial")
    page.wait_for_selector(f"{CANVAS}[data-frames][data-surface=pial]")
    assert np.ptp(pixels(page), axis=2).max() > COLOURFUL
    assert "lh 1 (fsaverage 900) · driven: r " in page.inner_text("#vertex")
    assert page.input_value("#score") == "r2" and "Coefficient of determination" in page.inner_text("#about")
    page.wait_for_selector("#predictions .main-svg")
    assert "averaged over driven" in page.text_content("#predictions .gtitle")
    page.select_option("#score", "r")
    assert "score=r&" in page.url + "&" and "roi=driven" in page.url

    page.goto(f"{address}/heatmap-1.html")
    page.wait_for_selector(f"{CANVAS}[data-frames]")
    page.select_option("#fit", second)
    page.wait_for_function(f"document.querySelector('#open').getAttribute('href') === '{second}.html'")

    page.goto(f"{address}/index.html")
    page.get_by_role("link", name="tinynet pixels against tinynet colour").click()
    page.wait_for_selector(f"{CANVAS}[data-frames]")
    page.wait_for_selector("[data-chart='0'] .main-svg")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(24, 23, 20)"


def test_a_page_of_a_fit_of_one_vertex_fits_a_phone_and_marks_the_vertex(page, site):
    address, (first, _) = site
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{address}/{first}.html")
    page.wait_for_selector(f"{CANVAS}[data-frames]")
    page.evaluate("document.querySelector('h1').textContent = 'simple · target_groups=' + 'vertex:lh:123'.repeat(5)")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.evaluate("Encoding.get(document.body.dataset.name).only = {hemi: 'lh', vertex: 900}")
    page.evaluate("location.hash = 'score=r'")
    page.wait_for_function("document.querySelector('#vertex').textContent.startsWith('lh 1 (fsaverage 900)')")
