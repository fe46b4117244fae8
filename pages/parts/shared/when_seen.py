"""Charts further down a page, drawn when they come into sight, so that what is in sight does not wait for them."""

from __future__ import annotations

import re
from collections.abc import Callable

import streamlit as st

from pages.parts.shared.fragment import fragment
from pages.parts.shared.late_link import keep_what_was_written
from pages.parts.shared.quiet import WHEN_QUIET

USUAL_HEIGHT = 450  # px, of a chart that states none
ASK_AGAIN_MS = 1500  # a chart that was not drawn by then asks once more, should its request have been lost to another one
_watch = st.components.v2.component(
    "when_seen",
    html="<span></span>",
    js=f"""{WHEN_QUIET}
const observers = new WeakMap(); // the component in a place -> what ends its observation
export default function ({{ data, parentElement, setStateValue }}) {{
  observers.get(parentElement)?.();
  if (data.seen) return;
  let cancel = () => {{}}, again;
  const request = () => {{
    setStateValue("seen", performance.now());
    again = setTimeout(() => {{ cancel = whenQuiet(request); }}, {ASK_AGAIN_MS});
  }};
  const watch = new IntersectionObserver((entries) => {{
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watch.disconnect();
    cancel = whenQuiet(request);
  }}, {{ root: document.querySelector("[data-testid=stMain]"), rootMargin: "10%" }}); // what scrolls; a margin of the window is cut by it
  watch.observe(document.querySelector(data.place));
  const end = () => {{ watch.disconnect(); cancel(); clearTimeout(again); }};
  observers.set(parentElement, end);
  return end;
}}
""",
)


@fragment()
@keep_what_was_written()
def when_seen(draw: Callable[[], None], key: str, height: float | None = None) -> None:
    """Keep the place of something, and draw it once it is in sight or a tenth of the window away.

    Parameters
    ----------
    draw : draws it. key : names the place. height : pixels of it.
    """
    key = re.sub(r"[^\w-]", "-", key, flags=re.ASCII)  # as Streamlit names its classes
    name, place = f"{key}_seen", f"{key}_below"
    seen = bool((st.session_state.get(name) or {}).get("seen"))
    st.html(f"<style>.st-key-{place} {{min-height: {height or USUAL_HEIGHT}px}} .st-key-{name} {{display: none}}</style>")
    with st.container(key=place):
        _watch(key=name, data={"place": f".st-key-{place}", "seen": seen}, on_seen_change=lambda: None)
        if seen:
            draw()
