"""Weights: list pretrained weights, present and missing, and fetch one."""

import pandas as pd
import streamlit as st

from encoding.backbones._catalogue import every_file
from encoding.jobs.tasks import fetch_weights
from pages.parts.shared.access import change_button
from pages.parts.shared.job_progress import follow
from pages.parts.shared.server_state import jobs

st.header("Weights", anchor=False)
st.markdown(
    "A network's **pretrained weights** are what it learned from images; without them it is only an architecture (`random:0` is the "
    "untrained control). Nothing is downloaded until you ask for it, here or with Fit."
)

files = every_file()
shown = st.segmented_control("Show", ["all", "here", "not here"], key="shown", default="all", required=True, bind="query-params")
rows = [file for file in files if shown == "all" or file.is_here == (shown == "here")]
st.dataframe(
    pd.DataFrame(
        {
            "backbone": [file.network for file in rows],
            "here": [file.is_here for file in rows],
            "MB": [(file.path.stat().st_size if file.is_here else file.n_bytes or float("nan")) / 1e6 for file in rows],
            "licence": [file.licence for file in rows],
            "from": [file.address for file in rows],
            "file": [str(file.path) for file in rows],
        }
    ),
    alt="every network's pretrained weights",
    hide_index=True,
    column_config={"MB": st.column_config.NumberColumn(format="%.0f", help="Empty where the size is not published with the network.")},
)
st.caption("To bring a file by hand, save it under the name and in the folder of the last column.")

missing = {file.network: file for file in files if not file.is_here}
if missing:
    name = st.selectbox(
        "Fetch the weights of", list(missing), key="network", bind="query-params", index=None, placeholder="Choose a backbone"
    )
    if name:
        st.markdown(f"From `{missing[name].address}` to `{missing[name].path}`. Licence: {missing[name].licence}.")
        key = f"weights-{name}"
        change_button("Fetch", key="fetch", type="primary", on_click=lambda: jobs().submit(fetch_weights, name, key=key))
        follow(key)
else:
    st.success("The weights of every listed backbone are on this machine.")
