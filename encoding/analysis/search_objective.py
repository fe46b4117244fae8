"""Objective of a parameter search: mean r on a validation set inside the training rows of a fit's first fold."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from encoding.analysis.optuna_study import EpochCallback
from encoding.evaluation.splits import WITHIN, Fold, has_several_folds
from encoding.fits.extra_subjects import extra_subject_rows
from encoding.fits.plan import Plan, inner_rows
from encoding.fits.resources import preflight
from encoding.fits.targets import TargetGroup
from encoding.fits.training_data import bands_of, training_rows
from encoding.pipeline import extract_features, reduce_features, score_group
from encoding.readouts import Options, Training
from encoding.readouts._moments import MOMENTS_VERSION, Moments
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.wording import counted
from encoding.storage.keys import digest
from encoding.storage.store import Store

N_FIFTHS, VALIDATION_SEED = 5, 1  # the readout's own inner folds have the seed 0


def validation_fold(fit_plan: Plan) -> Fold:
    """Split the first fold's training rows into four fifths for training (``train``) and one fifth for validation (``test``).

    Repeats of one stimulus, and samples of one run, stay on the same side; where runs share stimuli, training rows of those that the
    validation rows show are left out. Of a split with several folds the others test the validation rows (:func:`validation_note`).

    Raises
    ------
    ValueError
        If there are fewer than five different stimuli.
    """
    train = fit_plan.folds[0].train
    held_out = inner_rows(fit_plan.subject, train, N_FIFTHS, VALIDATION_SEED) == 0
    stimuli = fit_plan.subject.stimulus_of_row[train]
    return Fold(train=train[~np.isin(stimuli, stimuli[held_out])], test=train[held_out])


def validation_note(split: str) -> str:
    """Say in a sentence what the validation images of a search are to the test score of a fit with the parameters that it finds."""
    if not has_several_folds(split):
        return "No test image is looked at."
    are = "may be" if WITHIN in split else "are"
    return (
        f"They {are} tested by the other folds, so that the score of a fit with what is found is a little too high: search with a hold-out "
        "split to keep them apart."
    )


@dataclass(frozen=True)
class SearchObjective:
    """Mean r on validation rows of a readout fitted with given parameters."""

    fit_plan: Plan
    fold: Fold
    Z: np.ndarray | None
    bands: tuple[int, ...]
    extra_subjects: tuple[Training, ...]
    store: Store
    device: str

    @classmethod
    def of(cls, fit_plan: Plan, store: Store, report: Report, device: str) -> SearchObjective:
        """Check that the fit is possible here, and compute its features and components."""
        preflight(fit_plan, store, device).check()
        first, fold = fit_plan.folds[0], validation_fold(fit_plan)
        if not fit_plan.readout.uses_components:
            return cls(fit_plan, fold, None, (), (), store, device)
        plans = (fit_plan, *fit_plan.extra_subjects)
        for number, each in enumerate(plans):
            extract_features(each, store, subprogress(report, 0.6 * number / len(plans), 0.6 * (number + 1) / len(plans)), device)
        Z = reduce_features(fit_plan, first, store, subprogress(report, 0.6, 1), device)
        unseen = np.union1d(first.test, fit_plan.unseen(fold))
        extra_subjects = tuple(extra_subject_rows(fit_plan, other, 0, unseen, Z, store, device) for other in fit_plan.extra_subjects)
        return cls(fit_plan, fold, Z, bands_of(fit_plan, first, store), extra_subjects, store, device)

    def value(self, options: Options, on_epoch: EpochCallback, report: Report) -> float:
        """Return the mean r over all vertices that vary over the validation rows.

        ``on_epoch`` receives the epochs of the largest part.
        """
        fit_plan, target_groups = replace(self.fit_plan, options=options), sorted(self.fit_plan.target_groups, key=_n_targets, reverse=True)
        r = []
        for number, target_group in enumerate(target_groups):
            subreport = subprogress(report, number / len(target_groups), (number + 1) / len(target_groups))
            subreport(0, f"fitting {counted(_n_targets(target_group), 'vertex', 'vertices')} of {target_group.name}")
            data = self._data(fit_plan, target_group, None if number else on_epoch)
            model = fit_plan.readout.fit(data, options, device=self.device, report=subreport)
            scores = score_group(fit_plan, self.fold, target_group, self.Z, model, (), silent)
            r += [values["r"] for values in scores.values()]
        r = np.concatenate(r)
        if not np.isfinite(r).any():
            raise ValueError("No vertex varies over the validation rows, so there is nothing to judge a search by.")
        return float(np.nanmean(r))

    def _data(self, fit_plan: Plan, target_group: TargetGroup, on_epoch: EpochCallback | None) -> Moments | Training:
        if not fit_plan.readout.uses_moments:
            return training_rows(fit_plan, self.fold, target_group, self.Z, extra_subjects=self.extra_subjects, on_epoch=on_epoch)
        sums = [
            self._sums(fit_plan, hemi).targets(slice(None) if target_group.whole else columns)
            for hemi, columns in target_group.columns.items()
        ]
        return sums[0] if len(sums) == 1 else Moments.side_by_side(sums)

    def _sums(self, fit_plan: Plan, hemi: str) -> Moments:
        """The moments of the four fifths, kept in the Store."""

        def make() -> dict[str, np.ndarray]:
            Y, inner = fit_plan.subject.responses[hemi], fit_plan.inner(self.fold)
            sums = Moments.of(self.Z, Y, inner, rows=self.fold.train, device=self.device)
            return replace(sums, bands=self.bands).arrays()

        components = [fit_plan.components_key(fit_plan.folds[0], layers) for layers in fit_plan.spaces]
        key = digest("moments", MOMENTS_VERSION, components=components, of=fit_plan.moments_key(self.fold, hemi))
        return Moments.from_arrays(self.store.memo(key, make, fit_plan.made_from(device=self.device, components=components, hemi=hemi)))


def _n_targets(target_group: TargetGroup) -> int:
    return sum(map(len, target_group.columns.values()))
