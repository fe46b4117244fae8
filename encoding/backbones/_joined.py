"""Several networks in one fit: ``A + B`` is the backbone of both, and its layers are named after the network that they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

from encoding.backbones._base import JOIN, Source, UnknownLayer, WeightsFile
from encoding.storage.keys import digest


class Member(NamedTuple):
    """One of the networks of a backbone: its full name, the weights that it gets, and the source that builds it."""

    network: str
    weights: str
    source: Source


class JoinedSource(Source):
    """Networks beside one another, each with its own preprocessing; stimuli pass through one after the other.

    A layer is named ``<network> <layer>``. Weights are one text for all networks that have any, or one for each, joined as the networks
    are: ``pretrained + random:0``.

    Parameters
    ----------
    sources : full name of each network to its source, in the order of their names in the backbone's.
    """

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.sources, self.name = dict(sources), JOIN.join(sources)
        self.needs_weights = any(source.needs_weights for source in sources.values())

    def members(self, weights: str) -> tuple[Member, ...]:
        """The networks with their weights; ValueError where there are neither one text of weights nor as many as networks."""
        texts = weights.split(JOIN)
        if len(texts) not in (1, len(self.sources)):
            raise ValueError(f"{self.name} has {len(self.sources)} networks, but {len(texts)} weights are named: {weights!r}.")
        texts = texts if len(texts) > 1 else texts * len(self.sources)
        return tuple(Member(network, text, source) for (network, source), text in zip(self.sources.items(), texts, strict=True))

    def networks(self) -> tuple[str, ...]:
        return (self.name,)

    def layers(self, network: str) -> tuple[str, ...]:
        return tuple(f"{name} {layer}" for name, source in self.sources.items() for layer in source.layers(name))

    def every_layer(self, network: str) -> tuple[str, ...]:
        return tuple(f"{name} {layer}" for name, source in self.sources.items() for layer in source.every_layer(name))

    def fingerprint(self, network: str, weights: str) -> str:
        return digest("backbone", 1, joined=[each.source.fingerprint(each.network, each.weights) for each in self.members(weights)])

    def open(self, network: str, weights: str) -> NoReturn:
        raise ValueError(f"{network} is several networks, which are opened one by one.")

    def weights_file(self, network: str) -> WeightsFile | None:
        files = [file for name, source in self.sources.items() if (file := source.weights_file(name)) is not None]
        return next((file for file in files if not file.is_here), files[0] if files else None)

    def is_ready(self, network: str, weights: str) -> bool:
        return all(each.source.is_ready(each.network, each.weights) for each in self.members(weights))

    def check_layers(self, network: str, layers: Sequence[str]) -> None:
        for (name, source), own in zip(self.sources.items(), own_layers(tuple(self.sources), layers), strict=True):
            source.check_layers(name, tuple(own))


def members_of(source: Source, network: str, weights: str) -> tuple[Member, ...]:
    """The networks of a backbone: itself, or those that it joins."""
    return source.members(weights) if isinstance(source, JoinedSource) else (Member(network, weights, source),)


def own_layers(networks: Sequence[str], layers: Sequence[str]) -> tuple[dict[str, str], ...]:
    """For each of several networks its layers by their own names, and their names in a fit.

    Raises
    ------
    UnknownLayer where a layer is of none of the networks, or a network has none of the layers.

    Examples
    --------
    >>> own_layers(["pixels", "gabor"], ["gabor energy", "pixels rgb"])
    ({'rgb': 'pixels rgb'}, {'energy': 'gabor energy'})
    """
    found: dict[str, dict[str, str]] = {network: {} for network in networks}
    for layer in layers:
        network = next((name for name in networks if layer.startswith(f"{name} ")), None)
        if network is None:
            raise UnknownLayer(f"{layer!r} names no network: write {networks[0]!r} or another of the fit, a space, and the layer.")
        found[network][layer.removeprefix(f"{network} ")] = layer
    if without := [network for network, own in found.items() if not own]:
        raise UnknownLayer(f"No layer of {without[0]} is among {', '.join(layers)}. Name one, or leave the network out.")
    return tuple(found.values())


def join(networks: Mapping[str, Sequence[str]]) -> tuple[str, tuple[str, ...]]:
    """Backbone and layers of a fit of some networks with their layers; of one network both stay as they are.

    Examples
    --------
    >>> join({"pixels": ["rgb"], "gabor": ["energy"]})
    ('pixels + gabor', ('pixels rgb', 'gabor energy'))
    """
    if len(networks) == 1:
        ((network, layers),) = networks.items()
        return network, tuple(layers)
    return JOIN.join(networks), tuple(f"{network} {layer}" for network, layers in networks.items() for layer in layers)
