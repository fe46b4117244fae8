"""What was found on this machine: data sets, pretrained weights, hardware. Each is looked for when its panel is opened."""

from __future__ import annotations

import streamlit as st

from encoding import BACKBONES, DATASETS
from encoding.backbones._catalogue import every_file
from encoding.datasets import data_dir
from encoding.jobs.machine import Machine, machine
from pages.parts.shared.absent_data import simulate_button
from pages.parts.shared.links import view
from pages.parts.shared.server_state import SECONDS_BETWEEN_LOOKS, store
from pages.parts.shared.text import plain

EXAMPLE = "algonauts2023"  # the data set that a button simulates


def data_sets_found() -> None:
    """List the data sets, those that are here first, with a link to each; simulate the best known one by a button."""
    found = _data_sets()
    n_here = sum(here for _, _, here, _ in found)
    with st.expander(f"Data sets: {n_here} of {len(found)} are here", key="found_data"):
        for name, title, here, where in found:
            mark = ":green[:material/check_circle:]" if here else ":gray[:material/radio_button_unchecked:]"
            st.markdown(f"{mark} **{plain(title)}**  \n:small[{plain(where)}]")
            if not here and view("data") is not None:
                st.page_link(view("data"), label=f"How to have {plain(title)}", query_params={"dataset": name})
        if not DATASETS[EXAMPLE].subjects():
            simulate_button(EXAMPLE, f"Simulate {DATASETS[EXAMPLE].title}")
        st.caption(f"Data sets are looked for in `{data_dir()}` (set `ENCODING_DATA_DIR` for another folder). The Data page examines them.")


def weights_found() -> None:
    """Say which pretrained weights are here."""
    files = every_file()
    here = [file.network for file in files if file.is_here]
    with st.expander(f"Pretrained weights: {len(here)} of {len(files)} networks' are here", key="found_weights"):
        free = [name for name in BACKBONES if not BACKBONES[name].needs_weights]
        named = f"Here are those of {', '.join(here[:6])}{' and others' if len(here) > 6 else ''}. " if here else ""
        st.markdown(f"{named}The Weights page fetches them. {' and '.join(free)} need none, nor does any untrained network.")


def machine_found() -> None:
    """Say what this machine has, once its panel is opened: torch is slow to wake."""
    with st.expander("This machine", key="found_machine", on_change="rerun") as found:
        if found.open:
            st.markdown(str(_machine()))
            st.caption(f"Results are kept in `{store().root}`.")


@st.cache_data(ttl=SECONDS_BETWEEN_LOOKS, show_spinner=False)
def _data_sets() -> list[tuple[str, str, bool, str]]:
    """Name and title of each data set, whether a subject can be opened, and where it is or would be; those that are here first."""
    data_sets = [(name, known.title, bool(known.subjects()), known.where()) for name, known in DATASETS.items()]
    return sorted(data_sets, key=lambda each: not each[2])


@st.cache_resource(ttl=SECONDS_BETWEEN_LOOKS, show_spinner="Looking at this machine …")
def _machine() -> Machine:
    return machine(store().root)
