"""Every network of timm, with the preprocessing and the published weights that timm states for it."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encoding.backbones._base import SOURCES
from encoding.backbones._capture import ERRORS_OF_NETWORKS
from encoding.backbones._checkpoints import fill
from encoding.backbones._modules import Preparation
from encoding.backbones._published import Published, PublishedNetwork, PublishedSource, table_rows
from encoding.runtime.registry import UnknownName, unknown

if TYPE_CHECKING:
    import torch
    from torch import nn

PREFIX = "timm/"
TABLE = Path(__file__).with_name("timm_networks.csv")
HUB_FILES = ("model.safetensors", "pytorch_model.bin")  # in the order in which timm asks for them


class TimmNetwork(PublishedNetwork):
    """A network of timm's; its name holds architecture and tag, such as ``timm/resnet18.fb_ssl_yfcc100m_ft_in1k``."""

    def build(self) -> nn.Module:
        """The network with timm's initial weights, ready to evaluate."""
        import timm

        return timm.create_model(self.full_name.removeprefix(PREFIX), pretrained=False).eval().requires_grad_(False)

    def load(
        self, built: nn.Module, tensors: dict[str, torch.Tensor], path: Path, calls: Mapping[str, int] | None = None
    ) -> tuple[str, ...]:
        """Fill the network; tensors under their first publisher's names go through timm's own translation.

        Raises
        ------
        ValueError where they do not fit.
        """
        try:
            return fill(built, tensors, path, self.full_name)
        except ValueError as error:
            reason = error
        translate = getattr(sys.modules[type(built).__module__], "checkpoint_filter_fn", None)
        translated = None
        with suppress(*ERRORS_OF_NETWORKS):  # the translation is of other names
            translated = translate(dict(tensors), built) if translate else None
        for named, allowed in ((translated, None), (tensors, calls), (translated, calls)):  # all weights, before a head may be missing
            if named:
                with suppress(ValueError):
                    return fill(built, named, path, self.full_name, allowed)
        raise reason


@cache
def networks() -> Mapping[str, TimmNetwork]:
    """Full names, such as ``timm/resnet18.fb_ssl_yfcc100m_ft_in1k``, to the networks of the table."""
    return {
        PREFIX + row["name"]: _network(row["name"], row["hub"], HUB_FILES, row["licence"], Preparation.of(row)) for row in table_rows(TABLE)
    }


@cache
def curated() -> Mapping[str, tuple[str, ...]]:
    """Architecture, such as ``resnet18``, to its curated layers, early to late; they hold for every tag."""
    return {row["name"].partition(".")[0]: tuple(row["layers"].split()) for row in table_rows(TABLE)}


def _network(name: str, hub: str, files: tuple[str, ...], licence: str, preparation: Preparation) -> TimmNetwork:
    return TimmNetwork(PREFIX + name, Published(PREFIX + name, f"timm-{name}", hub, files, licence), preparation)


@cache
def about(network: str) -> TimmNetwork:
    """Any network of timm, with or without a tag; without one, with the weights of its default tag.

    Raises
    ------
    UnknownName, ValueError where its input is not square.
    """
    if network in networks():
        return networks()[network]
    stated = _stated(network)
    if stated is None:
        raise UnknownName(unknown("network of timm", network, networks()))
    name = f"{stated.architecture}.{stated.tag}" if stated.tag else stated.architecture
    if PREFIX + name in networks():
        return networks()[PREFIX + name]
    files = (stated.hf_hub_filename,) if stated.hf_hub_filename else HUB_FILES
    if not stated.hf_hub_id:
        files = (stated.url,) if stated.url else ()
    return _network(name, stated.hf_hub_id or "", files, stated.license or "not stated by timm", _preparation(network, stated))


def _preparation(network: str, stated: Any) -> Preparation:
    """Equal to ``timm.data.create_transform`` in evaluation."""
    _, height, width = stated.input_size
    if height != width or stated.crop_mode not in ("center", "squash"):
        raise ValueError(f"{network} looks at {width} x {height} pixels (crop mode {stated.crop_mode}); only plain squares are understood.")
    resize = math.floor(width / stated.crop_pct)
    squash = stated.crop_mode == "squash"
    return Preparation(resize, width, stated.interpolation, tuple(stated.mean), tuple(stated.std), squash)


@cache
def _stated(network: str) -> Any:
    """timm's own record of a network's weights and preprocessing (a PretrainedCfg); None where timm has no such network."""
    from timm.models import get_pretrained_cfg, is_model

    name = network.removeprefix(PREFIX)
    if name == network or not is_model(name):
        return None
    try:
        return get_pretrained_cfg(name)
    except RuntimeError:  # no such tag
        return None


class Timm(PublishedSource):
    """``timm/<name>.<tag>`` or ``timm/<name>``, for any name that timm knows; without a tag, timm's default one."""

    name, version = PREFIX.rstrip("/"), 1

    def networks(self) -> tuple[str, ...]:
        return tuple(networks())

    def has(self, network: str) -> bool:
        return network in networks() or _stated(network) is not None

    def layers(self, network: str) -> tuple[str, ...]:
        return curated().get(network.removeprefix(PREFIX).partition(".")[0], ())

    def about(self, network: str) -> TimmNetwork:
        return about(network)


SOURCES.register(Timm.name, Timm())
