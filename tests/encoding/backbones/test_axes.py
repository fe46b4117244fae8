"""Axes of layers' outputs: asked of the network, read off its modules, and measured where neither says it."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from encoding.backbones import BACKBONES
from encoding.backbones._axes import declared_tokens, find_axes
from encoding.backbones._base import seeded

NOISE = torch.Generator().manual_seed(0)


def opened(name):
    return BACKBONES[name].open(name, "random:0")


def batch(backbone, n=2):
    return torch.randn(n, 3, backbone.preparation.crop, backbone.preparation.crop, generator=NOISE)


@pytest.mark.parametrize("name", ["timm/test_vit2", "timm/test_vit3"])
def test_a_register_is_no_class_token(name):
    backbone = opened(name)
    assert backbone.network.cls_token is None and backbone.network.num_prefix_tokens > 0
    with pytest.raises(ValueError, match="needs a class token"):
        backbone.activations(batch(backbone), ["blocks.1"], "class")


@pytest.mark.parametrize(("name", "layer"), [("timm/test_vit", "blocks.1"), ("timm/vit_tiny_patch16_224", "blocks.2.attn.proj")])
def test_a_class_token_is_the_first_token_of_networks_that_have_one(name, layer):
    backbone = opened(name)
    x = batch(backbone)
    tokens = backbone.activations(x, [layer])[layer].unflatten(1, (-1, backbone.network.embed_dim))
    assert torch.equal(backbone.activations(x, [layer], "class")[layer], tokens[:, 0])
    n_prefix = backbone.network.num_prefix_tokens
    torch.testing.assert_close(backbone.activations(x, [layer], "mean")[layer], tokens[:, n_prefix:].mean(1))


def test_class_tokens_are_found_under_the_names_that_libraries_give_them():
    from open_clip.transformer import VisionTransformer
    from timm import create_model
    from torchvision.models import vit_b_16

    with torch.device("meta"):
        tower = VisionTransformer(32, 16, 32, 2, 2, 4.0, output_dim=16)
        told = {
            "class_token": declared_tokens(vit_b_16(), "encoder.layers.encoder_layer_0"),
            "class_embedding": declared_tokens(tower, "transformer.resblocks.0"),
            "distilled": declared_tokens(create_model("deit_tiny_distilled_patch16_224"), "blocks.0"),
            "two branches": declared_tokens(create_model("crossvit_tiny_240"), "blocks.0.blocks.0"),
            "class token and four registers": declared_tokens(create_model("vit_small_patch14_reg4_dinov2"), "blocks.0"),
            "four registers": declared_tokens(create_model("vit_medium_patch16_reg4_gap_256"), "blocks.0"),
            "none": declared_tokens(create_model("swin_tiny_patch4_window7_224"), "layers.0"),
        }
    assert told == {
        "class_token": (1, True),
        "class_embedding": (1, True),
        "distilled": (2, True),
        "two branches": (1, True),
        "class token and four registers": (5, True),
        "four registers": (4, False),
        "none": None,
    }


def test_hieras_tokens_are_not_row_by_row_until_its_last_stage():
    backbone = opened("timm/hiera_tiny_224")
    x = batch(backbone, 1)
    for layer in ("blocks.0", "blocks.4.attn"):  # the second attends to all places alike: its neighbours show the order
        with pytest.raises(ValueError, match="row by row"):
            backbone.activations(x, [layer], "grid:2")
    there = backbone.network.forward_intermediates(x, indices=[0], intermediates_only=True, coarse=False, output_fmt="NCHW")[0]
    torch.testing.assert_close(backbone.activations(x, ["blocks.0"], "mean")["blocks.0"], there.mean((2, 3)), rtol=1e-4, atol=1e-5)
    assert backbone.activations(x, ["blocks.11"], "grid:2")["blocks.11"].shape == (1, 4 * 768)


@pytest.mark.parametrize(
    ("name", "layer", "channels_last"),
    [
        ("timm/swin_tiny_patch4_window7_224", "layers.1.blocks.0", True),
        pytest.param("torchvision/swin_t", "features.7.0.attn", True, marks=pytest.mark.nightly),  # sees all 7 x 7 places alike
        pytest.param("timm/convnext_tiny", "stages.1.blocks.0.mlp.fc1", True, marks=pytest.mark.nightly),
        ("timm/convnext_atto", "stages.1.blocks.0", False),
        ("timm/resnet18", "layer1.0.bn2", False),  # zero in an untrained network
        ("torchvision/squeezenet1_1", "features.3", False),
        ("torchvision/googlenet", "inception5b", False),  # every place sees nearly the whole image
    ],
)
def test_a_grid_is_of_the_map_whichever_axis_its_channels_are(name, layer, channels_last):
    backbone = opened(name)
    x = batch(backbone, 1)
    outputs = []
    hook = backbone.network.get_submodule(layer).register_forward_hook(lambda _m, _i, output: outputs.append(output.clone()))
    with torch.no_grad():
        backbone.network(x)
    hook.remove()
    maps = outputs[0].permute(0, 3, 1, 2) if channels_last else outputs[0]
    torch.testing.assert_close(backbone.activations(x, [layer], "grid:2")[layer], F.adaptive_avg_pool2d(maps, 2).flatten(1))


class Cube(nn.Module):
    """As many channels as rows and columns, channels last; then the same places window by window."""

    def __init__(self):
        super().__init__()
        self.conv, self.last, self.windows = nn.Conv2d(3, 8, 4, stride=4), nn.Identity(), nn.Identity()

    def forward(self, x):
        x = self.last(self.conv(x).permute(0, 2, 3, 1))
        return self.windows(x.reshape(-1, 4, 2, 4, 2, 8).permute(0, 2, 4, 1, 3, 5).reshape(-1, 64, 8))


def test_axes_that_no_shape_shows_are_measured():
    axes = find_axes(seeded(Cube, 0).eval(), ["conv", "last", "windows"], 32, build=None, rows=True)
    assert (axes["conv"].order, axes["last"].order) == ("NCHW", "NHWC")
    assert axes["windows"].order == "NLC" and not axes["windows"].is_row_by_row


@pytest.mark.parametrize("layer", ["blocks.0.attn.attn_drop", "blocks.1.attn.attn_drop"])
def test_an_attention_matrix_has_no_places(layer):
    backbone = opened("timm/convit_tiny")
    with pytest.raises(ValueError, match="not the places"):
        backbone.activations(batch(backbone, 1), [layer], "grid:2")
