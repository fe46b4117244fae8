"""Panels on layers' shares of R², training curves, learning curves and the distribution of scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from encoding import Result, plots
from encoding.analysis.learning_curve import has_curve
from encoding.analysis.summaries import highest_possible, mean_curves, mean_layer_shares, over_columns
from encoding.fits.resources import curve_seconds
from encoding.fits.score_tables import EVERY_VERTEX
from encoding.jobs.tasks import CurveRequest, grow
from encoding.plots.brain.score_maps import share_brain
from encoding.runtime.device import choose_device
from encoding.runtime.durations import duration
from pages.parts.explore.selection import Focus
from pages.parts.shared.brain_component import brain_view
from pages.parts.shared.chart import chart, origin
from pages.parts.shared.job_progress import complete
from pages.parts.shared.server_state import jobs, planned, stored_curve

SECONDS_UNASKED = 60.0  # a learning curve that takes longer is not computed before its button is pressed

HOW_CURVE = (
    "Read it from right to left: the test line at the right end is the score of this fit; under k-fold "
    "every point is, like it, the mean over folds. If it still climbs there, more images "
    "would help. The gap to the training line is what was learned of those images alone: overfitting. Training r may lie above the "
    "noise ceiling, because it counts noise that was learned as well; test r may not, but for chance."
)

HOW = {
    "shares": "A bar's length is how much of the responses' variance is explained on test images; its parts are what each layer brings. "
    "A layer with a small part may still predict well alone: what it says, another layer says as well.",
    "epochs": "Left to right training goes on. Both lines fall while what is learned holds for other images as well; where the validation "
    "line rises again, only the training images are learned by heart.",
    "distribution": "How many {units} have each r. A mean near 0 may hide a few {units} that are predicted well; a second hump is a "
    "group of {units} of its own kind.",
}


def shares_panel(result: Result, table: pd.DataFrame, focus: Focus) -> None:
    """Show each layer's share of R² per ROI, for readouts that treat layers apart."""
    rois = [roi for roi in table["roi"].unique() if any(len(result.columns(roi, hemi)) for hemi in result.plan.hemis)]
    means = mean_layer_shares(result, rois)
    if not means:
        return
    figure = plots.layer_shares(rois, means, selected=focus.roi if focus.chosen else None)
    alt = "share of R² that each layer explains, for every ROI"
    chart(figure, "shares", alt=alt, source=origin(result), how=HOW["shares"], below=True)
    st.caption(
        f"Each bar is the mean R² of a region's {result.plan.subject.unit.many} on test images, divided among the layers by the "
        "product measure: "
        "what a layer's own part of the prediction has in common with the responses. Shares add up; one below zero made predictions worse. "
        "No interval is computed of a share."
    )
    with st.expander("The layer with the largest share, on the brain", key="shares_map", on_change="rerun") as opened:
        if opened.open and (brain := share_brain(result)) is not None:
            look = {"surface": st.session_state.get("surface", brain.surface), "source": origin(result)}
            chosen = focus.roi if focus.chosen and focus.roi != EVERY_VERTEX else None
            brain_view(replace(brain, chosen_roi=chosen, **look), key="shares_brain", height=320)
            st.caption(f"Grey: the {result.plan.subject.unit.many} of which nothing is explained (R² of 0 or below).")


def epochs_panel(result: Result, focus: Focus) -> None:
    """Show training and validation loss per epoch, for readouts trained by epochs."""
    trained = {part.name: part for part in result.plan.target_groups if part.name in (history := result.history())}
    trained = {
        name: part
        for name, part in trained.items()
        if any(np.isin(focus.columns.get(hemi, ()), columns).any() for hemi, columns in part.columns.items())
    }
    if not trained:
        return
    names = list(trained)
    name = names[0] if len(names) == 1 else st.segmented_control("Model", names, key="epochs_part", default=names[0], required=True)
    losses = {which: np.asarray(history[name][f"{which}_loss"]) for which in ("train", "validation")}
    kept = result.kept_epochs(trained[name])
    chart(
        plots.epoch_losses(losses["train"], losses["validation"], stopped=kept if len(kept) else None),
        "epochs",
        alt=f"loss after each epoch, {name}",
        how=HOW["epochs"],
        source=origin(result),
    )
    st.caption(_what_was_kept(result))
    errors = result.training_errors()
    shown = errors[(errors["roi"] == focus.roi) & errors["hemi"].isin(list(focus.columns))]
    st.dataframe(
        shown, hide_index=True, key="training_errors", alt="mean squared errors at the epoch that is kept, in the responses' own unit"
    )


def _what_was_kept(result: Result) -> str:
    """Say what the curves are of, and which epoch is kept."""
    options = result.plan.options
    best = "the highest mean r on them" if options.keep == "r" else "the lowest validation loss"
    rounded = "" if options.decimals is None else f", compared at {options.decimals} decimals (the first of equals)"
    folds = " Curves are of the first fold." if len(result.plan.folds) > 1 else ""
    return (
        f"Validation images are a share of the training images set aside; the weights of the epoch with {best}{rounded} are kept. Losses "
        f"are of responses in units of their standard deviation.{folds} The table has mean squared errors at that epoch in the responses' "
        "own unit: train_mse over the training images while learning, validation_mse over the images set aside."
    )


def curve_panel(result: Result, focus: Focus) -> None:
    """Show the score of the selected vertices against the number of training images; for a network, loss against epochs."""
    if not has_curve(result.plan.spec):
        epochs_panel(result, focus)
        return
    curve = stored_curve(result)
    if curve is None:
        _complete_curve(result)
        return
    if not sum(map(len, focus.columns.values())):
        return
    train, test = mean_curves(curve, focus.columns)
    highest = highest_possible(result)
    ceiling = None if highest is None else float(over_columns(highest, focus.columns).mean())
    figure = plots.learning_curve(
        curve["sizes"], train, test, ceiling=ceiling, label=f"r, {focus.label}", counted=result.row_word("training")
    )
    chart(figure, "curve", alt=f"learning curve, {focus.label}", source=origin(result), how=HOW_CURVE)
    st.caption(
        "Where the test line still rises, more images would help; where it meets the training line, a richer model would. "
        "Components are those of all training images."
    )


def _complete_curve(result: Result) -> None:
    """Compute the learning curve when its tab is opened, or offer to where that takes long."""
    request = CurveRequest(result.plan.spec)
    seconds = curve_seconds(result.plan, choose_device("auto"))
    complete(
        "learning curve",
        request.job_key,
        lambda: jobs().submit(grow, request, key=request.job_key, planned=planned(request.spec), optional=True),
        lambda: stored_curve(result) is not None,
        button="" if seconds < SECONDS_UNASKED else f"Compute the learning curve (about {duration(seconds)})",
    )


def distribution_panel(result: Result, focus: Focus) -> None:
    """Show the distribution of r over the vertices of the selected ROI."""
    unit = result.plan.subject.unit
    values = {hemi: result.score(hemi)[result.columns(focus.roi, hemi)] for hemi in result.plan.hemis}
    chosen = float(result.score(focus.vertex[0])[focus.vertex[1]]) if focus.vertex else None
    ceiling = highest_possible(result)
    if ceiling is not None:
        ceiling = {hemi: ceiling[hemi][result.columns(focus.roi, hemi)] for hemi in result.plan.hemis}
    chart(
        plots.score_histogram(values, selected=chosen, ceiling=ceiling, unit=unit),
        "spread",
        alt=f"distribution of r over the {unit.many} of {focus.roi}",
        how=unit.fill(HOW["distribution"]),
        source=origin(result),
    )
    of = "" if focus.roi == EVERY_VERTEX else f" of {focus.roi}"
    st.caption(f"Mean r can hide a lot: r of every {unit}{of}.")
