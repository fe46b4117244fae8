"""Choice of an experiment: a grid made of lists in the sidebar and URL, or one that was run before."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from typing import Any

import streamlit as st

from encoding import BACKBONES, DATASETS, READOUTS
from encoding.backbones._pooling import POOLS
from encoding.cli.spec_options import option
from encoding.experiments import Experiment
from encoding.experiments.experiment import ALL_LAYERS, CURATED, NO_BUDGET
from encoding.experiments.records import Record, records
from encoding.experiments.selection import with_validation
from encoding.runs.labels import dataset_label, network_label, readout_label, split_label, subject_label, weights_label
from encoding.runtime.wording import counted
from pages.parts.experiments.recipe_choice import recipe_experiment, recipe_names
from pages.parts.shared.absent_data import absent_data
from pages.parts.shared.access import check_weights
from pages.parts.shared.fit_controls import SPLITS, DataNotHere, feature_budget_control
from pages.parts.shared.link_notes import stop
from pages.parts.shared.linked import choose, choose_several
from pages.parts.shared.network_controls import WEIGHTS
from pages.parts.shared.roi_unions import FITTED_TOGETHER, TOGETHER_HELP, regions_control
from pages.parts.shared.server_state import opened, store
from pages.parts.shared.start import START
from pages.parts.shared.text import plain

START_BACKBONES = ("pixels", "gabor")  # what a bare link means: nothing to download, done in seconds
COMPONENTS = ("10", "30", "50", "100", "300", "0")
NEW = ""  # the link's value for a grid that is chosen in the sidebar


def experiment_controls() -> Experiment | None:
    """Choose an experiment in the sidebar and URL; None, with an error, where it cannot be read."""
    try:
        with st.sidebar:
            chosen = _chosen()
            if isinstance(chosen, Record):
                return Experiment.from_toml(chosen.toml)
            return recipe_experiment(chosen) if chosen else _grid()
    except DataNotHere as missing:
        absent_data(missing.dataset)
    except (LookupError, ValueError, argparse.ArgumentTypeError) as wrong:
        st.error(plain(wrong))
    return None


def _chosen() -> Record | str:
    """Choose an experiment that was run on this Store or a recipe, by the link's value; empty for a new grid."""
    try:
        known = {record.key: record for record in records(store())}
    except OSError as wrong:
        st.error(plain(wrong))
        known = {}
    names = {NEW: "New grid"} | {key: f"{each.title or each.labels[0]} · {counted(len(each.labels), 'fit')}" for key, each in known.items()}
    names |= recipe_names()
    key = choose("Experiment", "experiment", list(names), NEW, labels=names.__getitem__, place=st.sidebar)
    return known.get(key, key)


def _grid() -> Experiment:
    """Choose the lists of a grid; a list of one value is a setting that all fits share."""
    dataset = choose("Data", "dataset", list(DATASETS), START.dataset, labels=dataset_label)
    known = DATASETS[dataset].subjects()
    if not known:
        raise DataNotHere(dataset)
    chosen: dict[str, list[Any]] = {
        "subject": _several(
            "Subjects", "subjects", list(known), [START.subject if START.subject in known else known[0]], labels=subject_label
        ),
        "backbone": _several("Networks", "backbones", list(BACKBONES), list(START_BACKBONES), labels=network_label, new=True),
    }
    if any(BACKBONES[name].needs_weights for name in chosen["backbone"]):
        weights = _several(
            "Weights", "weight_sets", list(WEIGHTS), [WEIGHTS[0]], labels=weights_label, new=True, help="random:0 is the untrained control."
        )
        chosen["weights"] = [check_weights(each) for each in weights]
    names = list(dict.fromkeys(layer for name in chosen["backbone"] for layer in BACKBONES[name].layers(name)))
    layers = _several(
        "Layers", "layer_names", [CURATED, ALL_LAYERS, *names], [CURATED], new=True,
        help="curated: each network's own list; all: every module. A name is taken of every network that has it.",
    )  # fmt: skip
    readouts = _several(
        "Readouts", "readouts", list(READOUTS), [START.readout], labels=readout_label, new=True,
        help="Parameters stand behind the name: ridge alpha=10",
    )  # fmt: skip
    chosen["readout"] = [_readout(text) for text in readouts]
    components = _several(
        "PCA components", "n_components", COMPONENTS, [str(START.n_components)], new=True, help="0 keeps all of them."
    )  # fmt: skip
    chosen["n_components"] = [_whole(text) for text in components]
    validate = st.toggle(
        "Validation fits",
        key="validate",
        bind="query-params",
        help="Fits every cell once more on a part of the training images and scores it on the rest, so that a winner can be chosen without "
        "a look at the test images. Twice as many fits, from the same features.",
    )
    title = st.text_input("Title", key="title", bind="query-params", placeholder="What is the question?")
    with st.expander("Advanced"):
        chosen["pool"] = _several("Pooling", "pools", [pool.example for pool in POOLS.values()], [START.pool], new=True)
        chosen["split"] = _several(
            "Splits",
            "splits",
            list(dict.fromkeys([DATASETS[dataset].split, *SPLITS])),
            [DATASETS[dataset].split],
            labels=split_label,
            new=True,
        )
        subjects = [each for name in chosen["subject"] if (each := opened(dataset, name)) is not None]
        rois = regions_control(subjects, key="regions")  # lists of the grid have names of their own, or Explore would take them over
        chosen["target_groups"] = _several("Fitted together", "fitted_together", FITTED_TOGETHER, [START.target_groups], help=TOGETHER_HELP)
        budget = feature_budget_control(key="budget")
        curves = st.toggle("Learning curves", key="curves", bind="query-params", help="Computed after all fits.")
    grid = _experiment(dataset, chosen, layers, rois, title=title, curves=curves, budget=budget)
    return with_validation(grid) if validate else grid


def _experiment(
    dataset: str, chosen: dict[str, list[Any]], layers: list[str], rois: Sequence[str], *, title: str, curves: bool, budget: float | None
) -> Experiment:
    base: dict[str, Any] = {"dataset": dataset, "feature_budget": NO_BUDGET if budget is None else budget}
    base |= {"rois": list(rois)} if rois else {}
    vary: dict[str, Any] = {}
    for word in (CURATED, ALL_LAYERS):
        if word in layers:
            vary["layers"] = word
            if len(layers) > 1:
                raise ValueError(f"Layers are {word!r} or names, not both.")
    if "layers" not in vary:
        vary["layers"] = layers
    for name, values in chosen.items():
        if len(values) > 1:
            vary[name] = values
        elif name == "readout":
            base |= {"readout": values[0]["name"], "options": {key: value for key, value in values[0].items() if key != "name"}}
        else:
            base[name] = values[0]
    return Experiment.from_dict({"title": title, "curves": curves, "base": base, "vary": vary})


def _several(label: str, key: str, options: Sequence[str], start: list[str], **more: Any) -> list[str]:
    """Choose one value or more; the page stops, saying so, where there is none."""
    values = choose_several(label, key, options, start, **more)
    if not values:
        st.info(f"{label}: choose one or more to go on.")
        stop()
    return values


def _readout(text: str) -> dict[str, Any]:
    """Read ``ridge alpha=10`` as a readout's table of an experiment."""
    name, *parameters = shlex.split(text) or [""]
    return {"name": name} | dict(map(option, parameters))


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"PCA components must be a whole number, not {text!r}.") from None
