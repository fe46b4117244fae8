"""Find a network's weights: in the cache of torch.hub, by a download into it, or in a file of one's own."""

from __future__ import annotations

import os
import re
from pathlib import Path

from encoding.backbones._base import NoWeights
from encoding.storage.download import fetch, reason_of
from encoding.storage.files import in_home, require_regular

PRETRAINED = "pretrained"
RANDOM = "random:"
ADDRESS = "https://download.pytorch.org/models"
WITHOUT = "These work without it: weights 'random:0' (untrained), a weights file of your own, and the backbones gabor and pixels."


def seed_of(weights: str) -> int | None:
    """The seed in ``random:<seed>``; None where ``weights`` names anything else."""
    if not weights.startswith(RANDOM):
        return None
    seed = weights.removeprefix(RANDOM)
    if not seed.isdecimal():
        raise ValueError(f"Weights {weights!r} are not understood. Write random:0, random:1, … for an untrained network.")
    return int(seed)


def checkpoints() -> Path:
    """The folder that torch.hub keeps downloaded weights in: ``$TORCH_HOME/hub/checkpoints``."""
    cached = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return in_home(os.environ.get("TORCH_HOME") or cached / "torch", "TORCH_HOME") / "hub" / "checkpoints"


def find_weights(network: str, weights: str, file_name: str) -> Path:
    """Path of the ``pretrained`` weights, downloaded where they are missing, or of the file that ``weights`` names.

    Raises
    ------
    NoWeights where the file does not exist and cannot be downloaded. NotRegular where a folder, a pipe or a device is named.
    """
    path = checkpoints() / file_name if weights == PRETRAINED else Path(weights).expanduser()
    if path.exists():
        require_regular(path)
        return path
    if weights != PRETRAINED:
        raise NoWeights(f"There is no weights file {weights!r}. Weights are 'pretrained', 'random:<seed>' or the path of a file.")
    return fetch_weights(network, f"{ADDRESS}/{file_name}", path, sha256=hash_in_name(file_name))


def fetch_weights(network: str, address: str, path: Path, **how: object) -> Path:
    """Download a network's weights to ``path``; NoWeights, with the address and the path for a download by hand, where that fails.

    ``how`` is passed to :func:`encoding.storage.download.fetch`.
    """
    try:
        return fetch(address, path, **how)
    except OSError as error:
        raise NoWeights(
            f"The pretrained weights of {network} are not on this machine and could not be downloaded ({reason_of(error)}). "
            f"Download {address} elsewhere and save it as {path}. {WITHOUT}"
        ) from error


def hash_in_name(file_name: str) -> str:
    """First digits of a file's SHA-256 that its name contains, as names of torchvision's files do; empty where there are none.

    >>> hash_in_name("alexnet-owt-7be5be79.pth")
    '7be5be79'
    """
    match = re.search(r"-([0-9a-f]{8,})\.", file_name)
    return match[1] if match else ""
