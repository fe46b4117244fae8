"""Trunk of an object detector: RetinaNet's ResNet50 and its feature pyramid, without the heads.

Lin, Goyal, Girshick, He & Dollár (2017), Focal loss for dense object detection; the pyramid after Lin, Dollár, Girshick,
He, Hariharan & Belongie (2017), Feature pyramid networks for object detection. Built from torchvision's own parts, so that
its features are those of torchvision's ``retinanet_resnet50_fpn`` after ``model.backbone``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from encoding.backbones._checkpoints import fill, read_tensors, weights_fingerprint
from encoding.backbones._weights import hash_in_name

if TYPE_CHECKING:
    import torch
    from torch import nn

N_BLOCKS = (3, 4, 6, 3)  # bottlenecks in each stage of ResNet50
BLOCKS = tuple(f"body.layer{stage}.{block}" for stage, n in enumerate(N_BLOCKS, 1) for block in range(n))
LEVELS = ("p3", "p4", "p5", "p6", "p7")  # of the pyramid, fine to coarse; torchvision calls them 0, 1, 2, p6, p7
LAYERS = ("body.maxpool", *BLOCKS, *LEVELS)

PUBLISHED = "retinanet_resnet50_fpn_coco-eeacb38b.pth"
PUBLISHED_EPSILON = 0.0  # of batch norm, with which torchvision runs these weights and no others
SIZE = 256
"""Pixels a side. Each level halves the one before, from 1/8 to 1/128 of the image: at 256 pixels all halvings are even
and the levels are 32, 16, 8, 4 and 2 places wide. The detector itself shows images at 800 pixels, where p3 alone has 2.5
million numbers."""


def retinanet() -> nn.Module:
    """Build the untrained network, in evaluation mode: (b, 3, height, width), normalised as for ImageNet -> levels by name.

    Modules: ``body`` (ResNet50 up to ``layer4``), ``fpn``, and ``p3`` … ``p7``, which hand the levels on. p3, p4 and p5 are
    1/8, 1/16 and 1/32 of the image, (b, 256, height, width); p6 and p7 go on halving. Batch norm is frozen.
    """
    from torch import nn
    from torchvision.models import resnet50
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.ops import FrozenBatchNorm2d
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    class Pyramid(BackboneWithFPN):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {level: self.get_submodule(level)(features) for level, features in zip(LEVELS, super().forward(x).values(), strict=True)}

    used = {"layer2": "0", "layer3": "1", "layer4": "2"}
    network = Pyramid(resnet50(norm_layer=FrozenBatchNorm2d), used, [512, 1024, 2048], 256, LastLevelP6P7(256, 256))
    for level in LEVELS:
        network.add_module(level, nn.Identity())
    return network.eval().requires_grad_(False)


def load(network: nn.Module, path: Path, name: str, calls: Mapping[str, int]) -> tuple[str, ...]:
    """Fill the network from a file of a whole RetinaNet, or of its ``backbone`` alone; see :func:`encoding.backbones._checkpoints.fill`.

    Raises
    ------
    ValueError where they do not fit.
    """
    from torchvision.models.detection._utils import overwrite_eps

    unfilled = fill(network, own_tensors(read_tensors(path)), path, name, calls)
    if weights_fingerprint(path).startswith(hash_in_name(PUBLISHED)):
        overwrite_eps(network, PUBLISHED_EPSILON)
    return unfilled


def own_tensors(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Select the tensors of a RetinaNet's backbone, under the backbone's own names.

    The heads and the counts of batch norm fall away. In older files, the published one too, the pyramid's convolutions
    have names without the ``.0``.
    """
    own = {}
    for name, tensor in tensors.items():
        name = re.sub(r"^fpn\.(inner|layer)_blocks\.(\d)\.(weight|bias)$", r"fpn.\1_blocks.\2.0.\3", name.removeprefix("backbone."))
        if not name.startswith("head.") and not name.endswith("num_batches_tracked"):
            own[name] = tensor
    return own
