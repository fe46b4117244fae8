"""What was answered and solved of the course: in the session, in the link, and in the browser, which remembers it over reloads."""

from __future__ import annotations

from collections.abc import Collection

import streamlit as st

DONE, SOLVED = "done", "solved"  # lessons whose question was answered, and whose exercise was solved; parameters of the link
STORED = "encoding-explorer-course"  # in the browser's local storage
_MEMORY, _ANEW = "course_memory", "_course_anew"
_OF_LESSONS = ("answer_", "exercise_")  # beginnings of the keys of what was given as an answer
_memory = st.components.v2.component(
    _MEMORY,
    html="<span></span>",
    js=f"""
const read = () => {{
  try {{ return JSON.parse(localStorage.getItem("{STORED}")) ?? {{}}; }} catch (error) {{ return {{}}; }}
}};
export default function ({{ data, setStateValue }}) {{
  const kept = data.anew ? {{}} : read(), all = {{}};
  for (const [kind, names] of Object.entries(data.progress))
    all[kind] = data.lessons.filter((name) => names.includes(name) || kept[kind]?.includes?.(name));
  try {{ localStorage.setItem("{STORED}", JSON.stringify(all)); }} catch (error) {{ return; }} // a browser that stores nothing
  if (Object.entries(all).some(([kind, names]) => names.length > data.progress[kind].length)) setStateValue("kept", all);
}}
""",
)


def noted(kind: str) -> set[str]:
    """Names of the lessons that are :data:`DONE` or :data:`SOLVED`: in this session, or before the link was copied."""
    linked = {name for name in st.query_params.get(kind, "").split(",") if name and not st.session_state.get(_ANEW)}
    return linked | st.session_state.get(_key(kind), set())


def note_progress(kind: str, names: Collection[str]) -> None:
    """Count lessons as :data:`DONE` or :data:`SOLVED`."""
    st.session_state[_key(kind)] = noted(kind) | set(names)


def keep_progress(lessons: Collection[str]) -> None:
    """Write what was answered and solved of these lessons into the link and the browser, and take from there what another session noted."""
    progress = {kind: [name for name in lessons if name in noted(kind)] for kind in (DONE, SOLVED)}
    for kind, names in progress.items():
        st.session_state[_key(kind)] = set(names)
        if names:
            st.query_params[kind] = ",".join(names)
        else:
            st.query_params.pop(kind, None)
    data = {"progress": progress, "lessons": list(lessons), "anew": st.session_state.pop(_ANEW, False)}
    st.html(f"<style>.st-key-{_MEMORY} {{display: none}}</style>")
    _memory(key=_MEMORY, data=data, on_kept_change=_take)


def anew_button(place: st.delta_generator.DeltaGenerator) -> None:
    """Show the button that forgets every answer, for the next person at this browser."""
    about = "Forgets what was answered and solved, here and in this browser."
    place.button("Begin anew", key="anew", type="tertiary", on_click=_begin_anew, help=about, width="stretch")


def _take() -> None:
    """Callback: count what the browser remembers."""
    for kind, names in (st.session_state[_MEMORY].get("kept") or {}).items():
        if kind in (DONE, SOLVED):
            note_progress(kind, names)


def _begin_anew() -> None:
    """Callback: forget every answer."""
    for kind in (DONE, SOLVED):
        st.session_state.pop(_key(kind), None)
    for key in [key for key in st.session_state if str(key).startswith(_OF_LESSONS)]:
        del st.session_state[key]
    st.session_state[_ANEW] = True


def _key(kind: str) -> str:
    return f"_course_{kind}"
