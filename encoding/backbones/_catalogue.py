"""The weights of every listed network: which are here, which would be fetched and from where, and fetching them."""

from __future__ import annotations

from pathlib import Path

from encoding.backbones import BACKBONES, NoWeights, WeightsFile
from encoding.backbones._download import fetch as fetch_file
from encoding.backbones._weights import not_downloaded
from encoding.runtime.progress import Report, silent


def every_file() -> list[WeightsFile]:
    """What each listed network's pretrained weights are, present or not. Looks at this machine only."""
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
    """Fetch the pretrained weights of a network, unless they are here; the file.

    A fetch that was stopped goes on from where it was. The bytes are held against their published hash, if there is one.

    Raises
    ------
    UnknownName, NoWeights with the address and the place to put the file by hand, where it cannot be had.
    """
    file = weights_file(network)
    if file.is_here:
        return file.path
    try:
        return fetch_file(file.address, file.path, sha256=file.sha256, report=report)
    except OSError as error:
        raise not_downloaded(network, file.address, file.path, error) from error
