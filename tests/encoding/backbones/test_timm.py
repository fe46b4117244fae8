"""timm's networks: timm's own preprocessing, layers that are what they say, and weights found, fetched or refused in plain words."""

import math
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config
from timm.models import get_pretrained_cfg, is_model
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_sam import VisionTransformerSAM

from encoding.backbones import BACKBONES, NoWeights, _published
from encoding.backbones._capture import capture
from encoding.backbones._hooks import trace
from encoding.backbones._modules import ModuleBackbone, without_values
from encoding.backbones.timm import about, networks
from tests import SHARED, with_nightly
from tests.encoding.backbones import best_three, noise

IN_CI = (  # one of each architecture with curated layers of its own
    "timm/resnet18.fb_ssl_yfcc100m_ft_in1k",
    "timm/mobilenetv2_100.ra_in1k",
    "timm/convnext_tiny.in12k_ft_in1k",
    "timm/samvit_base_patch16.sa1b",
    "timm/vit_small_patch14_dinov2.lvd142m",
    "timm/swin_tiny_patch4_window7_224.ms_in1k",
)
RESNET, VIT, MOBILENET = "timm/resnet18.fb_ssl_yfcc100m_ft_in1k", "timm/vit_tiny_patch16_224", "timm/mobilenetv2_100"
SOURCE = BACKBONES[RESNET]

DATA = SHARED / "data"
needs_data = pytest.mark.skipif(not (DATA / "weights").is_dir(), reason=f"no real weights and photographs in {DATA}")


@pytest.fixture(scope="module")
def resnet():
    return SOURCE.open(RESNET, "random:0")


@pytest.fixture(scope="module")
def vit():
    return SOURCE.open(VIT, "random:0")


# What the table says is what timm says


@pytest.mark.parametrize("network", networks())
def test_the_table_is_timms_own(network):
    stated, row = get_pretrained_cfg(network.removeprefix("timm/")), networks()[network]
    data = resolve_data_config(pretrained_cfg=stated.to_dict())
    assert row.published.repository == stated.hf_hub_id and stated.license in (row.published.licence, None)  # older ones state fewer
    assert stated.hf_hub_filename is None and not stated.source
    assert data["crop_mode"] == "center" and not row.preparation.squash
    assert data["input_size"] == (3, row.preparation.crop, row.preparation.crop)
    assert row.preparation.resize == int(row.preparation.crop / data["crop_pct"])
    assert (data["interpolation"], data["mean"], data["std"]) == (
        row.preparation.interpolation,
        row.preparation.mean,
        row.preparation.std,
    )


PREPARED = (RESNET, "timm/vit_base_patch16_224.mae", "timm/nasnetalarge.tf_in1k", "timm/samvit_base_patch16.sa1b")
OTHERS = ("timm/vit_base_patch16_siglip_256", "timm/vit_base_patch16_clip_quickgelu_224", "timm/volo_d4_448", "timm/inception_v3.tv_in1k")


@needs_data
@pytest.mark.parametrize("network", PREPARED + OTHERS)
@pytest.mark.parametrize("size", [None, (333, 250)])
def test_preparation_equals_timms_own_transform_on_a_photograph(network, size):
    photograph = Image.open(DATA / "stimuli" / "skimage" / "chelsea.png").convert("RGB")
    photograph = photograph.resize(size) if size else photograph
    data = resolve_data_config(pretrained_cfg=get_pretrained_cfg(network.removeprefix("timm/")).to_dict())
    ours = about(network).preparation(photograph)
    assert ours.dtype == np.float32 and ours.flags.c_contiguous
    np.testing.assert_allclose(ours, create_transform(**data, is_training=False)(photograph).numpy(), atol=1e-6)


def test_squashed_pictures_and_those_smaller_than_the_crop_are_prepared_as_timm_does():
    square = next(name for name in timm.list_models(pretrained=True) if get_pretrained_cfg(name).crop_mode == "squash")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (150, 211, 3), dtype=np.uint8))
    for name in (square, "volo_d4_448"):
        data = resolve_data_config(pretrained_cfg=get_pretrained_cfg(name).to_dict())
        theirs = create_transform(**data, is_training=False)(picture).numpy()
        np.testing.assert_allclose(about(f"timm/{name}").preparation(picture), theirs, atol=1e-6)


def test_any_name_and_tag_of_timms_is_a_backbone_and_no_other():
    assert len(SOURCE.networks()) < 30 < len(timm.list_models())
    assert all(f"timm/{name}" in BACKBONES for name in [*timm.list_models()[::50], *timm.list_pretrained()[::50]])
    for name in ("timm/resnet19", "timm/resnet18.fb_ssl", "timm/", "timm/hf-hub:timm/resnet18.a1_in1k", "timm"):
        assert name not in BACKBONES and not SOURCE.has(name)


def test_a_name_without_a_tag_is_timms_default_one():
    tag = get_pretrained_cfg("resnet18").tag
    assert SOURCE.fingerprint("timm/resnet18", "random:0") == SOURCE.fingerprint(f"timm/resnet18.{tag}", "random:0")
    assert SOURCE.fingerprint("timm/resnet18", "random:0") != SOURCE.fingerprint(RESNET, "random:0")
    assert SOURCE.layers("timm/resnet18") == SOURCE.layers(RESNET) and SOURCE.layers(VIT) == ()


@pytest.mark.skipif(not is_model("vit_base_patch16_sapiens2"), reason="this timm has no network of oblong pictures")
def test_a_network_of_oblong_pictures_is_refused_in_plain_words():
    with pytest.raises(ValueError, match=r"sapiens2.* looks at 768 x 1024 pixels .*; only plain squares are understood"):
        SOURCE.fingerprint("timm/vit_base_patch16_sapiens2", "random:0")


# Activations are what they say


@pytest.mark.parametrize("network", with_nightly(networks(), always=IN_CI))
def test_curated_layers_exist_early_to_late_and_can_be_pooled(network):
    """On the meta device: every row's whole forward pass, with shapes and no numbers."""
    known, every, curated = about(network), SOURCE.every_layer(network), SOURCE.layers(network)
    assert curated and [layer for layer in every if layer in curated] == list(curated)
    backbone = ModuleBackbone(network, without_values(known.build), "", known.preparation, _published._calls(known))
    with torch.device("meta"):
        batch = torch.empty(2, 3, known.preparation.crop, known.preparation.crop)
        extra = getattr(backbone.network, "num_prefix_tokens", 0)  # a class token and registers
        whole, mean = (backbone.activations(batch, curated, pool) for pool in ("none", "mean"))
    for layer in curated:
        n_places, left = divmod(whole[layer].shape[1], mean[layer].shape[1])
        side = math.isqrt(n_places)
        assert left == 0 and len(mean[layer]) == 2 and n_places in (1, side**2, side**2 + extra)


def test_resnets_layers_equal_a_forward_pass_written_by_hand(resnet):
    x, net, block = noise(size=64), resnet.network, resnet.network.layer1[0]
    conv1 = F.conv2d(x, net.conv1.weight, stride=2, padding=3)
    stem = F.max_pool2d(F.relu(net.bn1(conv1)), 3, 2, 1)
    normed = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(stem)))))
    by_hand = {"conv1": conv1, "maxpool": stem, "layer1.0.bn2": normed, "layer1.0": F.relu(normed + stem)}
    made = resnet.activations(x, list(by_hand))
    for layer, activation in by_hand.items():
        torch.testing.assert_close(made[layer], activation.flatten(1), rtol=1e-4, atol=1e-5)


def test_a_transformers_first_block_equals_one_written_by_hand(vit):
    x, net, block = noise(), vit.network, vit.network.blocks[0]
    with torch.no_grad():
        patches = F.conv2d(x, net.patch_embed.proj.weight, net.patch_embed.proj.bias, stride=16).flatten(2).transpose(1, 2)
        tokens = torch.cat([net.cls_token.expand(2, -1, -1), patches], 1) + net.pos_embed
        query, key, value = block.attn.qkv(block.norm1(tokens)).reshape(2, 197, 3, 3, 64).permute(2, 0, 3, 1, 4)
        attended = ((query @ key.transpose(-1, -2) / 8).softmax(-1) @ value).transpose(1, 2).reshape(2, 197, 192)
        middle = tokens + block.attn.proj(attended)
        first = middle + block.mlp.fc2(F.gelu(block.mlp.fc1(block.norm2(middle))))
    made = vit.activations(x, ["patch_embed", "blocks.0"])
    torch.testing.assert_close(made["patch_embed"], patches.flatten(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(made["blocks.0"], first.flatten(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(vit.activations(x, ["blocks.0"], "class")["blocks.0"], first[:, 0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(vit.activations(x, ["blocks.0"], "mean")["blocks.0"], first[:, 1:].mean(1), rtol=1e-4, atol=1e-5)


SMALL = {
    "swin, (b, height, width, channels)": lambda: SwinTransformer(
        img_size=56, embed_dim=16, depths=(1, 2), num_heads=(2, 4), window_size=7
    ),
    "SAM, (b, height, width, channels)": lambda: VisionTransformerSAM(
        img_size=64,
        patch_size=8,
        embed_dim=24,
        depth=2,
        num_heads=2,
        window_size=3,
        global_attn_indexes=(1,),
        use_rel_pos=True,
        neck_chans=12,
    ),
    "DINOv2, a class token and four registers": lambda: VisionTransformer(
        img_size=56, patch_size=14, embed_dim=24, depth=2, num_heads=2, reg_tokens=4, no_embed_class=True, init_values=1e-5
    ),
    "no class token": lambda: VisionTransformer(
        img_size=64, patch_size=16, embed_dim=24, depth=2, num_heads=2, class_token=False, global_pool="avg"
    ),
    "ConvNeXt, (b, channels, height, width)": lambda: timm.create_model("convnext_atto"),
}


@pytest.mark.parametrize("kind", SMALL)
def test_pooling_finds_the_places_whatever_the_order_of_axes(kind):
    """Against timm's own forward_intermediates, which turns every kind into (b, channels, height, width)."""
    network = SMALL[kind]().eval().requires_grad_(False)
    size = getattr(getattr(network, "patch_embed", None), "img_size", (64,))[0]
    x = noise(3, size)
    layers = [name for name in trace(network, x) if name.rpartition(".")[0] in ("blocks", "layers", "stages")]
    theirs = network.forward_intermediates(x, output_fmt="NCHW", intermediates_only=True)[-len(layers) :]
    calls = trace(network, x)
    for pool, expected in (
        ("mean", lambda maps: maps.mean((2, 3))),
        ("max", lambda maps: maps.amax((2, 3))),
        ("grid:2", lambda maps: F.adaptive_avg_pool2d(maps, 2).flatten(1)),
    ):
        ours = capture(network, x, calls, layers, pool)
        for layer, maps in zip(layers, theirs, strict=True):
            torch.testing.assert_close(ours[layer], expected(maps), rtol=1e-4, atol=1e-5)
    if "DINO" in kind:
        assert torch.equal(capture(network, x, calls, ["norm"], "class")["norm"], network.forward_features(x)[:, 0])


# Weights


def test_pretrained_weights_say_where_they_come_from_and_where_to_put_them(nothing_here):
    file = SOURCE.weights_file(RESNET)
    assert file.address == "https://huggingface.co/timm/resnet18.fb_ssl_yfcc100m_ft_in1k/resolve/main/model.safetensors"
    assert file.path == nothing_here / "timm-resnet18.fb_ssl_yfcc100m_ft_in1k.safetensors" and not file.is_here
    assert file.licence == "cc-by-nc-4.0"
    elsewhere = SOURCE.weights_file("timm/legacy_xception")
    assert elsewhere.path == nothing_here / "xception-43020ad28.pth" and elsewhere.address.endswith("/xception-43020ad28.pth")


def test_a_file_put_there_by_hand_comes_before_the_hubs_cache(nothing_here, tmp_path):
    by_hand, cached = (SOURCE.open(MOBILENET, f"random:{seed}").network.state_dict() for seed in (1, 2))
    name = about(MOBILENET).full_name.removeprefix("timm/")
    repository = tmp_path / "hub" / f"models--timm--{name}"
    snapshot = repository / "snapshots" / "0123456789"
    for folder in (snapshot, repository / "refs", nothing_here):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text("0123456789")
    save_file(cached, snapshot / "model.safetensors")
    assert SOURCE.is_ready(MOBILENET, "pretrained") and SOURCE.weights_file(MOBILENET).path == snapshot / "model.safetensors"
    before = SOURCE.open(MOBILENET, "pretrained")
    assert all(torch.equal(before.network.state_dict()[key], cached[key]) for key in cached)
    save_file(by_hand, nothing_here / f"timm-{name}.safetensors")
    after = SOURCE.open(MOBILENET, "pretrained")
    assert all(torch.equal(after.network.state_dict()[key], by_hand[key]) for key in by_hand)
    assert after.fingerprint != before.fingerprint == SOURCE.fingerprint(MOBILENET, str(snapshot / "model.safetensors"))


def test_a_network_of_which_no_weights_are_published_says_so(nothing_here):
    with pytest.raises(NoWeights, match=r"weights of timm/botnet50ts_256\.untrained cannot be had \(none are published\)"):
        SOURCE.open("timm/botnet50ts_256", "pretrained")


@pytest.fixture
def server(served, monkeypatch, tmp_path):
    """A server on this machine in the place of the hub, beside empty caches."""
    monkeypatch.setattr(_published, "HUB", served.address)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return served


@pytest.mark.parametrize("file_name", ["model.safetensors", "pytorch_model.bin"])
def test_pretrained_weights_are_downloaded_from_the_hub_under_either_name(server, tmp_path, file_name):
    tensors = SOURCE.open(RESNET, "random:3").network.state_dict()
    published = tmp_path / file_name
    (save_file if file_name.endswith("safetensors") else torch.save)(tensors, published)
    server.files[f"/{RESNET}/resolve/main/{file_name}"] = published.read_bytes()
    opened = SOURCE.open(RESNET, "pretrained")
    assert all(torch.equal(opened.network.state_dict()[key], tensors[key]) for key in tensors)
    target = tmp_path / "torch" / "hub" / "checkpoints" / f"timm-{RESNET.removeprefix('timm/')}{Path(file_name).suffix}"
    assert target.read_bytes() == published.read_bytes() and SOURCE.weights_file(RESNET).path == target


def test_files_under_their_first_publishers_names_are_translated_by_timm(tmp_path):
    """ConvNeXt's authors name its parts otherwise; a file of theirs fills the same network."""
    name = "timm/convnext_atto"
    tensors = SOURCE.open(name, "random:3").network.state_dict()
    theirs = {}
    for key, value in tensors.items():
        for ours, old in (
            ("stem.", "downsample_layers.0."),
            (".blocks.", "."),
            ("conv_dw", "dwconv"),
            ("mlp.fc1", "pwconv1"),
            ("mlp.fc2", "pwconv2"),
            ("head.norm", "norm"),
            ("head.fc", "head"),
        ):
            key = key.replace(ours, old)
        stage = key.partition("stages.")[2].partition(".downsample.")
        key = f"downsample_layers.{stage[0]}.{stage[2]}" if stage[2] else key
        theirs[key] = value.flatten(1) if "pwconv" in key and value.ndim == 4 else value
    torch.save({"model": theirs}, tmp_path / "published.pth")
    assert not set(theirs) & {"stem.0.weight", "head.fc.weight"}
    loaded = SOURCE.open(name, str(tmp_path / "published.pth")).network.state_dict()
    assert all(torch.equal(loaded[key], tensors[key]) for key in tensors)


@pytest.mark.parametrize("network", [MOBILENET, VIT])
def test_tensors_that_do_not_fit_are_named(network, resnet, tmp_path):
    torch.save(resnet.network.state_dict(), tmp_path / "resnet.pth")
    full_name = about(network).full_name
    with pytest.raises(ValueError, match=rf"resnet\.pth does not fit {full_name}\. Tensors missing: .* and \d+ more; unexpected: "):
        SOURCE.open(network, str(tmp_path / "resnet.pth"))
    torch.save({}, tmp_path / "empty.pth")
    with pytest.raises(ValueError, match=r"does not fit .* missing"):
        SOURCE.open(network, str(tmp_path / "empty.pth"))


# Real weights and photographs

SAME_LAYERS = {  # of MobileNetV2, timm's names and torchvision's
    "bn1": "features.0",
    "blocks.0": "features.1",
    "blocks.1": "features.3",
    "blocks.2": "features.6",
    "blocks.3": "features.10",
    "blocks.4": "features.13",
    "blocks.5": "features.16",
    "blocks.6": "features.17",
    "bn2": "features.18",
    "classifier": "classifier.1",
}


@pytest.fixture(scope="module")
def mobilenet():
    return SOURCE.open(MOBILENET, str(DATA / "weights" / "timm_mobilenetv2_100_from_qnnpack.pth"))


@needs_data
def test_the_same_tensors_give_the_same_features_as_through_torchvision(mobilenet):
    name = "torchvision/mobilenet_v2"
    theirs = BACKBONES[name].open(name, str(DATA / "weights" / "mobilenet_v2_qnnpack_dequantized.pth"))
    x = theirs.prepare(Image.open(DATA / "stimuli" / "skimage" / "chelsea.png").convert("RGB"))[None]
    ours, expected = mobilenet.activations(x, list(SAME_LAYERS)), theirs.activations(x, list(SAME_LAYERS.values()))
    for layer, same in SAME_LAYERS.items():
        torch.testing.assert_close(ours[layer], expected[same], rtol=1e-4, atol=1e-4)


@needs_data
@pytest.mark.parametrize(("photograph", "thing"), [("chelsea.png", "cat"), ("coffee.png", "espresso")])
def test_a_real_network_names_the_cat_and_the_coffee(mobilenet, photograph, thing):
    assert thing in best_three(mobilenet, "classifier", photograph)
