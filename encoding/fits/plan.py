"""Plan a fit: open and check everything that it needs before any work starts, and name the result of each stage by a key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from encoding.backbones import BACKBONES, Source
from encoding.backbones._base import JOIN
from encoding.backbones._catalogue import fetch
from encoding.backbones._input import prepared
from encoding.backbones._joined import members_of, own_layers
from encoding.datasets import DATASETS, BadData, Stimuli, Subject
from encoding.evaluation.resampling import LEAST_UNITS, n_units
from encoding.evaluation.splits import ALL, NAMED, WITHIN, Fold, folds, inner_blocks, inner_folds, mean_of_repeats
from encoding.features import sums
from encoding.features.delays import Delays, read_delays
from encoding.features.given import given_in, is_given, with_tables
from encoding.features.probe import LARGEST_LAYER, layer_sizes
from encoding.fits.checks import check_delays, check_given, check_readout, check_reduced, check_stimuli, check_targets, check_widths
from encoding.fits.keys import StageKeys
from encoding.fits.spec import FitSpec
from encoding.fits.targets import TargetGroup, target_groups_of, with_unions
from encoding.readouts import READOUTS, Options, Readout
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.store import Store

INNER_SEED = 0  # of the folds on which a readout chooses its parameters


@dataclass(frozen=True)
class Plan(StageKeys):
    """A checked spec with everything opened that its work needs; the work itself is :mod:`encoding.pipeline`.

    Attributes
    ----------
    folds : training and test rows (of the subject's stimuli), one :class:`Fold` for each fold of the split.
    target_groups : targets that share a model; no column is in two.
    extra_subjects : the plans of the same fit for the subjects trained beside this one.
    reduced_layers : layers whose features would take more than the spec's ``feature_budget``; they are never stored, but a sketch from
        which a second pass finds their components, or their sparse random projection.
    former : whether keys are those of the first release, which did not cover every input; only for reading stored fits.
    """

    spec: FitSpec
    subject: Subject
    source: Source
    readout: Readout
    options: Options
    folds: list[Fold]
    backbone_fingerprint: str
    target_groups: tuple[TargetGroup, ...]
    extra_subjects: tuple[Plan, ...] = ()
    reduced_layers: tuple[str, ...] = ()
    former: bool = False

    @property
    def hemis(self) -> tuple[str, ...]:
        """Hemispheres that are fitted, in the subject's order."""
        return tuple(hemi for hemi in self.subject.hemis if any(hemi in group.columns for group in self.target_groups))

    @property
    def joins_hemispheres(self) -> bool:
        """Whether a model is of targets of several hemispheres."""
        return any(len(group.columns) > 1 for group in self.target_groups)

    @cached_property
    def stimuli(self) -> Stimuli:
        """Stimuli as the backbone reads them; of clips, the number of frames in the spec. A feature table has a row for a whole clip."""
        return self.subject.stimuli.sampled(1 if is_given(self.spec.backbone) else self.spec.frames)

    @cached_property
    def networks(self) -> tuple[Plan, ...]:
        """The plan for each of its networks by itself: stimuli pass through one after another, and each layer's features are kept once."""
        members = members_of(self.source, self.spec.backbone, self.spec.weights)
        if len(members) == 1:
            return (self,)
        plans = []
        for (network, weights, source), names in zip(members, self.layer_names, strict=True):
            spec = replace(self.spec, backbone=network, weights=weights, layers=tuple(names), extra_subjects=())
            reduced = tuple(layer for layer, name in names.items() if name in self.reduced_layers)
            changed = {"source": source, "backbone_fingerprint": source.fingerprint(network, weights), "reduced_layers": reduced}
            plans.append(replace(self, spec=spec, extra_subjects=(), **changed))
        return tuple(plans)

    @property
    def layer_names(self) -> tuple[Mapping[str, str], ...]:
        """For each of the :attr:`networks` its layers, by the network's own names, and their names in this fit."""
        networks = self.spec.backbone.split(JOIN)
        return (
            (dict(zip(self.spec.layers, self.spec.layers, strict=True)),) if len(networks) == 1 else own_layers(networks, self.spec.layers)
        )

    @property
    def feature_dtype(self) -> str:
        """The dtype in which features are stored; float32 where none are, so that keys do not depend on it."""
        return self.spec.feature_dtype if self.readout.uses_components and not is_given(self.spec.backbone) else "float32"

    @property
    def over_frames(self) -> str:
        """Frame pooling as extraction stores it; a ``sequence`` stores ``all`` frames, as it differs in the components only."""
        return "all" if self.spec.over_frames == "sequence" else self.spec.over_frames

    @property
    def n_frames(self) -> int:
        """Number of frames whose components stand side by side; 1 where frames were pooled."""
        return self.stimuli.n_frames if self.spec.over_frames == "sequence" else 1

    @property
    def spaces(self) -> tuple[tuple[str, ...], ...]:
        """Groups of layers that share a PCA: all layers, or each layer by itself where the readout treats layers apart."""
        return tuple((layer,) for layer in self.spec.layers) if self.readout.by_layer else (self.spec.layers,)

    def space_of(self, layer: str) -> tuple[str, ...]:
        """The one of the :attr:`spaces` that a layer is in."""
        return next(layers for layers in self.spaces if layer in layers)

    def is_reduced(self, layers: tuple[str, ...]) -> bool:
        """Whether the PCA of one of the :attr:`spaces` is fitted in a second pass, as one of its layers is too large to store."""
        return self.spec.reduction == "pca" and any(layer in self.reduced_layers for layer in layers)

    def full_name(self, layer: str) -> str:
        """Name of a layer with its network's, the same in a fit of several networks and of one; it determines a random projection."""
        return layer if len(self.spec.backbone.split(JOIN)) > 1 else f"{self.spec.backbone} {layer}"

    @property
    def of_clips(self) -> bool:
        """Whether the stimuli are clips."""
        known = self.spec.dataset in DATASETS  # of an imported fit it may not be
        return DATASETS[self.spec.dataset].clips if known else self.subject.stimuli.n_frames > 1

    @cached_property
    def delay_sets(self) -> tuple[Delays, ...]:
        """The sets of delays in samples, of which one is chosen where there are several; empty where components are of the same row."""
        return read_delays(self.spec.delays)

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands of columns that the readout treats apart: layers, or layers at a delay; empty where there is one."""
        if not self.readout.by_layer:
            return ()
        if not (self.delay_sets and self.readout.delays_apart(self.options)):
            return self.spec.layers
        return tuple(f"{layer} at delay {delay}" for layer in self.spec.layers for delay in self.delay_sets[0])

    def number_of(self, fold: Fold) -> int:
        """Number of one of the :attr:`folds`; 0 for another, such as the one on which a search validates within fold 0."""
        return next((number for number, known in enumerate(self.folds) if known is fold), 0)

    def extra_fold(self, number: int) -> Fold:
        """Fold of this extra subject that is trained with fold ``number`` of the main subject: the same number, or the last."""
        return self.folds[min(number, len(self.folds) - 1)]

    def scored_rows(self, fold: Fold) -> np.ndarray:
        """The test rows of a fold that scores are of: all, or the first of each stimulus, in whose place the mean of its repeats stands."""
        if not self.spec.average_repeats:
            return fold.test
        return fold.test[np.sort(np.unique(self.subject.stimulus_of_row[fold.test], return_index=True)[1])]

    def over_repeats(self, fold: Fold, values: np.ndarray) -> np.ndarray:
        """Values (n_test, ...) of a fold's test rows as those of :meth:`scored_rows`: as they are, or averaged over repeats."""
        return mean_of_repeats(values, self.subject.stimulus_of_row[fold.test]) if self.spec.average_repeats else values

    def inner(self, fold: Fold, n_folds: int | None = None) -> np.ndarray:
        """Assign training rows to inner cross-validation folds, (n_train,) int; ``n_folds`` defaults to the readout's own number.

        Rows of a run are not divided unless there is one run; see :func:`encoding.evaluation.splits.inner_blocks`.
        """
        return inner_rows(self.subject, fold.train, n_folds or self.readout.n_folds(self.options), INNER_SEED)

    def unseen(self, fold: Fold) -> np.ndarray:
        """Rows of a fold whose stimuli no extra subject learns, sorted: those tested, and those of the readout's validation set."""
        stopped_on = fold.train[self.inner(fold) == 0] if self.readout.n_folds(self.options) > 1 else fold.train[:0]
        return np.union1d(fold.test, stopped_on)

    @property
    def has_test(self) -> bool:
        """Whether there are test stimuli: the split ``all`` trains on every stimulus and has no test score."""
        return self.spec.split != ALL

    @property
    def test_sets(self) -> dict[str, Plan]:
        """Test set to the plan of this fit scored on it, where the split comes with the data and has several; empty otherwise.

        They share every stage but the scores. The first is what ``named:<name>`` without a test set is scored on.
        """
        kind, _, name = self.spec.split.partition(":")
        name = name.partition(":")[0]
        named = self.subject.splits.get(name) if kind == NAMED and WITHIN not in self.spec.split else None
        if named is None or len(named.tests) < 2:
            return {}
        found = {}
        for test in named.tests:
            split = f"{NAMED}:{name}:{test}"
            found[test] = replace(self, spec=replace(self.spec, split=split), folds=folds_of(split, self.subject))
        return found

    @property
    def scored_test_sets(self) -> dict[str, Plan]:
        """Those of :attr:`test_sets` that a fit with this split is scored on: the one that the split names, or else all."""
        named = self.spec.split.split(":")[2:]
        return {name: each for name, each in self.test_sets.items() if not named or [name] == named}

    @property
    def n_tested(self) -> int:
        """Number of different test stimuli of the fold that has the fewest."""
        return min(n_units(self.subject.stimulus_of_row[fold.test]) for fold in self.folds)

    def check_test_stimuli(self) -> None:
        """ValueError where a fold has too few different test stimuli, :data:`encoding.evaluation.resampling.LEAST_UNITS`, but not none."""
        if self.has_test and self.n_tested < LEAST_UNITS:
            of = " in a fold" if len(self.folds) > 1 else ""
            n_stimuli = n_units(self.subject.stimulus_of_row)
            raise ValueError(
                f"The split {self.spec.split} leaves {self.n_tested} different test stimuli{of} of {n_stimuli:,}. A score needs "
                f"{LEAST_UNITS} at least: choose a split that tests more (holdout with a smaller training fraction, kfold with fewer "
                "folds), or add stimuli."
            )

    def check_unchanged(self, store: Store) -> None:
        """BadData where stimuli or responses are no longer those that the plan names, so that what was computed has no name."""
        for each in (self, *self.extra_subjects):
            spec, subject = each.spec, DATASETS[each.spec.dataset].open(each.spec.subject, store)
            if given_in(spec.backbone):
                source = with_tables(each.source, spec.backbone, subject.stimuli, spec.subject)
                if source.fingerprint(spec.backbone, spec.weights) != each.backbone_fingerprint:
                    raise BadData(f"A feature table of {spec.dataset} {spec.subject} changed while it was read. Fit again.")
            if subject.fingerprints != each.subject.fingerprints or subject.stimuli.fingerprint != each.subject.stimuli.fingerprint:
                raise BadData(f"The data of {spec.dataset} {spec.subject} changed while they were read. Nothing was kept of it: fit again.")

    def made_from(self, **more: Any) -> dict[str, Any]:
        """Provenance of a stored result: spec, whether the data are simulated, backbone fingerprint, and ``more`` fields."""
        return {"spec": self.spec.to_dict(), "simulated": self.subject.simulated, "backbone": self.backbone_fingerprint} | more


def plan(spec: FitSpec, store: Store, report: Report = silent, *, subject: Subject | None = None) -> Plan:
    """Open and check everything that a spec names.

    Parameters
    ----------
    subject : the spec's subject where it is open already, so that several plans can share it; opened by default.

    Raises
    ------
    UnknownName, UnknownLayer, BadOption, NoWeights, BadData, ValueError : with the nearest match where a name
    is wrong, before any feature is computed; ValueError also where a fold has fewer than
    :data:`encoding.evaluation.resampling.LEAST_UNITS` test stimuli, unless ``store`` holds the fit, of an earlier release.
    """
    made = _plan(spec, store, report, subject)
    if made.n_tested < LEAST_UNITS and not any(each.key in store for each in (made, replace(made, former=True))):
        made.check_test_stimuli()
    return made


def _plan(spec: FitSpec, store: Store, report: Report, subject: Subject | None = None) -> Plan:
    """The plan, however few stimuli it tests."""
    dataset, source, readout = DATASETS[spec.dataset], prepared(BACKBONES[spec.backbone], spec.input), READOUTS[spec.readout]
    options = readout.read(dict(spec.options))
    source.check_layers(spec.backbone, spec.layers)
    if given_in(spec.backbone):
        check_given(spec, readout)
        subject = subject or dataset.open(spec.subject, store, report)
        source = with_tables(source, spec.backbone, subject.stimuli, f"{spec.dataset} {spec.subject}")
        source.check_layers(spec.backbone, spec.layers)
    for network, weights, each in members_of(source, spec.backbone, spec.weights):
        if not each.is_ready(network, weights) and each.weights_file(network) is not None:
            fetch(network, subprogress(report, 0, 0.5))
    fingerprint = source.fingerprint(spec.backbone, spec.weights)
    check_readout(spec, readout)
    subject = with_unions(subject or dataset.open(spec.subject, store, report), spec.rois)
    check_targets(spec, subject)
    check_stimuli(spec, subject, readout, options)
    hemis = tuple(hemi for hemi in subject.hemis if spec.hemi in ("both", hemi))
    target_groups = target_groups_of(
        subject, spec.target_groups, hemis=hemis, rois=spec.roi_names, per_target=readout.targets_apart(options)
    )
    extra_subjects = tuple(_plan_extra_subject(spec, other, store, report) for other in spec.extra_subjects)
    parts = folds_of(spec.split, subject)
    check_delays(spec, subject, readout, options)
    fit_plan = Plan(spec, subject, source, readout, options, parts, fingerprint, target_groups, extra_subjects)
    for fold in fit_plan.folds:
        fit_plan.inner(fold)
    reduced = _reduced_layers(fit_plan, store)
    check_reduced(spec, readout, reduced, n_networks=len(fit_plan.networks))
    check_widths(fit_plan)
    others = tuple(replace(other, reduced_layers=reduced) for other in extra_subjects)  # projected on this subject's components
    return replace(fit_plan, reduced_layers=reduced, extra_subjects=others) if reduced else fit_plan


def folds_of(split: str, subject: Subject) -> list[Fold]:
    """The folds of a split of a subject's rows; see :func:`encoding.evaluation.splits.folds`."""
    return folds(split, subject.groups, subject.splits, runs=subject.runs, stimuli=subject.stimulus_ids)


def _reduced_layers(fit_plan: Plan, store: Store) -> tuple[str, ...]:
    """Layers that take more than the feature budget. Depends on the spec, the stimuli and the network alone, never on the machine."""
    spec, n_rows = fit_plan.spec, len(fit_plan.stimuli)
    if spec.feature_budget is None or not fit_plan.readout.uses_components or not spec.n_components:
        return ()
    n_train = min(len(fold.train) for fold in fit_plan.folds) * fit_plan.n_frames
    if spec.reduction == "pca" and n_train <= sums.n_basis(spec.n_components):
        return ()  # the sums of a second pass would be as large as the features
    n_bytes = float(np.dtype(spec.feature_dtype).itemsize) * n_rows * (fit_plan.stimuli.n_frames if fit_plan.over_frames == "all" else 1)
    if n_bytes * LARGEST_LAYER <= 1e9 * spec.feature_budget:
        return ()
    large: set[str] = set()  # keys of features
    for each in fit_plan.networks:
        if is_given(each.spec.backbone):
            continue  # tables lie on the disk as they are
        sizes = layer_sizes(each.source, each.spec.backbone, each.spec.weights, each.feature_keys, spec.pool, store)
        large |= {each.feature_keys[layer] for layer, size in sizes.items() if n_bytes * size > 1e9 * spec.feature_budget}
    return tuple(layer for layer in spec.layers if fit_plan.feature_keys[layer] in large)


def inner_rows(subject: Subject, rows: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """Assign some rows of a subject to ``n_folds`` cross-validation folds, (n_rows,) int; runs, and groups, are not divided."""
    if subject.runs is None:
        return inner_folds(subject.groups[rows], n_folds, seed)
    return inner_blocks(subject.groups[rows], subject.runs[rows], n_folds, seed)


def _plan_extra_subject(spec: FitSpec, other: str, store: Store, report: Report) -> Plan:
    """The plan of the same fit for another subject."""
    if other == spec.subject:
        raise ValueError(f"{other} is the subject itself; extra subjects are others.")
    return _plan(replace(spec, subject=other, extra_subjects=(), rois=(), target_groups="hemisphere"), store, report)
