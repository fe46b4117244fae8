"""Weights: list pretrained weights, present and missing, and fetch one."""

import pandas as pd
import streamlit as st

from encoding.backbones._base import WeightsFile
from encoding.backbones._catalogue import every_file
from encoding.jobs.tasks import fetch_weights
from pages.parts.shared.access import change_button, may_change
from pages.parts.shared.job_progress import follow
from pages.parts.shared.link_notes import expect
from pages.parts.shared.linked import pick
from pages.parts.shared.server_state import jobs

st.title("Weights", anchor=False)
expect(("shown", "network"))
st.markdown(
    "A network's **pretrained weights** are what it learned from images; without them it is only an architecture, which "
    "*untrained (seed 0)* offers as a control. "
    + ("Nothing is downloaded until you ask for it, here or with Fit." if may_change() else "This server fetches none.")
)

files = every_file()
shown = pick("Show", "shown", ["all", "here", "not here"], "all")
rows = [file for file in files if shown == "all" or file.is_here == (shown == "here")]
names = [file.network for file in rows]


def choose_ticked() -> None:
    """Callback of the table: the ticked row is the network to fetch."""
    ticked = st.session_state["weights_table"]["selection"]["rows"]
    st.session_state["network"] = names[ticked[0]] if ticked and not rows[ticked[0]].is_here else None


def megabytes(file: WeightsFile) -> str:
    n_bytes = file.path.stat().st_size if file.is_here else file.n_bytes
    return f"{n_bytes / 1e6:,.0f}" if n_bytes else ""


missing = {file.network: file for file in files if not file.is_here}
if missing and may_change():
    chooser = st.container(horizontal=True, vertical_alignment="bottom")
    name = chooser.selectbox(
        "Fetch the weights of",
        list(missing),
        key="network",
        bind="query-params",
        index=None,
        placeholder="Choose a network, or tick its row",
        width=420,
    )
    if name:
        key = f"weights-{name}"
        with chooser:
            change_button("Fetch", key="fetch", type="primary", on_click=lambda: jobs().submit(fetch_weights, name, key=key))
        st.caption(f"From `{missing[name].address}` to `{missing[name].path}`. Licence: {missing[name].licence}.")
        follow(key)
elif not missing:
    st.success("The weights of every listed network are on this machine.")
st.dataframe(
    pd.DataFrame(
        {
            "network": names,
            "here": ["here" if file.is_here else "" for file in rows],
            "MB": [megabytes(file) for file in rows],
            "licence": [file.licence for file in rows],
            "from": [file.address for file in rows],
            "file": [str(file.path) for file in rows],
        }
    ),
    key="weights_table",
    on_select=choose_ticked if may_change() else "ignore",
    selection_mode="single-row",
    alt="every network's pretrained weights",
    hide_index=True,
    column_config={"MB": st.column_config.TextColumn(alignment="right", help="Empty where the size is not published with the network.")},
)
tick = "Tick a row to fetch its weights. " if may_change() else ""
st.caption(f"{tick}To bring a file by hand, save it under the name and in the folder of the last column.")
