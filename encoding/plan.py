"""What a fit will compute and how each stage's result is named, all checked before any work starts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from encoding import components, features, moments, scores
from encoding.backbones import BACKBONES, Source
from encoding.datasets import DATASETS, Stimuli, Subject
from encoding.progress import Report, portion, silent
from encoding.readouts import READOUTS, Options, Readout
from encoding.registry import UnknownName, unknown
from encoding.spec import FitSpec, digest
from encoding.splits import Fold, folds, inner_folds
from encoding.store import Store
from encoding.weights import fetch

INNER_SEED = 0  # of the folds on which a readout chooses its parameters


@dataclass(frozen=True)
class Plan:
    """A checked spec with everything opened that its work needs; the work itself is :mod:`encoding.pipeline`."""

    spec: FitSpec
    subject: Subject
    source: Source
    readout: Readout
    options: Options
    folds: list[Fold]
    backbone_fingerprint: str

    @property
    def hemis(self) -> tuple[str, ...]:
        """The hemispheres that are fitted."""
        return tuple(hemi for hemi in self.subject.hemis if self.spec.hemi in ("both", hemi))

    @cached_property
    def stimuli(self) -> Stimuli:
        """The stimuli as the backbone sees them: of clips, as many frames as the spec says."""
        return self.subject.stimuli.sampled(self.spec.frames)

    @cached_property
    def feature_keys(self) -> Mapping[str, str]:
        """Layer to the name of its features."""
        kept = {"pool": self.spec.pool, "over": self.spec.over_frames if self.stimuli.n_frames > 1 else ""}
        return features.feature_keys(self.stimuli.fingerprint, self.backbone_fingerprint, self.spec.layers, **kept)

    def components_key(self, fold: Fold) -> str:
        """The name of the components fitted on a fold's training rows."""
        parents = [self.feature_keys[layer] for layer in self.spec.layers]
        return digest(
            "components", components.COMPONENTS_VERSION, features=parents, train=_rows(fold.train), n_components=self.spec.n_components
        )

    def moments_key(self, fold: Fold, hemi: str) -> str:
        """The name of the moments of a fold's training rows with a hemisphere's responses."""
        return digest(
            "moments",
            moments.MOMENTS_VERSION,
            components=self.components_key(fold),
            responses=self.subject.fingerprints[hemi],
            inner=_rows(self.inner(fold)),
        )

    def weights_key(self, fold: Fold, hemi: str) -> str:
        """The name of the readout's weights."""
        return digest(
            "weights", self.readout.version, readout=self.readout.name, options=asdict(self.options), moments=self.moments_key(fold, hemi)
        )

    @cached_property
    def key(self) -> str:
        """The name of the fit: of the scores of all folds and hemispheres."""
        parents = {hemi: [self.weights_key(fold, hemi) for fold in self.folds] for hemi in self.hemis}
        return digest("fit", scores.SCORES_VERSION, weights=parents, test=[_rows(fold.test) for fold in self.folds])

    def inner(self, fold: Fold) -> np.ndarray:
        """The fold, within the training rows, on which each row is held out while parameters are chosen. (n_train,) int"""
        n_folds = self.readout.n_folds(self.options)
        return inner_folds(self.subject.groups[fold.train], n_folds, INNER_SEED)

    def made_from(self, **more: Any) -> dict[str, Any]:
        """What goes into every result's provenance."""
        return {"spec": self.spec.to_dict(), "simulated": self.subject.simulated, "backbone": self.backbone_fingerprint} | more


def plan(spec: FitSpec, store: Store, report: Report = silent) -> Plan:
    """Open and check everything a fit names.

    Raises
    ------
    UnknownName, UnknownLayer, BadOption, NoWeights, BadData, ValueError : with the nearest match where a name
    is wrong, before any feature is computed.
    """
    dataset, source, readout = DATASETS[spec.dataset], BACKBONES[spec.backbone], READOUTS[spec.readout]
    options = readout.read(dict(spec.options))
    source.check_layers(spec.backbone, spec.layers)
    if not source.is_ready(spec.backbone, spec.weights) and source.weights_file(spec.backbone) is not None:
        fetch(spec.backbone, portion(report, 0, 0.5))
    fingerprint = source.fingerprint(spec.backbone, spec.weights)
    subject = dataset.open(spec.subject, store, report)
    _check_targets(spec, subject)
    made = Plan(spec, subject, source, readout, options, folds(spec.split, subject.groups), fingerprint)
    for fold in made.folds:
        made.inner(fold)
    return made


def _check_targets(spec: FitSpec, subject: Subject) -> None:
    known = roi_names(subject)
    for name in spec.rois:
        if name not in known:
            raise UnknownName(unknown(f"ROI of {spec.dataset} {spec.subject}", name, known, show=40))
    if spec.hemi != "both" and spec.hemi not in subject.hemis:
        raise UnknownName(unknown(f"hemisphere of {spec.dataset} {spec.subject}", spec.hemi, subject.hemis))


def roi_names(subject: Subject) -> Sequence[str]:
    """Every ROI of a subject once, in order, whichever hemisphere has it."""
    return tuple(dict.fromkeys(name for hemi in subject.hemis for name in subject.rois[hemi]))


def _rows(rows: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows, "<i8")).hexdigest()[:20]
