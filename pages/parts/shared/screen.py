"""Whether the browser's window is as narrow as a phone's, for charts that are laid out anew there."""

from __future__ import annotations

import streamlit as st

NARROW = 640  # px, as in the pages' styles

_watch = st.components.v2.component(
    "screen",
    html="<span></span>",
    js=f"""
export default function ({{ data, setStateValue }}) {{
  const media = matchMedia("(max-width: {NARROW}px)");
  const tell = () => setStateValue("narrow", media.matches);
  if (media.matches !== data.narrow) tell();
  media.addEventListener("change", tell);
  return () => media.removeEventListener("change", tell);
}}
""",
)


def is_narrow() -> bool:
    """Whether the window is at most :data:`NARROW` pixels wide; false before :func:`watch_screen` has reported."""
    return bool((st.session_state.get("screen") or {}).get("narrow"))


def watch_screen() -> None:
    """Report the width of the window: the page runs again when it becomes narrow or wide, and never on a wide screen alone."""
    _watch(key="screen", data={"narrow": is_narrow()}, on_narrow_change=lambda: None)
