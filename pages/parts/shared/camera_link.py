"""Where a page's brain is looked at from, in the link."""

from __future__ import annotations

import re

import streamlit as st

from encoding.datasets._surface import VIEWS
from pages.parts.shared.fragment import fragment
from pages.parts.shared.late_link import keep_what_was_written
from pages.parts.shared.link_notes import note, taken
from pages.parts.shared.linked import adopt_link, write_link
from pages.parts.shared.quiet import WHEN_QUIET
from pages.parts.shared.text import plain

REPORTED = "_camera_reported"  # in the session: number of the last camera that a brain reported
CAMERA = "camera"  # the parameter; the brains of all pages that link theirs share one
NUMBER = r"-?\d{1,4}(?:\.\d{1,4})?"
TURNED = re.compile(rf"{NUMBER},{NUMBER},\d{{1,2}}(?:\.\d{{1,4}})?,{NUMBER},{NUMBER}(,swapped)?")  # what cameraText of camera.js writes
_watch = st.components.v2.component(
    "brain_camera",
    html="<span></span>",
    js=f"""{WHEN_QUIET}
let cancel = () => {{}};
export default function ({{ data, parentElement, setStateValue }}) {{
  const receive = (event) => {{
    if (event.detail.name !== data.name) return;
    event.preventDefault(); // it was received
    cancel();
    cancel = whenQuiet(() => {{ if (parentElement.isConnected) setStateValue("reported", event.detail); }});
  }};
  window.addEventListener("brain-camera", receive);
  return () => window.removeEventListener("brain-camera", receive);
}}
""",
)


def linked_camera(start: str) -> str:
    """The camera that the link or the session names, empty for the view that the brain has at ``start``; one that cannot be is noted."""
    adopt_link(CAMERA)
    text = st.session_state.get(CAMERA, "")
    if text and text not in VIEWS and not TURNED.fullmatch(text):
        note(CAMERA, f"**camera** must be one of {', '.join(VIEWS)}, or as a turned brain writes it, not {plain(text)}")
        text = ""
    st.session_state[CAMERA] = text
    _write(start)
    taken(CAMERA)
    return "" if text == start else text


@fragment()
def watch_camera(key: str, start: str) -> None:
    """Write the camera of the brain named ``key`` into the link whenever it comes to rest; nothing else of the page runs again.

    ``start`` is the view that a link without a camera means.
    """
    name = f"{key}_camera"
    st.html(f"<style>.st-key-{name} {{display: none}}</style>")

    def receive() -> None:
        reported = st.session_state[name]["reported"]
        st.session_state[REPORTED], st.session_state[CAMERA] = int(reported["number"]), str(reported["camera"])

    _watch(key=name, data={"name": key}, on_reported_change=receive)
    with keep_what_was_written():  # here, as Streamlit loses a press that arrives while a callback writes the link
        _write(start)


def last_reported() -> int:
    """Number of the last camera that a brain reported to this session, so that it knows which maps were made before."""
    return st.session_state.get(REPORTED, 0)


def _write(start: str) -> None:
    write_link(CAMERA, st.session_state.get(CAMERA) or start, start)
