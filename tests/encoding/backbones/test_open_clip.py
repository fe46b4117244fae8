"""open_clip's image towers: what open_clip itself computes, block by block, without its text towers."""

import math
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from open_clip.pretrained import get_pretrained_cfg
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from PIL import Image
from safetensors.torch import save_file

from encoding.backbones import BACKBONES, _published
from encoding.backbones._base import seeded
from encoding.backbones._modules import ModuleBackbone, Preparation, find_layers, without_values
from encoding.backbones.open_clip import ImageTower, about, networks
from tests import SHARED, with_nightly
from tests.encoding.backbones import noise

RESNET = "open_clip/RN50/openai"
SOURCE = BACKBONES[RESNET]
IN_CI = (RESNET, "open_clip/ViT-B-32/openai", "open_clip/ViT-B-16-SigLIP/webli")  # one of each kind of tower

DATA = SHARED / "data"
needs_data = pytest.mark.skipif(not (DATA / "stimuli").is_dir(), reason=f"no photographs in {DATA}")

TINY = {  # of each kind that open_clip has, small enough to compute both towers
    "transformer": {"image_size": 32, "layers": 3, "width": 64, "head_width": 16, "patch_size": 8},
    "average": {
        "image_size": 32,
        "layers": 2,
        "width": 32,
        "head_width": 16,
        "patch_size": 8,
        "pool_type": "avg",
        "final_ln_after_pool": True,
    },
    "convolutional": {"image_size": 64, "layers": [1, 2, 1, 1], "width": 16, "patch_size": None},
    "timm": {"image_size": 64, "timm_model_name": "convnext_atto", "timm_model_pretrained": True, "timm_pool": "", "timm_proj": "linear"},
}
BLOCKS = {
    "transformer": [f"transformer.resblocks.{i}" for i in range(3)],
    "average": [f"transformer.resblocks.{i}" for i in range(2)],
    "convolutional": ["avgpool", "layer1", "layer2", "layer3", "layer4"],
    "timm": [f"trunk.stages.{i}" for i in range(4)],
}
TEXT = {"context_length": 8, "vocab_size": 50, "width": 16, "heads": 2, "layers": 1}


class Pair:
    """The same small network twice: both towers as open_clip builds them, and the image tower as it is built here from their file."""

    def __init__(self, kind, monkeypatch, folder):
        self.size, self.name = TINY[kind]["image_size"], f"tiny-{kind}"
        config = {"embed_dim": 24, "vision_cfg": TINY[kind], "text_cfg": TEXT, "quick_gelu": kind == "transformer"}
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, self.name, config)
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.theirs = open_clip.create_model(self.name).eval().requires_grad_(False)
            for tensor in self.theirs.state_dict().values():  # as after training: nothing is left at zero or one
                if tensor.is_floating_point():
                    tensor.add_(0.05 * torch.rand_like(tensor))
        self.path = folder / "both_towers.safetensors"
        save_file(self.theirs.state_dict(), self.path)
        preparation = Preparation(self.size, self.size, "bicubic", (0.5,) * 3, (0.5,) * 3)
        self.tower = ImageTower(f"open_clip/{self.name}/mine", None, preparation)
        built = self.tower.build()
        self.tower.load(built, dict(self.theirs.state_dict()), self.path)
        self.ours = ModuleBackbone(self.tower.full_name, built, "", preparation, find_layers(self.tower.build, self.size))


@pytest.fixture
def pair(request, monkeypatch, tmp_path):
    return Pair(request.param, monkeypatch, tmp_path)


each_kind = pytest.mark.parametrize("pair", TINY, indirect=True)


@pytest.fixture(scope="module")
def resnet():
    return SOURCE.open(RESNET, "random:0")


# What the table says is what open_clip says


def test_every_pair_that_open_clip_lists_is_a_backbone_and_no_other():
    pairs = open_clip.list_pretrained()
    assert len(SOURCE.networks()) < 20 < len(pairs)
    for name, tag in pairs:
        known = about(f"open_clip/{name}/{tag}")
        assert known.full_name in BACKBONES and known.published.files and known.preparation.crop > 0
    for name in ("open_clip/RN50", "open_clip/RN50/open", "open_clip/RN51/openai", "open_clip/RN50/openai/", "open_clip"):
        assert name not in BACKBONES and not SOURCE.has(name)


@pytest.mark.parametrize("network", networks())
def test_the_table_is_open_clips_own(network, monkeypatch):
    from encoding.backbones import open_clip as source

    row = networks()[network]
    monkeypatch.setattr(source, "networks", dict)
    assert source.about.__wrapped__(network) == row  # what open_clip itself would be asked


OTHERS = ("open_clip/MobileCLIP-S1/datacompdr", "open_clip/ViT-L-14-CLIPA/datacomp1b", "open_clip/ViT-L-14/laion2b_s32b_b82k")


@needs_data
@pytest.mark.parametrize("network", [RESNET, "open_clip/RN50x4/openai", "open_clip/ViT-B-16-SigLIP/webli", *OTHERS])
@pytest.mark.parametrize("size", [None, (333, 250)])
def test_preparation_equals_open_clips_own_transform_on_a_photograph(network, size):
    photograph = Image.open(DATA / "stimuli" / "skimage" / "chelsea.png").convert("RGB")
    photograph = photograph.resize(size) if size else photograph
    _, name, tag = network.split("/")
    pixels = open_clip.get_model_config(name)["vision_cfg"]["image_size"]
    config = merge_preprocess_dict(PreprocessCfg(size=pixels), get_pretrained_cfg(name, tag))
    ours = about(network).preparation(photograph)
    assert ours.dtype == np.float32 and ours.flags.c_contiguous
    np.testing.assert_allclose(ours, image_transform_v2(PreprocessCfg(**config), is_train=False)(photograph).numpy(), atol=1e-6)


# Activations are what they say


@pytest.mark.parametrize("network", with_nightly(networks(), always=IN_CI))
def test_curated_layers_exist_early_to_late_and_can_be_pooled(network):
    """On the meta device: every row's whole forward pass, with shapes and no numbers."""
    known, every, curated = about(network), SOURCE.every_layer(network), SOURCE.layers(network)
    assert curated[-1] == every[-1] == "embedding" and [layer for layer in every if layer in curated] == list(curated)
    backbone = ModuleBackbone(network, without_values(known.build), "", known.preparation, _published._calls(known))
    with torch.device("meta"):
        batch = torch.empty(2, 3, known.preparation.crop, known.preparation.crop)
        whole, mean = (backbone.activations(batch, curated, pool) for pool in ("none", "mean"))
    for layer in curated:
        n_places, left = divmod(whole[layer].shape[1], mean[layer].shape[1])
        class_token = layer.startswith(("transformer.", "ln_post"))
        assert left == 0 and len(mean[layer]) == 2 and n_places == math.isqrt(n_places) ** 2 + class_token
    n_blocks = len({layer.rpartition(".")[2] for layer in every if layer.rpartition(".")[0] in ("transformer.resblocks", "trunk.blocks")})
    assert not n_blocks or sum("blocks." in layer for layer in curated) == n_blocks


@each_kind
def test_the_embedding_is_what_encode_image_gives(pair):
    x = noise(3, pair.size)
    made = pair.ours.activations(x, ["embedding"])["embedding"]
    assert made.shape == (3, 24)
    torch.testing.assert_close(made, pair.theirs.encode_image(x), rtol=1e-5, atol=1e-5)


@each_kind
def test_every_block_is_what_open_clip_gives_with_pictures_first(pair):
    """A block's tokens lie along the second axis: one picture's rows would mix with another's if the first two were swapped."""
    x, layers = noise(3, pair.size), BLOCKS[pair.name.removeprefix("tiny-")]
    tokens = layers[0].startswith("transformer")
    given = pair.theirs.visual.forward_intermediates(x, output_fmt="NLC" if tokens else "NCHW", output_extra_tokens=tokens)
    expected = given["image_intermediates"]
    if tokens:
        first = given["image_intermediates_prefix"]
        expected = [torch.cat(parts, 1) for parts in zip(first, expected, strict=True)]
        for layer, own in zip(layers, first, strict=True):
            torch.testing.assert_close(pair.ours.activations(x, [layer], "class")[layer], own[:, 0], rtol=1e-4, atol=1e-5)
    made, mean = pair.ours.activations(x, layers), pair.ours.activations(x, layers, "mean")
    for layer, own in zip(layers, expected[-len(layers) :], strict=True):
        torch.testing.assert_close(made[layer], own.flatten(1), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(mean[layer], own[:, 1:].mean(1) if tokens else own.mean((2, 3)), rtol=1e-4, atol=1e-5)


@each_kind
def test_one_pass_gives_what_passes_one_at_a_time_and_pictures_alone_give(pair):
    x, layers = noise(3, pair.size), list(pair.ours.calls)
    together = pair.ours.activations(x, layers)
    assert list(together) == layers
    for layer in layers:
        assert torch.equal(pair.ours.activations(x, [layer])[layer], together[layer])
    for layer, one in pair.ours.activations(x[1:2], layers).items():
        torch.testing.assert_close(one, together[layer][1:2], rtol=1e-4, atol=1e-4)


def test_the_whole_resnets_stem_equals_one_written_by_hand(resnet):
    x, net = noise(2), resnet.network
    made = x
    for i in (1, 2, 3):
        convolution = getattr(net, f"conv{i}")
        made = F.relu(getattr(net, f"bn{i}")(F.conv2d(made, convolution.weight, stride=convolution.stride, padding=1)))
    expected = F.avg_pool2d(made, 2)
    torch.testing.assert_close(resnet.activations(x, ["avgpool"])["avgpool"], expected.flatten(1), rtol=1e-4, atol=1e-5)
    assert expected.shape == (2, 64, 56, 56)


# What is built


def kinds_of_activation(network):
    with torch.device("meta"):
        return {type(module).__name__ for module in about(network).build().modules() if "GELU" in type(module).__name__}


def test_weights_trained_with_quickgelu_get_it_under_either_name():
    for network in ("open_clip/ViT-B-32/openai", "open_clip/ViT-B-32-quickgelu/openai", "open_clip/ViT-B-32/metaclip_400m"):
        assert kinds_of_activation(network) == {"QuickGELU"}
    assert kinds_of_activation("open_clip/ViT-B-32/laion2b_s34b_b79k") == {"GELU"}


def test_no_text_tower_is_built(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a text tower was built")

    monkeypatch.setattr(open_clip.model, "_build_text_tower", refuse)
    monkeypatch.setattr(open_clip.transformer.Transformer, "__init__", refuse)
    assert SOURCE.open(RESNET, "random:1").network.embedding is not None


# Weights


def test_pretrained_weights_say_where_they_come_from_and_where_to_put_them(nothing_here):
    file = SOURCE.weights_file(RESNET)
    assert file.address == "https://huggingface.co/timm/resnet50_clip.openai/resolve/main/open_clip_model.safetensors"
    assert file.path == nothing_here / "open_clip-RN50-openai.safetensors"
    named = SOURCE.weights_file("open_clip/ViTamin-S/datacomp1b")  # whose file open_clip names itself
    assert named.address == "https://huggingface.co/jienengchen/ViTamin-S/resolve/main/pytorch_model.safetensors"


def test_pretrained_is_the_file_in_the_cache_with_its_text_tower_left_out(nothing_here, resnet):
    nothing_here.mkdir(parents=True)
    tensors = {f"visual.{key}": value.half() for key, value in resnet.network.state_dict().items()}
    save_file(
        tensors | {"text_projection": torch.zeros(3), "logit_scale": torch.zeros(1)}, nothing_here / "open_clip-RN50-openai.safetensors"
    )
    opened = SOURCE.open(RESNET, "pretrained")
    assert SOURCE.is_ready(RESNET, "pretrained") and opened.fingerprint == SOURCE.fingerprint(RESNET, "pretrained") != resnet.fingerprint
    assert all(torch.equal(opened.network.state_dict()[key], value.half().to(value)) for key, value in resnet.network.state_dict().items())


@pytest.mark.parametrize("pair", ["transformer"], indirect=True)
def test_position_embeddings_are_resized_as_open_clip_does(pair, monkeypatch):
    config = open_clip.get_model_config(pair.name)
    config["vision_cfg"]["image_size"] = 48
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny-larger", config)
    theirs = open_clip.create_model("tiny-larger").eval()
    open_clip.load_checkpoint(theirs, str(pair.path))
    tower = ImageTower("open_clip/tiny-larger/mine", None, pair.tower.preparation)
    built = seeded(tower.build, 0)
    tower.load(built, dict(pair.theirs.state_dict()), pair.path)
    own = theirs.visual.state_dict()
    assert set(own) == set(built.state_dict()) and all(torch.equal(built.state_dict()[key], own[key]) for key in own)


@pytest.mark.parametrize("pair", ["transformer"], indirect=True)
def test_a_file_of_the_image_tower_alone_and_one_that_does_not_fit(pair, resnet, tmp_path):
    tensors = pair.theirs.visual.state_dict()
    built = seeded(pair.tower.build, 1)
    pair.tower.load(built, tensors, Path("tower.pth"))
    assert all(torch.equal(built.state_dict()[key], tensors[key]) for key in tensors)
    with pytest.raises(ValueError, match=rf"both_towers\.safetensors does not fit {RESNET}\. Tensors missing: .*; unexpected: "):
        SOURCE.open(RESNET, str(pair.path))
