"""Names that people read for the keys that links, commands and the Store hold."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from encoding import plots
from encoding.backbones._base import JOIN
from encoding.datasets import DATASETS, Subject
from encoding.datasets._registry import roi_classes
from encoding.datasets.own.description import BLOCK
from encoding.evaluation.splits import WITHIN
from encoding.fits.composition import ComposedResult
from encoding.fits.score_tables import BOTH, ScoreTables
from encoding.fits.spec import FitSpec
from encoding.readouts import READOUTS, Readout

GROUPS = ("linear", "similarity", "trees", "trained")  # of readouts, in the order of menus
CLASSES = {  # classes of ROIs in the data of the Algonauts challenges
    "prf-visualrois": "early visual",
    "floc-bodies": "bodies",
    "floc-faces": "faces",
    "floc-places": "places",
    "floc-words": "words",
    "streams": "streams",
}
STAGES = {  # networks without named stages: what their layers of a menu are
    "torchvision/alexnet": {
        "features.1": "conv 1",
        "features.4": "conv 2",
        "features.7": "conv 3",
        "features.9": "conv 4",
        "features.12": "conv 5, pooled",
        "classifier.2": "fully connected 6",
        "classifier.5": "fully connected 7",
        "classifier.6": "classes",
    },
    "torchvision/vgg16": {
        "features.4": "block 1, pooled",
        "features.9": "block 2, pooled",
        "features.16": "block 3, pooled",
        "features.23": "block 4, pooled",
        "features.30": "block 5, pooled",
        "classifier.1": "fully connected 6",
        "classifier.4": "fully connected 7",
    },
}
SIDES = {"lh": "left", "rh": "right"}  # other response blocks keep their own name
NETWORKS = {"gabor": "Gabor filters", "pixels": "pixels", "alexnet": "AlexNet"}


def subject_label(name: str) -> str:
    """Name of a subject.

    >>> subject_label("subj01"), subject_label("CSI1")
    ('subject 1', 'CSI1')
    """
    number = re.fullmatch(r"(?:subj?|sub-)0*(\d+)", name)
    return f"subject {number[1]}" if number else name


def weights_label(weights: str) -> str:
    """Name of a network's weights.

    >>> weights_label("random:0"), weights_label("pretrained")
    ('untrained (seed 0)', 'pretrained')
    """
    kind, _, seed = weights.partition(":")
    return f"untrained (seed {seed})" if kind == "random" else weights


def network_label(backbone: str, weights: str = "pretrained") -> str:
    """Name of a network with its weights, in a sentence.

    >>> network_label("torchvision/alexnet", "random:0"), network_label("gabor"), network_label("timm/resnet50")
    ('untrained AlexNet', 'Gabor filters', 'resnet50 (timm)')
    """
    names = []
    for each in backbone.split(JOIN):
        family, _, last = each.partition("/") if "/" in each else ("", "", each)
        name = NETWORKS.get(last, last)
        names.append(name if family in ("", "torchvision") else f"{name} ({family})")
    kind, _, seed = weights.partition(":")
    untrained = ("untrained " if seed in ("", "0") else f"untrained (seed {seed}) ") if kind == "random" else ""
    return untrained + " + ".join(names) + ("" if kind in ("random", "pretrained") else f" ({weights})")


def layer_label(backbone: str, layer: str) -> str:
    """Name of a layer, with the module's own name behind it where that alone says little.

    >>> layer_label("torchvision/alexnet", "features.9"), layer_label("gabor", "energy")
    ('conv 4 (features.9)', 'energy')
    """
    network, _, name = layer.rpartition(" ") if JOIN in backbone else (backbone, "", layer)
    stage = STAGES.get(network, {}).get(name)
    return f"{stage} ({layer})" if stage else layer


def split_label(split: str) -> str:
    """What a split does.

    >>> split_label("holdout:0.9:5"), split_label("kfold:5:0"), split_label("first:900")
    ('90 % train, 10 % test (seed 5)', '5-fold (seed 0)', 'the first 900 train')
    >>> split_label("kfold:5:0/holdout:0.8:0")
    'validation, 80 % train, 20 % test (seed 0), within the training part of 5-fold (seed 0)'
    """
    outer, _, inner = split.rpartition(WITHIN)
    if outer:
        return f"validation, {split_label(inner)}, within the training part of {split_label(outer)}"
    kind, _, rest = split.partition(":")
    parts = rest.split(":")
    if kind == "holdout" and len(parts) == 2 and re.fullmatch(r"0?\.\d+", parts[0]):
        share = 100 * float(parts[0])
        return f"{share:.3g} % train, {100 - share:.3g} % test (seed {parts[1]})"
    if kind == "kfold" and len(parts) == 2:
        return f"{parts[0]}-fold (seed {parts[1]})"
    if kind == "first" and rest.isdecimal():
        return f"the first {int(rest):,} train"
    if kind == "named":
        return f"{rest} (comes with the data)"
    return {"all": "all train, none test", "runs": "one run left out at a time"}.get(split, split)


def readout_group(readout: Readout) -> str:
    """Which of :data:`GROUPS` a readout belongs to."""
    if not readout.exact:
        return "trained"
    if readout.uses_moments:
        return "linear"
    return "similarity" if readout.restores_from_data and readout.per_target else "trees"


def readout_title(name: str) -> str:
    """Title of a readout, within a sentence.

    >>> readout_title("banded_ridge"), readout_title("knn")
    ('banded ridge', 'k nearest neighbours')
    """
    title = READOUTS[name].title if name in READOUTS else name
    return title[:1].lower() + title[1:]


def readout_label(name: str) -> str:
    """Title of a readout with its group."""
    return f"{READOUTS[name].title} · {readout_group(READOUTS[name])}" if name in READOUTS else name


def class_label(name: str) -> str:
    """Name of a class of ROIs."""
    return CLASSES.get(name, name)


def labelled_classes(subject: Subject) -> dict[str, tuple[str, ...]]:
    """ROIs of a subject by the name of their class."""
    return {class_label(kind): tuple(rois) for kind, rois in roi_classes(subject).items()}


def dataset_label(name: str) -> str:
    """Title of a data set."""
    return DATASETS[name].title if name in DATASETS else name


def side_label(hemi: str) -> str:
    """Name of a hemisphere in a menu."""
    return SIDES.get(hemi, hemi)


def parts_label(hemis: Iterable[str]) -> str:
    """What the parts of the responses are that a menu offers: hemispheres, or blocks of other names."""
    return "Hemisphere" if set(hemis) <= {*SIDES, BOTH} else "Block"


def part_label(hemi: str, hemis: Collection[str]) -> str:
    """Name of a part of the responses in a sentence; ``hemis`` are all that there are.

    >>> part_label("lh", ["lh", "rh"]), part_label("both", ["lh", "rh"]), part_label("both", ["early", "late"])
    ('the left hemisphere', 'both hemispheres', 'both blocks')
    """
    if hemi == BOTH:
        return f"{'both' if len(hemis) == 2 else 'all'} {'hemispheres' if parts_label(hemis) == 'Hemisphere' else 'blocks'}"
    return f"the {plots.hemi_name(hemi).lower()}" if hemi in (*SIDES, BLOCK) else f"the block {hemi}"


def model_label(spec: FitSpec) -> str:
    """Name of a fit's network with its layers.

    >>> model_label(FitSpec(backbone="torchvision/alexnet", weights="random:0", layers=("features.9",)))
    'untrained AlexNet conv 4 (features.9)'
    """
    if JOIN in spec.backbone:
        return plots.model_name(spec)
    layers = " + ".join(layer_label(spec.backbone, layer) for layer in spec.layers)
    return f"{network_label(spec.backbone, spec.weights)} {layers}"


def fit_label(result: ScoreTables) -> str:
    """Label of a fit among others of its subject: network, layer, components, readout and the parameters that it is given."""
    spec = result.plan.spec
    if isinstance(result, ComposedResult):
        return f"composed of {len(result.members)} fits"
    options = "".join(f" {name}={value}" for name, value in spec.options)
    averaged = ", repeats averaged" if spec.average_repeats else ""
    return f"{model_label(spec)} · {spec.components_label}, {readout_title(spec.readout)}{options}{averaged}"
