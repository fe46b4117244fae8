"""What every backbone promises, asked of every listed one and, by running it, of each kind that the field's projects use."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from encoding.backbones import BACKBONES, UnknownLayer
from tests import with_nightly

RUN = (  # the rows of the table in docs/backbones.md: every extractor of the projects, untrained where no weights can be had
    "gabor",
    "pixels",
    "torchvision/alexnet",
    "torchvision/vgg16",
    "torchvision/vgg16_bn",
    "torchvision/vgg19",
    "torchvision/resnet18",
    "torchvision/resnet50",
    "torchvision/inception_v3",
    "torchvision/squeezenet1_1",
    "torchvision/retinanet_resnet50_fpn",
    "timm/resnet18.fb_ssl_yfcc100m_ft_in1k",
    "timm/resnet18.fb_swsl_ig1b_ft_in1k",
    "timm/resnet50.fb_ssl_yfcc100m_ft_in1k",
    "timm/resnet50.fb_swsl_ig1b_ft_in1k",
    "timm/samvit_base_patch16.sa1b",
    "timm/vit_small_patch14_dinov2.lvd142m",
    "timm/convnext_tiny.in12k_ft_in1k",
    "timm/vit_base_patch16_224.mae",
    "timm/nasnetalarge.tf_in1k",
    "open_clip/RN50/openai",
    "open_clip/ViT-B-32/openai",
    "vonenet/resnet50",
    "vonenet/alexnet",
)
IN_CI = (  # one of each architecture and source; the others, larger ones of the same, run at night
    "gabor",
    "pixels",
    "torchvision/alexnet",
    "torchvision/resnet18",
    "torchvision/inception_v3",
    "torchvision/squeezenet1_1",
    "torchvision/retinanet_resnet50_fpn",
    "timm/resnet18.fb_ssl_yfcc100m_ft_in1k",
    "timm/vit_small_patch14_dinov2.lvd142m",
    "timm/convnext_tiny.in12k_ft_in1k",
    "open_clip/ViT-B-32/openai",
    "vonenet/alexnet",
)
LARGE = ("samvit", "nasnetalarge", "dinov2")  # one image, one pass: a minute of convolutions otherwise


def untrained(name):
    source = BACKBONES[name]
    return source.open(name, "random:3" if source.needs_weights else "pretrained")


def images(n):
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (n, 12, 16, 3), dtype=np.uint8)
    return [Image.fromarray(one).resize((320, 240), Image.Resampling.BICUBIC) for one in small]


def chosen_layers(name):
    layers = BACKBONES[name].layers(name)
    return tuple(dict.fromkeys((layers[0], layers[len(layers) // 2], layers[-1])))


def test_every_extractor_of_the_projects_is_listed():
    assert set(RUN) <= set(BACKBONES)
    assert "keras/nasnet_mobile" in BACKBONES  # runs in a process of its own: tests/test_keras.py


@pytest.mark.parametrize("name", BACKBONES)
def test_a_listed_backbone_says_what_it_is_without_being_built(name):
    source = BACKBONES[name]
    layers = source.layers(name)
    assert layers and len(set(layers)) == len(layers)
    source.check_layers(name, layers)
    assert isinstance(source.is_ready(name, "pretrained"), bool)
    file = source.weights_file(name)
    assert (file is not None) == source.needs_weights
    if file is not None:
        assert file.network == name and file.address.startswith("https://") and file.licence and file.path.is_absolute()


@pytest.mark.parametrize("name", with_nightly(RUN, always=IN_CI))
def test_a_backbone_that_runs_keeps_its_promises(name):
    backbone, layers = untrained(name), chosen_layers(name)
    large = any(part in name for part in LARGE)
    batch = torch.stack([backbone.prepare(image) for image in images(1 if large else 2)])
    assert batch.dtype == torch.float32 and batch.shape[1] in (1, 3)
    if "samvit" in name:  # opening it traced its layers at all 1024 pixels a side; its relative positions fit other sizes too
        assert batch.shape[2:] == (1024, 1024)
        backbone.network.patch_embed.strict_img_size, batch = False, batch[..., ::4, ::4]
    together = backbone.activations(batch, layers)
    assert list(together) == list(layers)
    for features in together.values():
        assert features.dtype == torch.float32 and features.shape == (len(batch), features.shape[1]) and torch.isfinite(features).all()
    if large:
        return
    first, again = (backbone.activations(batch[:1], layers) for _ in range(2))
    means = backbone.activations(batch[:1], layers, "mean")
    middle = layers[len(layers) // 2]
    spread = float(first[middle].abs().max())
    torch.testing.assert_close(backbone.activations(batch[:1], (middle,))[middle], first[middle], rtol=0, atol=spread * 1e-5)
    for layer in layers:
        spread = float(together[layer].abs().max())
        assert torch.equal(first[layer], again[layer]), "the same images give the same numbers"
        torch.testing.assert_close(first[layer], together[layer][:1], rtol=0, atol=spread * 1e-3)
        assert not torch.equal(together[layer][0], together[layer][1]), "other images give other numbers"
        assert means[layer].shape[1] <= together[layer].shape[1]


@pytest.mark.parametrize("name", ["torchvision/squeezenet1_1", "timm/resnet18.fb_ssl_yfcc100m_ft_in1k", "vonenet/alexnet", "gabor"])
def test_fingerprints_name_what_makes_the_numbers(name):
    source = BACKBONES[name]
    first, same, other = (source.fingerprint(name, weights) for weights in ("random:0", "random:0", "random:1"))
    assert first == same == source.open(name, "random:0").fingerprint
    assert (first != other) == source.needs_weights


@pytest.mark.parametrize("name", ["torchvision/alexnet", "timm/resnet18.fb_ssl_yfcc100m_ft_in1k", "vonenet/resnet50", "gabor", "pixels"])
def test_an_unknown_layer_offers_the_nearest(name):
    source = BACKBONES[name]
    near = source.layers(name)[-1]
    with pytest.raises(UnknownLayer, match="Did you mean"):
        source.check_layers(name, (near + "x",))


def test_listing_backbones_and_their_layers_imports_no_network_library():
    code = (
        "import sys; from encoding.backbones import BACKBONES; [BACKBONES[name].layers(name) for name in BACKBONES];"
        "print([name for name in ('torch', 'timm', 'open_clip', 'keras', 'jax', 'torchvision') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
