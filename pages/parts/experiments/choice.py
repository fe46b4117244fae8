"""Choice among an experiment's fits: what wins in which region, how sure that is, and what the choice is worth on test stimuli."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from encoding import plots
from encoding.analysis.comparison import of_regions
from encoding.analysis.layer_ranking import headline
from encoding.datasets._placement import Placement
from encoding.datasets._registry import roi_classes
from encoding.evaluation.splits import ALL
from encoding.experiments import Experiment
from encoding.experiments.candidates import NotFinished
from encoding.experiments.graph import PlannedCell
from encoding.experiments.selection import Selection, select
from encoding.fits.composition import READOUT
from encoding.jobs.tasks import ComposeRequest, compose_fits
from encoding.plots.brain.brain_map import BrainMap
from encoding.runs.labels import parts_label, side_label
from encoding.runtime.wording import counted
from encoding.storage.keys import digest
from pages.parts.experiments.panels import BRAIN_HEIGHT, Shown
from pages.parts.experiments.submission import submission_panel
from pages.parts.experiments.words import candidates_in_words, settings_in_words
from pages.parts.shared.access import change_button
from pages.parts.shared.brain_component import brain_view
from pages.parts.shared.brain_controls import START_VIEW, chosen_look
from pages.parts.shared.chart import chart
from pages.parts.shared.job_progress import follow
from pages.parts.shared.linked import choose
from pages.parts.shared.links import view
from pages.parts.shared.runs_table import runs_table
from pages.parts.shared.server_state import jobs, store
from pages.parts.shared.text import plain

PER = {"roi": "region", "hemisphere": "hemisphere", "vertex": "{unit}"}
METHODS = {
    "best": "Every vertex by the fit that was chosen for it.",
    "one_se": "Every vertex by the first fit within one standard error of the one that was chosen.",
    "mean": "The mean of all fits' predictions.",
    "stacked": "Their weighted mean; the weights, from 0 and adding up to 1, make the error on the validation images smallest.",
}
HOW = (
    "The winner is chosen by its score on validation images, a part of the training images that its model did not see (open circle). What "
    "the choice is worth is its score on test images that took no part (filled, a mean with its 95 % interval). The bar is the best test "
    "score of all candidates: who chooses on test images reports that one, and flatters the choice by the distance. Validation scores "
    "differ from test scores also because their models see fewer images."
)
METHOD_NAMES = {"one_se": "within one SE"}
COLUMNS = ("roi", "hemi", "winner", "probability", "validation", "test", "test_low", "test_high", "optimism", "one_se", "agreement")


def choice_panel(experiment: Experiment, planned: Sequence[PlannedCell], settings: Sequence[str], what: Shown, source: str) -> None:
    """Choose the winner of every region by validation scores and show what it is worth."""
    unit = planned[0].plan.subject.unit
    left, middle, right = st.columns([3, 2, 2])
    over = left.multiselect(
        "Choose over", list(settings), key="choose_over", bind="query-params", placeholder="Everything that varies",
        help="What varies beside the settings named here makes a choice of its own.",
    )  # fmt: skip
    per = choose("A choice per", "per", list(PER), "roi", labels=lambda name: PER[name].format(unit=unit), place=middle)
    statistic = what.statistic if what.statistic in ("mean", "median") and per != "vertex" else "mean"
    if statistic != what.statistic:
        st.caption(f"A choice is made by a mean or median over {unit.many}, and per {unit} by the {unit}'s own score; here by the mean.")
    by = what.key if statistic == "mean" else what.score.column(statistic)
    quantity = replace(what, statistic=statistic).quantity
    try:
        selection = _selection(_key(planned, over, per, by), tuple(planned), tuple(over), per, by)
    except NotFinished:
        st.info("The validation fits are not finished yet.")
        return
    except (LookupError, ValueError) as wrong:
        st.info(plain(wrong))
        return
    candidates = candidates_in_words([each.cell for each in planned], over)
    table = selection.table()
    named = [name for name in ("winner", "one_se", "best_on_test") if name in table]
    table = table.assign(**{name: table[name].map(lambda label: candidates.get(label, label)) for name in named})
    cases = list(table.columns[: table.columns.get_loc("roi")])
    if cases:
        labels = [" · ".join(map(str, values)) for values in table[cases].itertuples(index=False)]
        named = list(dict.fromkeys(labels))
        words = {label: settings_in_words(each) for label, each in zip(labels, table[cases].to_dict("records"), strict=True)}
        case = choose("Shown", "case", named, labels[0], labels=words.__getitem__, place=right)
        table = table[np.array(labels) == case]
    hemis = list(dict.fromkeys(table["hemi"]))
    first = table[table["hemi"] == hemis[0]]
    if (won := first[first["winner"] != ""])["winner"].nunique() and "probability" in won:
        named_hemi = plots.hemi_name(hemis[0])
        st.markdown(f"**{named_hemi}: {plain(headline(won.rename(columns={'winner': 'label', 'probability': 'share'})))}**")
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _worth(first, hemis[0], quantity, source)
    with right, st.container(key="winners_brain_place", gap="xsmall"):
        _winners_brain(selection, 0 if not cases else named.index(case), candidates, source)
    _winners_table(table)
    _compose(experiment, planned, ComposeRequest(experiment.to_toml(), tuple(over), per, by, ""))


def _compose(experiment: Experiment, planned: Sequence[PlannedCell], request: ComposeRequest) -> None:
    """Offer a fit made of the chosen ones, and list those that were made."""
    st.markdown("**One fit made of the chosen ones**")
    st.caption("It opens wherever a fit does. *Compare* holds it against the best of its members.")
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    method = left.segmented_control(
        "Composed as", list(METHODS), key="compose", bind="query-params", default="best", required=True,
        format_func=lambda name: METHOD_NAMES.get(name, name),
        help="\n\n".join(f"**{METHOD_NAMES.get(name, name)}** {about}" for name, about in METHODS.items()),
    )  # fmt: skip
    refit = left.toggle(
        "Trained on every image",
        key="refit",
        bind="query-params",
        help="For a submission: the chosen fits are made again on every image, with the weights that were chosen before. Such a fit has no "
        "test score.",
    )
    request = replace(request, method=method, refit=refit)
    with right:
        change_button("Compose", key="compose_fits", width="stretch", on_click=_submit, args=(request, planned))
    job = jobs().get(request.job_key)
    if job is not None and job.state != "done":
        follow(request.job_key, cancel="cancel_compose")
    runs, fits = runs_table(), {each.fit_key for each in planned}
    mean_r = dict(zip(runs["key"], runs["r_mean"], strict=True))
    made = []
    for row in runs[runs["readout"] == READOUT].to_dict("records"):
        composition = store().provenance(row["key"])["made_from"]["composition"]
        members = composition["members"]
        if not fits.issuperset(members) and not fits.issuperset(composition["validations"]):  # those of fits on every image
            continue
        made.append(row["key"])
        name, links = st.columns([5, 2], vertical_alignment="center")
        score = "trained on every image, no test score" if row["split"] == ALL else f"mean r **{row['r_mean']:z.3f}**"
        name.markdown(f"{plain(row['options'])} · {plain(row['subject'])} · {score}")
        with links.container(horizontal=True):
            st.page_link(view("explore"), label="Explore", query_params={"fit": row["key"]})
            if row["split"] != ALL:
                st.page_link(view("compare"), label="Compare", query_params={"a": max(members, key=mean_r.get), "b": row["key"]})
            st.page_link(view("predict"), label="Predict", query_params={"fit": row["key"]})
    submission_panel(runs[runs["key"].isin(made)])


def _submit(request: ComposeRequest, planned: Sequence[PlannedCell]) -> None:
    jobs().submit(compose_fits, request, key=request.job_key, planned=[each.plan for each in planned if each.plan is not None])


def _key(planned: Sequence[PlannedCell], over: Sequence[str], per: str, by: str) -> str:
    fits = {each.fit_key: each.plan.subject.annotations_key for each in planned}
    return digest("choice", 1, fits=fits, over=list(over), per=per, by=by)


@st.cache_resource(max_entries=4, show_spinner="Choosing …")
def _selection(key: str, _planned: tuple[PlannedCell, ...], over: tuple[str, ...], per: str, by: str) -> Selection:
    selection = select(_planned, store(), over=over, per=per, by=by)
    selection.table()  # computed once, and kept with it
    return selection


def _worth(table: pd.DataFrame, hemi: str, quantity: str, source: str) -> None:
    figure = plots.selection_scores(table, quantity=quantity)
    alt = f"validation and test {quantity} of the winner of every region, {plots.hemi_name(hemi).lower()}"
    chart(figure, "choices", alt=alt, source=source, how=HOW)
    chosen = of_regions(table[table["winner"] != ""])
    test, best = chosen["test"].mean(), chosen["test_best"].mean()
    st.caption(
        f"{plots.hemi_name(hemi)}. Mean over {counted(len(chosen), 'region')}: "
        f"{test:.3f} on test images for what was chosen on validation images; "
        f"a choice on the test images would report {best:z.3f}."
    )


def _winners_table(table: pd.DataFrame) -> None:
    number = st.column_config.NumberColumn
    st.dataframe(
        table.assign(hemi=table["hemi"].map(side_label)),
        hide_index=True,
        column_order=[name for name in COLUMNS if name in table and (table[name].notna() & (table[name] != "")).any()],
        column_config={
            "roi": "Region",
            "hemi": parts_label(table["hemi"]),
            "winner": st.column_config.TextColumn("Winner", width="medium"),
            "probability": number("sure", format="percent", help="Share of bootstrap draws of the validation images in which it wins."),
            "validation": number("validation", format="%.3f"),
            "test": number("test", format="%.3f"),
            "test_low": number("95 % from", format="%.3f"),
            "test_high": number("to", format="%.3f"),
            "optimism": number("optimism", format="%.3f", help="How much better the best score on test images is."),
            "one_se": st.column_config.TextColumn("within one SE", help="The first candidate within one standard error of the winner."),
            "agreement": number("agreement", format="percent", help="Share of folds, or of vertices, whose own choice is the winner."),
        },
        alt="the winner of every region with its scores",
    )


def _winners_brain(selection: Selection, case: int, candidates: Mapping[str, str], source: str) -> None:
    """Show the number of the candidate that was chosen for each vertex."""
    decision, number = [(decision, place) for decision in selection.decisions for place in range(len(decision.cases))][case]
    result = decision.cases[number].tests[0]
    subject, placement = result.plan.subject, Placement.of(result.plan.subject)
    if placement is None:
        st.info(f"This data set says nothing of where its {subject.unit.many} lie, so there is no brain map.")
        return
    fitted = {hemi: np.isfinite(result.score(hemi)) for hemi in result.plan.hemis}
    chosen = {hemi: np.where(fitted[hemi], 1.0 + folds[0], np.nan) for hemi, folds in decision.by_vertex(number).items()}
    brain_view(
        BrainMap(
            values=placement.values(chosen),
            vertices=placement.vertices,
            columns=placement.columns,
            unit=subject.unit,
            rois=placement.rois(subject.rois),
            source=source,
            title=f"Winner per {subject.unit}",
            quantity="Winner",
            colour_range=(0.5, len(decision.labels) + 0.5),
            colour_map="viridis",
            kinds=[candidates.get(label, label) for label in decision.labels],
            view=START_VIEW,
            **chosen_look(roi_classes(subject)),
        ),
        key="winners",
        height=BRAIN_HEIGHT,
    )
    if decision.cases[number].n_folds > 1:
        st.caption("Choices of the first fold.")
