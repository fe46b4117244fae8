"""Data of other subjects in the components of a fit: training rows of extra subjects, and stimuli that two subjects share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from encoding.evaluation.splits import Fold
from encoding.features import extraction as features
from encoding.features.components import project, read_axes
from encoding.features.delays import design_columns
from encoding.fits.passes import project_in_pass
from encoding.fits.plan import Plan
from encoding.fits.targets import target_groups_of
from encoding.fits.training_data import delays_of, training_rows
from encoding.readouts import Training
from encoding.runtime.progress import silent
from encoding.storage.keys import digest
from encoding.storage.store import Arrays, Store

SAME = {"float32": 1e-4, "float16": 2e-3}  # distance below which two rows of components are of one stimulus, by how features are stored


def extra_subject_rows(plan: Plan, other: Plan, number: int, unseen: np.ndarray, Z: np.ndarray, store: Store, device: str) -> Training:
    """Training data of another subject, projected on this subject's components, without some stimuli of this subject.

    Parameters
    ----------
    other : plan of the other subject. number : of this subject's fold.
    unseen : rows of this subject whose stimuli are left out (:meth:`encoding.fits.plan.Plan.unseen`).
    Z : (n_stimuli, k) this subject's component scores.

    Returns
    -------
    Design matrix (n_rows, k) float32 and responses of all hemispheres.
    """
    fold = plan.folds[number]
    theirs = projected_components(plan, other, fold, store, device)
    group = target_groups_of(other.subject, "both", hemis=other.hemis, rois=(), per_target=False)[0]
    own = own_projections(plan, fold, Z, store, device)
    rows = without_stimuli(other.extra_fold(number).train, unseen, own, theirs, SAME[plan.feature_dtype])
    return training_rows(replace(other, extra_subjects=()), Fold(rows, fold.test[:0]), group, theirs)


def without_stimuli(others: np.ndarray, unseen: np.ndarray, Z: np.ndarray, Z_others: np.ndarray, same: float) -> np.ndarray:
    """Leave out another subject's training stimuli that some rows of this subject show.

    Parameters
    ----------
    others, unseen : row numbers of ``Z_others`` and of ``Z``.
    Z, Z_others : (n_stimuli, k) component scores of the two subjects, in the same components.
    same : one of :data:`SAME`.

    Returns
    -------
    The ``others`` whose components differ from those of every unseen stimulus by more than ``same`` of their length or, where it is
    larger, of the root mean square length of the unseen ones: rounding of features does not shrink with a row's length.
    """
    if not len(unseen):
        return others
    A, B = Z_others[others].astype(np.float64), Z[unseen].astype(np.float64)
    squares, of_unseen = (A**2).sum(1), (B**2).sum(1)
    squared = squares[:, None] + of_unseen - 2 * A @ B.T
    return others[squared.min(1) > same**2 * np.maximum(squares, max(of_unseen.mean(), np.finfo(float).tiny))]


def own_projections(plan: Plan, fold: Fold, Z: np.ndarray, store: Store, device: str) -> np.ndarray:
    """This subject's component scores as :func:`projected_components` makes those of others, (n_stimuli, k).

    They are the scores ``Z``, but where layers were reduced in the pass: there the scores of training rows come of a singular value
    decomposition, and those of another subject's same stimuli, projected on the axes, differ from them by more than :data:`SAME`.
    """
    return projected_components(plan, plan, fold, store, device) if plan.reduced_layers else Z


def projected_components(plan: Plan, other: Plan, fold: Fold, store: Store, device: str) -> np.ndarray:
    """Project another subject's stored features on the components of one fold of this fit.

    Parameters
    ----------
    other : plan of the same backbone and layers for the other subject.

    Returns
    -------
    (n_stimuli of the other, k) float32, with products and delays as this fit's own components have them.
    """
    spaces = []
    for layers in plan.spaces:
        own = store.get(plan.components_key(fold, layers))
        parents = [other.feature_keys[layer] for layer in (other.feature_keys if len(plan.spaces) == 1 else layers)]
        key = digest("projected", 1, components=plan.components_key(fold, layers), features=parents)

        def make(layers: tuple[str, ...] = layers, own: Arrays = own) -> Arrays:
            if any(layer in plan.reduced_layers for layer in layers):
                network, names = _network_of(other, layers)
                return {"scores": project_in_pass(network, names, own["mean"], read_axes(own), store, silent, device)}
            loaded = [features.load(other.feature_keys[layer], store) for layer in layers]
            frames = [layer.reshape(len(layer) * other.n_frames, -1) for layer in loaded]
            return {"scores": project(frames, own["mean"], read_axes(own)).reshape(len(loaded[0]), -1)}

        spaces.append(np.array(store.memo(key, make, other.made_from(device=device))["scores"]))
    return design_columns(spaces, degree=plan.spec.degree, delays=delays_of(plan, fold, store), runs=other.subject.runs)


def _network_of(plan: Plan, layers: tuple[str, ...]) -> tuple[Plan, tuple[str, ...]]:
    """The plan of the one network that some layers belong to, and its own names of them."""
    for network, names in zip(plan.networks, plan.layer_names, strict=True):
        own = tuple(layer for layer, name in names.items() if name in layers)
        if len(own) == len(layers):
            return network, own
    raise ValueError(f"{', '.join(layers)} are of several networks, whose layers are not reduced together.")
