"""VOneNets: filters drawn as measured, cells that answer as simple and complex ones, and published files that fit."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torchvision.models import resnet50

from encoding.backbones import BACKBONES
from encoding.backbones._vone import (
    CYCLES_COUNTS,
    CYCLES_EDGES,
    FREQUENCY_COUNTS,
    FREQUENCY_EDGES,
    GAIN,
    ORIENTATION_COUNTS,
    ORIENTATION_EDGES,
    PIXELS_PER_DEGREE,
    VOneBlock,
    draw,
    filters,
)
from encoding.backbones.vonenet import NETWORKS, alexnet, own_tensors
from encoding.runtime.registry import UnknownName

RESNET, ALEXNET = "vonenet/resnet50", "vonenet/alexnet"
SOURCE = BACKBONES[RESNET]
FRONT = ["vone.simple", "vone.complex", "vone", "bottleneck"]


def noise(n=1, seed=0):
    return torch.randn(n, 3, 224, 224, generator=torch.Generator().manual_seed(seed))


def drawn(n, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return draw(n)


@pytest.fixture(scope="module")
def ours():
    return SOURCE.open(RESNET, "random:0")


# The cells


def shares(counts):
    return np.asarray(counts) / np.sum(counts)


def test_parameters_fall_as_the_published_histograms_say():
    n = 40_000
    cells = drawn(n)
    turned = np.where(cells["orientation"] > 157.5, cells["orientation"] - 180, cells["orientation"])
    for values, edges, counts in (
        (turned, ORIENTATION_EDGES, ORIENTATION_COUNTS),
        (cells["frequency"], FREQUENCY_EDGES, FREQUENCY_COUNTS),
        (cells["phase"], np.linspace(0, 360, 9), np.ones(8)),
        (cells["colour"], [-0.5, 0.5, 1.5, 2.5], np.ones(3)),
    ):
        found, _ = np.histogram(values, edges)
        assert found.sum() == n
        np.testing.assert_allclose(found / n, shares(counts), atol=0.01)
    found, _, _ = np.histogram2d(cells["along"], cells["across"], [CYCLES_EDGES, CYCLES_EDGES])
    assert found.sum() == n
    np.testing.assert_allclose(found / n, shares(CYCLES_COUNTS), atol=0.01)


def test_the_size_of_the_envelope_goes_with_the_frequency_and_with_nothing_else():
    cells = drawn(20_000)

    def rank_correlation(one, other):
        return stats.spearmanr(cells[one], cells[other]).statistic

    assert rank_correlation("frequency", "along") == pytest.approx(6 / np.pi * np.arcsin(0.75 / 2), abs=0.02)  # of a Gaussian pair
    for other in ("orientation", "phase", "colour"):
        assert abs(rank_correlation("frequency", other)) < 0.03


def grating(cell, phase, turned=0.0):
    """(1, 3, 224, 224) in -1 … 1: a wave of a cell's frequency and colour, seen by the places of the convolution."""
    row, column = np.mgrid[:224, :224] - 112  # a place of the convolution stands on every fourth pixel, also on 112
    angle = np.deg2rad(cell["orientation"] + turned)
    wave = np.cos(2 * np.pi * cell["frequency"] / PIXELS_PER_DEGREE * (row * np.cos(angle) + column * np.sin(angle)) + phase)
    x = np.zeros((1, 3, 224, 224), np.float32)
    x[0, cell["colour"]] = wave
    return torch.from_numpy(x)


@pytest.fixture(scope="module")
def block():
    """The front alone, its cells, and those of them whose envelope holds waves enough and fits the kernel."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made = VOneBlock()
    cells = drawn(512, seed=1)
    sizes = [cells[name] / cells["frequency"] * PIXELS_PER_DEGREE for name in ("along", "across")]
    clean = (np.minimum(*sizes) > 1) & (np.maximum(*sizes) < 4.5) & (cells["along"] > 0.4)
    return made, cells, np.flatnonzero(clean)


def answer(made, x):
    """Responses of the 512 cells at the centre of an image, computed on the 25 x 25 pixels that their kernels cover."""
    with torch.no_grad():
        return made(x[..., 100:125, 100:125])[0, :, 3, 3].numpy()


def test_the_pixels_around_the_centre_give_the_responses_of_a_whole_image(block):
    made, *_ = block
    with torch.no_grad():
        whole = made(noise())[0, :, 28, 28].numpy()
    np.testing.assert_allclose(answer(made, noise()), whole, rtol=1e-4, atol=1e-4 * np.abs(whole).max())


def one(cells, number):
    return {name: values[number] for name, values in cells.items()}


def test_a_simple_cell_answers_its_own_grating_by_phase_and_a_complex_one_does_not(block):
    """In closed form: a cosine seen through an envelope of integral one is half the cosine of the difference of phases."""
    made, cells, clean = block
    simple, complex_ = clean[clean < 256][:4], clean[clean >= 256][:4]
    assert len(simple) == len(complex_) == 4
    for phase in np.linspace(0, 2 * np.pi, 5)[:-1]:
        for number in simple:
            expected = GAIN / 2 * max(0, np.cos(np.deg2rad(cells["phase"][number]) - phase))
            assert answer(made, grating(one(cells, number), phase))[number] == pytest.approx(expected, abs=0.06 * GAIN / 2)
        for number in complex_:
            assert answer(made, grating(one(cells, number), phase))[number] == pytest.approx(GAIN / 2 / np.sqrt(2), rel=0.06)


def test_a_cell_prefers_its_own_orientation_and_colour(block):
    made, cells, clean = block
    for number in clean[clean >= 256][:4]:
        cell = one(cells, number)
        best = answer(made, grating(cell, 0))[number]
        assert answer(made, grating(cell, 0, turned=45))[number] < 0.8 * best
        assert answer(made, grating(cell, 0, turned=90))[number] < 0.5 * best
        assert answer(made, grating(cell | {"colour": (cell["colour"] + 1) % 3}, 0))[number] == 0


def test_partners_in_quadrature_share_envelope_and_colour():
    cells = drawn(20)
    even, odd, opposite = (filters(cells, turned) for turned in (0, 90, 180))
    np.testing.assert_allclose(opposite, -even, atol=1e-7)
    assert (np.abs(even).max((2, 3)) > 0).sum() == 20 and ((np.abs(even) + np.abs(odd)).max((2, 3)) > 0).sum() == 20
    envelope = np.hypot(even, odd).max(1)  # the wave falls out: cos² + sin² = 1
    np.testing.assert_allclose(envelope[:, 12, 12], envelope.max((1, 2)), rtol=1e-5)
    along, across = (cells[name] / cells["frequency"] * PIXELS_PER_DEGREE for name in ("along", "across"))
    np.testing.assert_allclose(envelope[:, 12, 12], 1 / (2 * np.pi * along * across), rtol=1e-5)


# The networks


def published(network):
    """The tensors of one of our networks under the names that published files have, odd filters for all cells included."""
    tensors = {}
    for name, tensor in network.state_dict().items():
        if name == "vone.odd.weight":
            tensor = torch.cat([torch.full((256, *tensor.shape[1:]), 9.0), tensor])
        front = {"vone.even.weight": "vone_block.simple_conv_q0.weight", "vone.odd.weight": "vone_block.simple_conv_q1.weight"}
        other = name if name.startswith("bottleneck") else f"model.{name}"
        tensors["module." + front.get(name, other)] = tensor
    return tensors


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "voneresnet50.pth.tar"
    network = SOURCE.open(RESNET, "random:8").network
    torch.save({"flags": {"stride": 4, "noise_mode": "neuronal"}, "epoch": 70, "state_dict": published(network)}, path)
    return path


def test_a_published_file_fits_and_its_layers_equal_a_forward_pass_written_by_hand(file):
    backbone, tensors, x = SOURCE.open(RESNET, str(file)), torch.load(file)["state_dict"], noise()
    made = backbone.activations(x, [*FRONT, "layer1.0", "layer4.2", "avgpool", "fc"])
    even, odd = (F.conv2d(x, tensors[f"module.vone_block.simple_conv_q{i}.weight"], stride=4, padding=12) for i in range(2))
    simple, complex_ = 25 * F.relu(even[:, :256]), 25 * torch.hypot(even, odd)[:, 256:] / 2**0.5
    bottleneck = F.conv2d(torch.cat([simple, complex_], 1), tensors["module.bottleneck.weight"])
    theirs = resnet50(weights=None).eval()
    missing = theirs.load_state_dict({k.removeprefix("module.model."): v for k, v in tensors.items() if ".model." in k}, strict=False)
    assert not missing.unexpected_keys and all(key.startswith(("conv1.", "bn1.")) for key in missing.missing_keys)
    with torch.no_grad():
        first = theirs.layer1[0](bottleneck)
        last = theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(bottleneck))))
        by_hand = [simple, complex_, torch.cat([simple, complex_], 1), bottleneck, first, last, last.mean((2, 3))]
        by_hand.append(theirs.fc(by_hand[-1]))
    for found, expected in zip(made.values(), by_hand, strict=True):
        torch.testing.assert_close(found, expected.flatten(1), rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_alexnet_behind_the_front_has_the_published_shapes_and_names():
    with torch.device("meta"):
        behind = torch.nn.ModuleDict(alexnet())
    names = {f"module.model.{name}".removeprefix("module."): tensor for name, tensor in behind.state_dict().items()}
    assert own_tensors(names).keys() == behind.state_dict().keys()
    shapes = {name: tuple(tensor.shape) for name, tensor in behind.state_dict().items()}
    assert shapes["features.0.weight"] == (192, 64, 5, 5) and shapes["classifier.1.weight"] == (4096, 256 * 7 * 7)
    every = BACKBONES[ALEXNET].every_layer(ALEXNET)
    assert [layer for layer in every if layer in NETWORKS[ALEXNET].layers] == list(NETWORKS[ALEXNET].layers)


def test_the_seed_draws_filters_and_network_alike(ours):
    state = torch.random.get_rng_state()
    again, other = (SOURCE.open(RESNET, weights).network.state_dict() for weights in ("random:0", "random:1"))
    SOURCE.every_layer(RESNET)
    assert torch.equal(torch.random.get_rng_state(), state)
    mine = ours.network.state_dict()
    assert all(torch.equal(mine[name], again[name]) for name in mine)
    for name in ("vone.even.weight", "vone.odd.weight", "bottleneck.weight", "layer1.0.conv1.weight"):
        assert not torch.equal(mine[name], other[name])


def test_curated_layers_run_from_the_front_to_the_last_block():
    every, curated = SOURCE.every_layer(RESNET), SOURCE.layers(RESNET)
    assert [layer for layer in every if layer in curated] == list(curated)
    assert list(curated[:4]) == FRONT and curated[-3:] == ("layer4.2", "avgpool", "fc")


# Noise


def test_without_a_seed_there_is_no_noise(ours):
    made = ours.activations(noise(), FRONT)
    assert torch.equal(made["vone"], torch.cat([made["vone.simple"], made["vone.complex"]], 1))


def test_noise_is_normal_with_the_variance_of_a_count_and_the_same_for_every_picture(ours):
    noisy = SOURCE.open(f"{RESNET}:noise=3", "random:0")
    clean, made = (backbone.activations(20 * noise(2), ["vone.simple", "vone.complex", "vone"]) for backbone in (ours, noisy))
    assert torch.equal(clean["vone.simple"], made["vone.simple"]) and torch.equal(clean["vone.complex"], made["vone.complex"])
    mean = 0.35 * clean["vone"] + 0.07
    drawn = (0.35 * made["vone"] + 0.07 - mean) / mean.sqrt()
    sure = mean > 16  # so many that noise, at four standard deviations, does not take them all
    assert (made["vone"] >= 0).all() and sure.sum() > 1000
    assert float(drawn[sure].std()) == pytest.approx(1, abs=0.05) and abs(float(drawn[sure].mean())) < 0.05
    both = sure[0] & sure[1]
    torch.testing.assert_close(drawn[0][both], drawn[1][both], rtol=1e-3, atol=1e-3)


def test_noise_has_a_name_and_a_fingerprint_of_its_own():
    names = [RESNET, f"{RESNET}:noise=0", f"{RESNET}:noise=1"]
    assert len({SOURCE.fingerprint(name, "random:0") for name in names}) == 3
    assert all(name in BACKBONES for name in names) and names[1] not in SOURCE.networks()
    SOURCE.check_layers(names[1], ["vone", "vone.noise", "layer1.0.conv2"])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("vonenet/resnet51", "Unknown backbone 'vonenet/resnet51'"),
        ("vonenet/resnet50:nois=1", r"Unknown parameter of vonenet/resnet50 'nois'\. Did you mean 'noise'\?"),
        ("vonenet/resnet50:noise=x", "Parameter noise of vonenet/resnet50 cannot be 'x': it is a whole number from 0"),
        ("vonenet/resnet50:noise", "Parameter noise of vonenet/resnet50 has no value"),
        ("vonenet/resnet50:noise=1,noise=2", "is given twice"),
    ],
)
def test_a_name_that_is_not_understood_says_why(name, says):
    assert name not in BACKBONES
    with pytest.raises(UnknownName, match=says):
        BACKBONES[name]


# Around it


def test_pictures_are_shown_between_minus_one_and_one(ours):
    from PIL import Image

    for colour, value in (("black", -1), ("white", 1)):
        shown = ours.prepare(Image.new("RGB", (300, 260), colour))
        assert shown.shape == (3, 224, 224) and (shown == value).all()


def test_published_weights_have_their_address_and_place(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = SOURCE.weights_file(ALEXNET)
    assert file.address == "https://vonenet-models.s3.us-east-2.amazonaws.com/vonealexnet_e70.pth.tar"
    assert file.path == tmp_path / "hub" / "checkpoints" / "vonealexnet_e70.pth.tar" and "GPL-3.0" in file.licence
    assert SOURCE.weights_file(f"{RESNET}:noise=1").path.name == "voneresnet50_e70.pth.tar"
    assert not SOURCE.is_ready(ALEXNET, "pretrained") and SOURCE.is_ready(ALEXNET, "random:0")
