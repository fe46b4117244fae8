"""Sidebar widgets that make a FitSpec. A widget's key is its URL parameter; menus show labels, links hold keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from encoding import BACKBONES, DATASETS, READOUTS, FitSpec
from encoding.backbones._pooling import OVER_FRAMES, POOLS, pools_help
from encoding.datasets import BadData
from encoding.evaluation.splits import RUNS
from encoding.features.components import COMPONENT_SCALINGS, LAYER_SCALINGS, REDUCTIONS
from encoding.features.given import is_given
from encoding.features.half import FEATURE_DTYPES
from encoding.fits.feature_budget import budget_text, default_budget, read_budget
from encoding.fits.spec import TARGET_GROUPS
from encoding.plots.look import HEMI_NAMES, hemi_name
from encoding.readouts import Readout
from encoding.runs.labels import (
    GROUPS,
    dataset_label,
    readout_group,
    readout_label,
    split_label,
    subject_label,
)
from pages.parts.shared.delay_control import delay_control, has_delays
from pages.parts.shared.linked import (
    adopt_link,
    begin_reading,
    choose,
    choose_several,
    count,
    enter,
    forget,
    leave_out,
    leave_unread_out,
    switch,
)
from pages.parts.shared.network_controls import network_controls
from pages.parts.shared.parameter_controls import parameter_controls
from pages.parts.shared.roi_unions import regions_control
from pages.parts.shared.server_state import has_repeats, opened
from pages.parts.shared.start import START
from pages.parts.shared.text import plain

SPLITS = ("holdout:0.9:5", "kfold:5:0")
MOST_COMPONENTS, MOST_FRAMES = 5_000, 90
CONTROLS = (
    "dataset", "subject", "backbone", "more_networks", "weights", "layer", "several_layers", "pool", "frames", "over_frames",
    "layer_scaling", "components", "readout", "target_groups", "extra_subjects", "split", "average_repeats", "input",
    "component_scaling", "degree", "feature_budget", "feature_dtype", "delays", "reduction", "rois", "hemi",
)  # fmt: skip
STYLE = """<style>
.st-key-fit_controls label {min-height: 1.25rem; margin-bottom: 0}
.st-key-fit_controls label p {font-size: 0.85rem}
.st-key-fit_controls .stSelectbox [role=group] {height: 2rem; min-height: 2rem}
</style>"""  # what most fits differ in is in sight on a small laptop
_OF_BEFORE = ("_backbone_of_layers", "_dataset_of_split")


class DataNotHere(ValueError):
    """Raised where no subject of the chosen data set can be opened; the message says where its files belong.

    Attributes
    ----------
    dataset : name of the data set.
    """

    def __init__(self, dataset: str) -> None:
        super().__init__(f"No subject of {DATASETS[dataset].title} can be opened. {DATASETS[dataset].where()}")
        self.dataset = dataset


def control_values() -> dict[str, Any]:
    """Values of every control, to return to by :func:`return_to`."""
    return {key: st.session_state[key] for key in (*control_names(), *_OF_BEFORE) if key in st.session_state}


def return_to(values: Mapping[str, Any]) -> None:
    """Callback: set the controls to :func:`control_values` of an earlier run."""
    st.session_state.update(values)


def forget_controls() -> None:
    """Forget every control's value, so that a link means what it says and defaults besides."""
    forget((*control_names(), *_OF_BEFORE))


def control_names() -> list[str]:
    """Names of every control, drawn or not, which are those of its parameter in the link."""
    return [*CONTROLS, *(f"{name}_{field.name}" for name, known in READOUTS.items() for field in dataclasses.fields(known.options))]


def fit_controls(network: Callable[[], tuple[str, str, tuple[str, ...]]] | None = None) -> FitSpec:
    """Choose everything that defines a fit, in the sidebar or URL: the few things that most fits differ in, and the rest under Advanced.

    Parameters
    ----------
    network : draws other widgets in place of backbone, weights and layers, and returns these three.

    Raises
    ------
    DataNotHere where the data set has no subject. ValueError where a choice cannot be read, such as an alpha that is no number.
    """
    main = st.sidebar.container(key="fit_controls", gap="xsmall")
    expander = st.sidebar.expander("Advanced", key="advanced", on_change="rerun")
    advanced = expander if expander.open else None  # closed it draws nothing: half of the page's widgets
    begin_reading()
    with main:
        st.html(STYLE)
        dataset, subject = _data()
        backbone, weights, layers = network() if network else network_controls(dataset, subject, advanced)
        readout = _readout(dataset, backbone)
    kept = {} if is_given(backbone) else _kept(dataset, advanced)
    if len(layers) > 1 or "layer_scaling" in st.query_params:
        kept["layer_scaling"] = choose(
            "Layer scaling",
            "layer_scaling",
            list(LAYER_SCALINGS),
            START.layer_scaling,
            place=advanced,
            help="equal: every layer enters the PCA with the same total variance; none: a layer of many features outweighs the others; "
            "zscore: each feature is standardised on the training images. Without effect on readouts that treat layers apart.",
        )
    n_components = count(
        "PCA components",
        "components",
        START.n_components,
        0,
        MOST_COMPONENTS,
        place=advanced,
        step=10,
        help="Directions of largest variance, found on training images alone. 0 keeps all of them.",
    )
    if has_delays(dataset, subject):
        kept["delays"] = delay_control(dataset, subject, advanced)
    options = parameter_controls(READOUTS[readout], advanced)
    together = _fitted_together(READOUTS[readout], options, dataset, subject, advanced)
    if "rois" in st.query_params or st.session_state.get("rois"):  # of a link, such as to a fit of a union of regions
        kept["rois"] = regions_control([each for each in [opened(dataset, subject)] if each is not None], place=advanced)
    if "hemi" in st.query_params or st.session_state.get("hemi", START.hemi) != START.hemi:  # of a link, such as to a fit of the shell
        of_subject = opened(dataset, subject)
        blocks = [START.hemi, *(of_subject.hemis if of_subject is not None else HEMI_NAMES)]
        shown = {"labels": hemi_name, "new": of_subject is None, "place": advanced}
        kept["hemi"] = choose("Hemispheres", "hemi", blocks, START.hemi, help="Whose responses are fitted.", **shown)
    split = _split(dataset, subject, advanced)
    if "average_repeats" in st.query_params or has_repeats(dataset, subject):
        kept["average_repeats"] = switch(
            "Average test repeats",
            "average_repeats",
            place=advanced,
            help="Responses and predictions of a test stimulus that was shown several times are averaged before they are scored.",
        )
    kept |= _rarely_changed(advanced, given=is_given(backbone))
    leave_unread_out(control_names(), {name: str(value) for name, value in dataclasses.asdict(START).items()})
    if not layers:
        raise ValueError("Choose a layer to go on.")
    return FitSpec(
        dataset=dataset,
        subject=subject,
        backbone=backbone,
        weights=weights,
        layers=layers,
        **kept,
        n_components=n_components,
        readout=readout,
        options=options,
        split=split,
        **together,
    )


def _rarely_changed(place: DeltaGenerator | None, *, given: bool) -> dict[str, Any]:
    """Input, scaling and degree of components, and how features are stored."""
    kept: dict[str, Any] = {}
    if not given:
        kept["input"] = enter(
            "Input",
            "input",
            START.input,
            place=place,
            placeholder="as the weights were trained",
            help="How images enter the network. Empty: the preprocessing of its weights, mostly a crop of the centre. resize shows "
            "the whole image, its sides resized apart; pad shows it on black; resize:224:bicubic names size and interpolation.",
        )
    kept["component_scaling"] = choose(
        "Component scaling",
        "component_scaling",
        list(COMPONENT_SCALINGS),
        START.component_scaling,
        place=place,
        help="zscore: each component is divided by its deviation over the training images, so that penalties and distances count "
        "all alike; none: large components count more.",
    )
    kept["reduction"] = choose(
        "Reduction",
        "reduction",
        list(REDUCTIONS),
        START.reduction,
        place=place,
        help="pca: directions of largest variance; sparse_random: a sparse random projection to as many components, fitted to "
        "nothing; none: the features as they are, however many components are asked for.",
    )
    degree = choose(
        "Degree of components",
        "degree",
        ("1", "2"),
        str(START.degree),
        place=place,
        help="2: squares and products of the components enter the readout, too (polynomial features); of k components "
        "k (k + 3) / 2 columns. For linear readouts, with few components.",
    )
    kept["degree"] = int(degree)
    kept["feature_budget"] = feature_budget_control(place)
    kept["feature_dtype"] = choose(
        "Features stored as",
        "feature_dtype",
        FEATURE_DTYPES,
        START.feature_dtype,
        place=place,
        help="float16 takes half the room; components explain the same variance to within 1e-4.",
    )
    return kept


def _data() -> tuple[str, str]:
    dataset = choose("Data", "dataset", list(DATASETS), START.dataset, labels=dataset_label, help=_about_data())
    known = DATASETS[dataset]
    subjects = known.subjects()
    if not subjects:
        raise DataNotHere(dataset)
    return dataset, choose("Subject", "subject", list(subjects), START.subject, labels=subject_label)


def _kept(dataset: str, place: DeltaGenerator | None) -> dict[str, Any]:
    """What is kept of a layer's places and, for clips, of their frames."""
    kept: dict[str, Any] = {
        "pool": choose(
            "Pooling",
            "pool",
            [pool.example for pool in POOLS.values()],
            START.pool,
            new=True,
            place=place,
            help=f"Pooling over a layer's places. {pools_help()}.",
        )
    }
    if DATASETS[dataset].clips:
        kept["frames"] = count("Frames", "frames", START.frames, 1, MOST_FRAMES, place=place, help="Taken of each clip, evenly spaced.")
        what = "What is kept of them."
        kept["over_frames"] = choose("Over frames", "over_frames", list(OVER_FRAMES), START.over_frames, place=place, help=what)
    return kept


def _split(dataset: str, subject: str, place: DeltaGenerator | None) -> str:
    """Which stimuli test; a data set's own split is chosen with it, and splits that come with a subject's data are offered."""
    own = DATASETS[dataset].split
    before = st.session_state.get("_dataset_of_split")
    if before != dataset:
        st.session_state["_dataset_of_split"] = dataset
        if before is not None and not adopt_link("split"):
            st.session_state["split"] = own
    try:
        named = DATASETS[dataset].splits(subject)
    except BadData as wrong:
        named = []
        st.warning(plain(wrong))
    return choose(
        "Split",
        "split",
        list(dict.fromkeys([own, *named, *SPLITS, *([RUNS] if has_delays(dataset, subject) else [])])),
        own,
        labels=split_label,
        new=True,
        place=place,
        help="Which images test. holdout:0.9:5 trains on the 90 % that the Algonauts kit shuffles with seed 5; "
        "kfold:5:0 tests every image once; first:900 trains on the first 900 images (or groups of rows); runs leaves out one run at "
        "a time. named:… come with the data, and may have several test sets.",
    )


def feature_budget_control(place: Any = st, *, key: str = "feature_budget") -> float | None:
    """Choose how many GB the stored features of a layer may take; None, written ``none`` in a link, for no limit."""
    text = enter(
        "Feature budget",
        key,
        budget_text(default_budget()),
        place=place,
        help="GB that the stored features of one layer may take. A larger layer is reduced to its components while the images pass through "
        "the network twice, and never stored. none: no limit.",
    )
    return read_budget(text)


def _about_data() -> str:
    known = DATASETS[name] if (name := st.session_state.get("dataset", START.dataset)) in DATASETS else DATASETS[START.dataset]
    return f"**{plain(known.title)}** {plain(known.about)}"


def _readout(dataset: str, backbone: str) -> str:
    """Choose the readout, group by group, of those that work with these stimuli and this network."""
    works = [name for name, known in READOUTS.items() if _works(known, dataset, backbone)]
    linked = st.query_params.get("readout", st.session_state.get("readout"))
    if linked in READOUTS and linked not in works:  # the plan says why it does not work
        works.append(linked)
    works.sort(key=lambda name: (GROUPS.index(readout_group(READOUTS[name])), name != START.readout, READOUTS[name].title))
    chosen = READOUTS[linked if linked in READOUTS else START.readout]
    about = f"**{chosen.title}** {chosen.about}"
    return choose("Readout", "readout", works, START.readout, labels=readout_label, help=about)


def _works(readout: Readout, dataset: str, backbone: str) -> bool:
    """Whether a readout can be fitted at all to this kind of stimuli and network."""
    if readout.needs_frames(readout.options()) and not DATASETS[dataset].clips:
        return False
    return readout.uses_components or BACKBONES[backbone].needs_weights


def _fitted_together(readout: Readout, options: dict[str, Any], dataset: str, subject: str, place: DeltaGenerator | None) -> dict[str, Any]:
    """What is fitted together, where that makes a difference."""
    together: dict[str, Any] = {}
    if not readout.targets_apart(readout.read(options)):
        together["target_groups"] = choose(
            "Fitted together",
            "target_groups",
            TARGET_GROUPS[:4],
            START.target_groups,
            new=True,
            place=place,
            help="Vertices, or voxels, that share a model: those of a hemisphere, of both, or of each ROI (in each hemisphere, or both). "
            "Or type vertex:lh:120 to fit a single one.",
        )
    others = [other for other in DATASETS[dataset].subjects() if other != subject]
    leave_out("extra_subjects", subject)
    if getattr(readout, "shares", False) and others:
        together["extra_subjects"] = choose_several(
            "Extra subjects",
            "extra_subjects",
            others,
            (),
            new=True,
            place=place,
            placeholder="No other subject",
            help="Additional subjects for multi-subject training: a shared trunk and one linear head per subject. Takes their time, too.",
        )
    return together
