"""Table of all finished fits with their notes and tags."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from encoding.datasets import Subject
from encoding.datasets._unit import VERTEX
from encoding.evaluation.scores import SCORES, STATISTICS
from encoding.plots.heatmap import quantity_of
from encoding.runs.labels import dataset_label, split_label, subject_label
from encoding.runs.table import NUMBERS, SCORE_COLUMNS, Note, all_runs, as_csv, known_tags, matching, read_note, short_name, write_note
from pages.parts.shared.access import may_change
from pages.parts.shared.linked import choose, choose_several, enter
from pages.parts.shared.links import stored_query, view
from pages.parts.shared.score_choice import choose_score
from pages.parts.shared.server_state import opened, store
from pages.parts.shared.text import plain

MOST_COMPARED = 6
SCORE = "score"  # in the link: sorted by the score that is shown
SORTED_BY = ("made", SCORE, "dataset", "backbone", "layers", "readout", "seconds")
SHOWN = ("sender", "dataset", "subject", "targets", "backbone", "layers", "components", "readout", "options", SCORE, "tags", "note",
         "made", "seconds", "device", "split", "simulated", "key")  # fmt: skip


@st.cache_data(max_entries=4, show_spinner=False)
def _table(changed: tuple[tuple[str, int], ...], root: str, annotations: tuple[str, ...] | None) -> pd.DataFrame:
    return all_runs(store(), subject_of=None if annotations is None else _subject)


def _subject(dataset: str, name: str) -> Subject | None:
    """A subject, whose noise ceilings some scores need; None where it cannot be opened now."""
    try:
        return opened(dataset, name)
    except (LookupError, ValueError, OSError):
        return None


def runs_table(*, normalised: bool = False) -> pd.DataFrame:
    """Tabulate every finished fit with its notes, newest first; read again when one changed. A failure stops the page with an error.

    Parameters
    ----------
    normalised : whether scores that need a noise ceiling are included, for which all subjects are opened.
    """
    folders = [folder for stage in ("fit", "imported", "notes", "pooled") if (folder := store().root / stage).is_dir()]
    try:
        changed = tuple((str(path), path.stat().st_mtime_ns) for path in folders)
        table = _table(changed, str(store().root), None)
        if not normalised:
            return table
        named = table.loc[~table["imported"] & ~table["damaged"], ["dataset", "subject"]].drop_duplicates()
        subjects = [_subject(*each) for each in named.itertuples(index=False)]
        return _table(changed, str(store().root), tuple("" if each is None else each.annotations_key for each in subjects))
    except OSError as wrong:
        st.error(plain(wrong))
        st.stop()


def runs_panel(table: pd.DataFrame) -> None:
    """Show all fits by any score with search, tags, sorting, selection for Compare, and download as CSV of every score."""
    offered = [key for key, score in SCORES.items() if score.needs_ceiling or table[score.mean_column].notna().any()]
    score, statistic = choose_score(offered, VERTEX, score_key="runs_score", statistic_key="runs_over", statistics=STATISTICS)
    known = SCORES[score]
    table = runs_table(normalised=True) if known.needs_ceiling else table
    words, tags, order = st.columns([3, 2, 2])
    find = enter("Find", "find", place=words, placeholder="words in any column, such as alexnet ridge")
    in_use = known_tags(table)
    chosen = choose_several("Tags", "tag", in_use, (), place=tags, placeholder="Any" if in_use else "No run has a tag")
    sort = choose("Sorted by", "sort", SORTED_BY, SORTED_BY[0], place=order, help="A click on a column's head sorts as well.")
    by = known.column(statistic) if sort == SCORE else sort
    ascending = known.lower_is_better if sort == SCORE else sort not in ("made", *NUMBERS)
    rows = matching(table, words=find, tags=chosen, by=by, ascending=ascending)
    st.dataframe(
        rows.assign(
            tags=[list(own) for own in rows["tags"]],
            score=rows[known.column(statistic)],
            dataset=rows["dataset"].map(dataset_label),
            subject=rows["subject"].map(subject_label),
            split=rows["split"].map(split_label),
        ).drop(columns=list(SCORE_COLUMNS)),
        hide_index=True,
        key="runs",
        on_select=lambda: _choose_ticked(rows["key"].tolist()),
        selection_mode="multi-row",
        column_order=[name for name in SHOWN if name not in ("sender", "targets") or (rows[name] != "").any()],
        column_config={
            SCORE: st.column_config.NumberColumn(
                quantity_of(score, statistic),
                format="%.3f",
                help="Over every fitted vertex, or voxel. Empty where a fit has no such score.",
            ),
            "seconds": st.column_config.NumberColumn(format="%.1f", help="That the fit took."),
            "made": st.column_config.TextColumn("made (UTC)"),
            "tags": st.column_config.ListColumn("tags"),
            "targets": st.column_config.TextColumn("only", help="The hemisphere, regions or vertex that a fit is of; empty for all."),
            "sender": st.column_config.TextColumn("imported from", help="Who sent it; empty for a fit that was made here."),
        },
        alt=f"every finished fit with its {quantity_of(score, statistic)}",
    )
    ticked = rows[rows["key"].isin(st.session_state.get("_ticked_runs", ())[:1])]
    for row in ticked.to_dict("records"):
        if (query := stored_query(row["key"])) is not None:
            st.page_link(view("explore"), label=f"Open **{plain(short_name(row))}** on Explore", query_params=query)
    count, away = st.columns([4, 1])
    count.caption(f"{len(rows):,} of {len(table):,} finished fits. Tick two or more to compare them; the first ticked is A.")

    def every_score() -> str:
        whole = all_runs(store(), subject_of=_subject).set_index("key", drop=False)
        return as_csv(whole.loc[[key for key in rows["key"] if key in whole.index]])

    away.download_button("Runs, CSV", every_score, "runs.csv", "text/csv", on_click="ignore", width="stretch", help="With every score.")


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
