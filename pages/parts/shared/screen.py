"""Whether a page has no more room than on a phone, for charts that are laid out anew there."""

from __future__ import annotations

import streamlit as st

NARROW = 640  # px between the sidebar and the edge of the window, as in the pages' styles of a window

_watch = st.components.v2.component(
    "screen",
    html="<span></span>",
    js=f"""
export default function ({{ data, setStateValue }}) {{
  const page = document.querySelector("[data-testid=stMainBlockContainer]");
  let known = data.narrow;
  const watch = new ResizeObserver(() => {{
    const narrow = page.clientWidth <= {NARROW};
    if (narrow !== known) setStateValue("narrow", narrow);
    known = narrow;
  }});
  watch.observe(page);
  return () => watch.disconnect();
}}
""",
)


def is_narrow() -> bool:
    """Whether the page is at most :data:`NARROW` pixels wide; false before :func:`watch_screen` has reported."""
    return bool((st.session_state.get("screen") or {}).get("narrow"))


def watch_screen() -> None:
    """Report the width of the page, which runs again when it becomes narrow or wide, and never on a wide screen alone."""
    _watch(key="screen", data={"narrow": is_narrow()}, on_narrow_change=lambda: None)
