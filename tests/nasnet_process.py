"""NASNet through Keras on JAX. Run by test_keras.py in a process of its own: pytest does not collect this file by itself."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from encoding.backbones import BACKBONES, UnknownLayer, keras

NAME = keras.NETWORK
SOURCE = BACKBONES[NAME]


def noise(n=2):
    return torch.rand(n, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(scope="module")
def backbone():
    python_before, numpy_before, torch_before = random.getstate(), np.random.get_state()[1].copy(), torch.random.get_rng_state()
    opened = SOURCE.open(NAME, "random:0")
    assert random.getstate() == python_before and (np.random.get_state()[1] == numpy_before).all()
    assert torch.equal(torch.random.get_rng_state(), torch_before)
    return opened


@pytest.fixture(scope="module")
def made(backbone):
    return backbone.activations(noise(), [*keras.LAYERS, "predictions"])


def test_curated_layers_exist_early_to_late(backbone):
    every = SOURCE.every_layer(NAME)
    assert [layer for layer in every if layer in keras.LAYERS] == list(keras.LAYERS)
    assert every == tuple(backbone._layers)  # the second model of a process has other names in Keras, and the same ones here
    assert backbone._layers["activation"].name != keras.build(0).get_layer(index=3).name


def test_features_are_flat_finite_float32_and_differ(made):
    for features in made.values():
        assert features.dtype == torch.float32 and features.is_contiguous() and features.shape[0] == 2
        assert torch.isfinite(features).all() and not torch.allclose(features[0], features[1])


def test_the_stem_equals_torchs_convolution_and_its_order_is_channels_first(backbone, made):
    weight = torch.from_numpy(np.array(backbone.model.get_layer("stem_conv1").get_weights()[0])).permute(3, 2, 0, 1)
    by_hand = F.conv2d(noise(), weight, stride=2) / np.sqrt(1 + 1e-3)  # batch norm as it begins
    torch.testing.assert_close(made["stem_bn1"], by_hand.flatten(1), rtol=1e-4, atol=1e-5)


def test_the_end_equals_arithmetic_on_the_last_cell(backbone, made):
    last = made["normal_concat_12"].relu()
    torch.testing.assert_close(made["activation_187"], last)
    mean = last.unflatten(1, (1056, 49)).mean(2)
    torch.testing.assert_close(made["global_average_pooling2d"], mean, rtol=1e-4, atol=1e-5)
    weight, bias = (torch.from_numpy(np.array(part)) for part in backbone.model.get_layer("predictions").get_weights())
    torch.testing.assert_close(made["predictions"], (mean @ weight + bias).softmax(1), rtol=1e-4, atol=1e-6)


def test_a_layer_alone_and_a_picture_alone_give_the_same(backbone, made):
    layer = "normal_concat_3"
    torch.testing.assert_close(backbone.activations(noise()[1:], [layer])[layer], made[layer][1:], rtol=1e-4, atol=1e-4)


def test_pooling_is_over_places(backbone, made):
    pooled = backbone.activations(noise(), ["normal_concat_12"], "mean")["normal_concat_12"]
    torch.testing.assert_close(pooled, made["normal_concat_12"].unflatten(1, (1056, 49)).mean(2), rtol=1e-4, atol=1e-4)


def test_pictures_are_prepared_as_keras_prepares_them(backbone):
    from keras.applications.nasnet import preprocess_input

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (224, 224, 3), dtype=np.uint8)
    ours = backbone.prepare(Image.fromarray(pixels)).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(ours, preprocess_input(pixels.astype(np.float32)), atol=1e-6)
    assert backbone.prepare(Image.new("RGB", (300, 250))).shape == (3, 224, 224)


def test_a_seed_means_the_same_weights_and_another_seed_others(backbone):
    mine, again, other = (model.get_weights() for model in (backbone.model, keras.build(0), keras.build(1)))
    assert all(np.array_equal(a, b) for a, b in zip(mine, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(mine, other, strict=True))


@pytest.mark.parametrize("name", ["own.h5", "own.weights.h5"])
def test_a_file_gives_its_own_weights(name, tmp_path):
    saved = keras.build(5)
    (saved.save if name == "own.h5" else saved.save_weights)(tmp_path / name)
    opened = SOURCE.open(NAME, str(tmp_path / name))
    assert all(np.array_equal(a, b) for a, b in zip(opened.model.get_weights(), saved.get_weights(), strict=True))
    assert opened.fingerprint == SOURCE.fingerprint(NAME, str(tmp_path / name)) != SOURCE.fingerprint(NAME, "random:5")


def test_a_file_of_something_else_is_refused_by_name(tmp_path):
    (tmp_path / "other.h5").write_bytes(b"not weights")
    with pytest.raises(ValueError, match=r"other\.h5 does not fit keras/nasnet_mobile, or is damaged"):
        SOURCE.open(NAME, str(tmp_path / "other.h5"))


def test_pretrained_is_keras_own_file_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "nasnet_mobile.h5").write_bytes(b"not weights")
    with pytest.raises(ValueError, match=r"nasnet_mobile\.h5 is not the file that Keras publishes, or is damaged\. Delete it"):
        SOURCE.open(NAME, "pretrained")
    from keras.src.applications import nasnet

    source = Path(nasnet.__file__).read_text()
    assert keras.MD5 in source and nasnet.NASNET_MOBILE_WEIGHT_PATH == keras.ADDRESS and f'"{keras.FILE}"' in source


def test_an_unknown_layer_names_the_nearest(backbone):
    for ask in (lambda name: SOURCE.check_layers(NAME, [name]), lambda name: backbone.activations(noise(1), [name])):
        with pytest.raises(UnknownLayer, match=r"Unknown layer of keras/nasnet_mobile 'normal_concat_4'\. Did you mean 'normal_concat_"):
            ask("normal_concat_4")
