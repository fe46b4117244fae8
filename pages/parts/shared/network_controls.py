"""Sidebar widgets for the network of a fit, its weights and its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from encoding import BACKBONES, DATASETS, FitSpec
from encoding.backbones._base import JOIN
from encoding.features.given import PREFIX, is_given
from encoding.runs.labels import layer_label, network_label, weights_label
from pages.parts.shared.access import check_weights, is_shared
from pages.parts.shared.linked import adopt_link, choose, choose_several, hold, leave_out, write_link
from pages.parts.shared.server_state import weights_are_here
from pages.parts.shared.start import START

WEIGHTS = ("pretrained", "random:0")


def network_controls(dataset: str, subject: str, advanced: DeltaGenerator | None) -> tuple[str, str, tuple[str, ...]]:
    """Choose backbone, weights and layers; further networks in the place ``advanced``, where that is open."""
    tables = DATASETS[dataset].feature_tables(subject)
    known = [name for name in BACKBONES if not is_given(name) or name.removeprefix(PREFIX) in tables]
    backbone = choose(
        "Network",
        "backbone",
        known,
        START.backbone,
        labels=network_label,
        help="The network, or filter bank, that turns images into features. (given): features given as a table with the data.",
    )
    backbone = JOIN.join([backbone, *_further_networks(backbone, known, advanced)])
    source = BACKBONES[backbone]
    weights = weights_control(backbone) if source.needs_weights else START.weights
    return backbone, weights, _layers(backbone, source.layers(backbone), advanced)


def _layers(backbone: str, curated: tuple[str, ...], advanced: DeltaGenerator | None) -> tuple[str, ...]:
    """Choose one layer, or several where that was switched on or networks are joined."""
    adopted = adopt_link("layer", several=True)
    state = st.session_state.get("layer") or []
    chosen = [state] if isinstance(state, str) else list(state)
    before = st.session_state.get("_backbone_of_layers")
    if before != backbone:
        st.session_state["_backbone_of_layers"] = backbone
        if not adopted and (before is not None or not chosen):
            chosen = _start_layers(backbone, curated)
    several, switched = JOIN in backbone, st.session_state.get("several_layers")
    if not several:
        if len(chosen) > 1 and (adopted or switched is None):
            st.session_state["several_layers"] = True
        several = st.session_state.get("several_layers", False)
        if advanced is not None:
            help = "Layers side by side in one fit; in banded ridge each with a penalty of its own."
            several = advanced.toggle("Join several layers", key="several_layers", persist_state="session", help=help)
    words = "Early layers come first. Type the name of any other module of the network."
    options = [*curated, *(layer for layer in chosen if layer not in curated)]
    shown: dict[str, Any] = {
        "key": "layer",
        "format_func": lambda layer: layer_label(backbone, layer),
        "accept_new_options": True,
        "persist_state": "session",
        "help": words,
    }
    if several:
        hold("layer", chosen)
        chosen = st.multiselect("Layers", options, placeholder="Choose a layer", **shown)
    else:
        hold("layer", chosen[0] if chosen else _start_layers(backbone, curated)[0])
        chosen = [layer] if (layer := st.selectbox("Layer", options, **shown)) else []
    write_link("layer", chosen, START.layers if backbone == START.backbone else ())
    return tuple(chosen)


def _further_networks(backbone: str, known: Sequence[str], place: DeltaGenerator | None) -> list[str]:
    """Choose networks whose layers the fit has as well."""
    leave_out("more_networks", backbone)
    return choose_several(
        "Further networks",
        "more_networks",
        [name for name in known if name != backbone],
        (),
        labels=network_label,
        place=place,
        placeholder="None",
        help="Layers of several networks in one fit: each with a penalty of its own in banded ridge, which says what each adds; side "
        "by side in other readouts. Images pass through one network after the other.",
    )


def weights_control(backbone: str = "") -> str:
    """Choose the weights of a network; PathRefused, a ValueError, for a path on a server that opens none."""
    a_path = "" if is_shared() else "; or type the path of a weights file"
    words = f"pretrained; random:0 for the untrained control{a_path}."

    def label(weights: str) -> str:
        away = weights == "pretrained" and backbone and not weights_are_here(FitSpec(backbone=backbone, weights=weights))
        return "pretrained (to be downloaded)" if away else weights_label(weights)

    return check_weights(choose("Weights", "weights", list(WEIGHTS), START.weights, labels=label, new=True, help=words))


def _start_layers(backbone: str, curated: tuple[str, ...]) -> list[str]:
    """Layers that are chosen with a backbone: the middle one of each network's list."""
    if backbone == START.backbone:
        return list(START.layers)
    networks = backbone.split(JOIN)
    own = [[layer for layer in curated if len(networks) == 1 or layer.startswith(f"{name} ")] for name in networks]
    return [layers[len(layers) // 2] for layers in own if layers]
