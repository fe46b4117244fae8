"""Weights files as training scripts and servers leave them: the same features, or a message that says what the file is."""

import gzip
import io
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from encoding.backbones import BACKBONES
from encoding.backbones._checkpoints import OTHER_FILES, fill, read_tensors, weights_fingerprint

NAME, LAYER = "torchvision/squeezenet1_1", "features.3"
TWO = {"early": nn.Conv2d(3, 4, 3), "late": nn.Conv2d(4, 4, 3)}


@pytest.fixture(scope="module")
def tensors():
    return BACKBONES[NAME].open(NAME, "random:3").network.state_dict()


@pytest.fixture(scope="module")
def others():
    return BACKBONES[NAME].open(NAME, "random:4").network.state_dict()


@pytest.fixture(scope="module")
def noise():
    return torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def features(noise):
    return BACKBONES[NAME].open(NAME, "random:3").activations(noise, [LAYER])[LAYER]


def behind(prefix, tensors):
    return {prefix + key: value for key, value in tensors.items()}


def saved(content, tmp_path, name="weights.pth"):
    torch.save(content, tmp_path / name)
    return str(tmp_path / name)


WRAPPINGS = {
    "compiled": lambda t, o: behind("_orig_mod.", t),
    "compiled and parallel": lambda t, o: behind("module._orig_mod.", t),
    "twice parallel": lambda t, o: behind("module.module.", t),
    "sharded": lambda t, o: {key.replace("features.", "features._fsdp_wrapped_module."): value for key, value in t.items()},
    "Lightning": lambda t, o: {"state_dict": behind("model.", t) | {"loss.weight": torch.ones(3)}, "epoch": 1, "global_step": 3},
    "backbone": lambda t, o: {"state_dict": behind("backbone.", t) | {"projector.0.weight": torch.ones(3, 3)}},
    "encoder within": lambda t, o: {"model": behind("net.encoder.", t)},
    "net": lambda t, o: {"net": t, "epoch": 1},
    "params": lambda t, o: {"params": t},
    "model_state": lambda t, o: {"model_state": t, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}},
    "table in a table": lambda t, o: {"model": {"state_dict": t}, "lr": 0.1},
    "plain values beside tensors": lambda t, o: t | {"epoch": 3, "arch": "squeezenet"},
    "average of timm": lambda t, o: {"state_dict": o, "state_dict_ema": t},
    "average beside a model": lambda t, o: {"model": o, "model_ema": behind("module.", t)},
    "average of torch": lambda t, o: {"n_averaged": torch.tensor(3)} | behind("module.", t),
    "average behind a prefix": lambda t, o: {"state_dict": behind("model.", o) | behind("ema.", t)},
    "teacher": lambda t, o: {"student": o, "teacher": behind("backbone.", t)},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_wrapped_weights_give_the_features_of_the_plain_file(wrapping, tensors, others, noise, features, tmp_path):
    path = saved(WRAPPINGS[wrapping](tensors, others), tmp_path)
    assert torch.equal(BACKBONES[NAME].open(NAME, path).activations(noise, [LAYER])[LAYER], features)


def test_a_file_is_what_its_first_bytes_say(tensors, noise, features, tmp_path):
    save_file(tensors, tmp_path / "tensors.pth")
    torch.save(tensors, tmp_path / "pickle.safetensors")
    for name in ("tensors.pth", "pickle.safetensors"):
        assert torch.equal(BACKBONES[NAME].open(NAME, str(tmp_path / name)).activations(noise, [LAYER])[LAYER], features)


def test_an_average_has_a_fingerprint_of_its_own_and_other_files_keep_theirs(tensors, others, tmp_path):
    paths = {name: saved(content, tmp_path, name) for name, content in {"one": tensors, "both": {"model": others, "ema": tensors}}.items()}
    for name, differs in (("one", False), ("both", True)):
        path = tmp_path / name
        assert (weights_fingerprint(path, own=True) != weights_fingerprint(path)) == differs
    assert len({BACKBONES[NAME].fingerprint(NAME, path) for path in paths.values()}) == 2


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (lambda t: {"generator": t, "critic": t}, ("generator", "critic")),
        (lambda t: behind("encoder_q.", t) | behind("encoder_k.", t), ("encoder_q", "encoder_k")),
    ],
    ids=["tables", "prefixes"],
)
def test_of_several_networks_none_is_guessed(content, names, tensors, tmp_path):
    with pytest.raises(ValueError, match="holds several") as failure:
        BACKBONES[NAME].open(NAME, saved(content(tensors), tmp_path))
    assert all(name in str(failure.value) for name in names)


HEADS = {
    "ten classes": lambda t: {key: value[:10] if key.startswith("classifier") else value for key, value in t.items()},
    "no head": lambda t: {key: value for key, value in t.items() if not key.startswith("classifier")},
    "another head": lambda t: {key.replace("classifier.1", "classifier.fc"): value for key, value in t.items()},
}


@pytest.mark.parametrize("head", HEADS)
def test_a_head_may_be_missing_where_no_layer_needs_it(head, tensors, noise, features, tmp_path):
    backbone = BACKBONES[NAME].open(NAME, saved(HEADS[head](tensors), tmp_path))
    assert torch.equal(backbone.activations(noise, [LAYER])[LAYER], features)
    for layer in ("classifier.1", "classifier.3", "classifier"):
        with pytest.raises(ValueError, match=r"no weights of the right size for classifier\.1 .*head"):
            backbone.activations(noise, [LAYER, layer])


@pytest.mark.parametrize(
    ("name", "head"),
    [("timm/convnext_atto", "head.fc"), ("timm/test_vit", "head"), ("torchvision/resnet18", "fc"), ("torchvision/alexnet", "")],
)
def test_heads_of_other_networks_too(name, head, tmp_path):
    own = BACKBONES[name].open(name, "random:3")
    tensors = own.network.state_dict()
    if head:
        tensors = {key: value[:10] if key.rpartition(".")[0] == head else value for key, value in tensors.items()}
    else:  # the convolutions alone
        tensors = {key: value for key, value in tensors.items() if key.startswith("features.")}
    backbone = BACKBONES[name].open(name, saved(tensors, tmp_path))
    assert backbone.unfilled == ((head,) if head else ("classifier.1", "classifier.4", "classifier.6"))
    before = next(layer for layer, _ in own.network.named_modules() if layer in own.calls)
    x = torch.randn(1, 3, own.preparation.crop, own.preparation.crop, generator=torch.Generator().manual_seed(0))
    assert torch.equal(backbone.activations(x, [before])[before], own.activations(x, [before])[before])


BODIES = {
    "a block is missing": lambda t: {key: value for key, value in t.items() if not key.startswith("layer2.0.")},
    "a deeper network": lambda t: t | {key.replace("layer3.1", "layer3.2"): value for key, value in t.items() if "layer3.1" in key},
    "a parameter that changes what is computed": lambda t: t | {"reg_token": torch.ones(1, 4, 8)},
    "another width": lambda t: t | {"layer4.1.conv2.weight": t["layer4.1.conv2.weight"][:3]},
    "nothing": lambda t: {},
}


@pytest.mark.parametrize("body", BODIES)
def test_whatever_is_more_than_a_head_is_refused(body, tmp_path):
    tensors = BACKBONES["torchvision/resnet18"].open("torchvision/resnet18", "random:3").network.state_dict()
    with pytest.raises(ValueError, match=r"does not fit torchvision/resnet18\. Tensors"):
        BACKBONES["torchvision/resnet18"].open("torchvision/resnet18", saved(BODIES[body](tensors), tmp_path))


def test_a_network_is_unchanged_where_a_file_does_not_fit(tmp_path):
    network = nn.ModuleDict(TWO)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ValueError, match="does not fit"):
        fill(network, {"early.weight": torch.zeros(4, 3, 3, 3), "early.bias": torch.zeros(4)}, tmp_path, "net")
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def zipped(name):
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(name, b"x")
        return file.getvalue()


def scripted():
    with io.BytesIO() as file:
        torch.jit.save(torch.jit.trace(nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8)), file)
        return file.getvalue()


def npy():
    with io.BytesIO() as file:
        np.save(file, np.zeros(3))
        return file.getvalue()


FILES = {
    "a TorchScript archive": scripted,
    "a Git LFS pointer": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 4959155\n",
    "a web page": lambda: b"\xef\xbb\xbf\n <!DOCTYPE html><html><title>404</title></html>",
    "an XML text": lambda: b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>',
    "a PDF": lambda: b"%PDF-1.4" + bytes(99),
    "a Flax file": lambda: b"\x81\xa6params\x80",
    "an ONNX model": lambda: b"\x08\x07\x12\x07pytorch" + bytes(99),
    "a text": lambda: b"Entry not found",
    "empty": lambda: b"",
    "empty, or begins with nothing but zeros": lambda: bytes(999),
    "a JSON text": lambda: b'{"error": "not found"}',
    "compressed": lambda: gzip.compress(b"weights"),
    "a zip archive of other files": lambda: zipped("weights/readme.txt"),
    "one NumPy array": npy,
    "an HDF5 file": lambda: b"\x89HDF\r\n\x1a\n" + bytes(64),
}


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", FILES)
def test_what_is_no_weights_file_is_named_and_no_unsafe_way_is_advised(kind, ending, tmp_path):
    path = tmp_path / f"weights{ending}"
    path.write_bytes(FILES[kind]())
    with pytest.raises(ValueError, match=f"is no weights file: it is {kind}") as failure:
        BACKBONES[NAME].open(NAME, str(path))
    assert "weights_only" not in str(failure.value) and "cut short" not in str(failure.value)


@pytest.mark.parametrize("contents", [b"\x80\x02}q\x00.", b"PK\x03\x04rubbish", b"\x00" * 100, b"abc"])
def test_torchs_own_advice_on_a_damaged_file_is_not_passed_on(contents, tmp_path):
    (tmp_path / "weights.pth").write_bytes(contents)
    with pytest.raises(ValueError, match=r"weights\.pth (was refused|cannot be read|is no)") as failure:
        read_tensors(tmp_path / "weights.pth")
    assert "weights_only" not in str(failure.value) and "succeed" not in str(failure.value)


def test_every_kind_of_other_file_says_what_to_do():
    assert all(". " in kind or kind.endswith("lfs pull") for kind in OTHER_FILES.values())


ODD = {
    "complex": lambda: torch.zeros(2, dtype=torch.complex64),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "without values": lambda: torch.zeros(2, device="meta"),
    "quantized": lambda: torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ODD)
def test_tensors_that_are_no_plain_numbers_are_refused_by_name(tmp_path, kind):
    torch.save({"a.weight": torch.zeros(2), "b.weight": ODD[kind]()}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=rf"w\.pth: b\.weight is .*{kind}"):
        read_tensors(tmp_path / "w.pth")
