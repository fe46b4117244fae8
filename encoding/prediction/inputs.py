"""Checks and inputs shared by all predictors of new stimuli: kind of stimuli, PCA axes, component scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from encoding.datasets import Stimuli
from encoding.features.components import project
from encoding.features.delays import design_columns
from encoding.features.given import PREFIX, given_in, is_given
from encoding.fits.plan import Plan
from encoding.fits.score_tables import ScoreTables
from encoding.fits.targets import TargetGroup
from encoding.readouts import Model


class CannotPredict(ValueError):
    """A fit cannot make the requested prediction. The message gives the reason and the fix."""


def n_columns_of(plan: Plan) -> dict[str, int]:
    """Number of columns of each fitted hemisphere."""
    return {hemi: plan.subject.responses[hemi].shape[1] for hemi in plan.hemis}


def check_kind(plan: Plan, n_frames: int) -> None:
    """Check that new stimuli have as many frames as those of the fit.

    Raises
    ------
    CannotPredict where they do not.
    """
    if n_frames != plan.stimuli.n_frames:
        counts = (plan.stimuli.n_frames, n_frames)
        seen, given = (f"{n} frames of each clip" if n > 1 else "images" for n in counts)
        raise CannotPredict(f"This fit of {plan.spec.dataset} saw {seen}; it cannot predict from {given}.")


def why_not_images(backbone: str) -> str:
    """Explain why a fit on a backbone cannot predict from images: a feature table has no row for them; empty where it can."""
    if not (tables := given_in(backbone)):
        return ""
    fix = "A fit of the networks alone predicts from images."
    if is_given(backbone):
        fix = "`predict KEY --table FILE` predicts from a table with the same columns."
    return f"It predicts from the feature table {tables[0]}, in which new images have no row. {fix}"


def check_tables(plan: Plan, stimuli: Stimuli) -> None:
    """Check that new stimuli have a row in each feature table that a fit is on.

    Raises
    ------
    CannotPredict where they do not.
    """
    if any(network.removeprefix(PREFIX) not in stimuli.tables for network in given_in(plan.spec.backbone)):
        raise CannotPredict(why_not_images(plan.spec.backbone))


def check_axes(result: ScoreTables) -> None:
    """Check that the PCA axes of a fit were kept, before any feature is extracted.

    Raises
    ------
    CannotPredict with the reason that :func:`encoding.features.components.project` gives.
    """
    for fold in range(len(result.plan.folds)):
        for layers in result.plan.spaces:
            mean, axes = result.projection(fold, layers)
            if not axes.shape[0]:
                try:
                    project([], mean, axes)
                except ValueError as error:
                    raise CannotPredict(f"This fit cannot predict new stimuli. {error}") from error


def model_and_basis(model: Callable[[str], Model], seen: Any, group: TargetGroup) -> tuple[Model, Any]:
    """Return a target group's model and its basis of some stimuli, as :func:`encoding.fits.predictions.predict_fold` takes them."""
    fitted = model(group.name)
    return fitted, fitted.basis(seen)


def every_column(plan: Plan) -> dict[str, np.ndarray]:
    """List all column indices of each fitted hemisphere."""
    return {hemi: np.arange(width) for hemi, width in n_columns_of(plan).items()}


def on_axes(result: ScoreTables, fold: int, features: Mapping[str, np.ndarray]) -> np.ndarray:
    """Project features of b stimuli on a fold's components.

    Parameters
    ----------
    features : layer to features (b, n_features); of a fit with delays, the samples of one run.

    Returns
    -------
    (b, k) float32; spaces stand side by side, and so do a clip's frames; products follow where the spec's ``degree`` is 2.
    """
    plan, scores = result.plan, []
    for layers in plan.spaces:
        frames = [features[layer].reshape(len(features[layer]) * plan.n_frames, -1) for layer in layers]
        scores.append(project(frames, *result.projection(fold, layers)).reshape(len(features[layers[0]]), -1))
    return design_columns(scores, degree=plan.spec.degree, delays=result.delays(fold), runs=np.zeros(len(scores[0]), int))
