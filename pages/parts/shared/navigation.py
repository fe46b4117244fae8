"""Sections of the navigation, and whether this run of the script is the first of a page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import streamlit as st

from pages.parts.shared.linked import forget
from pages.parts.shared.links import VIEWS, view
from pages.parts.shared.text import plain

SECTIONS = {  # section to its pages, by their names in addresses, each with its title and icon
    "Start": {"home": ("Home", "home"), "learn": ("Learn", "school")},
    "Models": {
        "explore": ("Explore", "neurology"),
        "layers": ("Layers", "layers"),
        "experiments": ("Experiments", "science"),
        "compare": ("Compare", "compare_arrows"),
        "predict": ("Predict", "image_search"),
    },
    "Material": {
        "data": ("Data", "database"),
        "region": ("One region", "my_location"),
        "weights": ("Weights", "weight"),
        "cache": ("Jobs & storage", "inventory_2"),
    },
}
NAVIGATION_STYLE = """<style>
[data-testid=stApp] {
  --st-primary-color: light-dark(#0B6583, #62C1DF);
  --st-background-color: light-dark(white, #181714);
  --st-secondary-background-color: light-dark(#f4f3f0, #2b2a26);
}
[data-testid=stMainBlockContainer] {padding: 3.5rem 2rem 3rem}
@media (max-width: 640px) {[data-testid=stMainBlockContainer] {padding: 3.5rem 1rem 3rem}}
[data-testid=stMain] h1 {font-size: 1.6rem; line-height: 1.25; font-weight: 400; letter-spacing: normal; padding: 0 0 0.4rem}
[data-testid=stMain] h2 {font-size: 1.25rem; padding: 0.5rem 0 0.25rem}
@media (hover: hover) {  /* help shows where somebody looks for it */
  [data-testid=stWidgetLabel] .stTooltipIcon {opacity: 0}
  [data-testid=stElementContainer]:is(:hover, :focus-within) .stTooltipIcon {opacity: 1}
}
[data-testid=stSidebarHeader] {height: 2.5rem; margin-bottom: 0}
[data-testid=stSidebarUserContent] {padding-top: 0.75rem}
[data-testid=stSidebar] .st-key-glossary {margin: -1.1rem 0 -0.9rem}
[data-testid=stSidebarNavItems] > div {
  display: grid; grid-template-columns: minmax(0, 6fr) minmax(0, 7fr); column-gap: 0.25rem; margin: 0 -0.75rem 0 -0.35rem
}
[data-testid=stSidebarNavItems] header {grid-column: 1 / -1; min-height: 0; padding: 0}
[data-testid=stSidebarNavItems] :is(a, li) {margin: 0}
[data-testid=stSidebarNavItems] a {padding: 0 0.35rem; gap: 0.35rem}
[data-testid=stSidebarNavItems] p {font-size: 0.85rem}
[data-testid=stSidebar] [data-testid=stColumn] {min-width: 0}
[data-testid=stSidebar] [data-testid=stElementContainer]:not(.st-key-fit) > [data-testid=stSkeleton],
[data-testid=stColumn] > [data-testid=stVerticalBlock] > [data-testid=stElementContainer]:first-child > [data-testid=stSkeleton] {
  height: 4.25rem  /* of a choice with its label, so that nothing below moves when it comes */
}
.st-key-groups button {min-height: 1.6rem; padding: 0.1rem 0.6rem}
.parcoords .axis :is(path, line) {stroke: currentColor !important; opacity: 0.5}
.parcoords text {text-shadow: none !important}
[data-testid=stProgress] * {transition: none !important}
[data-testid=stPageLink] p {white-space: normal}
.st-key-recent a:not(:hover) {background: none} .st-key-recent a p {font-weight: 400}  /* to fits, not to the page */
[data-testid=stCaptionContainer] {opacity: 1; color: color-mix(in srgb, currentColor 78%, transparent)}
[data-testid=stExpander] summary {opacity: 0.85}
[data-testid=stMultiSelect] :is([data-tag], [data-tag] *) {color: light-dark(white, #10222a)}
:is([data-testid=stMain], [data-testid=stSidebar]) :is(a, button, summary, [role=tab]):focus-visible {
  outline: 2px solid currentColor; outline-offset: 1px
}
[data-testid=stSidebar][data-collapsed=true] {visibility: hidden}  /* not in sight, so not in the order of the Tab key */
@media (forced-colors: active) {  /* what is told by a background alone keeps its colours */
  [data-testid=stApp] :is(.stCheckbox label > div, .stSlider *, .stButtonGroup button, .scale, .swatch) {forced-color-adjust: none}
}
[data-testid=stBaseButton-primary]:enabled {color: light-dark(white, #10222a)}
@media (max-width: 640px) {  /* on a phone two menus or buttons stand in a row, where names are not long */
  [data-testid=stMain] [data-testid=stHorizontalBlock]:not(:has(> [data-testid=stColumn] [data-testid=stMultiSelect]))
    > [data-testid=stColumn]:has(> [data-testid=stVerticalBlock] > :only-child
    > :is(.stSelectbox, .stTextInput, .stButton, .stDownloadButton, .stLinkButton, .stPopover)) {
    min-width: 0; flex: 1 1 40%;
    &:has(.stPopover) {flex: 0 1 7rem}
  }
}
@media (min-width: 1200px) {[data-testid=stLayoutWrapper]:has(> [class*=_brain_place]) {position: sticky; top: 4rem}}
@media (max-width: 1199px) {  /* on a tablet a brain has the width to itself, and what has too little room beside others goes below */
  [data-testid=stMain] [data-testid=stColumn]:has([data-testid=stPlotlyChart]) {min-width: min(20rem, 100%)}
  [data-testid=stMain] [data-testid=stColumn]:has(> [data-testid=stVerticalBlock] > :only-child
    > :is(.stSelectbox, .stTextInput, .stDownloadButton)) {min-width: 9rem}
  [data-testid=stMain] [data-testid=stColumn]:has(> [data-testid=stVerticalBlock] > :only-child > .stButtonGroup) {min-width: max-content}
  [data-testid=stMain] [data-testid=stColumn]:has(> [data-testid=stVerticalBlock] > :only-child > .stMultiSelect) {
    min-width: min(16rem, 100%)
  }
  [data-testid=stHorizontalBlock]:has(> [data-testid=stColumn] :is([class*=brain_place], .st-key-home_brain)) {
    flex-direction: column;
    > [data-testid=stColumn] {width: 100%; flex: 1 1 auto}
  }
  [data-testid=stColumn]:has(> [data-testid=stVerticalBlock] > .st-key-projector) {min-width: max-content}
}
.js-plotly-plot :is(:is([class$=tick], .cbaxis, .parcoords) text, [class$=title], .cbtitle text,
  .annotation text[style*="(128, 132, 149)"], .hovertext text) {fill: currentColor !important}
@media (max-width: 640px) {.modebar-container {top: auto !important; bottom: 2rem} .modebar {right: auto !important; left: 0}}
</style>"""  # two pages a row leave room for controls; sliding progress bars took half a core where there is no GPU
LOOKED_AT, SOUGHT = ("roi", "vertex", "stimulus"), ("find",)
OTHERS = "More"  # pages that no section names: a page needs no more than its file


def sections() -> dict[str, list[tuple[Path, str, str | None]]]:
    """File, title and icon of the pages of each section, in its order; pages that no section names come last."""
    paths = {path.stem.partition("_")[2]: path for path in sorted(VIEWS.glob("[0-9]*.py"))}
    known = {
        section: [(paths.pop(name), title, f":material/{icon}:") for name, (title, icon) in pages.items() if name in paths]
        for section, pages in SECTIONS.items()
    }
    others = [(path, name.capitalize(), None) for name, path in paths.items()]
    return {section: pages for section, pages in (known | {OTHERS: others}).items() if pages}


def absent_page() -> list[Any]:
    """A page, not listed, at the address that the browser asks for where there is no such page; it says so and links to those there are."""
    known = _titles()
    if (name := absent_name(st.context.url or "")) is None:
        return []

    def say() -> None:
        st.title(f"There is no page {plain(name)}", anchor=False)
        st.markdown("The address may be misspelt, or of another release. These are the pages:")
        for page, title in known.items():
            st.page_link(view(page), label=title)

    return [st.Page(say, title="Not found", url_path=name, visibility="hidden")]


def absent_name(address: str) -> str | None:
    """What an address names that is no page; None for Home and every page, and for what no page could be named."""
    name = urlsplit(address).path.rstrip("/").rpartition("/")[2]
    return name if name not in _titles() and re.fullmatch(r"[\w-]{1,60}", name) else None


def _titles() -> dict[str, str]:
    return {path.stem.partition("_")[2]: title for pages in sections().values() for path, title, _ in pages}


def arrive(page: Any) -> None:
    """Remember which page runs; :func:`has_arrived` then says whether the previous run was of another one.

    What several pages look at, each by a setting of the same name, goes along unless a link leads there, which says itself what it is.
    """
    st.session_state["_arrived"] = st.session_state.get("_page_of_run") not in (None, page.url_path)
    st.session_state["_page_of_run"] = page.url_path
    if has_arrived():
        forget((*SOUGHT, *LOOKED_AT) if st.query_params else SOUGHT)


def has_arrived() -> bool:
    """Whether this run is the first of its page after another page of this session."""
    return st.session_state.get("_arrived", False)
