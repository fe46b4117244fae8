"""Table of all finished fits with their notes and tags."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from encoding.runs.table import NUMBERS, Note, all_runs, as_csv, known_tags, matching, read_note, short_name, write_note
from pages.parts.shared.access import may_change
from pages.parts.shared.server_state import store
from pages.parts.shared.text import plain

MOST_COMPARED = 6
SORTED_BY = ("made", "mean_r", "pooled_r", "dataset", "backbone", "layers", "readout", "seconds")
SHOWN = ("sender", "dataset", "subject", "backbone", "layers", "components", "readout", "options", "mean_r", "pooled_r", "tags", "note",
         "made", "seconds", "device", "split", "simulated", "key")  # fmt: skip


@st.cache_data(max_entries=4, show_spinner=False)
def _table(changed: tuple[tuple[str, int], ...], root: str) -> pd.DataFrame:
    return all_runs(store())


def runs_table() -> pd.DataFrame:
    """Tabulate every finished fit with its notes, newest first; read again when one changed. A failure stops the page with an error."""
    folders = [folder for stage in ("fit", "imported", "notes", "pooled") if (folder := store().root / stage).is_dir()]
    try:
        changed = tuple((str(path), path.stat().st_mtime_ns) for path in folders)
        return _table(changed, str(store().root))
    except OSError as wrong:
        st.error(plain(wrong))
        st.stop()


def runs_panel(table: pd.DataFrame) -> None:
    """Show all fits with search, tags, sorting, selection for Compare, and download as CSV."""
    words, tags, order = st.columns([3, 2, 2])
    find = words.text_input("Find", key="find", bind="query-params", placeholder="words in any column, such as alexnet ridge")
    known = known_tags(table)
    chosen = tags.multiselect("Tags", known, key="tag", bind="query-params", placeholder="Any" if known else "No run has a tag")
    by = order.selectbox("Sorted by", SORTED_BY, key="sort", bind="query-params", help="A click on a column's head sorts as well.")
    rows = matching(table, words=find, tags=chosen, by=by, ascending=by not in ("made", *NUMBERS))
    st.dataframe(
        rows.assign(tags=[list(own) for own in rows["tags"]]),
        hide_index=True,
        key="runs",
        on_select=lambda: _choose_ticked(rows["key"].tolist()),
        selection_mode="multi-row",
        column_order=[
            name
            for name in SHOWN
            if (name != "sender" or rows["imported"].any()) and (name != "pooled_r" or rows["pooled_r"].notna().any())
        ],
        column_config={
            "mean_r": st.column_config.NumberColumn("mean r", format="%.3f", help="Over every fitted vertex, or voxel."),
            "pooled_r": st.column_config.NumberColumn(
                "r, pooled", format="%.3f", help="One r over all folds' predictions, of k-fold fits with intervals."
            ),
            "seconds": st.column_config.NumberColumn(format="%.1f", help="That the fit took."),
            "made": st.column_config.TextColumn("made (UTC)"),
            "tags": st.column_config.ListColumn("tags"),
            "sender": st.column_config.TextColumn("imported from", help="Who sent it; empty for a fit that was made here."),
        },
        alt="every finished fit",
    )  # fmt: skip
    count, away = st.columns([4, 1])
    count.caption(f"{len(rows):,} of {len(table):,} finished fits. Tick two or more to compare them; the first ticked is A.")
    away.download_button("Runs, CSV", lambda: as_csv(rows), "runs.csv", "text/csv", on_click="ignore", width="stretch")


def _choose_ticked(keys: Sequence[str]) -> None:
    """Callback of the table: the ticked rows become A, B, … in the order in which they were ticked, which the table does not keep."""
    ticked = [keys[row] for row in st.session_state["runs"]["selection"]["rows"]]
    before = [key for key in st.session_state.get("_ticked_runs", ()) if key in ticked]
    in_order = before + [key for key in ticked if key not in before]
    st.session_state["_ticked_runs"] = in_order
    if len(in_order) >= 2:
        first, *others = in_order[:MOST_COMPARED]
        st.session_state["compare_a"], st.session_state["compare_b"] = first, others


def notes_panel(table: pd.DataFrame) -> None:
    """Show and edit the note and tags of a fit."""
    names = {row["key"]: short_name(row) for row in table.to_dict("records")}
    key = st.selectbox("Of", list(names), format_func=names.get, key="note_of")
    note = read_note(key, store())
    if not may_change():
        st.text(note.text or "Nothing was noted.")
        return
    text = st.text_area("Note", note.text, key=f"note_{key}", height=100)
    known = sorted({*known_tags(table), *note.tags})
    tags = st.multiselect("Tags of it", known, note.tags, key=f"tags_{key}", accept_new_options=True, placeholder="Type a tag")
    if st.button("Save", key="save_note", disabled=(text, tuple(tags)) == (note.text, note.tags)):
        try:
            write_note(key, store(), Note(text, tuple(tags)))
        except (ValueError, LookupError, OSError) as wrong:
            st.error(plain(wrong))
            return
        st.rerun()
