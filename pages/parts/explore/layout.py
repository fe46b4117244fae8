"""Layout of the Explore page: its question, the summary of a fit, the row of choices, tabs, and links to other pages."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from encoding import FitSpec, Result, plots
from encoding.analysis.learning_curve import has_curve
from encoding.analysis.summaries import best_roi
from encoding.backbones._base import JOIN
from encoding.datasets._base import roi_names
from encoding.fits.composition import ComposedSpec
from encoding.jobs.tasks import compute_intervals
from encoding.plots.brain.brain_map import BrainMap
from encoding.runs.labels import layer_label, network_label, side_label, subject_label
from encoding.runs.report import roi_ends
from pages.parts.explore.composed import intervals_panel, members_panel
from pages.parts.explore.downloads import take_away
from pages.parts.explore.fitting import Shown
from pages.parts.explore.panels import brain_panel, density_panel, extremes_panel, image_panel, prediction_panel, roi_panel, test_sets_panel
from pages.parts.explore.selection import Focus, focus_controls
from pages.parts.explore.training_panels import curve_panel, distribution_panel, shares_panel
from pages.parts.shared.badges import facts
from pages.parts.shared.baseline import pin_button
from pages.parts.shared.fragment import fragment
from pages.parts.shared.job_progress import complete
from pages.parts.shared.late_link import keep_what_was_written
from pages.parts.shared.links import view
from pages.parts.shared.score_choice import score_choice
from pages.parts.shared.server_state import job_key, jobs, stored_intervals
from pages.parts.shared.text import plain

STYLE = """<style>
.st-key-strip {padding: 0.5rem 0.75rem; margin-top: 0.5rem; background: color-mix(in srgb, var(--st-background-color) 92%, transparent)}
[data-testid=stSidebar] [data-testid=stLayoutWrapper]:has(> .st-key-fit_bar) {position: sticky; bottom: 0; z-index: 5; margin-top: auto}
.st-key-fit_bar {padding: 0.5rem 0; backdrop-filter: blur(10px)}
[data-testid=stLayoutWrapper]:has(> .st-key-strip) {position: sticky; top: 3.75rem; z-index: 20}
.st-key-not_fitted {margin-top: 0.75rem}
.st-key-not_fitted button {font-size: 1.1rem}
.st-key-brain_place {min-height: 30rem}
.st-key-onward a {padding: 0}
.st-key-test_images [data-testid=stColumn] {min-width: 0; flex: 1 1 0}
</style>"""
STALE = "<style>.st-key-result {opacity: 0.45; filter: grayscale(0.6)}</style>"
LESSONS = {"Regions": "ceiling", "Predictions": "residuals", "Images": "response", "Spread": "rois"}  # that explain a tab's chart


def question(place: Any, spec: FitSpec, shown: Shown | None) -> None:
    """Show the question that a fit answers as the page's title."""
    subject = plain(subject_label(spec.subject))
    if isinstance(spec, ComposedSpec) and shown is not None:
        model = f"does a model composed of **{len(shown.result.members)} fits**"
    elif JOIN in spec.backbone:
        model = f"do **{plain(plots.model_name(spec))}** together"
    else:
        layers = " + ".join(layer_label(spec.backbone, layer) for layer in spec.layers)
        model = f"does **{plain(layers)}** of **{plain(network_label(spec.backbone, spec.weights))}**"
    place.title(f"How well {model} predict **{subject}**?", anchor=False)


def summary(result: Result, table: pd.DataFrame) -> None:
    """Say in a line how many images, which components and readout, and the best region with its interval and ceiling."""
    st.markdown(f":small[{facts(result)}{_best(result, table)}]")
    for kept in (each for each in result.kept_variance() if each["reduced"]):
        names = plain(" + ".join(kept["layers"]))
        st.caption(
            f"{names}: larger than the feature budget, so reduced in the pass; components keep {kept['explained']:.1%} of its variance."
        )


def _best(result: Result, table: pd.DataFrame) -> str:
    """The region of the highest mean r, in the hemisphere where it is higher, with its interval and ceiling."""
    if not roi_names(result.plan.subject):
        return ""
    rows = table[(table["roi"] == best_roi(table)) & table["r_mean"].notna()]
    if rows.empty:
        return ""
    row = rows.loc[rows["r_mean"].idxmax()]
    side = f" {plain(side_label(row['hemi']))}" if len(result.plan.hemis) > 1 else ""
    text = f" Best: **{plain(row['roi'])}**{side}, r **{row['r_mean']:z.2f}**"
    ends = roi_ends(result).get((row["roi"], row["hemi"]))
    text += f" [{ends[0]:.2f}, {ends[1]:.2f}]" if ends else ""
    ceiling = row.get("ceiling_r", float("nan"))
    return text + (f" of {ceiling:.2f} possible." if ceiling == ceiling else ".")


@fragment()
@keep_what_was_written()
def scores_panel(shown: Shown, table: pd.DataFrame) -> None:
    """Show a fit's brain and tabs below the choices of what is looked at, which run this part of the page alone."""
    result, notes = shown.result, st.container(gap="xsmall")
    with st.container(key="look_at"):
        region, vertex, score_place, display = st.columns(4, gap="small", vertical_alignment="bottom")
    display = display.popover("Display", width="stretch", help="Mean or median, and the brain's surface, outlined regions and colours.")
    focus = focus_controls(result, table, (region, vertex), warn=notes)
    score, statistic = score_choice([result], score_key="score", statistic_key="over", places=(score_place, display))
    left, right = st.columns(2, gap="medium")
    with left, st.container(key="brain_place", gap="xsmall"):
        brain = brain_panel(result, focus, score, display)
        _links_onward(result, focus)
    with right:
        _tabs(shown, table, focus, score=score, statistic=statistic, brain=brain)


def _tabs(shown: Shown, table: pd.DataFrame, focus: Focus, *, score: str, statistic: str, brain: BrainMap | None) -> None:
    """Show what is known of a fit in tabs, of which only the open one is computed and sent."""
    result = shown.result
    composed = isinstance(result.plan.spec, ComposedSpec)
    grows = "Members" if composed else "Images needed" if has_curve(result.plan.spec) else "Training"
    names = ["Regions", "Predictions", "Images", grows, "Spread", "Take away"]
    if st.session_state.get("part") not in (None, *names):  # of a fit of another kind
        st.session_state["part"] = grows
    for name, tab in zip(names, st.tabs(names, key="part", bind="query-params", on_change="rerun"), strict=True):
        if not tab.open:
            continue
        with tab:
            if name == "Regions":
                test_sets_panel(result)
                with st.container(key="regions", gap="xsmall"):
                    roi_panel(result, table, focus, score, statistic, before=shown.before)
                if shown.current and not composed:
                    _complete_intervals(result)
                if not composed:
                    shares_panel(result, table, focus)
            elif name == "Predictions":
                prediction_panel(result, focus)
                _density(result, focus)
            elif name == "Images":
                with st.container(key="test_images"):
                    image_panel(result, focus)
            elif name == "Members":
                intervals_panel(result)
                members_panel(result)
            elif name == grows:
                curve_panel(result, focus)
            elif name == "Spread":
                distribution_panel(result, focus)
                extremes_panel(result, focus, score)
            else:
                take_away(result, table, brain, score=score, statistic=statistic)
            if name in LESSONS:
                st.page_link(view("learn"), label="The lesson on this", query_params={"lesson": LESSONS[name]}, icon=":material/school:")


def _complete_intervals(result: Result) -> None:
    """Follow the job of the fit until its intervals are there; compute them where they are missing, as of changed ROIs."""
    job = jobs().get(job_key(result.plan.spec))
    key = job.key if job is not None and not job.finished else result.key
    complete(
        "95 % intervals",
        key,
        lambda: jobs().submit(compute_intervals, result.key, key=result.key, planned=result.plan),
        lambda: stored_intervals(result) is not None,
    )


def _density(result: Result, focus: Focus) -> None:
    with st.expander(f"Residuals of every {result.plan.subject.unit} and image", key="every_residual", on_change="rerun") as residuals:
        if residuals.open:
            density_panel(result, focus)


def _links_onward(result: Result, focus: Focus) -> None:
    """Link to the same vertex, model and network on other pages."""
    spec, data = result.plan.spec, {"dataset": result.plan.spec.dataset, "subject": result.plan.spec.subject}
    with st.container(key="onward", horizontal=True, vertical_alignment="center", gap="medium"):
        if focus.vertex:
            looked = data | {"vertex": f"{focus.vertex[0]} {focus.vertex[1]}"}
            st.page_link(
                view("region"), label=f"This {result.plan.subject.unit} under every fit", query_params=looked, icon=":material/my_location:"
            )
            st.page_link(view("data"), label=f"This {result.plan.subject.unit} in Data", query_params=looked, icon=":material/database:")
        elif focus.chosen:
            looked = data | {"roi": focus.roi}
            st.page_link(view("region"), label=f"{plain(focus.roi)} under every fit", query_params=looked, icon=":material/my_location:")
            st.page_link(
                view("data"),
                label=f"{plain(focus.roi)} in Data",
                query_params=data | {"tab": "Regions", "roi": focus.roi},
                icon=":material/database:",
            )
        pin_button(result)
        st.page_link(view("predict"), label="Predict with it", query_params={"fit": result.key}, icon=":material/image_search:")
        if not isinstance(spec, ComposedSpec) and JOIN not in spec.backbone:
            of_network = data | {"backbones": spec.backbone} | ({} if spec.weights == "pretrained" else {"weights": spec.weights})
            st.page_link(view("layers"), label="All layers", query_params=of_network, icon=":material/layers:")
