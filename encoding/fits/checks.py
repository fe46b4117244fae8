"""Combinations of settings, data and readouts that cannot be fitted, refused before any work with what to choose instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from encoding.backbones._base import JOIN
from encoding.datasets import BadData, Subject
from encoding.datasets._base import roi_names
from encoding.features.delays import read_delays
from encoding.features.given import given_in, is_given
from encoding.fits.spec import FitSpec
from encoding.readouts import READOUTS, BadOption, Options, Readout
from encoding.runtime.registry import UnknownName, unknown


def check_targets(spec: FitSpec, subject: Subject) -> None:
    """UnknownName for an ROI or a block of responses that the subject does not have."""
    known = roi_names(subject)
    for name in spec.roi_names:
        if name not in known:
            raise UnknownName(unknown(f"ROI of {spec.dataset} {spec.subject}", name, known, show=40))
    if spec.hemi != "both" and spec.hemi not in subject.hemis:
        raise UnknownName(unknown(f"hemisphere of {spec.dataset} {spec.subject}", spec.hemi, subject.hemis))


def check_given(spec: FitSpec, readout: Readout) -> None:
    """Refuse settings of networks for a feature table."""
    for name in ("input", "pool"):
        if is_given(spec.backbone) and (value := getattr(spec, name)) != getattr(FitSpec, name):
            raise ValueError(f"{spec.backbone} is a feature table, which no image passes through. Leave --{name} {value} out.")
    if JOIN in spec.backbone and spec.over_frames == "sequence":
        raise ValueError(f"{given_in(spec.backbone)[0]} has no frames to stand in sequence. Choose another --over-frames, such as mean.")
    if not readout.uses_components:
        raise BadOption(f"{readout.name} trains a network on images, and {spec.backbone} is a feature table. Choose another readout.")


def check_readout(spec: FitSpec, readout: Readout) -> None:
    """Refuse several networks, or subjects, for a readout that does not take them."""
    if JOIN in spec.backbone and not readout.uses_components:
        raise BadOption(f"{readout.name} trains a network itself, so it takes one at a time, not {spec.backbone}.")
    if spec.extra_subjects and not readout.shares:
        sharing = ", ".join(name for name, each in READOUTS.items() if each.shares)
        raise BadOption(f"{readout.name} shares nothing between subjects, so extra subjects are of no use. Readouts that do: {sharing}.")


def check_stimuli(spec: FitSpec, subject: Subject, readout: Readout, options: Options) -> None:
    """Refuse a readout, or products of components, that do not suit the stimuli."""
    if networks := [name for name in spec.backbone.split(JOIN) if subject.stimuli.without_images and not is_given(name)]:
        tables = ", ".join(f"given/{name}" for name in subject.stimuli.tables) or "none yet: put one into the folder features"
        raise BadData(
            f"{subject.stimuli.without_images}, and {networks[0]} needs images. Backbones without images are feature tables ({tables}), "
            "or name the folder of the images in dataset.toml."
        )
    if readout.needs_frames(options) and (spec.over_frames != "sequence" or subject.stimuli.sampled(spec.frames).n_frames < 2):
        raise BadOption(
            f"{readout.name} reads the frames of clips one after another"
            f"{'' if readout.in_order else ' with these parameters'}. Choose a data set of clips and --over-frames sequence."
        )
    framed = spec.over_frames == "all" or (spec.over_frames == "sequence" and subject.stimuli.sampled(spec.frames).n_frames > 1)
    as_they_are = spec.reduction == "none" and len(spec.layers) == 1 and spec.degree == 1 and not spec.delays
    if readout.needs_map(options) and (framed or not as_they_are or given_in(spec.backbone)):
        raise BadOption(
            f"{readout.name} with these parameters convolves over the places of one layer of a network. Name one layer, --reduction none, "
            "no degree or delays, and of clips a pooling over frames."
        )
    if spec.degree > 1 and (not readout.uses_components or readout.by_layer or spec.over_frames == "sequence"):
        raise BadOption(
            "Products of components (degree 2) are taken of one set of components for each stimulus. They suit neither a readout that "
            "takes the layers one by one or trains a network itself, nor clips whose frames are kept as a sequence: leave --degree at 1."
        )


def check_delays(spec: FitSpec, subject: Subject, readout: Readout, options: Options) -> None:
    """Refuse delays where rows are no samples of runs, or a readout does not take one set of columns for each row."""
    sets = read_delays(spec.delays)
    if readout.delays_apart(options) and len(sets) != 1:
        raise BadOption(
            f"delays_apart gives each delay a penalty of its own and needs one set of them (--delays 1 2 3 4), not {len(sets)}."
        )
    if not sets:
        return
    if subject.runs is None:
        raise BadOption(
            f"The rows of {spec.dataset} {spec.subject} are single trials, not samples of runs, so there is nothing before them to delay. "
            "Leave --delays out, or say in dataset.toml what the runs are."
        )
    if not readout.uses_components or spec.over_frames == "sequence":
        raise BadOption(
            "Delays put components of earlier samples side by side. They suit neither a readout that trains a network itself nor frames "
            "that are kept as a sequence: leave --delays out."
        )


def check_reduced(spec: FitSpec, readout: Readout, reduced: Sequence[str], *, n_networks: int) -> None:
    """Refuse what cannot be done with the layers ``reduced`` in the pass."""
    if reduced and spec.layer_scaling == "zscore":
        raise ValueError(
            f"The features of {', '.join(reduced)} take more than {spec.feature_budget:g} GB and are reduced in the pass, where "
            "features are not z-scored: their deviations are known only after the first pass. Pool the layer, or give a larger feature "
            "budget (--feature-budget none stores all)."
        )
    if reduced and n_networks > 1 and not readout.by_layer and (spec.reduction == "pca" or spec.extra_subjects):
        apart = ", ".join(name for name, each in READOUTS.items() if each.by_layer)
        raise ValueError(
            f"The features of {', '.join(reduced)} take more than {spec.feature_budget:g} GB and are reduced in the pass, where several "
            f"networks cannot share one PCA. Choose a readout that treats layers apart ({apart}), pool the layer, or give a larger feature "
            "budget."
        )


def check_widths(fit_plan: Any) -> None:
    """Refuse a :class:`~encoding.fits.plan.Plan` whose subjects have feature tables of different numbers of columns: no PCA shares them."""
    for other in fit_plan.extra_subjects:
        for ours, theirs in zip(fit_plan.networks, other.networks, strict=True):
            for layer in ours.spec.layers if is_given(ours.spec.backbone) else ():
                widths = [each.source.known_sizes(each.spec.backbone, [layer])[layer] for each in (ours, theirs)]
                if len(set(widths)) > 1:
                    names = [f"{width:,} of {each.spec.subject}" for width, each in zip(widths, (ours, theirs), strict=True)]
                    raise BadData(f"{ours.spec.backbone} {layer} has {' and '.join(names)} columns. Save tables with the same columns.")
