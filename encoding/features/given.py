"""Backbones ``given/<name>``: feature tables of a data set in place of a network (:mod:`encoding.datasets.own.feature_tables`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from encoding.backbones import SOURCES, Source
from encoding.backbones._base import JOIN
from encoding.backbones._joined import JoinedSource
from encoding.datasets import DATASETS, BadData, Stimuli
from encoding.datasets.own.feature_tables import FeatureTable, table_layers
from encoding.runtime.progress import Report
from encoding.runtime.registry import UnknownName, unknown
from encoding.storage.store import Store

PREFIX = "given/"


def is_given(backbone: str) -> bool:
    """Whether a backbone is a feature table."""
    return backbone.startswith(PREFIX) and JOIN not in backbone


def given_in(backbone: str) -> list[str]:
    """The feature tables among the networks of a backbone."""
    return [network for network in backbone.split(JOIN) if is_given(network)]


class GivenSource(Source):
    """The feature tables of all data sets, so that menus can list them; a plan opens those of its subject (:class:`TableSource`)."""

    name = "given"
    needs_weights = False

    def networks(self) -> tuple[str, ...]:
        return tuple(sorted({f"{PREFIX}{name}" for dataset in DATASETS.values() for name in dataset.feature_tables()}))

    def layers(self, network: str) -> tuple[str, ...]:
        """The layers of the tables of that name in any data set."""
        found: dict[str, None] = {}
        for dataset in DATASETS.values():
            for subject in ("", *dataset.subjects()):
                path = dataset.feature_tables(subject).get(network.removeprefix(PREFIX))
                if path is not None:
                    with suppress(BadData, OSError):  # found again, and reported, where it is used
                        found |= dict.fromkeys(table_layers(path))
        return tuple(found)

    def every_layer(self, network: str) -> tuple[str, ...]:
        return self.layers(network)

    def why_not(self, network: str) -> str:
        known = self.networks()
        return "" if known else "No data set here has feature tables. Put one into a folder features beside its dataset.toml."

    def fingerprint(self, network: str, weights: str) -> NoReturn:
        raise ValueError(f"{network} is a table of a data set's stimuli and has no fingerprint without them.")

    def open(self, network: str, weights: str) -> NoReturn:
        raise ValueError(f"{network} is a table of features. It is no network, and images cannot pass through it.")


class TableSource(GivenSource):
    """The feature tables of some stimuli.

    Parameters
    ----------
    stimuli : whose ``tables`` they are. where : for messages, such as ``kitchen ann``.
    """

    def __init__(self, stimuli: Stimuli, where: str) -> None:
        self.stimuli, self.where = stimuli, where

    def table(self, network: str) -> FeatureTable:
        """The table of a name; UnknownName where these stimuli have none of it."""
        name, known = network.removeprefix(PREFIX), self.stimuli.tables
        if name in known:
            return known[name]
        raise UnknownName(unknown(f"feature table of {self.where}", name, known) if known else f"{self.where} has no feature tables.")

    def layers(self, network: str) -> tuple[str, ...]:
        return self.table(network).layers

    def fingerprint(self, network: str, weights: str) -> str:
        return self.table(network).fingerprint

    def known_sizes(self, network: str, layers: Sequence[str]) -> Mapping[str, int]:
        return {layer: self.table(network).n_features(layer) for layer in layers}


def with_tables(source: Source, backbone: str, stimuli: Stimuli, where: str) -> Source:
    """The source of a backbone in which feature tables are those of some stimuli; ``where`` as for :class:`TableSource`."""
    if isinstance(source, JoinedSource):
        return JoinedSource({name: with_tables(each, name, stimuli, where) for name, each in source.sources.items()})
    return TableSource(stimuli, where) if is_given(backbone) else source


def store_features(
    stimuli: Stimuli,
    network: str,
    keys: Mapping[str, str],
    store: Store,
    *,
    made_from: Mapping[str, Any],
    check: Callable[[], None],
    report: Report,
) -> None:
    """Store the rows of a table as features of the layers in ``keys``; those that are stored already are not read.

    Parameters
    ----------
    keys : layer to the key of its features.
    check : called when a layer was read, before it is stored; what it raises leaves nothing of it behind.

    Raises
    ------
    BadData where rows and stimuli do not agree, or a value is no finite number.
    """
    table = TableSource(stimuli, "These stimuli").table(network)
    for number, (layer, key) in enumerate(keys.items()):
        report(number / len(keys), f"features: {table.path.name}, {layer}")

        def make(layer: str = layer) -> dict[str, Any]:
            X = table.read(layer)
            check()
            return {"X": X}

        store.memo(key, make, dict(made_from) | {"layer": layer})


SOURCES.register(GivenSource.name, GivenSource())
