"""Read weights files as libraries and training scripts write them, and copy their tensors into a network.

No code in a file is run. What a file is, its first bytes say, whatever its ending. Training scripts save the tensors inside
tables (``state_dict``) and behind prefixes (``module.``): both are taken off. Where a file holds weights and their average
over training (EMA), the average is taken, as timm does.
"""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encoding.backbones._axes import ancestors
from encoding.backbones._base import BadWeights
from encoding.storage.files import open_regular
from encoding.storage.fingerprints import sha256

if TYPE_CHECKING:
    import torch
    from torch import nn

AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema", "params_ema", "averaged_model", "swa_model", "teacher")
TABLES = (*AVERAGES, "state_dict", "model_state_dict", "model", "model_state", "net", "network", "params", "weights", "module", "backbone")
TABLES += ("encoder", "student")  # in order of preference
NOT_WEIGHTS = re.compile(r"optim|sched|scaler|loss|criterion", re.IGNORECASE)  # tables that training scripts save beside them
WRAPPED = re.compile(r"^(module\.)+|(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")  # by torch, around modules
OLD_NAMES = (  # of parameters in published files, which torchvision has renamed since
    (r"(denselayer\d+\.(?:norm|relu|conv))\.(?=[12]\.)", r"\1"),
    (r"\.mlp\.linear_1\.", ".mlp.0."),
    (r"\.mlp\.linear_2\.", ".mlp.3."),
)
TRAINING_ONLY = r"(AuxLogits|aux1|aux2)\.|(mask_token|n_averaged)$"  # auxiliary classifiers; masked pretraining; averaging
UNREADABLE = (RuntimeError, EOFError, ValueError, TypeError, LookupError, AttributeError, struct.error)  # what torch makes of damage
SAVE = "Save model.state_dict(), best as .safetensors."
OTHER_FILES = {  # first bytes to what the file is and what to do
    b"version https://git-lfs": "a Git LFS pointer, a few lines in place of the file. Fetch the file itself: git lfs pull",
    b"<!doctype html": "a web page, such as an error or a login. Download the weights again and look at what the link gives",
    b"<html": "a web page, such as an error or a login. Download the weights again and look at what the link gives",
    b"<?xml": "an XML text, such as a server's error. Download the weights again and look at what the link gives",
    b"{": "a JSON text, such as a server's error or a configuration. The weights are in another file",
    b"\x1f\x8b": "compressed (gzip). Unpack it first",
    b"BZh": "compressed (bzip2). Unpack it first",
    b"\xfd7zXZ": "compressed (xz). Unpack it first",
    b"7z\xbc\xaf": "a 7z archive. Unpack it first",
    b"\x89HDF": "an HDF5 file, as Keras and MATLAB write. " + SAVE,
    b"\x93NUMPY": "one NumPy array. " + SAVE,
    b"GGUF": "a GGUF file of a language model. " + SAVE,
    b"%PDF": "a PDF. The weights are in another file",
    b"\x81\xa6params": "a Flax file (msgpack). " + SAVE,
}


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read parameter names and their tensors, on the CPU, from a safetensors file or one that ``torch.save`` wrote.

    Raises
    ------
    ValueError where the file is damaged, is something else, or holds anything but tensors and plain values.
    """
    _, saved = _table(_load(path), path)
    tensors = {}
    for name, tensor in saved.items():
        name = WRAPPED.sub("", name)
        for old, new in OLD_NAMES:
            name = re.sub(old, new, name)
        if not re.match(TRAINING_ONLY, name):
            tensors[name] = tensor
    if odd := next((name for name, each in tensors.items() if not _is_plain(each)), None):
        raise BadWeights(f"{path}: {odd} is complex, quantized, sparse or without values, so it is no parameter of a network here. {SAVE}")
    return tensors


def _is_plain(tensor: torch.Tensor) -> bool:
    """Whether a tensor is dense, real and has its values."""
    return not (tensor.is_complex() or tensor.is_quantized or tensor.is_sparse or tensor.is_sparse_csr or tensor.is_meta)


def _load(path: Path) -> Any:
    """What the file holds; of zip archives, tensors are read from the disk only when they are used."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    with open_regular(path) as file:
        head = file.read(64)
    is_safetensors = head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**27
    is_torch = head.startswith((b"PK", b"\x80")) and not is_safetensors
    if not is_safetensors and (kind := _other_kind(path, head)):
        raise BadWeights(f"{path} is no weights file: it is {kind}.")
    try:
        if is_safetensors or (path.suffix == ".safetensors" and not is_torch):
            return load_file(path)
        if path.suffix == ".safetensors":  # torch would go by the ending
            with path.open("rb") as file:
                return torch.load(file, map_location="cpu", weights_only=True)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise BadWeights(f"{path} was refused: it holds more than tensors, or is damaged, and nothing in it was run. {SAVE}") from error
    except (*UNREADABLE, SafetensorError) as error:  # torch's own words may advise to load the file unsafely, and are not passed on
        raise BadWeights(f"{path} cannot be read as weights ({type(error).__name__}); it may be cut short. Copy it again.") from error


def _other_kind(path: Path, head: bytes) -> str:
    """What a file is that is no weights file, and what to do; empty where nothing is known against it."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for first, kind in OTHER_FILES.items():
        if head.startswith(first) or text.startswith(first):
            return kind
    if not head.strip(b"\0"):
        return "empty, or begins with nothing but zeros. A download or a copy may have stopped; copy it again"
    if head[:1] == b"\x08" and head[2:3] == b"\x12":
        return "an ONNX model. " + SAVE.rstrip(".")
    if head.isascii() and head.decode().replace("\n", " ").replace("\r", " ").replace("\t", " ").isprintable():
        return "a text, such as a server's error. The weights are in another file"
    if not zipfile.is_zipfile(path):
        return ""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        return "a TorchScript archive, a program with its weights. " + SAVE.replace("model", "torch.jit.load(...)", 1).rstrip(".")
    return "" if any(name.endswith("data.pkl") for name in names) else "a zip archive of other files. Unpack it first"


def _table(content: Any, path: Path) -> tuple[str, Mapping[str, torch.Tensor]]:
    """The table of weights in what a file holds, and its name; empty where the file is one table."""
    tables = dict(_tables(content))
    if not tables:
        raise BadWeights(f"{path} holds no table of tensors by name. {SAVE}")
    ranks = {name: min((TABLES.index(part) for part in name.split("/") if part in TABLES), default=len(TABLES)) for name in tables}
    best = [name for name in tables if ranks[name] == min(ranks.values())]
    if len(best) > 1:
        raise BadWeights(f"{path} holds several tables of tensors: {', '.join(tables)}. Save the one to be used alone, as .safetensors.")
    return best[0], tables[best[0]]


def _tables(content: Any, name: str = "") -> Iterator[tuple[str, Mapping[str, torch.Tensor]]]:
    """Every table of tensors by name, the names of nested ones joined by a slash."""
    import torch

    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        return
    nested = {key: value for key, value in content.items() if isinstance(value, Mapping)}
    if not nested and (any(torch.is_tensor(value) for value in content.values()) or not content):
        yield name, {key: value for key, value in content.items() if torch.is_tensor(value)}
    for key, value in nested.items():
        if value and not NOT_WEIGHTS.search(key):
            yield from _tables(value, f"{name}/{key}" if name else key)


def weights_fingerprint(path: Path, *, own: bool = False) -> str:
    """The sha256 of a file's bytes, computed again only when the file changes.

    Parameters
    ----------
    own : of a person's own file, of which the first release did not read the average; the two have different names.
    """
    state = path.stat()
    return _fingerprint(path.absolute(), own, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)


@cache
def _fingerprint(path: Path, own: bool, *_state: int) -> str:
    try:
        name = _table(_load(path), path)[0] if own else ""
    except ValueError:  # its bytes have a name all the same
        name = ""
    return sha256(path) + (f":{name}" if set(name.split("/")) & set(AVERAGES) else "")


def fill(
    network: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path, name: str, calls: Mapping[str, int] | None = None
) -> tuple[str, ...]:
    """Copy ``tensors`` into the network's parameters and buffers.

    A prefix before the network's own names is taken off, and tensors of modules that the network does not have (a text
    tower, a projection head) are left out.

    Parameters
    ----------
    calls : the network's layers in forward order. Given, a head may be missing or of another size: the last module that
        has weights, or whole children of the network behind all others.

    Returns
    -------
    Names of the modules that got no weights of the file; empty without ``calls``.

    Raises
    ------
    ValueError naming the tensors that are missing, unexpected or of another shape; the network is unchanged then.
    """
    import torch

    own = network.state_dict()
    tensors = without_prefix(tensors, own, path)
    counts = {key for key in own if key.endswith("num_batches_tracked")}  # unused in evaluation, absent from old files
    missing = [key for key in own if key not in tensors and key not in counts]
    unexpected = [key for key in tensors if key not in own]
    misfits = [key for key in own if key in tensors and tensors[key].shape != own[key].shape]
    children = {child for child, _ in network.named_children()}
    foreign = [key for key in unexpected if "." in key and key.partition(".")[0] not in children]
    head: tuple[str, ...] = ()
    if missing or misfits or len(unexpected) > len(foreign):
        head = _head(own, {*missing, *misfits}, [key for key in unexpected if key not in foreign], calls or {})
        if not head:
            shapes = [f"{key} {tuple(tensors[key].shape)} instead of {tuple(own[key].shape)}" for key in misfits]
            kinds = (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
            wrong = "; ".join(f"{kind}: {_some(keys)}" for kind, keys in kinds if keys)
            raise BadWeights(f"{path} does not fit {name}. Tensors {wrong}.")
    with torch.no_grad():
        for key in own:
            if key in tensors and key not in misfits:
                own[key].copy_(tensors[key])
    return head


def without_prefix(tensors: Mapping[str, torch.Tensor], own: Mapping[str, Any], path: Path) -> Mapping[str, torch.Tensor]:
    """Take off the prefix under which most of a network's ``own`` names stand; tensors without it are left out.

    Raises
    ------
    ValueError where the names stand under several prefixes alike, none of which says that it is an average.
    """
    hits: Counter[str] = Counter()
    for key in tensors:
        parts = key.split(".")
        hits.update(".".join(parts[:n]) for n in range(len(parts)) if ".".join(parts[n:]) in own)
    most = max(hits.values(), default=0)
    best = [prefix for prefix in hits if hits[prefix] == most]
    if "" in best or most < len(own) / 2:
        return tensors
    if len(best) > 1:
        averages = [prefix for prefix in best if set(prefix.split(".")) & set(AVERAGES)]
        if len(averages) != 1:
            raise BadWeights(f"{path} holds several networks: {', '.join(best)}. Save the one to be used alone, as .safetensors.")
        best = averages
    prefix = f"{best[0]}."
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def _head(own: Mapping[str, Any], lacking: set[str], unexpected: Sequence[str], calls: Mapping[str, int]) -> tuple[str, ...]:
    """The modules of a head whose tensors are all that a file lacks; empty where it lacks anything else."""
    order = {name: i for i, name in enumerate(calls)}

    def module_of(key: str) -> str:
        return next((module for module in ancestors(key) if module in order), "")

    unfilled = {module_of(key) for key in lacking}
    filled = {module_of(key) for key in own if key not in lacking}
    if not unfilled or "" in unfilled or not filled - unfilled:
        return ()
    first = min(order[module] for module in unfilled)
    if any(order.get(module, -1) > first for module in filled - unfilled):
        return ()
    tops = {module.partition(".")[0] for module in unfilled}
    whole = not any(key.partition(".")[0] in tops for key in own if key not in lacking and not key.endswith("num_batches_tracked"))
    if (whole or len(unfilled) == 1) and all(key.partition(".")[0] in tops and whole for key in unexpected):
        return tuple(sorted(unfilled, key=order.__getitem__))
    return ()


def _some(names: Sequence[str], show: int = 4) -> str:
    rest = f" and {len(names) - show} more" if len(names) > show else ""
    return ", ".join(names[:show]) + rest
