"""Training data of one split: design matrix (components or the stimuli themselves), responses, and what else a readout declares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from encoding.datasets import Subject
from encoding.datasets import _surface as surface
from encoding.evaluation.splits import Fold
from encoding.features.delays import Delays, design_columns
from encoding.fits.plan import Plan
from encoding.fits.targets import TargetGroup, group_rois
from encoding.readouts import Chosen, Model, Responses, Training
from encoding.storage.store import Store


def stored_components(plan: Plan, fold: Fold, store: Store) -> np.ndarray:
    """Read the component scores of a finished fit, (n_stimuli, k) float32; memory-mapped unless layers are reduced apart.

    Their products follow where the spec's ``degree`` is 2, and those of earlier samples stand side by side where it has ``delays``.

    Raises
    ------
    FileNotFoundError where they are no longer in the Store.
    """
    spaces = [store.get(plan.components_key(fold, layers)) for layers in plan.spaces]
    if any(arrays is None for arrays in spaces):
        raise FileNotFoundError("The components of this fit are no longer in the Store. Fit it again.")
    scores = [arrays["scores"] for arrays in spaces]
    delays = delays_of(plan, fold, store)
    return design_columns(scores, degree=plan.spec.degree, delays=delays, runs=plan.subject.runs)


def delays_of(plan: Plan, fold: Fold, store: Store) -> Delays:
    """The delays of a fold's models, given or chosen; empty where components are of the same row.

    Raises
    ------
    FileNotFoundError where the choice is no longer in the Store.
    """
    if len(plan.delay_sets) < 2:
        return plan.delay_sets[0] if plan.delay_sets else ()
    chosen = store.get(plan.delays_key(fold))
    if chosen is None:
        raise FileNotFoundError("The choice of this fit's delays is no longer in the Store. Fit it again.")
    return plan.delay_sets[int(chosen["chosen"])]


def design_matrix(plan: Plan, fold: Fold, store: Store) -> np.ndarray | None:
    """Read the component scores (n_stimuli, k) of a finished fit; None for a readout that predicts from the stimuli themselves."""
    return stored_components(plan, fold, store) if plan.readout.uses_components else None


def is_complete(plan: Plan, store: Store) -> bool:
    """Whether scores, weights and components are all stored; a user may have pruned some of them."""
    needed = [plan.weights_key(fold, group) for fold in plan.folds for group in plan.target_groups]
    if plan.readout.uses_components:
        needed += [plan.components_key(fold, layers) for fold in plan.folds for layers in plan.spaces]
        needed += [plan.delays_key(fold) for fold in plan.folds if len(plan.delay_sets) > 1]
    return all(key in store for key in needed) and store.is_sound(plan.key)


def bands_of(plan: Plan, fold: Fold, store: Store) -> tuple[int, ...]:
    """Number of columns of each of the :attr:`Plan.bands` where the readout treats layers apart (banded ridge); else empty."""
    if not plan.readout.by_layer:
        return ()
    sizes = [int(store.get(plan.components_key(fold, layers))["scores"].shape[1]) for layers in plan.spaces]
    if not (delays := delays_of(plan, fold, store)):
        return tuple(sizes)
    if plan.readout.delays_apart(plan.options):
        return tuple(size for size in sizes for _ in delays)
    return tuple(size * len(delays) for size in sizes)


def inputs(plan: Plan, rows: np.ndarray, Z: np.ndarray | None) -> Any:
    """Select what a model predicts from: rows of the components ``Z`` (n_stimuli, k), or the stimuli themselves."""
    return Z[rows] if plan.readout.uses_components else Chosen(plan.stimuli, rows)


def training_rows(
    plan: Plan, fold: Fold, group: TargetGroup, Z: np.ndarray | None, *, extra_subjects: Sequence[Training] = (), **more: Any
) -> Training:
    """Collect the training data of one fold and target group.

    Parameters
    ----------
    Z : (n_stimuli, k) component scores; None for readouts that take the stimuli themselves.
    extra_subjects : training data of other subjects that share the model.
    more : further fields of :class:`encoding.readouts.Training`.

    Returns
    -------
    Design matrix (n_train, k) float32, responses (n_train, n_targets), inner folds, and ROIs and positions where the readout uses them.
    """
    subject, uses_components = plan.subject, plan.readout.uses_components
    uses = plan.readout.uses(plan.options)
    opens = not uses_components or plan.readout.needs_map(plan.options)
    return Training(
        X=Z[fold.train] if uses_components else np.zeros((len(fold.train), 0), np.float32),
        Y=Responses([(subject.responses[hemi], columns) for hemi, columns in group.columns.items()], fold.train),
        fold=plan.inner(fold),
        n_frames=plan.n_frames,
        rois=group_rois(subject, group) if "rois" in uses else {},
        positions=positions(subject, group) if "positions" in uses else None,
        stimuli=None if uses_components else Chosen(plan.stimuli, fold.train),
        open_backbone=(lambda: plan.source.open(plan.spec.backbone, plan.spec.weights)) if opens else None,
        layers=plan.spec.layers,
        pool=plan.spec.pool,
        over_frames=plan.over_frames,
        extra_subjects=tuple(extra_subjects),
        **more,
    )


def restored(plan: Plan, fold: Fold, group: TargetGroup, store: Store, Z: np.ndarray | None = None) -> Model:
    """Read the stored model of a target group.

    Raises
    ------
    FileNotFoundError where it, or what it is restored with, is no longer in the Store.
    """
    arrays = store.get(plan.weights_key(fold, group))
    if arrays is None:
        raise FileNotFoundError("The weights of this fit are no longer in the Store. Fit it again.")
    if not plan.readout.restores_from_data:
        return plan.readout.restore(arrays, None)
    if Z is None:
        Z = design_matrix(plan, fold, store)
    return plan.readout.restore(arrays, training_rows(plan, fold, group, Z))


def positions(subject: Subject, group: TargetGroup) -> np.ndarray | None:
    """Coordinates of a group's targets on the white surface of fsaverage, (n_targets, 3) float32 in mm; None unless all have one."""
    if subject.vertices is None:
        return None
    coordinates = []
    for hemi, columns in group.columns.items():
        vertices = np.asarray(subject.vertices[hemi])[columns]
        if hemi not in surface.HEMIS:
            return None
        coordinates.append(surface.places(hemi)[vertices])
    return np.concatenate(coordinates).astype(np.float32)
