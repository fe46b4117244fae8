"""What tests of backbones compute with."""

import torch
from PIL import Image

from tests import SHARED


def noise(n=2, size=224):
    """(n, 3, size, size) of a fixed seed."""
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def best_three(backbone, layer, photograph):
    """The three classes of ImageNet to which a network counts a real photograph."""
    words = (SHARED / "data" / "weights" / "imagenet_synset_words.txt").read_text().splitlines()
    batch = backbone.prepare(Image.open(SHARED / "data" / "stimuli" / "skimage" / photograph).convert("RGB"))[None]
    return " / ".join(words[i] for i in backbone.activations(batch, [layer])[layer][0].topk(3).indices)
