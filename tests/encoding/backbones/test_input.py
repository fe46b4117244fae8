"""Crop, resize and pad against torchvision and Pillow; what a network cannot look at is refused before any work."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from encoding import BACKBONES, FitSpec
from encoding.backbones._input import Input, prepared
from encoding.backbones._modules import Preparation
from encoding.cli import parser
from encoding.cli.spec_options import spec_from

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OWN = Preparation(256, 224, "bilinear", *IMAGENET)


@pytest.fixture(scope="module")
def image():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3)).astype(np.uint8))


def theirs(image, *steps):
    return v2.Compose([*steps, v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(*IMAGENET)])(image).numpy()


@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
def test_resize_is_torchvisions_and_crop_keeps_the_weights_margin(image, name):
    mode = v2.InterpolationMode(name)
    whole = Input.read(f"resize:64:{name}").of(OWN)(image)
    np.testing.assert_allclose(whole, theirs(image, v2.Resize((64, 64), mode)), atol=1e-5)
    cropped = Input.read(f"crop:112:{name}").of(OWN)(image)
    np.testing.assert_allclose(cropped, theirs(image, v2.Resize(128, mode), v2.CenterCrop(112)), atol=1e-5)


def test_padding_shows_the_whole_image_in_its_proportions(image):
    padded = Input.read("pad:80").of(replace(OWN, mean=(0, 0, 0), std=(1, 1, 1)))(image)
    assert padded.shape == (3, 80, 80) and not padded[:, :10].any() and not padded[:, 70:].any()
    expected = np.asarray(image.resize((80, 60), Image.Resampling.BILINEAR)).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(padded[:, 10:70], expected, atol=1e-6)


def test_a_crop_hides_a_frame_of_23_percent_that_resizing_and_padding_show():
    image = np.zeros((425, 425, 3), np.uint8)
    image[:26], image[-26:], image[:, :26], image[:, -26:] = 255, 255, 255, 255
    bright = {text: (Input.read(text).of(OWN)(Image.fromarray(image))[0] > 2).mean() for text in ("crop", "resize", "pad")}
    assert bright["crop"] == 0 and bright["resize"] == pytest.approx(1 - (373 / 425) ** 2, abs=0.02) == bright["pad"]


def test_an_own_preprocessing_in_other_words_changes_nothing():
    source = BACKBONES["torchvision/alexnet"]
    same = prepared(source, "crop:224:bilinear")
    assert same.fingerprint("torchvision/alexnet", "random:0") == source.fingerprint("torchvision/alexnet", "random:0")
    assert prepared(source, "") is source


def test_an_opened_network_prepares_images_as_the_input_says(image):
    name, text = "torchvision/squeezenet1_1", "resize:96"
    source = prepared(BACKBONES[name], text)
    opened = source.open(name, "random:0")
    assert opened.prepare(image).shape == (3, 96, 96) and opened.fingerprint == source.fingerprint(name, "random:0")
    features = opened.activations(opened.prepare(image)[None], ["features.2"], "mean")["features.2"]
    assert features.shape == (1, 64) and BACKBONES[name].open(name, "random:0").prepare(image).shape == (3, 224, 224)


@pytest.mark.parametrize(
    ("network", "text", "message"),
    [
        ("gabor", "resize", "takes no input 'resize'. Its size is part of its name"),
        ("pixels", "pad:64", "takes no input"),
        ("torchvision/vit_b_16", "resize:320", "cannot look at images of 320 x 320 pixels"),
        ("torchvision/alexnet", "resize:16", "cannot look at images of 16 x 16 pixels"),
    ],
)
def test_what_a_network_cannot_look_at_is_refused(network, text, message):
    with pytest.raises(ValueError, match=message):
        prepared(BACKBONES[network], text).fingerprint(network, "random:0")


@pytest.mark.parametrize("size", [320])
def test_retinanet_looks_at_images_of_other_sizes(size):
    name = "torchvision/retinanet_resnet50_fpn"
    assert prepared(BACKBONES[name], f"resize:{size}").preparation(name).crop == size


@pytest.mark.parametrize("text", ["stretch", "resize:8", "resize:big", "resize:224:cubic", "resize:224:bicubic:1", "crop:-1"])
def test_an_input_that_cannot_be_is_refused(text):
    with pytest.raises((LookupError, ValueError)):
        FitSpec(input=text)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("--input resize --size 320", "resize:320"),
        ("--size 299", "crop:299"),
        ("--input pad --interpolation bicubic", "pad::bicubic"),
        ("--input resize:224:bicubic", "resize:224:bicubic"),
        ("", ""),
    ],
)
def test_the_shell_names_an_input_in_one_word_or_three(words, text):
    spec = spec_from(parser().parse_args(["fit", *words.split()]))
    assert spec.input == text
    assert spec_from(parser().parse_args(spec.to_command().split()[3:])) == spec
