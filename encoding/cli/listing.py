"""``list``, ``layers`` and ``rois``: list registry members, layers of a backbone and ROIs of a subject."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from typing import Any

from encoding.backbones import BACKBONES
from encoding.cli.command import Answer, add_command
from encoding.cli.terminal import Progress, table
from encoding.datasets import DATASETS, Subject
from encoding.datasets._base import roi_names
from encoding.fits.score_tables import EVERY_VERTEX
from encoding.readouts import READOUTS
from encoding.storage.store import Store

SIDES = {"lh": "left", "rh": "right"}


def add_commands(commands: Any) -> None:
    """Add ``list``, ``layers`` and ``rois``."""
    parser = add_command(
        commands,
        "list",
        run_list,
        about="Show the datasets, the backbones (networks) or the readouts (regressions) there are.",
        examples="list datasets\nlist backbones\nlist readouts --json",
    )
    parser.add_argument("kind", choices=tuple(LISTS), help="what to list")
    parser = add_command(
        commands,
        "layers",
        run_layers,
        about="Show the layers of a backbone that a fit can use, from early to late.",
        examples="layers gabor\nlayers torchvision/alexnet\nlayers torchvision/alexnet --all",
    )
    parser.add_argument("backbone", metavar="BACKBONE", help="a name from `list backbones`")
    parser.add_argument("--all", action="store_true", help="every layer, not the chosen few (needs torch, not the weights)")
    parser = add_command(
        commands,
        "rois",
        run_rois,
        about="Show the regions of interest (ROIs) of a subject and how many vertices each has.",
        examples="rois demo subj01\nrois algonauts2023 subj01 --json",
    )
    parser.add_argument("dataset", metavar="DATASET", help="a name from `list datasets`")
    parser.add_argument("subject", metavar="SUBJECT", help="one of its subjects")


def run_list(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """List the members of a registry."""
    return LISTS[arguments.kind]()


def list_datasets() -> Answer:
    """List data sets with the subjects available on this machine."""
    about = [
        {name: getattr(dataset, name) for name in ("name", "title", "about", "simulated")}
        | {"subjects": list(dataset.subjects()), "where": dataset.where()}
        for dataset in DATASETS.values()
    ]
    return Answer({"datasets": about}, "\n\n".join(_dataset_text(one) for one in about))


def _dataset_text(about: Mapping[str, Any]) -> str:
    says_so = not about["simulated"] or "simulated" in about["title"].lower()
    marked = "" if says_so else " (simulated: no brain was measured)"
    subjects = f"Subjects: {', '.join(about['subjects'])}." if about["subjects"] else ""
    lines = [f"{about['name']}: {about['title']}{marked}", about["about"], subjects, about["where"]]
    return "\n  ".join(line for line in lines if line)


def list_backbones() -> Answer:
    """List backbones with their curated layers."""
    about = [
        {"name": name, "needs_weights": BACKBONES[name].needs_weights, "layers": list(BACKBONES[name].layers(name))} for name in BACKBONES
    ]
    rows = []
    for one in about:
        few = ", ".join(one["layers"]) or "see layers --all"
        layers = few if len(one["layers"]) <= 2 else f"{len(one['layers'])}: {one['layers'][0]} … {one['layers'][-1]}"
        rows.append([one["name"], "yes" if one["needs_weights"] else "no", layers])
    text = table(["backbone", "needs weights", "layers"], rows, align="<<<")
    return Answer({"backbones": about}, f"{text}\n\n`python -m encoding layers BACKBONE` names the layers of one.")


def list_readouts() -> Answer:
    """List readouts with their parameters."""
    about = [
        {
            "name": readout.name,
            "title": readout.title,
            "about": readout.about,
            "options": [
                {"name": field.name, "default": field.default, "help": field.metadata.get("help", "")}
                for field in dataclasses.fields(readout.options)
            ],
        }
        for readout in READOUTS.values()
    ]
    return Answer({"readouts": about}, "\n\n".join(_readout_text(one) for one in about))


def _readout_text(about: Mapping[str, Any]) -> str:
    lines = [f"{about['name']}: {about['title']}", about["about"]]
    for option in about["options"]:
        default = "" if option["default"] is None else f" (default: {option['default']})"
        lines.append(f"--set {option['name']}=…  {option['help']}{default}")
    return "\n  ".join(lines)


LISTS = {"datasets": list_datasets, "backbones": list_backbones, "readouts": list_readouts}


def run_layers(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """List the curated layers of a backbone; all layers where it has none or with ``--all``."""
    source = BACKBONES[arguments.backbone]
    layers = () if arguments.all else source.layers(arguments.backbone)
    curated = bool(layers)
    if not curated:
        layers = source.every_layer(arguments.backbone)
        if not arguments.all:
            progress.say(f"{arguments.backbone} has no chosen few; these are all of its layers.")
    return Answer({"backbone": arguments.backbone, "curated": curated, "layers": list(layers)}, "\n".join(layers))


def run_rois(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Count the vertices of each ROI of a subject per hemisphere; 0 for an empty one."""
    dataset = DATASETS[arguments.dataset]
    subject = dataset.open(arguments.subject, Store(), progress)
    classes = {roi: roi_class for roi_class, names in dataset.roi_names().items() for roi in names}
    counts = [
        {"roi": roi, "class": classes.get(roi), "hemi": hemi, "n_vertices": len(subject.rois[hemi].get(roi, ()))}
        for roi in roi_names(subject)
        for hemi in subject.hemis
    ]
    document = {
        "dataset": arguments.dataset,
        "subject": arguments.subject,
        "simulated": subject.simulated,
        "n_stimuli": subject.n_stimuli,
        "n_vertices": {hemi: int(subject.responses[hemi].shape[1]) for hemi in subject.hemis},
        "rois": counts,
    }
    return Answer(document, _rois_text(subject, document, "clips" if dataset.clips else "images"))


def _rois_text(subject: Subject, document: Mapping[str, Any], what: str) -> str:
    rows = [[EVERY_VERTEX, "", *(f"{document['n_vertices'][hemi]:,}" for hemi in subject.hemis)]]
    count = {(row["roi"], row["hemi"]): f"{row['n_vertices']:,}" for row in document["rois"]}
    classes = {row["roi"]: row["class"] or "" for row in document["rois"]}
    rows += [[roi, classes[roi], *(count[roi, hemi] for hemi in subject.hemis)] for roi in classes]
    sides = [SIDES.get(hemi, hemi) for hemi in subject.hemis]
    counted = table(["ROI", "class", *sides], rows, align="<<" + ">" * len(sides), groups=[("", 2), (subject.unit.many, len(sides))])
    marked = "\nSimulated: no brain was measured." if subject.simulated else ""
    return f"{counted}\n\n{subject.dataset} {subject.name}, responses to {subject.counted(what)}.{marked}"
