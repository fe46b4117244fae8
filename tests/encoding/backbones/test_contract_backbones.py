"""What every backbone promises, asked of every listed one and, by running it, of each kind that the field's projects use."""

import subprocess
import sys
import time

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image

from encoding.backbones import BACKBONES, NoWeights, UnknownLayer
from encoding.runtime.registry import UnknownName
from tests import with_nightly
from tests.encoding.backbones import noise

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
    "torchvision/squeezenet1_1",
    "torchvision/retinanet_resnet50_fpn",
    "timm/resnet18.fb_ssl_yfcc100m_ft_in1k",
    "timm/convnext_tiny.in12k_ft_in1k",
    "open_clip/ViT-B-32/openai",
    "vonenet/alexnet",
)
VIT, TIMM_RESNET = "timm/vit_tiny_patch16_224", "timm/resnet18.fb_ssl_yfcc100m_ft_in1k"
OPEN_CLIPS = ("open_clip/MobileCLIP-S1/datacompdr", "open_clip/ViT-L-14-CLIPA/datacomp1b", "open_clip/ViT-L-14/laion2b_s32b_b82k")
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


@pytest.mark.parametrize("name", ["torchvision/squeezenet1_1", VIT, "open_clip/RN50/openai", "vonenet/alexnet", "gabor", "pixels"])
def test_an_unknown_layer_offers_the_nearest(name):
    source = BACKBONES[name]
    near = source.layers(name)[-1] + "x" if source.layers(name) else "blocks.00"
    for ask in (lambda: source.check_layers(name, (near,)), lambda: untrained(name).activations(noise(1), [near])):
        with pytest.raises(UnknownLayer, match=rf"Unknown layer of {name} '{near}'. Did you mean"):
            ask()


@pytest.mark.parametrize("near", ["gabor", "torchvision/alexnet", TIMM_RESNET, "open_clip/RN50/openai"])
def test_a_misspelt_network_offers_the_nearest(near):
    with pytest.raises(UnknownName, match=f"Unknown backbone '{near}_'. Did you mean '{near}'"):
        BACKBONES[f"{near}_"]


@pytest.mark.parametrize(("wrong", "near"), [(f"{TIMM_RESNET}_", TIMM_RESNET), ("open_clip/RN50/cc12", "open_clip/RN50/cc12m")])
def test_a_source_offers_the_nearest_of_all_that_its_library_has(wrong, near):
    source = wrong.partition("/")[0]
    with pytest.raises(UnknownName, match=f"network of {source} '{wrong}'. Did you mean '{near}'"):
        BACKBONES.sources[source].fingerprint(wrong, "random:0")


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("torchvision/squeezenet1_1", lambda: torchvision.models.squeezenet1_1()),
        (VIT, lambda: timm.create_model(VIT.removeprefix("timm/"))),
        ("open_clip/RN50/yfcc15m", None),
    ],
)
def test_untrained_networks_follow_their_seed_alone(name, theirs):
    state, source = torch.random.get_rng_state(), BACKBONES[name]
    first, again, other = (source.open(name, f"random:{seed}").network.state_dict() for seed in (7, 7, 8))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)
    if theirs is not None:  # as the library itself draws them
        torch.manual_seed(7)
        assert all(torch.equal(first[key], value) for key, value in theirs().state_dict().items())


ONE_PASS = ["torchvision/alexnet", "torchvision/squeezenet1_1", TIMM_RESNET, VIT, "torchvision/googlenet"]


@pytest.mark.parametrize("name", with_nightly(ONE_PASS, always=ONE_PASS[:4]))
def test_one_pass_gives_what_passes_one_at_a_time_and_images_alone_give(name):
    backbone = BACKBONES[name].open(name, "random:0")
    every, x = list(backbone.calls), noise(2, 224 if name == VIT else 128)
    layers = every[:: len(every) // 8]
    together = backbone.activations(x, layers)
    assert list(together) == layers
    for layer in layers:
        assert torch.equal(backbone.activations(x, [layer])[layer], together[layer])
        torch.testing.assert_close(backbone.activations(x[1:], [layer])[layer], together[layer][1:], rtol=1e-4, atol=1e-4)


def test_what_is_known_of_backbones_imports_no_network_library():
    code = """
import sys
from encoding.backbones import BACKBONES
[BACKBONES[name].layers(name) for name in BACKBONES]
for source in map(BACKBONES.sources.get, BACKBONES.sources):
    for name in source.networks():
        source.weights_file(name), source.is_ready(name, "pretrained")
        source.fingerprint(name, "random:0" if source.needs_weights else "pretrained")
BACKBONES["keras/nasnet_mobile"].check_layers("keras/nasnet_mobile", ["normal_concat_12"])
print([name for name in ("torch", "timm", "open_clip", "keras", "jax", "torchvision") if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(("source", "more"), [("timm", (VIT, "timm/legacy_xception", "timm/botnet50ts_256")), ("open_clip", OPEN_CLIPS)])
def test_asking_what_is_here_never_asks_the_network(source, more, nothing_here):
    source = BACKBONES.sources[source]
    for name in [*source.networks(), *more]:
        file = source.weights_file(name)
        assert source.is_ready(name, "random:0") and source.is_ready(name, "pretrained") == (file is None)
        assert file is None or (file.licence and not file.is_here)
        assert source.fingerprint(name, "random:0") and isinstance(source.layers(name), tuple)
    assert not nothing_here.exists()


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("torchvision/alexnet", ("/alexnet-owt-7be5be79.pth", "checkpoints")),
        (TIMM_RESNET, ("/resolve/main/model.safetensors", "checkpoints/timm-resnet18.fb_ssl")),
        ("open_clip/RN50/openai", ("/open_clip_model.safetensors", "/open_clip_pytorch_model.bin", "open_clip-RN50-openai.bin")),
    ],
)
def test_without_network_the_message_names_file_address_and_what_works(name, parts, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    for place in ("_published.HUB", "_weights.ADDRESS"):
        monkeypatch.setattr(f"encoding.backbones.{place}", "http://127.0.0.1:9")
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("It waits before it says so."))
    source = BACKBONES[name]
    for ask in (source.fingerprint, source.open):
        with pytest.raises(NoWeights) as failure:
            ask(name, "pretrained")
        for part in (name, *parts, "random:0", "gabor", "pixels"):
            assert part in str(failure.value)
    assert not source.is_ready(name, "pretrained") and source.is_ready(name, "random:0")
