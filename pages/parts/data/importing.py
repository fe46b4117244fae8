"""A form on the Data page that describes a folder of one's own: the proposed ``dataset.toml``, its reasons, and what is left open."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from encoding.datasets import DATASETS, BadData, data_dir
from encoding.datasets.own.description import FILE
from encoding.datasets.own.importing import propose
from encoding.datasets.own.proposal import Choice, Proposal, write
from encoding.runtime.registry import UnknownName
from pages.parts.shared.access import change_button, check_change, may_change
from pages.parts.shared.links import view
from pages.parts.shared.text import plain

SECONDS_KEPT = 20  # that a look over a folder, which takes seconds where it holds thousands of files, counts as new


def importing_panel() -> None:
    """Choose one of the folders without a description below the folder of data, and propose one."""
    with st.expander("**Describe a folder of your own data.**", key="importing", on_change="rerun") as opened:
        if not opened.open:
            return
        st.caption(
            f"Folders in `{data_dir()}` that have no `{FILE}` yet. For a folder elsewhere, link it there, or use `import-bids` in a shell."
        )
        folders = undescribed()
        name = st.selectbox("Folder", list(folders), key="import_folder", index=None, placeholder="Choose a folder", format_func=str)
        if name is None:
            return
        answers = {key: answer for key, answer in st.session_state.get(f"import_answers_{name}", {}).items() if answer}
        try:
            proposal = _proposal(folders[name], tuple(answers.items()))
        except (BadData, UnknownName, OSError) as error:
            st.session_state.pop(f"import_answers_{name}", None)
            st.error(plain(error))
            return
        _show(name, proposal, answers)


@st.cache_data(ttl=SECONDS_KEPT, show_spinner="Looking over the folder")
def _proposal(folder: Path, answers: tuple[tuple[str, str], ...]) -> Proposal:
    return propose(folder, dict(answers))


def undescribed() -> dict[str, Path]:
    """Folders directly below :func:`data_dir` that are no data set yet, by name."""
    home = data_dir()
    folders = sorted(path for path in home.iterdir() if path.is_dir() and not path.name.startswith(".")) if home.is_dir() else []
    return {path.name: path for path in folders if not (path / FILE).exists() and path.name not in DATASETS}


def _show(name: str, proposal: Proposal, answers: dict[str, str]) -> None:
    st.code(proposal.toml(), language="toml")
    for choice in sorted(proposal.choices, key=lambda choice: not choice.is_needed):
        _ask(name, choice, answers)
    if answers:
        st.button("Start again", key="import_again", on_click=lambda: st.session_state.pop(f"import_answers_{name}", None))
    for missing in proposal.missing:
        (st.warning if missing.is_needed else st.info)(f"Not found: {plain(missing.what)}")
        st.code(missing.line, language="toml")
    if proposal.notes:
        with st.popover(f"Also seen: {len(proposal.notes):,}"):
            st.markdown("\n".join(f"- {plain(note)}" for note in proposal.notes))
    if not may_change():
        st.info("This server only shows what is there. Its operator can write the description.")
    elif change_button("Write it", key="import_write", type="primary", disabled=not proposal.is_complete):
        check_change()
        try:
            write(proposal, proposal.folder / FILE)
        except (BadData, FileExistsError) as error:
            st.error(plain(error))
            return
        st.success(f"`{FILE}` was written. Have the data set checked: open it below.")
        st.page_link(view("data"), label=f"See {plain(name)}", query_params={"dataset": name})


def _ask(name: str, choice: Choice, answers: dict[str, str]) -> None:
    """One choice: its options with what they mean; the answer is kept while the page is open."""
    key = f"import_{name}_{choice.key}"

    def keep() -> None:
        st.session_state[f"import_answers_{name}"] = answers | {choice.key: st.session_state[key]}

    st.radio(
        f"{plain(choice.key)}: {plain(choice.question)}{'' if choice.is_needed else ' (may be left open)'}",
        list(choice.options),
        index=None,
        key=key,
        captions=[plain(meaning) for meaning in choice.options.values()],
        on_change=keep,
        format_func=str,
    )
