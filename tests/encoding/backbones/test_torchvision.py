"""torchvision's networks: the right weights, the right preprocessing, and activations that are what they say."""

import hashlib
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import get_model, get_model_weights, list_models

from encoding.backbones import BACKBONES, NoWeights, _weights
from encoding.backbones.torchvision import RETINANET, networks
from tests import SHARED
from tests.encoding.backbones import best_three, noise

ALEXNET, SQUEEZENET, MOBILENET = "torchvision/alexnet", "torchvision/squeezenet1_1", "torchvision/mobilenet_v2"
SOURCE = BACKBONES[ALEXNET]
CLASSIFIERS = [row for row in networks().values() if row is not RETINANET]
WELL_KNOWN = ("alexnet", "inception_v3", "mobilenet_v2", "resnet18", "resnet50", "squeezenet1_0", "squeezenet1_1", "vgg16", "vit_b_16")
OTHERS = ("convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "regnet_x_400mf", "shufflenet_v2_x0_5", "swin_t", "vit_h_14")
OTHERS += ("maxvit_t", "mnasnet0_5", "mobilenet_v3_large", "mobilenet_v3_small", "vgg16_bn", "vgg19")

DATA = SHARED / "data"
needs_data = pytest.mark.skipif(not (DATA / "weights").is_dir(), reason=f"no real weights and photographs in {DATA}")


def picture(size=(320, 240), seed=0):
    """Smooth colour noise: resizing it differs little between good methods and much between different ones."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def alexnet():
    return SOURCE.open(ALEXNET, "random:0")


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """An empty torch.hub cache, and a server that refuses."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(_weights, "ADDRESS", "http://127.0.0.1:9")
    return tmp_path / "torch" / "hub" / "checkpoints"


# What the table says is what torchvision says


def test_the_table_is_torchvisions_own():
    theirs = set(list_models(module=torchvision.models))
    assert {row.name for row in CLASSIFIERS} <= theirs  # a later torchvision may have more
    for row in CLASSIFIERS:
        choices = get_model_weights(row.name)
        weights = getattr(choices, "IMAGENET1K_V1", None) or choices.DEFAULT
        transform = weights.transforms()
        assert weights.url == f"{_weights.ADDRESS}/{row.weights}"
        assert row.megabytes == weights.meta["_file_size"]
        assert ("CC-BY-NC" in row.licence) == ("SWAG" in weights.meta.get("license", ""))
        picture = row.preparation
        assert ([picture.resize], [picture.crop]) == (transform.resize_size, transform.crop_size)
        assert picture.interpolation == transform.interpolation.value
        assert (list(picture.mean), list(picture.std)) == (transform.mean, transform.std)


def test_the_networks_of_this_torchvision_are_all_there():
    if tuple(map(int, torchvision.__version__.split(".")[:2])) > (0, 29):
        pytest.skip("a torchvision newer than the table")
    assert set(list_models(module=torchvision.models)) == {row.name for row in CLASSIFIERS}


@pytest.mark.parametrize("name", ["alexnet", "efficientnet_b1", "inception_v3", "vit_h_14", "efficientnet_v2_l"])
@pytest.mark.parametrize("size", [(320, 240), (240, 321), (224, 224), (256, 300)])
def test_preparation_equals_torchvisions_transform(name, size):
    choices = get_model_weights(name)
    transform = (getattr(choices, "IMAGENET1K_V1", None) or choices.DEFAULT).transforms()
    ours = networks()[f"torchvision/{name}"].preparation(picture(size))
    assert ours.dtype == np.float32 and ours.flags.c_contiguous
    np.testing.assert_allclose(ours, transform(picture(size)).numpy(), atol=1e-6)


@pytest.mark.parametrize("name", WELL_KNOWN + OTHERS)
def test_curated_layers_exist_early_to_late(name):
    every = SOURCE.every_layer(f"torchvision/{name}")
    curated = SOURCE.layers(f"torchvision/{name}")
    assert curated and [layer for layer in every if layer in curated] == list(curated)


def test_every_layer_is_every_module_that_gives_a_row_for_each_image():
    network = get_model("resnet18", weights=None)
    assert set(SOURCE.every_layer("torchvision/resnet18")) == {name for name, _ in network.named_modules() if name}
    swin = SOURCE.every_layer("torchvision/swin_v2_t")
    assert "features.1.0.attn" in swin and "features.1.0.attn.cpb_mlp" not in swin  # position biases: no image in them


# Activations are what they say


def test_alexnets_layers_equal_a_forward_pass_written_by_hand(alexnet):
    """The convolution before an in-place ReLU is the trap: read carelessly, it comes out rectified."""
    x, net = noise(), alexnet.network
    conv1 = F.conv2d(x, net.features[0].weight, net.features[0].bias, stride=4, padding=2)
    relu1 = F.relu(conv1)
    conv2 = F.conv2d(F.max_pool2d(relu1, 3, 2), net.features[3].weight, net.features[3].bias, padding=2)
    by_hand = {"features.0": conv1, "features.1": relu1, "features.3": conv2, "features.4": F.relu(conv2)}
    made = alexnet.activations(x, list(by_hand))
    for layer, activation in by_hand.items():
        torch.testing.assert_close(made[layer], activation.flatten(1), rtol=1e-4, atol=1e-5)
    assert (made["features.0"] < 0).any()


def test_a_batch_norm_before_an_in_place_residual_sum_is_not_overwritten():
    backbone = SOURCE.open("torchvision/resnet18", "random:0")
    x, block = noise(size=64), backbone.network.layer1[0]
    stem = F.max_pool2d(F.relu(backbone.network.bn1(backbone.network.conv1(x))), 3, 2, 1)
    normed = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(stem)))))
    made = backbone.activations(x, ["layer1.0.bn2", "layer1.0"])
    torch.testing.assert_close(made["layer1.0.bn2"], normed.flatten(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(made["layer1.0"], F.relu(normed + stem).flatten(1), rtol=1e-4, atol=1e-5)


def test_a_module_called_several_times_gives_its_last_output():
    backbone = SOURCE.open("torchvision/resnet18", "random:0")
    made = backbone.activations(noise(size=64), ["layer1.0.relu", "layer1.0"])  # relu runs inside the block, then ends it
    assert torch.equal(made["layer1.0.relu"], made["layer1.0"])
    alone = backbone.activations(noise(size=64), ["layer1.0.relu"])
    assert torch.equal(alone["layer1.0.relu"], made["layer1.0"])


def test_attention_gives_the_attended_values_not_their_weights():
    backbone = SOURCE.open("torchvision/vit_b_16", "random:0")
    layer = "encoder.layers.encoder_layer_0.self_attention"
    x = noise(1)
    made = backbone.activations(x, [layer])[layer]
    net, block = backbone.network, backbone.network.encoder.layers.encoder_layer_0
    with torch.no_grad():
        tokens = torch.cat([net.class_token, net._process_input(x)], 1) + net.encoder.pos_embedding
        normed = block.ln_1(tokens)
        by_hand, _ = block.self_attention(normed, normed, normed)
    assert made.shape == (1, 197 * 768)
    torch.testing.assert_close(made, by_hand.flatten(1), rtol=1e-4, atol=1e-5)


def test_the_order_in_which_layers_are_asked_for_changes_nothing(alexnet):
    layers = ["classifier.5", "features.0", "features.12"]
    made, back = alexnet.activations(noise(), layers), alexnet.activations(noise(), layers[::-1])
    assert list(made) == layers and all(torch.equal(made[layer], back[layer]) for layer in layers)


def test_the_pass_stops_after_the_last_wanted_layer_and_leaves_no_hook(alexnet, monkeypatch):
    def too_far(x):
        raise AssertionError("the forward pass went on")

    monkeypatch.setattr(alexnet.network.features[2], "forward", too_far)
    assert alexnet.activations(noise(), ["features.1", "features.0"])["features.1"].shape == (2, 64 * 55 * 55)
    assert not any(module._forward_hooks for module in alexnet.network.modules())


def test_all_layers_at_the_very_end_equal_the_networks_own_answer():
    for name in ("squeezenet1_1", "inception_v3", "googlenet", "shufflenet_v2_x0_5"):
        network = f"torchvision/{name}"
        backbone, last = SOURCE.open(network, "random:0"), SOURCE.every_layer(network)[-1]
        x = noise(size=networks()[network].preparation.crop)
        with torch.no_grad():
            torch.testing.assert_close(backbone.activations(x, [last])[last], backbone.network(x).flatten(1))


# Weights


@pytest.mark.parametrize("weights", ["random:", "random:x", "random:-1", "random:0.5"])
def test_a_seed_that_is_no_number_is_refused(weights):
    with pytest.raises(ValueError, match=f"Weights '{weights}' are not understood. Write random:0"):
        SOURCE.fingerprint(SQUEEZENET, weights)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """SqueezeNet with weights of its own, saved as torch.save does."""
    path = tmp_path_factory.mktemp("weights") / "mine.pth"
    torch.save(SOURCE.open(SQUEEZENET, "random:3").network.state_dict(), path)
    return path


def same_network(path):
    ours, theirs = (SOURCE.open(SQUEEZENET, weights).network.state_dict() for weights in (str(path), "random:3"))
    return all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_weights_files_load_whatever_their_wrapping(trained, tmp_path):
    tensors = torch.load(trained, weights_only=True)
    save_file(tensors, tmp_path / "a.safetensors")
    torch.save({"epoch": 3, "state_dict": {f"module.{key}": value for key, value in tensors.items()}}, tmp_path / "b.pth")
    torch.save(tensors, tmp_path / "c.pth", _use_new_zipfile_serialization=False)
    assert all(same_network(path) for path in (trained, tmp_path / "a.safetensors", tmp_path / "b.pth", tmp_path / "c.pth"))


def test_the_fingerprint_names_bytes_not_paths(trained, tmp_path):
    copy = tmp_path / "elsewhere.pth"
    shutil.copy(trained, copy)
    before = SOURCE.fingerprint(SQUEEZENET, str(copy))
    assert before == SOURCE.fingerprint(SQUEEZENET, str(trained)) == SOURCE.open(SQUEEZENET, str(copy)).fingerprint
    assert before != SOURCE.fingerprint("torchvision/squeezenet1_0", str(copy))
    copy.write_bytes(copy.read_bytes() + b"x")
    assert SOURCE.fingerprint(SQUEEZENET, str(copy)) != before


def test_renamed_parameters_of_published_files_still_load(tmp_path):
    for name, new, old in (
        ("densenet121", "denselayer1.norm1.", "denselayer1.norm.1."),
        ("vit_b_32", "mlp.0.", "mlp.linear_1."),
        ("inception_v3", "fc.", "fc."),
    ):
        network = f"torchvision/{name}"
        tensors = SOURCE.open(network, "random:3").network.state_dict()
        renamed = {key.replace(new, old): value.half() for key, value in tensors.items() if "num_batches" not in key}
        torch.save(renamed | {"AuxLogits.fc.weight": torch.zeros(1)}, tmp_path / "old.pth")
        loaded = SOURCE.open(network, str(tmp_path / "old.pth")).network.state_dict()
        assert all(torch.equal(loaded[key], value.half().float()) for key, value in tensors.items() if "num_batches" not in key)


def test_inputs_of_inception_and_googlenet_are_scaled_as_their_weights_expect():
    for name in ("inception_v3", "googlenet"):
        assert SOURCE.open(f"torchvision/{name}", "random:0").network.transform_input


def test_tensors_that_do_not_fit_are_named(trained, tmp_path):
    tensors = torch.load(trained, weights_only=True)
    tensors["classifier.1.bias"] = torch.zeros(10)
    tensors["extra.weight"] = tensors.pop("features.0.bias")
    torch.save(tensors, tmp_path / "wrong.pth")
    with pytest.raises(ValueError, match="does not fit torchvision/squeezenet1_1") as failure:
        SOURCE.open(SQUEEZENET, str(tmp_path / "wrong.pth"))
    for part in ("missing: features.0.bias", "unexpected: extra.weight", "of another shape: classifier.1.bias (10,) instead of (1000,)"):
        assert part in str(failure.value)


class Hostile:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("save", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing, 2))], ids=["torch", "pickle"])
def test_a_hostile_file_is_refused_and_not_run(tmp_path, save):
    save({"features.0.weight": Hostile(tmp_path / "harm")}, tmp_path / "hostile.pth")
    with pytest.raises(ValueError, match=r"hostile\.pth was refused: it holds more than tensors.*nothing in it was run"):
        SOURCE.open(SQUEEZENET, str(tmp_path / "hostile.pth"))
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0, 10, 0.5])
def test_a_file_cut_short_says_so(trained, tmp_path, suffix, kept):
    whole = tmp_path / "whole.safetensors"
    save_file(torch.load(trained, weights_only=True), whole)
    contents = (whole if suffix == ".safetensors" else trained).read_bytes()
    short = tmp_path / f"short{suffix}"
    short.write_bytes(contents[: int(len(contents) * kept) if isinstance(kept, float) else kept])
    with pytest.raises(ValueError, match=f"short{suffix}.*(cut short|refused|is empty)"):
        SOURCE.open(SQUEEZENET, str(short))


def test_a_file_of_something_else_says_what_to_save(tmp_path):
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"holds no table of tensors by name\. Save model\.state_dict"):
        SOURCE.open(SQUEEZENET, str(tmp_path / "list.pth"))


def test_a_missing_file_says_what_weights_can_be():
    with pytest.raises(NoWeights, match=r"There is no weights file 'pretraned'\. Weights are 'pretrained', 'random:<seed>' or the path"):
        SOURCE.fingerprint(SQUEEZENET, "pretraned")


@pytest.fixture
def server(served, monkeypatch, no_network):
    """A server on this machine in the place of torchvision's."""
    monkeypatch.setattr(_weights, "ADDRESS", served.address)
    return served


def test_pretrained_weights_are_downloaded_into_torchs_own_cache_and_checked(server, no_network, trained, tmp_path):
    name = f"mine-{hashlib.sha256(trained.read_bytes()).hexdigest()[:8]}.pth"
    server.files[f"/{name}"] = trained.read_bytes()
    path = _weights.find_weights(SQUEEZENET, "pretrained", name)
    assert path == no_network / name == Path(torch.hub.get_dir()) / "checkpoints" / name
    assert path.read_bytes() == trained.read_bytes() and [*no_network.iterdir()] == [path]


def test_a_download_whose_bytes_are_not_the_promised_ones_is_thrown_away(server, no_network, trained):
    server.files["/alexnet-owt-7be5be79.pth"] = trained.read_bytes()
    with pytest.raises(NoWeights, match="has not the checksum that was promised"):
        SOURCE.open(ALEXNET, "pretrained")
    assert [path.suffix for path in no_network.iterdir()] == [".lock"]


def test_a_server_without_the_file_is_told_as_such(server):
    with pytest.raises(NoWeights, match="404"):
        SOURCE.fingerprint(ALEXNET, "pretrained")


# Real weights and photographs


@needs_data
@pytest.mark.parametrize(
    ("network", "file_name", "layer"),
    [
        (SQUEEZENET, "squeezenet1_1_deepscale_bsd.pth", "classifier.3"),
        (SQUEEZENET, "squeezenet1_1_imagenet1kv1_fp16rounded.pth", "classifier.3"),
        (MOBILENET, "mobilenet_v2_qnnpack_dequantized.pth", "classifier.1"),
    ],
)
def test_real_networks_name_the_cat_and_the_coffee(network, file_name, layer):
    backbone = SOURCE.open(network, str(DATA / "weights" / file_name))
    assert "cat" in best_three(backbone, layer, "chelsea.png")
    assert "espresso" in best_three(backbone, layer, "coffee.png")


def test_the_weights_file_is_where_a_download_would_put_it(no_network):
    file = SOURCE.weights_file(ALEXNET)
    assert (file.path, file.address) == (no_network / "alexnet-owt-7be5be79.pth", f"{_weights.ADDRESS}/alexnet-owt-7be5be79.pth")
    assert file.sha256 == "7be5be79" and not file.is_here
    assert abs(file.n_bytes - 244_408_911) < 1024  # of the published file
    assert "not stated" in file.licence and "ImageNet-1k" in file.licence
    assert SOURCE.weights_file("torchvision/convnext_base").sha256 == "6075fbad"


@needs_data
def test_pretrained_is_the_file_in_torchs_cache(no_network):
    rounded = DATA / "weights" / "squeezenet1_1_imagenet1kv1_fp16rounded.pth"
    no_network.mkdir(parents=True)
    shutil.copy(rounded, no_network / "squeezenet1_1-b8a52dc0.pth")
    backbone = SOURCE.open(SQUEEZENET, "pretrained")
    assert backbone.fingerprint == SOURCE.fingerprint(SQUEEZENET, str(rounded))
    theirs = get_model("squeezenet1_1", weights="IMAGENET1K_V1").eval()
    transform = get_model_weights("squeezenet1_1").IMAGENET1K_V1.transforms()
    photograph = Image.open(DATA / "stimuli" / "skimage" / "chelsea.png").convert("RGB")
    ours = backbone.activations(backbone.prepare(photograph)[None], ["classifier.3"])["classifier.3"]
    with torch.no_grad():
        torch.testing.assert_close(ours, theirs(transform(photograph)[None]), rtol=1e-4, atol=1e-4)


@needs_data
def test_timms_names_do_not_fit_torchvisions_network():
    with pytest.raises(ValueError, match=r"does not fit torchvision/mobilenet_v2\. Tensors missing: .* and \d+ more; unexpected"):
        SOURCE.open(MOBILENET, str(DATA / "weights" / "timm_mobilenetv2_100_from_qnnpack.pth"))
