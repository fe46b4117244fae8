"""Parameter search panel: choice of parameters, progress and results."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from encoding import DATASETS, READOUTS, FitSpec, plots
from encoding.analysis.hyperparameter_search import N_TRIALS, Search, SearchRequest, named_parameters, space_of, stored_search, study_path
from encoding.analysis.search_objective import validation_note
from encoding.evaluation.splits import has_several_folds
from encoding.fits.plan import Plan
from encoding.fits.resources import search_seconds
from encoding.jobs import Job
from encoding.jobs.tasks import tune
from encoding.readouts import known_space, search_space
from encoding.runtime.durations import duration
from encoding.runtime.wording import counted
from pages.parts.shared.access import change_button
from pages.parts.shared.chart import chart
from pages.parts.shared.fragment import fragment
from pages.parts.shared.job_progress import SECONDS_BETWEEN_TICKS, cancel_button, ended_without, standing
from pages.parts.shared.parameter_controls import choose_parameters
from pages.parts.shared.server_state import jobs, needs, planned, settle, store
from pages.parts.shared.text import plain

MOST_TRIALS = 1_000
ABOUT = (
    "One fifth of the training images{first} is set aside. Each trial fits the readout with other parameters on the other four fifths and "
    "is judged by the mean r on these images. {note} Trials are kept: more of them go on from where a search stopped."
)
HOW = {
    "history": "Each dot is a trial: a readout fitted with other parameters and judged on training images set aside. The "
    "line is the best so far; where it stays level, more trials bring little.",
    "importances": "How much of the differences between trials each parameter explains (fANOVA). A short bar: its value hardly mattered.",
}


def search_panel(spec: FitSpec) -> None:
    """Offer a search over the parameters of the spec's readout; nothing for a readout that declares no ranges."""
    if not search_space(READOUTS[spec.readout].options):
        return
    with st.expander("Search parameters", key="search", on_change="rerun") as panel:
        if panel.open:
            _search(spec)


def _about(spec: FitSpec) -> str:
    first = " of the first fold" if has_several_folds(spec.split) else ""
    return ABOUT.format(first=first, note=validation_note(spec.split))


def _search(spec: FitSpec) -> None:
    request = _asked(spec)
    if request is None:
        st.info("Choose a parameter to vary.")
        return
    try:
        search = _found(request)
    except (LookupError, ValueError, OSError) as wrong:
        st.error(plain(wrong))
        return
    running = _running(request)
    n_done = 0 if search is None else len(search.trials)
    enough = n_done >= request.n_trials
    takes = "" if running or enough else _takes(request, request.n_trials - n_done)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        label = ("Go on" if n_done else "Start") + takes
        change_button(label, key="start_search", type="primary", on_click=_submit, args=(request,), disabled=enough or running is not None)
        if enough and not running:
            st.caption(f"There {'is' if n_done == 1 else 'are'} {counted(n_done, 'trial')}: raise **Trials** to go on.")
    if running:
        settle("a job is watched")
        _watch(running.spec)
        return
    job = jobs().get(request.job_key)
    if job is not None and job.state == "failed":
        st.error(f"The search failed: {plain(job.error)}")
    elif job is not None and job.state == "cancelled":
        st.info("Cancelled. Trials that had ended are kept.")
    elif job is not None and not n_done:
        st.warning(ended_without("every trial", again="Start it again."))
    if n_done:
        _show(spec, search)
    else:
        st.caption(_about(spec))


def _asked(spec: FitSpec) -> SearchRequest | None:
    """What to search for, from the widgets; parameters that vary are no longer set. None where none varies."""
    kind = READOUTS[spec.readout].options
    usual, names = list(search_space(kind)), [name for name, space in known_space(kind).items() if space is not None]
    left, right = st.columns([5, 1])
    chosen = left.multiselect(
        "Parameters to vary",
        names,
        default=usual,
        key=f"search_{spec.readout}",
        persist_state="session",
        help="The others keep the values that they have in the sidebar.",
    )
    n_trials = right.number_input("Trials", 1, MOST_TRIALS, N_TRIALS, step=10, key="search_trials", persist_state="session")
    ranges = st.text_input(
        "Ranges of your own",
        placeholder="learning_rate=1e-5:1e-1 hidden=64:2048 optimiser=adam,sgd",
        key=f"search_ranges_{spec.readout}",
        persist_state="session",
        help="NAME=LOW:HIGH or NAME=VALUE,VALUE, separated by spaces, in place of the ranges that the readout declares.",
    )
    own = (ranges or "").split()
    given = named_parameters(spec.readout, own)
    vary = (*(name for name in names if name in chosen and name not in given), *own)
    fixed = {name: value for name, value in spec.options if name not in vary and name not in given}
    return SearchRequest(replace(spec, options=fixed), int(n_trials), vary) if vary else None


def _takes(request: SearchRequest, n_trials: int) -> str:
    """Time that some trials take, for the button that starts them; empty while nothing can be known."""
    needed = needs(request.spec)
    return "" if needed is None else f" · {counted(n_trials, 'trial')}, about {duration(max(1.0, search_seconds(needed, n_trials)))}"


def _submit(request: SearchRequest) -> None:
    jobs().submit(tune, request, key=request.job_key, planned=planned(request.spec))


def _running(request: SearchRequest) -> Job | None:
    """Job of the search under way, which may be of another number of trials; None where there is none."""
    searches = [job for job in jobs().all() if isinstance(job.spec, SearchRequest) and not job.finished]
    return next((job for job in searches if replace(job.spec, n_trials=request.n_trials).job_key == request.job_key), None)


def _found(request: SearchRequest) -> Search | None:
    """The trials so far; None before the first search, or while nothing can be known. Raises whatever is wrong with the spec."""
    fit_plan = planned(request.spec)
    if fit_plan is None:
        return None
    path = study_path(fit_plan, space_of(request.spec, request.vary), request.seed, store())
    return _read(path.stem, path.stat().st_mtime_ns, fit_plan, request) if path.exists() else None


@st.cache_resource(max_entries=16, show_spinner=False)
def _read(key: str, changed: int, _plan: Plan, _asked: SearchRequest) -> Search | None:
    return stored_search(_plan, store(), vary=_asked.vary, seed=_asked.seed)


@fragment(run_every=SECONDS_BETWEEN_TICKS)
def _watch(request: SearchRequest) -> None:
    """Progress of a search and its trials so far; the page runs again when the job has ended."""
    job = jobs().get(request.job_key)
    if job is None or job.finished:
        st.rerun()
    st.progress(job.fraction, f"**{standing(job)}** · {plain(job.text)}")
    cancel_button(job, key="cancel_search")
    search = _found(request)
    if search is not None and len(search.trials):
        _history(search)


def _history(search: Search) -> None:
    alt = "mean r on validation images of every trial, and the best so far"
    chart(plots.search_history(search.trials), "search_history", alt=alt, how=HOW["history"], source=_source(search))


def _source(search: Search) -> str:
    known = {"made_from": {"simulated": DATASETS[search.spec.dataset].simulated}}
    return plots.caption(known, search.spec)


def _show(spec: FitSpec, search: Search) -> None:
    """What a search found, and the way to use it."""
    if search.best:
        _offer(spec, search)
    else:
        st.warning(f"No trial gave a value. The last: {plain(search.trials['error'].iloc[-1])}")
    left, right = st.columns([3, 2])
    with left:
        _history(search)
    with right:
        if search.importances:
            shares = plots.search_importances(search.importances)
            alt = "share of the variance of r that each parameter explains"
            chart(shares, "search_importances", alt=alt, how=HOW["importances"], source=_source(search))
        else:
            st.caption("A few more trials show which parameters matter.")
    ranked = search.trials.sort_values("value", ascending=False, kind="stable", na_position="last")
    st.dataframe(
        ranked.astype(dict.fromkeys(search.space, str)), hide_index=True, key="search_trials_table", alt="every trial, the best first"
    )
    st.caption(_about(spec))


def _offer(spec: FitSpec, search: Search) -> None:
    """The best parameters, and a button that puts them into the sidebar."""
    values = ", ".join(f"{name} {value}" for name, value in search.best.items())
    used = search.best_spec.options == spec.options
    several = has_several_folds(spec.split)
    high = " Other folds test these images, so that the score of a fit with it is a little too high." if several else ""
    trials = counted(len(search.trials), "trial")
    st.markdown(f"Best of {trials}: mean r **{search.best_value:z.3f}** on validation images with {plain(values)}.{high}")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        help = None if used else "Puts these parameters into the sidebar; then press Fit."
        st.button("Use the best", key="use_best", on_click=choose_parameters, args=(spec.readout, search.best), disabled=used, help=help)
        if used:
            st.caption("These are the parameters in the sidebar now." if spec.options else "The defaults were best.")
