"""RetinaNet's trunk gives what torchvision's whole detector computes inside."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torchvision.models.detection import RetinaNet_ResNet50_FPN_Weights, retinanet_resnet50_fpn
from torchvision.ops import FrozenBatchNorm2d

from encoding.backbones import BACKBONES, _detection
from encoding.backbones.torchvision import RETINANET

NAME = "torchvision/retinanet_resnet50_fpn"
SOURCE = BACKBONES[NAME]
LEVELS = {"0": "p3", "1": "p4", "2": "p5", "p6": "p6", "p7": "p7"}  # torchvision's names and ours


def noise(n=2, size=64):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def theirs():
    """A whole detector of torchvision whose batch norm has seen something, as after training."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = retinanet_resnet50_fpn(weights=None, weights_backbone=None, num_classes=3).eval().requires_grad_(False)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.2, 0.6)
                module.bias.normal_(0, 0.1)
    return network


@pytest.fixture(scope="module")
def saved(theirs, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "detector.pth"
    torch.save(theirs.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def ours(saved):
    return SOURCE.open(NAME, str(saved))


def test_every_level_equals_the_whole_detectors_own(theirs, ours):
    x = noise()
    made, expected = ours.activations(x, list(LEVELS.values())), theirs.backbone(x)
    assert list(expected) == list(LEVELS)
    for level, name in LEVELS.items():
        torch.testing.assert_close(made[name], expected[level].flatten(1), rtol=1e-4, atol=1e-5)


def test_every_block_equals_the_whole_detectors_own(theirs, ours):
    x, body = noise(), theirs.backbone.body
    made = ours.activations(x, _detection.LAYERS)
    value = F.max_pool2d(F.relu(body.bn1(body.conv1(x))), 3, 2, 1)
    torch.testing.assert_close(made["body.maxpool"], value.flatten(1), rtol=1e-4, atol=1e-5)
    for layer in _detection.BLOCKS:
        value = body.get_submodule(layer.removeprefix("body."))(value)
        torch.testing.assert_close(made[layer], value.flatten(1), rtol=1e-4, atol=1e-5)
    stages = ours.activations(x, ["body.layer1", "body.layer4"])
    assert torch.equal(stages["body.layer1"], made["body.layer1.2"]) and torch.equal(stages["body.layer4"], made["body.layer4.2"])


def test_the_levels_halve_from_an_eighth_of_the_picture_on(ours):
    made = ours.activations(noise(1, RETINANET.preparation.crop), list(LEVELS.values()))
    assert [made[level].shape[1] for level in LEVELS.values()] == [256 * side**2 for side in (32, 16, 8, 4, 2)]


def test_curated_layers_are_stem_blocks_and_levels_early_to_late():
    curated, every = SOURCE.layers(NAME), SOURCE.every_layer(NAME)
    assert [layer for layer in every if layer in curated] == list(curated)
    assert curated[0] == "body.maxpool" and curated[-5:] == tuple(LEVELS.values()) and len(curated) == 1 + 16 + 5
    assert not any("head" in layer for layer in every)


def test_a_square_is_shown_as_the_detector_normalises_it(theirs):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (256, 256, 3), dtype=np.uint8))
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    torch.testing.assert_close(torch.from_numpy(RETINANET.preparation(image)), theirs.transform.normalize(pixels))
    wide = Image.new("RGB", (600, 200), "red")
    wide.paste("blue", (200, 0, 400, 200))
    inner = RETINANET.preparation(wide)[:, :, 2:-2]
    np.testing.assert_array_equal(inner, np.broadcast_to(RETINANET.preparation(Image.new("RGB", (9, 9), "blue"))[:, :, 2:-2], inner.shape))


def test_names_of_older_files_and_of_the_backbone_alone_still_load(theirs, ours, tmp_path):
    old = {name.replace("_blocks.0.0.", "_blocks.0.").replace("_blocks.2.0.", "_blocks.2."): x for name, x in theirs.state_dict().items()}
    assert "backbone.fpn.inner_blocks.0.weight" in old
    torch.save({"model": old, "epoch": 3}, tmp_path / "old.pth")
    torch.save(theirs.backbone.state_dict(), tmp_path / "alone.pth")
    expected = ours.network.state_dict()
    for path in (tmp_path / "old.pth", tmp_path / "alone.pth"):
        found = SOURCE.open(NAME, str(path)).network.state_dict()
        assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in found)


def test_the_published_file_is_run_as_torchvision_runs_it_and_others_are_not(theirs, ours, saved, monkeypatch):
    epsilons = {module.eps for module in ours.network.modules() if isinstance(module, FrozenBatchNorm2d)}
    assert epsilons == {1e-5}
    monkeypatch.setattr(_detection, "PUBLISHED", f"x-{_detection.weights_fingerprint(saved)[:8]}.pth")
    published = SOURCE.open(NAME, str(saved))
    assert {module.eps for module in published.network.modules() if isinstance(module, FrozenBatchNorm2d)} == {0.0}
    frozen = retinanet_resnet50_fpn(weights=None, weights_backbone=None, num_classes=3).eval()
    assert RetinaNet_ResNet50_FPN_Weights.COCO_V1.url.endswith("/" + RETINANET.weights)
    frozen.load_state_dict(theirs.state_dict())
    for module in frozen.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0
    with torch.no_grad():
        torch.testing.assert_close(
            published.activations(noise(), ["p3"])["p3"], frozen.backbone(noise())["0"].flatten(1), rtol=1e-4, atol=1e-5
        )


def test_a_classifiers_file_is_refused_by_name(tmp_path):
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.pth")
    with pytest.raises(
        ValueError, match=r"other\.pth does not fit torchvision/retinanet_resnet50_fpn\. Tensors missing: body\.conv1\.weight"
    ):
        SOURCE.open(NAME, str(tmp_path / "other.pth"))


def test_the_table_of_one_says_what_torchvision_says():
    weights = RetinaNet_ResNet50_FPN_Weights.COCO_V1
    file = SOURCE.weights_file(NAME)
    assert file.address == weights.url and RETINANET.megabytes == weights.meta["_file_size"]
    assert file.sha256 == "eeacb38b" and "COCO" in file.licence
