"""Keys under which the result of each stage of a fit is stored: digests of everything that the stage reads."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from encoding.evaluation import scores
from encoding.evaluation.splits import Fold
from encoding.features import components, delays, pca, reduction, sums
from encoding.features import extraction as features
from encoding.features.given import is_given
from encoding.features.random_projection import PROJECTION_VERSION
from encoding.features.sketch import N_GROUPS, SKETCH_VERSION
from encoding.fits.digests import columns_digest, groups_digest, positions_digest, rows_digest
from encoding.fits.spec import FitSpec
from encoding.fits.targets import TargetGroup, group_rois, target_groups_of
from encoding.readouts import _moments as moments
from encoding.readouts._options import key_values
from encoding.storage.keys import digest

FIRST_RELEASE_VERSIONS = {"moments": 2, "elastic_net": 2, "ols": 2, "ridge": 2}  # of other stages and readouts: 1
USUAL_FOLDS = 5  # default number of inner cross-validation folds on which readouts choose their parameters


class StageKeys:
    """Keys of the stages of a fit, of the attributes of :class:`encoding.fits.plan.Plan`, which inherits them."""

    @cached_property
    def feature_keys(self) -> Mapping[str, str]:
        """Layer to the key of its features."""
        if len(self.networks) > 1:
            pairs = zip(self.networks, self.layer_names, strict=True)
            return {name: each.feature_keys[layer] for each, names in pairs for layer, name in names.items()}
        kept = {
            "pool": FitSpec.pool if is_given(self.spec.backbone) else self.spec.pool,
            "over": self.over_frames if self.stimuli.n_frames > 1 else "",
            "dtype": self.feature_dtype,
        }
        return features.feature_keys(self.stimuli.fingerprint, self.backbone_fingerprint, self.spec.layers, **kept)

    def projection_key(self, layer: str) -> str:
        """Key of the sparse random projection of a layer that is too large to store."""
        made = {"name": self.full_name(layer), "n_components": self.spec.n_components, "n_frames": self.n_frames}
        return digest("projection", PROJECTION_VERSION, features=self.feature_keys[layer], **made)

    def components_key(self, fold: Fold, layers: tuple[str, ...] | None = None) -> str:
        """Key of the PCA of one of the :attr:`spaces`, fitted on a fold's training rows; ``layers`` defaults to all."""
        parents = [self.feature_keys[layer] for layer in layers or self.spec.layers]
        framed = {"n_frames": self.n_frames} if self.n_frames > 1 else {}
        scaled: dict[str, Any] = {"layer_scaling": self.spec.layer_scaling} if self.spec.scales_layers else {}
        if self.spec.component_scaling != FitSpec.component_scaling:
            scaled["component_scaling"] = self.spec.component_scaling
        if self.spec.reduction != FitSpec.reduction:
            names = [self.full_name(layer) for layer in layers or self.spec.layers]
            in_pass = [name for name, layer in zip(names, layers or self.spec.layers, strict=True) if layer in self.reduced_layers]
            scaled["reduction"] = {"name": self.spec.reduction, "version": PROJECTION_VERSION, "layers": names, "in_pass": in_pass}
            if self.spec.component_scaling == "zscore":
                scaled["reduction"]["constant"] = 0  # earlier releases divided what does not vary by almost nothing
        if self.is_reduced(layers or self.spec.layers):
            n_basis = sums.n_basis(self.spec.n_components)
            scaled["reduced"] = {"version": [reduction.REDUCTION_VERSION, SKETCH_VERSION], "n_groups": N_GROUPS, "n_basis": n_basis}
            if self.delay_sets and len(fold.train) + len(fold.test) < len(self.stimuli):
                scaled["reduced"]["scores"] = "of every row"  # without delays, and in earlier releases, NaN where a row is in no set
        if self._lacks_variance(fold.train):
            scaled["without_variance"] = "left out"  # earlier releases kept components of noise where so few stimuli were repeated
        return digest(
            "components",
            self._version("components", components.COMPONENTS_VERSION),
            features=parents,
            train=rows_digest(fold.train),
            n_components=self.spec.n_components,
            **framed,
            **scaled,
        )

    def delays_key(self, fold: Fold) -> str:
        """Key of the choice of one of the :attr:`delay_sets` on a fold's training rows; empty where there is nothing to choose."""
        if len(self.delay_sets) < 2:
            return ""
        return digest(
            "delays",
            delays.CHOICE_VERSION,
            components=self._all_components(fold),
            responses={hemi: self.subject.fingerprints[hemi] for hemi in self.hemis},
            inner=rows_digest(self.inner(fold, delays.N_FOLDS)),
            runs=rows_digest(self.subject.runs),
            delays=self.delay_sets,
            degree=self.spec.degree,
        )

    def moments_key(self, fold: Fold, hemi: str, *, n_inner: int | None = None) -> str:
        """Key of the moments of a fold's training rows and a hemisphere's responses, over the readout's inner folds or ``n_inner``."""
        return digest(
            "moments",
            self._version("moments", moments.MOMENTS_VERSION),
            components=self._all_components(fold),
            responses=self.subject.fingerprints[hemi],
            inner=rows_digest(self.inner(fold, n_inner)),
            **self._design(fold),
        )

    def moments_by_fold_key(self, fold: Fold, hemi: str) -> str:
        """Key of the moments by inner fold that add up to those of a readout without inner folds; empty for any other readout."""
        if self.readout.n_folds(self.options) != 1 or len(np.unique(self.subject.groups[fold.train])) < USUAL_FOLDS:
            return ""
        return self.moments_key(fold, hemi, n_inner=USUAL_FOLDS)

    def weights_key(self, fold: Fold, group: TargetGroup) -> str:
        """Key of the fitted model of a target group."""
        key_fields: dict[str, Any] = {"readout": self.readout.name, "options": key_values(self.options)}
        if self.readout.uses_moments:
            keys = [self.moments_key(fold, hemi) for hemi in group.columns]
            key_fields["moments"] = keys[0] if len(keys) == 1 else keys
        else:
            key_fields |= self._rows_and_responses(fold, group)
        if not group.whole:
            key_fields["columns"] = {hemi: rows_digest(columns) for hemi, columns in group.columns.items()}
        return digest("weights", self._version(self.readout.name, self.readout.version), **key_fields)

    @cached_property
    def key(self) -> str:
        """Key of the fit: the scores of all folds and target groups."""
        parents = {group.name: [self.weights_key(fold, group) for fold in self.folds] for group in self.target_groups}
        made: dict[str, Any] = {"weights": parents, "test": [rows_digest(fold.test) for fold in self.folds]}
        if self.spec.average_repeats:
            made["average_repeats"] = [groups_digest(self.subject.stimulus_of_row[fold.test]) for fold in self.folds]
        if self.spec.reduction != FitSpec.reduction:
            made["summed"] = "about the mean response"  # earlier releases lost digits of scores of features far from 0
        return digest("fit", self._version("fit", scores.SCORES_VERSION), **made)

    @property
    def stage_keys(self) -> list[str]:
        """Keys of everything that the fit reads or writes in the Store."""
        keys = [self.key, *self.feature_keys.values()]
        for fold in self.folds:
            if self.readout.uses_components:
                keys += [self.components_key(fold, layers) for layers in self.spaces]
            keys += [self.delays_key(fold)] if len(self.delay_sets) > 1 else []
            if self.readout.uses_moments:
                keys += [self.moments_key(fold, hemi) for hemi in self.hemis]
            keys += [self.weights_key(fold, group) for group in self.target_groups]
        return keys + [key for other in self.extra_subjects for key in other.feature_keys.values()]

    def _lacks_variance(self, train: np.ndarray) -> bool:
        """Whether so few different stimuli train that iterated components of them would be more than vary."""
        n_components = self.spec.n_components
        if len(train) > n_components * self.subject.most_repeats or not pca.may_iterate(len(train), n_components):
            return False  # without counting the stimuli, which takes ten times as long as a key
        return len(np.unique(self.subject.stimulus_of_row[train])) <= n_components

    def _all_components(self, fold: Fold) -> str | list[str]:
        keys = [self.components_key(fold, layers) for layers in self.spaces]
        return keys if self.readout.by_layer else keys[0]

    def _design(self, fold: Fold) -> dict[str, Any]:
        """Key fields of what is made of components for a readout: polynomial features and delays; none where they are taken as they are."""
        made: dict[str, Any] = {} if self.spec.degree == FitSpec.degree else {"degree": self.spec.degree}
        if self.delay_sets:
            made |= {"delays": self.delays_key(fold) or self.delay_sets, "runs": rows_digest(self.subject.runs)}
            made |= {"delays_apart": True} if self.readout.delays_apart(self.options) else {}
        return made

    def _rows_and_responses(self, fold: Fold, group: TargetGroup) -> dict[str, Any]:
        """Key fields of a readout that is fitted on training rows: stimuli, rows, responses and what it declares in ``uses``."""
        inputs = {"components": self._all_components(fold)} if self.readout.uses_components else {"features": dict(self.feature_keys)}
        key_fields: dict[str, Any] = inputs | self._design(fold)
        key_fields |= {"train": rows_digest(fold.train), "inner": rows_digest(self.inner(fold))}
        key_fields["responses"] = {hemi: self.subject.fingerprints[hemi] for hemi in group.columns}
        if self.extra_subjects:
            key_fields["company"] = [other.subject.fingerprints for other in self.extra_subjects]
        if self.former:
            return key_fields
        key_fields |= self._used(group)
        if self.extra_subjects:
            key_fields["extra_subjects"] = [other._as_extra_subject(self.number_of(fold)) for other in self.extra_subjects]
            key_fields["unseen"] = rows_digest(self.unseen(fold))  # taken out of the other subjects' training rows
        return key_fields

    def _used(self, group: TargetGroup) -> dict[str, str]:
        """Digests of the subject's ROIs and cortical positions, where the readout uses them."""
        uses, used = self.readout.uses(self.options), {}
        if "rois" in uses:
            used["rois"] = columns_digest(group_rois(self.subject, group))
        if "positions" in uses:
            used["positions"] = positions_digest(self.subject, group.columns)
        return used

    def _as_extra_subject(self, number: int) -> dict[str, Any]:
        """Key fields of an extra subject beside its responses."""
        fold = self.extra_fold(number)
        (group,) = target_groups_of(self.subject, "both", hemis=self.hemis, rois=(), per_target=False)
        rows = {"train": rows_digest(fold.train), "groups": groups_digest(self.subject.groups)}
        return {"features": dict(self.feature_keys), **rows, **self._used(group)}

    def _version(self, stage: str, today: int) -> int:
        return FIRST_RELEASE_VERSIONS.get(stage, 1) if self.former else today
