"""List the pretrained weights of every network, present or not, and download them."""

from __future__ import annotations

from pathlib import Path

from encoding.backbones import BACKBONES, NoWeights, WeightsFile
from encoding.backbones._weights import fetch_weights
from encoding.runtime.progress import Report, silent


def every_file() -> list[WeightsFile]:
    """The pretrained weights of each listed network, present or not. Looks at this machine only."""
    found = (BACKBONES[name].weights_file(name) for name in BACKBONES)
    return [file for file in found if file is not None]


def weights_file(network: str) -> WeightsFile:
    """The pretrained weights of one network, listed or not.

    Raises
    ------
    UnknownName, NoWeights where the network learns nothing, or no weights of it are published.
    """
    file = BACKBONES[network].weights_file(network)
    if file is None:
        raise NoWeights(f"{network} has no weights to fetch: nothing in it is learned, or none are published.")
    return file


def fetch(network: str, report: Report = silent) -> Path:
    """Download the pretrained weights of a network unless they are here, and return their file.

    A download that was stopped continues. The bytes are compared with their published hash, if there is one.

    Raises
    ------
    UnknownName, NoWeights with the address and the place to put the file by hand, where it cannot be had.
    """
    file = weights_file(network)
    if file.is_here:
        return file.path
    return fetch_weights(network, file.address, file.path, sha256=file.sha256, report=report)
