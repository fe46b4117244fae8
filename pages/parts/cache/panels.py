"""Panels of Jobs & storage: background jobs, stored results and their removal, export and import of fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from encoding.cli.terminal import file_size
from encoding.fits.open import models_of_composed
from encoding.jobs import Job
from encoding.jobs.experiments import ExperimentState
from encoding.runs.archive import MAX_FILE_BYTES
from encoding.runs.exchange import BAD_SENDER, import_, is_sender, packed
from encoding.runs.exchange_models import export_refusal
from encoding.runs.manifest import BadExchange
from encoding.runs.table import short_name
from encoding.runtime.wording import counted
from encoding.storage.inventory import (
    IRREPLACEABLE,
    STAGES,
    StoreEntry,
    by_stage,
    check,
    chosen,
    entries,
    last_check,
    needed_members,
    prune,
)
from pages.parts.cache.job_links import job_link
from pages.parts.shared.access import is_owner, may_change
from pages.parts.shared.fragment import fragment
from pages.parts.shared.job_progress import SECONDS_BETWEEN_TICKS, cancel_button, job_title, standing
from pages.parts.shared.links import view
from pages.parts.shared.runs_table import runs_table
from pages.parts.shared.server_state import experiments, forget_opened_runs, jobs, opened_run, store
from pages.parts.shared.text import plain

CHECK_KEY = "check-store"
MOST_SHOWN = 50  # jobs that have ended
STYLE = """<style>
[class*=st-key-job_row] [data-testid=stPageLink] a {
  justify-content: center; padding: 0.4rem 0.75rem; border: 1px solid rgba(128, 128, 128, 0.5); border-radius: 0.5rem
}
</style>"""  # links to what a job left look like the buttons at their place
BADGES = {"queued": "gray", "running": "blue", "done": "green", "failed": "red", "cancelled": "orange"}


def jobs_panel() -> None:
    """List every job of this server, waiting and running ones first."""
    st.html(STYLE)
    known, grids = jobs().all(), experiments().all()
    if not known and not grids:
        none = "Nothing was asked for since this server started. Fits, experiments and searches that are started on any page appear here."
        st.info(none if may_change() else "This server starts nothing. What was computed before can be looked at on every page.")
        return
    if any(not job.finished for job in known) or any(not state.finished for state in grids.values()):
        _watch()
    else:
        _list(known, grids)


@fragment(run_every=SECONDS_BETWEEN_TICKS)
def _watch() -> None:
    """The list as it changes; the page runs again when nothing is under way any more."""
    known, grids = jobs().all(), experiments().all()
    if all(job.finished for job in known) and all(state.finished for state in grids.values()):
        st.rerun()
    _list(known, grids)


def _list(known: Sequence[Job], grids: Mapping[str, ExperimentState]) -> None:
    for key, state in reversed(grids.items()):
        _experiment_row(key, state)
    if not known:
        return
    order = {"running": 0, "queued": 1}
    under_way = sorted((job for job in known if not job.finished), key=lambda job: (order[job.state], job.position or 0))
    ended = [job for job in reversed(known) if job.finished]
    running = sum(job.state == "running" for job in under_way)
    st.caption(f"{running} running, {len(under_way) - running} waiting, {len(ended)} ended. Everyone on this server sees this list.")
    for job in under_way:
        _row(job)
    for job in ended[:MOST_SHOWN]:
        _row(job)


def _experiment_row(key: str, state: ExperimentState) -> None:
    counts = {
        name: 0 if state.status is None else state.status.count(name) for name in ("running", "waiting", "done", "failed", "cancelled")
    }
    how = (
        "running" if not state.finished else "failed" if state.error or counts["failed"] else "cancelled" if counts["cancelled"] else "done"
    )
    with st.container(border=True, gap="xsmall", key=f"job_row_{key}"):
        what, act = st.columns([6, 1], vertical_alignment="center")
        more = f" and {len(state.labels) - 1:,} more" if len(state.labels) > 1 else ""
        title = plain(state.title or (f"{state.labels[0]}{more}" if state.labels else key))
        what.markdown(f":{BADGES[how]}-badge[{how}] {_yours(state.owner)}**Experiment: {title}**")
        text = ", ".join(f"{n:,} {name}" for name, n in counts.items() if n) or plain(state.text)
        if state.finished:
            what.caption(text)
        else:
            what.progress(0.0 if state.status is None else state.status.n_ended / max(1, state.status.n_tasks), text)
            cancel_button(state, key=f"cancel_{key}", place=act, on_click=experiments().cancel, args=(key,), width="stretch")
        if state.error:
            what.error(plain(state.error))
        act.page_link(view("experiments"), label="Open", query_params={"experiment": key}, width="stretch")


def _row(job: Job) -> None:
    with st.container(border=True, gap="xsmall", key=f"job_row_{job.key}"):
        what, act = st.columns([6, 1], vertical_alignment="center")
        what.markdown(f":{BADGES[job.state]}-badge[{job.state}] {_yours(job.owner)}**{job_title(job.spec)}**")
        if not job.finished:
            what.progress(job.fraction, f"{standing(job)} · {plain(job.text)}")
        else:
            what.caption(
                f"After {job.seconds:.1f} s. {plain(job.text) if job.text != 'done' else ''}" if job.seconds else "Before it began."
            )
        if job.state == "failed":
            what.error(f"{plain(job.error_kind)}: {plain(job.error)}")
        if job.state == "done" and (shown := job_link(job.spec)):
            act.page_link(view(shown[0]), label="Open", query_params=shown[1], width="stretch")
        if may_change():
            if not job.finished:
                cancel_button(job, key=f"cancel_{job.key}", place=act, width="stretch")
            elif job.state in ("failed", "cancelled"):
                act.button("Retry", key=f"retry_{job.key}", on_click=jobs().retry, args=(job.key,), width="stretch")
        if job.log:
            with st.expander("Log", key=f"log_{job.key}", on_change="rerun", type="compact") as log:
                if log.open:
                    st.code("\n".join(job.log), language=None, wrap_lines=True)


def _yours(owner: str) -> str:
    return ":violet-badge[yours] " if is_owner(owner) else ""


@st.cache_data(ttl=5, max_entries=2, show_spinner="Looking at the Store …")
def _entries(root: str) -> list[StoreEntry]:
    return entries(store())


def store_panel() -> None:
    """Show the stored results by stage, verify their checksums and remove selected ones."""
    every = _entries(str(store().root))
    total = sum(one.n_bytes for one in every)
    st.markdown(f"**{counted(len(every), 'result')}, {file_size(total)}** in `{store().root}`")
    if not every:
        return
    table = by_stage(every)
    st.dataframe(
        table.assign(size=[file_size(int(n)) for n in table["bytes"]], share=100 * table["bytes"] / max(total, 1)),
        hide_index=True,
        height="content",
        key="stages",
        column_order=["stage", "what", "results", "size", "share", "oldest", "newest"],
        column_config={
            "what": st.column_config.TextColumn("what it is", width=290),
            "share": st.column_config.ProgressColumn("share", format="%.0f %%", min_value=0, max_value=100),
            "oldest": st.column_config.DatetimeColumn("oldest (UTC)", format="YYYY-MM-DD HH:mm"),
            "newest": st.column_config.DatetimeColumn("newest (UTC)", format="YYYY-MM-DD HH:mm"),
        },
        alt="what the Store holds, by stage",
    )
    _verify()
    if may_change():
        _prune(every)


def _verify() -> None:
    before = last_check(store())
    if before is None:
        st.caption("Its checksums were not all compared yet. Each result is checked anyway when it is first read.")
    elif before["damaged"]:
        number = f"{len(before['damaged'])} of {before['checked']:,}"
        st.warning(f"Checked {before['when'][:16]} UTC: {number} results were damaged and removed. They are computed again when needed.")
        st.code("\n".join(before["damaged"][:20]), language=None)
    else:
        st.caption(f"Checked {before['when'][:16].replace('T', ' ')} UTC: all {before['checked']:,} results were sound.")
    if may_change():
        job = jobs().get(CHECK_KEY)
        st.button(
            "Verify",
            key="verify",
            on_click=lambda: jobs().submit(check, "Check every result of the Store", key=CHECK_KEY),
            disabled=job is not None and not job.finished,
            help="Reads every result and compares its checksum, as a background job. What is damaged is removed and computed again.",
        )


def _prune(entries: Sequence[StoreEntry]) -> None:
    with st.expander("Make room", key="prune_panel", on_change="rerun") as panel:
        if not panel.open:
            return
        if removed := st.session_state.pop("_pruned", None):
            st.success(removed)
        known = [stage for stage in dict.fromkeys([*STAGES, *(one.stage for one in entries)]) if any(one.stage == stage for one in entries)]
        left, right = st.columns([3, 1])
        stages = left.multiselect(
            "Stages", known, key="prune_stages", placeholder="All that can be computed again",
            help="\n\n".join(f"**{stage}** {STAGES.get(stage, '')}" for stage in known),
        )  # fmt: skip
        days = right.number_input("Older than (days)", 0.0, 10_000.0, 30.0, step=1.0, key="prune_days")
        targets = chosen(entries, stages=stages, older_days=days)
        models = models_of_composed(store(), {one.key for one in targets})
        targets = [one for one in targets if one.key not in models]
        size = file_size(sum(one.n_bytes for one in targets))
        st.markdown(f"Would remove **{counted(len(targets), 'result')}, {size}**. Nothing is removed yet.")
        lost = sorted({one.stage for one in targets} & set(IRREPLACEABLE))
        if lost:
            st.warning("Imported fits cannot be computed again here: whoever sent them would have to send them once more.")
        else:
            st.caption("What is removed is computed again when it is next needed.")
        members = needed_members(store(), targets)
        if members:
            n_composed = len(set(members.values()))
            composed = "composed fits that stay are" if n_composed > 1 else "composed fit that stays is"
            st.warning(
                f"{len(members):,} of these fits are what {n_composed:,} {composed} "
                f"made of, which could not be opened without them, so they are kept: {', '.join(dict.fromkeys(members.values()))}."
            )
        if models:
            st.caption(
                f"{len(models):,} models and components are kept, as composed fits that stay predict with them: "
                f"{', '.join(dict.fromkeys(models.values()))}."
            )
        busy = any(not each.finished for each in (*jobs().all(), *experiments().all().values()))
        if busy:
            st.info("A job or an experiment is under way and may need what would be removed. Wait for it, or cancel it.")
        sure = st.checkbox(f"Yes, remove {counted(len(targets), 'result')}", key="prune_sure", disabled=not targets or busy)
        st.button("Remove", key="prune", disabled=not (sure and targets) or busy, on_click=_remove, args=(targets,))


def _remove(targets: Sequence[StoreEntry]) -> None:
    """Callback: remove what was counted, and no more; an error where that may not be."""
    try:
        done = prune(store(), targets)
    except OSError as wrong:
        st.error(plain(wrong))
        return
    kept = f" {len(done.in_use):,} kept, as a fit or a search that is going on uses it." if done.in_use else ""
    kept += f" {len(done.members):,} kept, as composed fits are made of them." if done.members else ""
    st.session_state["_pruned"] = f"Removed {counted(len(done.removed), 'result')}: {file_size(done.n_bytes)} freed.{kept}"
    st.session_state["prune_sure"] = False
    _entries.clear()
    forget_opened_runs()


def exchange_panel() -> None:
    """Export a fit as one file, and import one."""
    out, into = st.columns(2, gap="large")
    with out:
        st.markdown("**Export a fit**")
        _export()
    with into:
        st.markdown("**Import a fit**")
        if may_change():
            _import()
        else:
            st.caption("This server only shows what is there: nothing can be imported.")


def _export() -> None:
    table = runs_table()
    if table.empty:
        st.caption("There is no finished fit yet.")
        return
    names = {row["key"]: short_name(row) for row in table.to_dict("records")}
    key = st.selectbox("Fit", list(names), format_func=names.get, key="export", index=None, placeholder="Choose a fit")
    by = st.text_input("Sent by", key="export_by", max_chars=200, placeholder="your name, if you like; the receiver reads it")
    if not is_sender(by):
        st.error(BAD_SENDER)
        return
    if key is None:
        return
    result = opened_run(key)
    if isinstance(result, str):
        st.error(plain(result))
        return
    refusal = export_refusal(result)
    models = st.checkbox("With its models", not refusal, disabled=bool(refusal), key=f"export_models_{key}") and not refusal
    st.download_button(
        "Export", lambda: packed(result, by=by, models=models), f"{key}.zip", "application/zip", on_click="ignore", key="export_file"
    )
    words = f" Its models do not go along. {plain(refusal)}" if refusal else " With its models the receiver can predict new images."
    st.caption(
        "Scores, ROIs, noise ceilings, places on the cortex, intervals and the learning curve: enough to see tables, brains and "
        f"scatters and to compare. No image, no response, and not the network's own weights.{words}"
    )


def _import() -> None:
    file = st.file_uploader("A file that somebody exported", ["zip"], key="import", max_upload_size=MAX_FILE_BYTES // 2**20)
    if file is None:
        return
    done, key = st.session_state.get("_imported", ("", ""))
    if done != file.file_id:  # once for each upload, not again at every rerun
        try:
            key = import_(file, store(), name=file.name).key
        except (BadExchange, OSError) as wrong:
            st.error(plain(wrong))
            return
        st.session_state["_imported"] = (file.file_id, key)
        _entries.clear()
        st.rerun()  # the tables above know of it now
    result = opened_run(key)
    if isinstance(result, str):
        st.error(plain(result))
        return
    spec = result.plan.spec
    sender = result.origin["by"] or "not said"
    st.success(f"{job_title(spec)}. Sent by: {plain(sender)}.")
    st.caption(f"It is kept as `{result.key}`, marked as imported, and never stands in for a fit that is computed here.")
    refusal = result.prediction_refusal()
    if refusal:
        st.caption(f"It cannot predict new images. {plain(refusal)}")
    compare, predict = st.columns(2)
    if compare.button("Compare it", key="compare_import", width="stretch"):
        st.switch_page(view("compare"), query_params={"a": result.key})
    if not refusal and predict.button("Predict with it", key="predict_import", width="stretch"):
        st.switch_page(view("predict"), query_params={"fit": result.key, "from": "upload"})
