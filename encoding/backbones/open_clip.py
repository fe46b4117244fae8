"""The image towers of open_clip: CLIP and related models, each architecture with each of its published weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from encoding.backbones._base import SOURCES
from encoding.backbones._checkpoints import fill, without_prefix
from encoding.backbones._modules import Preparation
from encoding.backbones._published import HUB, Published, PublishedNetwork, PublishedSource, table_rows
from encoding.runtime.registry import UnknownName, unknown

if TYPE_CHECKING:
    import torch
    from torch import nn

PREFIX = "open_clip/"
TABLE = Path(__file__).with_name("open_clip_networks.csv")
HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")  # in the order in which open_clip asks for them
TOWER = "visual."  # what the names of the image tower's tensors begin with in a file of both towers


class ImageTower(PublishedNetwork):
    """An image tower with some weights, such as ``open_clip/RN50/openai``."""

    def build(self) -> nn.Module:
        """The image tower alone, with open_clip's initial weights, ready to evaluate.

        Its last layer is ``embedding``: what ``encode_image`` gives, before it is scaled to unit length. Weights that
        were trained with QuickGELU get it under either name of their architecture, ``ViT-B-32`` as ``ViT-B-32-quickgelu``.
        """
        from open_clip.factory import get_model_config
        from open_clip.model import _build_vision_tower
        from torch import nn

        name, tag = _name_and_tag(self.full_name)
        config = get_model_config(name)
        vision = dict(config["vision_cfg"])
        if "timm_model_name" in vision:
            vision["timm_model_pretrained"] = False  # it would be downloaded
        quick = bool(config.get("quick_gelu") or _stated(name, tag).get("quick_gelu"))
        tower = _build_vision_tower(config["embed_dim"], vision, quick)
        tower.embedding = nn.Identity()
        tower.register_forward_hook(lambda module, _, output: module.embedding(output))
        return tower.eval().requires_grad_(False)

    def load(
        self, built: nn.Module, tensors: dict[str, torch.Tensor], path: Path, calls: Mapping[str, int] | None = None
    ) -> tuple[str, ...]:
        """Fill the image tower, whether or not the file holds the text tower, too.

        Raises
        ------
        ValueError where they do not fit.
        """
        from open_clip.convert import convert_state_dict
        from open_clip.model import resize_pos_embed

        both = SimpleNamespace(visual=built)
        if not any(key.startswith(TOWER) for key in tensors):
            tensors = without_prefix(tensors, {TOWER + key: None for key in built.state_dict()}, path)
        tensors = convert_state_dict(both, dict(tensors))  # Apple's own names
        if any(key.startswith(TOWER) for key in tensors):
            tensors = {key: tensor for key, tensor in tensors.items() if key.startswith(TOWER)}
            resize_pos_embed(tensors, both)
            tensors = {key.removeprefix(TOWER): tensor for key, tensor in tensors.items()}
        return fill(built, tensors, path, self.full_name, calls)


@cache
def networks() -> Mapping[str, ImageTower]:
    """Full names, such as ``open_clip/RN50/openai``, to the networks of the table."""
    return {PREFIX + row["name"]: _tower(PREFIX + row["name"], row["hub"], HUB_FILES, Preparation.of(row)) for row in table_rows(TABLE)}


@cache
def curated() -> Mapping[str, tuple[str, ...]]:
    """Architecture, such as ``RN50``, to its curated layers, early to late; they hold for every tag."""
    return {row["name"].partition("/")[0]: tuple(row["layers"].split()) for row in table_rows(TABLE)}


def _tower(network: str, hub: str, files: tuple[str, ...], preparation: Preparation) -> ImageTower:
    licence = "not stated by open_clip" + (f"; see {HUB}/{hub}" if hub else "")
    return ImageTower(network, Published(network, network.replace("/", "-"), hub, files, licence), preparation)


def _name_and_tag(network: str) -> tuple[str, str]:
    name, _, tag = network.removeprefix(PREFIX).partition("/")
    return name, tag


@cache
def about(network: str) -> ImageTower:
    """Any pair of an architecture and its published weights; UnknownName where open_clip does not list it."""
    if network in networks():
        return networks()[network]
    if network not in _every():
        raise UnknownName(unknown("network of open_clip", network, [*networks(), *sorted(_every())]))
    from open_clip.factory import get_model_config

    name, tag = _name_and_tag(network)
    stated, size = _stated(name, tag), get_model_config(name)["vision_cfg"]["image_size"]
    squash = stated["resize_mode"] == "squash"
    preparation = Preparation(size, size, stated["interpolation"], tuple(stated["mean"]), tuple(stated["std"]), squash)
    return _tower(network, *_place(stated), preparation)


def _place(stated: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Repository and files of published weights. open_clip writes ``owner/name/`` or ``owner/name/file`` of the hub."""
    if not stated.get("hf_hub"):
        return "", (stated["url"],) if stated.get("url") else ()
    hub, _, file = stated["hf_hub"].rpartition("/")
    return hub, (str(PurePosixPath(file).with_suffix(".safetensors")), file) if file else HUB_FILES


@cache
def _every() -> frozenset[str]:
    """Full names of every pair that open_clip knows."""
    from open_clip import list_pretrained

    return frozenset(f"{PREFIX}{name}/{tag}" for name, tag in list_pretrained())


def _stated(name: str, tag: str) -> Mapping[str, Any]:
    """open_clip's own record of some weights: location, training, preprocessing."""
    from open_clip.pretrained import get_pretrained_cfg

    return get_pretrained_cfg(name, tag)


class OpenClip(PublishedSource):
    """``open_clip/<name>/<tag>``, for every pair of an architecture and weights that open_clip lists. No text tower is built."""

    name, version = PREFIX.rstrip("/"), 1

    def networks(self) -> tuple[str, ...]:
        return tuple(networks())

    def has(self, network: str) -> bool:
        return network in networks() or network in _every()

    def layers(self, network: str) -> tuple[str, ...]:
        return curated().get(_name_and_tag(network)[0], ())

    def about(self, network: str) -> ImageTower:
        return about(network)


SOURCES.register(OpenClip.name, OpenClip())
