"""What a readout is shown of some stimuli: their components, their responses, or the pictures themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from encoding.datasets import Subject
from encoding.datasets import _surface as surface
from encoding.evaluation.splits import Fold
from encoding.fits.plan import Plan
from encoding.fits.targets import TargetGroup, group_rois
from encoding.readouts import Chosen, Model, Responses, Training
from encoding.storage.store import Store

SAME = 1e-4  # distance over length at which two pictures' components are those of one picture


def stored_components(planned: Plan, fold: Fold, store: Store) -> np.ndarray:
    """(n_stimuli, k) float32 component scores of a finished fit; memory-mapped where they are of one space.

    Raises
    ------
    FileNotFoundError where they are no longer in the Store.
    """
    found = [store.get(planned.components_key(fold, layers)) for layers in planned.spaces]
    if any(arrays is None for arrays in found):
        raise FileNotFoundError("The components of this fit are no longer in the Store. Fit it again.")
    scores = [arrays["scores"] for arrays in found]
    return scores[0] if len(scores) == 1 else np.concatenate(scores, axis=1)


def design_matrix(planned: Plan, fold: Fold, store: Store) -> np.ndarray | None:
    """:func:`stored_components`, or None for a readout that predicts from the stimuli themselves."""
    return stored_components(planned, fold, store) if planned.readout.uses_components else None


def is_complete(planned: Plan, store: Store) -> bool:
    """Whether the fit's scores are there, and what predictions are made with; a person may have pruned some of it."""
    needed = [planned.weights_key(fold, part) for fold in planned.folds for part in planned.target_groups]
    if planned.readout.uses_components:
        needed += [planned.components_key(fold, layers) for fold in planned.folds for layers in planned.spaces]
    return all(key in store for key in needed) and store.is_sound(planned.key)


def bands_of(planned: Plan, fold: Fold, store: Store) -> tuple[int, ...]:
    """How many components each layer has, where the readout treats each apart; else empty."""
    if not planned.readout.by_layer:
        return ()
    return tuple(int(store.get(planned.components_key(fold, layers))["scores"].shape[1]) for layers in planned.spaces)


def inputs(planned: Plan, rows: np.ndarray, Z: np.ndarray | None) -> Any:
    """What a model of this plan predicts from, of some stimuli: rows of the components ``Z``, or the stimuli themselves."""
    return Z[rows] if planned.readout.uses_components else Chosen(planned.stimuli, rows)


def training_rows(
    planned: Plan, fold: Fold, part: TargetGroup, Z: np.ndarray | None, *, extra_subjects: Sequence[Training] = (), **more: Any
) -> Training:
    """The training rows of a fold with the responses of a part. ``Z`` (n_stimuli, k) may be None for readouts that look at stimuli."""
    subject, uses_components = planned.subject, planned.readout.uses_components
    uses = planned.readout.uses(planned.options)
    return Training(
        X=Z[fold.train] if uses_components else np.zeros((len(fold.train), 0), np.float32),
        Y=Responses([(subject.responses[hemi], columns) for hemi, columns in part.columns.items()], fold.train),
        fold=planned.inner(fold),
        n_frames=planned.n_frames,
        rois=group_rois(subject, part) if "rois" in uses else {},
        positions=positions(subject, part) if "positions" in uses else None,
        stimuli=None if uses_components else Chosen(planned.stimuli, fold.train),
        open_backbone=None if uses_components else (lambda: planned.source.open(planned.spec.backbone, planned.spec.weights)),
        layers=planned.spec.layers,
        pool=planned.spec.pool,
        over_frames=planned.over_frames,
        extra_subjects=tuple(extra_subjects),
        **more,
    )


def restored(planned: Plan, fold: Fold, part: TargetGroup, store: Store, Z: np.ndarray | None = None) -> Model:
    """The stored model of a part.

    Raises
    ------
    FileNotFoundError where it, or what it is restored with, is no longer in the Store.
    """
    found = store.get(planned.weights_key(fold, part))
    if found is None:
        raise FileNotFoundError("The weights of this fit are no longer in the Store. Fit it again.")
    if not planned.readout.restores_from_data:
        return planned.readout.restore(found, None)
    if Z is None:
        Z = design_matrix(planned, fold, store)
    return planned.readout.restore(found, training_rows(planned, fold, part, Z))


def positions(subject: Subject, part: TargetGroup) -> np.ndarray | None:
    """(t, 3) float32 in millimetres, where targets lie on fsaverage5's white surface; None unless all of them have a place there."""
    if subject.vertices is None:
        return None
    found = []
    for hemi, columns in part.columns.items():
        vertices = np.asarray(subject.vertices[hemi])[columns]
        if hemi not in surface.HEMIS or (len(vertices) and vertices.max() >= surface.N_VERTICES):
            return None
        found.append(surface.mesh("white", hemi)[0][vertices])
    return np.concatenate(found).astype(np.float32)


def without_test_stimuli(others: np.ndarray, tested: np.ndarray, Z: np.ndarray, Z_others: np.ndarray) -> np.ndarray:
    """The rows among ``others`` of Z_others (m, k) that no tested row of Z (n, k) equals: pictures that two subjects saw are left out."""
    A, B = Z_others[others].astype(np.float64), Z[tested].astype(np.float64)
    squared = (A**2).sum(1)[:, None] + (B**2).sum(1) - 2 * A @ B.T
    return others[squared.min(1) > SAME**2 * np.maximum((A**2).sum(1), np.finfo(float).tiny)]
