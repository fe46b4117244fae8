"""Make images of the app's pages, light and dark, from servers that it starts.

``python docs/make_screenshots.py`` renews ``docs/pages``. ``--all OUT`` writes every page and state, at four sizes of screen, above and
below the fold, into another folder; ``--only explore 'data*'`` takes those whose names match. ``ENCODING_TEST_STORE`` names a Store to
begin with.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))

from playwright.sync_api import Error as PlaywrightError  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

from encoding import FitSpec, Store, fit  # noqa: E402
from encoding.analysis.bootstrap import roi_intervals  # noqa: E402
from encoding.analysis.learning_curve import learning_curve  # noqa: E402
from tests.browser.driving import CHROMIUM_FLAGS, SLOW, Server, find_chromium, open_page, wait_idle  # noqa: E402

SIZES = {"laptop": (1280, 800), "tablet": (820, 1180), "phone": (390, 844), "wide": (1920, 1080)}
THEMES = ("light", "dark")
MOST_SCREENS, OVERLAP = 8, 80  # of one page, from its top; px that two screens share, as a header lies over them
ALEXNET = FitSpec(backbone="torchvision/alexnet", weights="random:0", layers=("features.9",))
FITTED = (FitSpec(backbone="pixels", layers=("rgb",)), FitSpec(layers=("simple",)), ALEXNET, FitSpec())
NO_DATA = "algonauts2023"
SERVERS = {  # name to what is set for it, beside the folder of its Store
    "fitted": {},
    "failing": {"HTTPS_PROXY": "http://127.0.0.1:9"},  # downloads fail at once
    "read-only": {"ENCODING_READ_ONLY": "1"},
    "empty": {"ENCODING_READ_ONLY": "1"},
    "new": {},
}
COPIES = ("fitted", "failing", "read-only")  # servers with finished fits


@dataclass(frozen=True)
class View:
    """A page in one state.

    Attributes
    ----------
    address : of the page; ``{a}`` and ``{b}`` are the keys of two fits.
    drawn : selector of what is there once all is drawn.
    act : what a person does there first.
    server : one of :data:`SERVERS`.
    """

    address: str
    drawn: str = "[data-testid=stMain]"
    act: Callable[[Any], None] | None = None
    server: str = "fitted"


def press(name: str, *, until: str) -> Callable[[Any], None]:
    """Press a button of the page, unless somebody did before, and wait for what follows."""

    def act(page: Any) -> None:
        button = page.locator("[data-testid=stMain]").get_by_role("button", name=name)
        if button.count():
            button.first.click()
        page.wait_for_selector(until)

    return act


def open_tab(name: str) -> Callable[[Any], None]:
    return lambda page: page.get_by_role("tab", name=name, exact=True).click()


def change_layer(page: Any) -> None:
    """Choose a layer that is not fitted; on a phone the sidebar is opened for it."""
    narrow = page.viewport_size["width"] < 800
    if narrow:
        page.get_by_test_id("stExpandSidebarButton").click()
    page.locator(".st-key-layer input").click()
    page.get_by_role("option").filter(has_text="features").first.click()
    wait_idle(page)
    if narrow:
        page.get_by_test_id("stSidebarCollapseButton").get_by_role("button").click()


UNTRAINED = "backbone=torchvision/alexnet&weights=random:0&layer=features.9"
CHART, IMAGE, TABLE = ".js-plotly-plot", "[data-testid=stImage] img", "[data-testid=stDataFrame]"
PAGES = {
    "home": View("", ".st-key-home_brain canvas"),
    "explore": View("explore", ".st-key-bars .js-plotly-plot"),
    "layers": View("layers", "canvas"),
    "experiments": View("experiments", CHART),
    "compare": View("compare?a={a}&b={b}", CHART),
    "predict": View("predict", "canvas"),
    "data": View("data", IMAGE),
    "region": View("region?roi=V1v", IMAGE),
    "weights": View("weights", TABLE),
    "learn": View("learn?lesson=ridge&show=true", CHART),
    "cache": View("cache"),
}
STATES = {
    "explore-vertex": View("explore?vertex=lh+784&roi=PPA", ".st-key-brain canvas", open_tab("Predictions")),
    "explore-images": View("explore?roi=FFA-1", ".st-key-brain canvas", open_tab("Images")),
    "explore-curve": View("explore", ".st-key-brain canvas", open_tab("Images needed")),
    "explore-changed": View(f"explore?{UNTRAINED}", ".st-key-bars .js-plotly-plot", change_layer),
    "explore-not-fitted": View("explore?components=70"),
    "explore-failed": View(
        "explore?backbone=torchvision/alexnet&layer=features.9", act=press("Fit", until="[data-testid=stAlert]"), server="failing"
    ),
    "explore-running": View(
        f"explore?{SLOW.replace('resnet50', 'resnet152')}", act=press("Fit", until="[data-testid=stProgress]"), server="failing"
    ),  # last on its server, as it keeps the others waiting
    "explore-no-data": View(f"explore?dataset={NO_DATA}"),
    "explore-wrong-link": View("explore?layer=nope&score=nope&components=-5&vertex=lh+999999&roi=XYZ&colour=1"),
    "explore-read-only": View("explore", ".st-key-bars .js-plotly-plot", server="read-only"),
    "explore-read-only-not-fitted": View("explore?components=70", server="read-only"),
    "layers-not-fitted": View("layers?components=70"),
    "experiments-not-fitted": View("experiments?n_components=30&n_components=70"),
    "data-vertex": View("data?vertex=lh+784&tab=Vertex", IMAGE),
    "data-stimulus": View("data?stimulus=3", IMAGE),
    "data-no-data": View(f"data?dataset={NO_DATA}"),
    "region-vertex": View("region?vertex=lh+784", IMAGE),
    "region-no-choice": View("region", "canvas"),
    "region-no-data": View(f"region?dataset={NO_DATA}"),
    "experiments-no-data": View(f"experiments?dataset={NO_DATA}"),
    "layers-no-data": View(f"layers?dataset={NO_DATA}"),
    "learn-course": View("learn"),
    "learn-question": View("learn?lesson=ridge"),
    "cache-read-only": View("cache", server="read-only"),
    "weights-read-only": View("weights", server="read-only"),
    "no-page": View("nope"),
    "home-empty": View("", ".st-key-home_brain canvas", server="empty"),
    **{f"{name}-empty": View(name, server="empty") for name in ("explore", "layers", "experiments", "compare", "predict", "data", "cache")},
    "region-empty": View("region?roi=V1v", server="empty"),
    "home-first-fit": View("", ".st-key-home_brain canvas", server="new"),
    "cache-running": View("cache", server="new"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--all", metavar="OUT", type=Path, help="a folder for every page and state")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="names of pages and states, or patterns such as explore*")
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), choices=SIZES)
    arguments = parser.parse_args()
    out = arguments.all or PROJECT / "docs" / "pages"
    out.mkdir(parents=True, exist_ok=True)
    views = PAGES | (STATES if arguments.all else {})
    views = {name: view for name, view in views.items() if not arguments.only or any(fnmatch(name, each) for each in arguments.only)}
    failed = []
    with Screens() as screens:
        for name, view in views.items():
            for size in arguments.sizes if arguments.all else ["laptop"]:
                try:
                    with screens.opened(view, SIZES[size]) as page:
                        take(page, out, name, size if arguments.all else "")
                except PlaywrightError as wrong:
                    failed.append(f"{name} {size}: {wrong.message.splitlines()[0]}")
                print(name, size, flush=True)
    sys.exit("\n".join(failed) or None)


def take(page: Any, out: Path, name: str, size: str) -> None:
    """Write the images of a drawn page; with a size also those below the fold."""
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        page.wait_for_timeout(1000)
        if not size:
            page.screenshot(path=out / f"{name}-{theme}.png")
            continue
        for number in scrolled(page):
            page.screenshot(path=out / f"{name}-{size}-{theme}-{number}.png")


class Screens:
    """A browser and the servers, each started when it is first needed."""

    def __enter__(self) -> Screens:
        self._stack, self._servers, self._keys = ExitStack(), {}, {}
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        (self._folder / "data").mkdir()
        playwright = self._stack.enter_context(sync_playwright())
        self._browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_FLAGS))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def url(self, name: str) -> str:
        """Address of a server."""
        if name not in self._servers:
            folder = self._folder / name
            if name in COPIES:
                self._keys = self._keys or prepare(self._folder / "store")
                shutil.copytree(self._folder / "store", folder)
            env = {"ENCODING_CACHE_DIR": str(folder), "ENCODING_DATA_DIR": str(self._folder / "data"), "TORCH_HOME": str(folder / "torch")}
            server = Server(PROJECT / "app.py", env | SERVERS[name], self._folder / f"{name}.txt")
            self._servers[name] = self._stack.enter_context(closing(server)).url
        return self._servers[name]

    @contextmanager
    def opened(self, view: View, size: tuple[int, int]) -> Iterator[Any]:
        """A page at a view, drawn."""
        with closing(self._browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=THEMES[0])) as context:
            yield self._draw(context.new_page(), view)

    def _draw(self, page: Any, view: View) -> Any:
        page.add_init_script("localStorage.setItem('encoding-explorer-tour', 'seen')")
        url = self.url(view.server)
        open_page(page, f"{url}/{view.address.format(**self._keys)}")
        page.set_default_timeout(60_000)
        page.wait_for_selector(view.drawn)
        if view.act:
            view.act(page)
        page.wait_for_timeout(2000)
        return page


def scrolled(page: Any) -> Iterator[int]:
    """The page at its top, then a screen further down each time, until its end."""
    main = page.get_by_test_id("stMain")
    height = page.viewport_size["height"]
    step = height - OVERLAP
    for number in range(MOST_SCREENS):
        if number and (number - 1) * step + height > main.evaluate("(main) => main.scrollHeight") - OVERLAP / 2:
            break
        main.evaluate("(main, y) => main.scrollTo(0, y)", number * step)
        page.wait_for_timeout(1500)  # charts below are drawn when seen
        yield number
    main.evaluate("(main) => main.scrollTo(0, 0)")


def prepare(folder: Path) -> dict[str, str]:
    """Fill a Store with fits of the simulated subject; returns the keys of two of them."""
    if filled := os.environ.get("ENCODING_TEST_STORE"):
        shutil.copytree(filled, folder)
    store = Store(folder)
    results = [fit(spec, store, device="cpu") for spec in FITTED]
    for result in results:
        roi_intervals(result)
    learning_curve(FITTED[-1], store)
    return {"a": results[1].key, "b": results[-1].key}


if __name__ == "__main__":
    main()
