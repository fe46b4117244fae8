"""The browser's Back button: one press takes back one thing that a person did, however many parameters of the link it changed."""

from __future__ import annotations

import streamlit as st

_count = st.components.v2.component(
    "steps_back",
    html="<span></span>",
    js="""
export default function () {
  if (window.stepsBackAreCounted) return;
  window.stepsBackAreCounted = true;
  let acted = false; // since the last entry
  const act = () => { acted = true; };
  for (const name of ["pointerdown", "keydown", "wheel"]) window.addEventListener(name, act, { capture: true, passive: true });
  const { pushState, replaceState } = history; // Streamlit pushes what a run writes and replaces what a widget is bound to
  const write = (state, unused, url) => {
    const isOther = url !== undefined && new URL(url, location.href).href !== location.href;
    (acted && isOther ? pushState : replaceState).call(history, state, unused, url);
    if (isOther) acted = false;
  };
  Object.assign(history, { pushState: write, replaceState: write });
}
""",
)


def count_steps_back() -> None:
    """Let the first change of the address after a press, a key or the wheel be an entry of the browser's history, and others correct it.

    Streamlit makes one of every parameter that a run writes, so that as many presses would lead out of a page as it has settings.
    """
    st.html("<style>.st-key-steps_back {display: none}</style>")
    _count(key="steps_back")
