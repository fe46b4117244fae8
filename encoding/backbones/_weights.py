"""Where a network's weights come from: the cache of torch.hub, a download into it, or a file of one's own."""

from __future__ import annotations

import http.client
import os
import pickle
import re
import struct
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encoding.backbones._base import NoWeights
from encoding.backbones._download import fetch
from encoding.runtime.progress import Report, silent
from encoding.storage.fingerprints import sha256

if TYPE_CHECKING:
    import torch
    from torch import nn

PRETRAINED = "pretrained"
RANDOM = "random:"
ADDRESS = "https://download.pytorch.org/models"

WITHOUT = "These work without it: weights 'random:0' (untrained), a weights file of your own, and the backbones gabor and pixels."
WRAPPERS = ("state_dict", "model_state_dict", "model")  # under which training scripts save the tensors
OLD_NAMES = (  # of parameters in published files, which torchvision has renamed since
    (r"(denselayer\d+\.(?:norm|relu|conv))\.(?=[12]\.)", r"\1"),
    (r"\.mlp\.linear_1\.", ".mlp.0."),
    (r"\.mlp\.linear_2\.", ".mlp.3."),
)
UNREADABLE = (RuntimeError, EOFError, ValueError, TypeError, LookupError, AttributeError, struct.error)  # what torch makes of damage
DOWNLOAD_FAILED = (OSError, http.client.HTTPException)
TRAINING_ONLY = r"(AuxLogits|aux1|aux2)\."  # auxiliary classifiers of GoogLeNet and InceptionV3


def seed_of(weights: str) -> int | None:
    """The seed in ``random:<seed>``; None where ``weights`` asks for anything else."""
    if not weights.startswith(RANDOM):
        return None
    seed = weights.removeprefix(RANDOM)
    if not seed.isdecimal():
        raise ValueError(f"Weights {weights!r} are not understood. Write random:0, random:1, … for an untrained network.")
    return int(seed)


def checkpoints() -> Path:
    """The folder that torch.hub keeps downloaded weights in: ``$TORCH_HOME/hub/checkpoints``."""
    cached = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return Path(os.environ.get("TORCH_HOME") or cached / "torch").expanduser() / "hub" / "checkpoints"


def find_weights(network: str, weights: str, file_name: str) -> Path:
    """The file that holds ``pretrained`` or the file that ``weights`` names; pretrained ones are downloaded if need be.

    Raises
    ------
    NoWeights where it is not here and cannot be had.
    """
    path = checkpoints() / file_name if weights == PRETRAINED else Path(weights).expanduser()
    if path.is_file():
        return path
    if weights != PRETRAINED:
        raise NoWeights(f"There is no weights file {weights!r}. Weights are 'pretrained', 'random:<seed>' or the path of a file.")
    try:
        download(f"{ADDRESS}/{file_name}", path)
    except DOWNLOAD_FAILED as error:
        raise not_downloaded(network, f"{ADDRESS}/{file_name}", path, error) from error
    return path


def not_downloaded(network: str, address: str, path: Path, error: Exception) -> NoWeights:
    """What to tell a person whose machine could not have a network's weights."""
    return NoWeights(
        f"The pretrained weights of {network} are not on this machine and could not be downloaded ({type(error).__name__}: {error}). "
        f"Download {address} elsewhere and save it as {path}. {WITHOUT}"
    )


def download(address: str, target: Path, report: Report = silent) -> None:
    """Fetch a file whose name holds the start of its sha256, as torchvision's do; it appears at ``target`` when whole.

    Raises
    ------
    OSError where the server is out of reach or its bytes are not those that the name promises.
    """
    fetch(address, target, sha256=promised_hash(target.name), report=report)


def promised_hash(file_name: str) -> str:
    """The start of a file's sha256 that its name holds, as torchvision's do; empty where it holds none.

    >>> promised_hash("alexnet-owt-7be5be79.pth")
    '7be5be79'
    """
    found = re.search(r"-([0-9a-f]{8,})\.", file_name)
    return found[1] if found else ""


def weights_fingerprint(path: Path) -> str:
    """The sha256 of a file's bytes, learnt again only when the file changes."""
    state = path.stat()
    return _sha256(path.absolute(), state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)


@cache
def _sha256(path: Path, *_state: int) -> str:
    return sha256(path)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Parameter names to tensors on the CPU, from a ``.safetensors`` file or one that torch.save wrote.

    No code in the file is run. A training checkpoint's wrapping is taken off: ``state_dict`` and the like, the
    ``module.`` of DataParallel, names that torchvision has since changed, classifiers used in training only.

    Raises
    ------
    ValueError where the file is damaged, or holds anything but tensors and plain values.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        is_safetensors = path.suffix == ".safetensors"
        found = load_file(path) if is_safetensors else torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        mend = "Save only model.state_dict() again, best as .safetensors."
        raise ValueError(f"{path} was refused: it holds more than tensors, or is damaged, and nothing in it was run. {mend}") from error
    except (*UNREADABLE, SafetensorError) as error:
        raise ValueError(f"{path} cannot be read as weights; it may be cut short ({_first_line(error)}). Copy it again.") from error
    return _tidy(found, path)


def _tidy(found: Any, path: Path) -> dict[str, torch.Tensor]:
    import torch

    for wrapper in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not all(torch.is_tensor(value) for value in found.values()):
        raise ValueError(f"{path} holds no table of tensors by name. Save model.state_dict(), best as .safetensors.")
    tensors = {}
    for name, tensor in found.items():
        name = name.removeprefix("module.")
        for old, new in OLD_NAMES:
            name = re.sub(old, new, name)
        if not re.match(TRAINING_ONLY, name):
            tensors[name] = tensor
    return tensors


def fill(network: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path, name: str) -> None:
    """Copy ``tensors`` into the network's parameters and buffers.

    Raises
    ------
    ValueError naming the tensors that are missing, unexpected or of another shape; the network is unchanged then.
    """
    import torch

    own = network.state_dict()
    counts = {key for key in own if key.endswith("num_batches_tracked")}  # unused in evaluation, absent from old files
    missing = [key for key in own if key not in tensors and key not in counts]
    unexpected = [key for key in tensors if key not in own]
    shared = [key for key in own if key in tensors]
    misfits = [
        f"{key} {tuple(tensors[key].shape)} instead of {tuple(own[key].shape)}" for key in shared if tensors[key].shape != own[key].shape
    ]
    wrong = [
        f"{kind}: {_some(keys)}" for kind, keys in (("missing", missing), ("unexpected", unexpected), ("of another shape", misfits)) if keys
    ]
    if wrong:
        raise ValueError(f"{path} does not fit {name}. Tensors {'; '.join(wrong)}.")
    with torch.no_grad():
        for key in shared:
            own[key].copy_(tensors[key])


def _some(names: Sequence[str], show: int = 4) -> str:
    rest = f" and {len(names) - show} more" if len(names) > show else ""
    return ", ".join(names[:show]) + rest


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
