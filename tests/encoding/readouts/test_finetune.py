"""The last blocks of a backbone learn from the pictures: those and no others, to the same bits after a Store and after a kill."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from encoding import fit
from encoding.backbones import BACKBONES, SOURCES
from encoding.backbones._base import seeded
from encoding.backbones._blocks import N_PROBED, blocks, find_cut
from encoding.backbones._hooks import trace
from encoding.backbones._modules import ModuleBackbone, Preparation
from encoding.fits.training_data import Chosen
from encoding.readouts import READOUTS, BadOption, Training
from encoding.readouts._checkpoint import Checkpoint
from encoding.readouts._finetune_inputs import PreparedStimuli
from encoding.runtime.progress import Cancelled
from tests import readout_problems
from tests.conftest import TINY, TinySource, TinyStimuli
from tests.readout_problems import mean_r, same_bits

FINETUNE = READOUTS["finetune"]
SIDE = 12
LAYER = "after.1"
QUICK = {"hidden": 8, "learning_rate": 1e-2, "backbone_learning_rate": 1e-2, "batch_size": 25, "weight_decay": 0}


class ConvNet(nn.Module):
    """Two convolutions, each with batch norm of uneven statistics, and what nobody asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.after = nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU(inplace=True))
        self.beyond = nn.Linear(8, 1)

    def forward(self, x):
        return self.beyond(self.after(self.before(x)).mean((2, 3)))


def build(seed=0):
    def make():
        network = ConvNet().eval().requires_grad_(False)
        network.before[1].running_mean.normal_()
        return network

    return seeded(make, seed)


def open_convnet():
    picture = Preparation(SIDE, SIDE, "bilinear", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return ModuleBackbone("convnet", build(), "convnet", picture, trace(build(), torch.zeros(3, 3, SIDE, SIDE)))


class ConvSource(TinySource):
    """The network above, registered in place of the backbone of the other tests."""

    def layers(self, network):
        return ("before", LAYER)

    def fingerprint(self, network, weights):
        return "convnet"

    def open(self, network, weights):
        return open_convnet()


def pictures(n=120, side=SIDE, seed=0):
    """Squares of 3 x 3 pixels in random colours."""
    squares = np.random.default_rng(seed).integers(0, 256, (n, side // 3, side // 3, 3), dtype=np.uint8)
    return TinyStimuli(squares.repeat(3, axis=1).repeat(3, axis=2))


def features(stimuli, backbone, layer=LAYER):
    return backbone.activations(PreparedStimuli(stimuli, backbone, "mean")[np.arange(len(stimuli))][:, 0], (layer,), "mean")[layer].numpy()


def other_filters(stimuli, t=4, noise=0.1):
    """Responses (n, t) to what filters unlike the network's make of its first layer."""
    backbone = open_convnet()
    other = build(7)
    backbone.network.after[0].weight.copy_(4 * (other.after[0].weight - other.after[0].weight.mean((1, 2, 3), keepdim=True)))
    rng = np.random.default_rng(1)
    X = features(stimuli, backbone)
    Y = (X - X.mean(0)) / X.std(0) @ rng.normal(size=(8, t))
    return (5 + 3 * (Y + noise * Y.std(0) * rng.normal(size=Y.shape))).astype(np.float32)


def training(stimuli, Y, *, rows=None, open_backbone=open_convnet, layers=(LAYER,), pool="mean", n_folds=10, **more):
    rows = np.arange(len(stimuli)) if rows is None else rows
    more = {"fold": np.arange(len(rows)) % n_folds, **more}
    seen = {"stimuli": Chosen(stimuli, rows), "open_backbone": open_backbone, "layers": layers, "pool": pool}
    return Training.of(np.zeros((len(rows), 0), np.float32), Y[rows], **more, **seen)


def tuned(data, *, report=lambda fraction, text: None, **options):
    return FINETUNE.fit(data, FINETUNE.read(QUICK | options), report=report)


# -- what is learned


def test_a_problem_that_needs_other_filters_is_solved_better_than_from_the_frozen_layer():
    stimuli = pictures(700)
    Y, new = other_filters(stimuli), Chosen(stimuli, np.arange(500, 700))
    model = tuned(training(stimuli, Y, rows=np.arange(500)), n_epochs=20, patience=20)
    X = features(stimuli, open_convnet())
    frozen = readout_problems.fit("ridge", X[:500], Y[:500])
    assert mean_r(model.predict(new), Y[500:]) > 0.8 > mean_r(frozen.predict(X[500:]), Y[500:]) + 0.15


def test_permuted_responses_are_not_predicted():
    stimuli = pictures(500)
    Y = np.random.default_rng(3).permutation(other_filters(stimuli))
    model = tuned(training(stimuli, Y, rows=np.arange(300)), n_epochs=5)
    assert abs(mean_r(model.predict(Chosen(stimuli, np.arange(300, 500))), Y[300:])) < 0.15


@pytest.mark.parametrize(
    ("name", "layer", "learns"),
    [
        pytest.param("torchvision/alexnet", "features.9", "features.8.", marks=pytest.mark.nightly),
        ("torchvision/squeezenet1_1", "features.10", "features.10."),
        ("convnet", LAYER, "after.0."),
    ],
)
def test_a_few_pictures_are_learned_by_heart_and_nothing_frozen_changes(name, layer, learns):
    def open_backbone():
        return open_convnet() if name == "convnet" else BACKBONES[name].open(name, "random:0")

    n = 6
    stimuli, Y = pictures(n, side=36), np.random.default_rng(2).normal(size=(n, 3)).astype(np.float32)
    fold = np.repeat([0, 1], n)  # validated on the rows it learns from, so that the best epoch is the one that fits them best
    data = training(stimuli, Y, rows=np.tile(np.arange(n), 2), fold=fold, open_backbone=open_backbone, layers=(layer,), pool="grid:3")
    options = {"n_epochs": 40, "patience": 40, "backbone_learning_rate": 1e-4, "learning_rate": 5e-3, "hidden": 16}
    model = tuned(data, **options)
    assert mean_r(model.predict(stimuli), Y) > 0.98
    before, after = open_backbone().network.state_dict(), model.trunk.network.state_dict()
    assert set(after) == set(before)
    changed = {tensor for tensor in before if not torch.equal(before[tensor], after[tensor])}
    assert changed == {tensor for tensor in before if tensor.startswith(learns)}


def test_batch_norms_learn_their_scale_and_keep_their_statistics():
    stimuli = pictures(60)
    model = tuned(training(stimuli, other_filters(stimuli)), n_blocks=2, n_epochs=3)
    before, after = open_convnet().network.state_dict(), model.trunk.network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"{module}.{kind}" for module in ("before.0", "before.1", "after.0") for kind in ("weight", "bias")}
    more = tuned(training(stimuli, other_filters(stimuli)), n_blocks=9, n_epochs=3)  # there are but two
    np.testing.assert_array_equal(more.weights, model.weights)


def test_the_backbone_goes_in_steps_of_its_own():
    stimuli = pictures(60)
    options = {"n_epochs": 2, "batch_size": 60, "backbone_learning_rate": 1e-4, "n_blocks": 2, "learning_rate": 1e-2}
    model = tuned(training(stimuli, other_filters(stimuli)), **options)
    before, after = dict(open_convnet().network.named_parameters()), dict(model.trunk.network.named_parameters())
    steps = [float((after[name] - before[name]).detach().abs().max()) for name in before]
    assert 2e-5 < max(steps) <= 1.01e-4  # Adam's first step has the length of the rate; there is none while the last layer is 0
    assert float(model.trunk.bottleneck[0].bias.abs().max()) > 0 and np.abs(model.weights).max() > 1e-3


def test_features_enter_in_standard_units_of_the_rows_learned_from():
    stimuli = pictures(100)
    fold = (np.arange(100) >= 20).astype(int)
    model = tuned(training(stimuli, other_filters(stimuli), fold=fold), n_epochs=1)
    X = features(stimuli, open_convnet())[20:]
    np.testing.assert_allclose(model.trunk.standardise.mean, X.mean(0), rtol=1e-4, atol=1e-6)
    least = 0.1 * np.sqrt(X.var(0).mean())
    np.testing.assert_allclose(model.trunk.standardise.deviation, np.maximum(X.std(0), least), rtol=1e-3)


# -- stored, resumed, fitted


def test_only_what_learned_is_stored_and_it_comes_back_to_the_same_bits(store):
    stimuli = pictures(60)
    data = training(stimuli, other_filters(stimuli))
    model = tuned(data, n_epochs=3, activation="relu", dropout=0.2)
    found = store.memo("weights-finetune", model.arrays, {})
    trunk = {name.removeprefix("trunk.") for name in found if name.startswith("trunk.")}
    standard, bottleneck = {"standardise.mean", "standardise.deviation"}, {"bottleneck.0.weight", "bottleneck.0.bias"}
    assert trunk == {"network.after.0.weight", "network.after.0.bias"} | standard | bottleneck
    back = FINETUNE.restore(found, data)
    new = pictures(40, seed=9)
    np.testing.assert_array_equal(back.predict(new), model.predict(new))
    same_bits(back, model)
    assert back.basis(new).shape == (40, 8) and back.basis(new).dtype == np.float32 and back.basis(Chosen(new, [])).shape == (0, 8)


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_a_training_killed_at_epoch_3_ends_as_if_it_had_not_been(optimiser, store, monkeypatch):
    monkeypatch.setattr("encoding.readouts._train.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("encoding.readouts._train.REPORT_SECONDS", np.inf)  # after epochs alone
    monkeypatch.setattr("encoding.readouts._train.CHECKPOINT_SHARE", np.inf)
    stimuli, checkpoint, told = pictures(60), Checkpoint(store, f"finetune-{optimiser}"), []
    Y, options = other_filters(stimuli), {"n_epochs": 5, "patience": 5, "optimiser": optimiser, "dropout": 0.3, "learning_rate": 1e-3}

    def kill(fraction, text):
        if text.startswith("epoch 3 "):
            raise Cancelled

    with pytest.raises(Cancelled):
        tuned(training(stimuli, Y, checkpoint=checkpoint), report=kill, **options)
    kept = checkpoint.load()
    assert {name for name in kept if name.startswith("network.trunk.network.")} == {
        f"network.trunk.network.after.0.{kind}" for kind in ("weight", "bias")
    }
    model = tuned(training(stimuli, Y, checkpoint=checkpoint), report=lambda _, text: told.append(text), **options)
    assert [text.split(":")[0] for text in told if text.startswith("epoch")] == [f"epoch {n} of 5" for n in (4, 5)]
    same_bits(model, tuned(training(stimuli, Y), **options))


@pytest.fixture
def convnet(tiny, monkeypatch):
    """The planted data set of the core, seen by the network above."""
    monkeypatch.setitem(SOURCES._members, "tinynet", ConvSource())
    return tiny


SPEC = replace(TINY, layers=(LAYER,), pool="mean", readout="finetune", options=tuple(({"n_epochs": 3} | QUICK).items()))


def test_a_fit_predicts_from_the_pictures_what_its_model_does(convnet, store):
    result = fit(SPEC, store)
    assert not any(key.startswith(("features", "components", "moments")) for key in store.keys())  # noqa: SIM118 - a Store is no dict
    rows, chosen = result.test_rows(), np.array([0, 3, 7])
    predicted = result.predicted("rh", chosen)
    np.testing.assert_array_equal(predicted, result.model("rh").predict(Chosen(result.plan.stimuli, rows), chosen))
    r = [np.corrcoef(predicted[:, i], result.measured("rh", chosen)[:, i])[0, 1] for i in range(3)]
    np.testing.assert_allclose(result.score("rh")[chosen], r, atol=1e-5)
    assert set(result.history()) == {"lh", "rh"} and len(result.history()["lh"]["validation_loss"]) == 3
    assert fit(SPEC, store).cached


def test_pictures_that_are_tested_on_change_no_weight(convnet, store):
    first = fit(SPEC, store)
    pixels = convnet.subject.stimuli.pixels.copy()
    pixels[first.test_rows()] = 255 - pixels[first.test_rows()]
    convnet.change(stimuli=TinyStimuli(pixels))
    second = fit(SPEC, store)
    assert second.key != first.key and not second.cached
    same_bits(second.model("lh"), first.model("lh"))
    assert not np.array_equal(second.predicted("lh", [0, 1]), first.predicted("lh", [0, 1]))


def test_the_fits_pooling_decides_what_is_read(convnet, store):
    sizes = {}
    for pool in ("none", "mean", "grid:2"):
        sizes[pool] = fit(replace(SPEC, pool=pool, hemi="lh"), store).model("lh").trunk.sizes
    assert sizes == {"none": (8 * 64,), "mean": (8,), "grid:2": (32,)}


@pytest.mark.parametrize("backbone", ["gabor", "pixels"])
def test_a_backbone_without_weights_is_refused_and_others_are_named(backbone, tiny, store):
    spec = replace(SPEC, backbone=backbone, layers=BACKBONES[backbone].layers(backbone)[:1], pool="none")
    with pytest.raises(BadOption, match=r"has none that it can train\. Choose a network of torchvision, timm") as caught:
        fit(spec, store)
    named = str(caught.value).partition("network of ")[2].partition(", such")[0].replace(" or ", ", ").split(", ")
    assert set(named) <= set(SOURCES) and "torchvision/alexnet" in str(caught.value) and "torchvision/alexnet" in BACKBONES


def test_a_layer_with_no_weights_before_it_is_refused():
    def open_backbone():
        network = nn.Sequential(nn.ReLU(), nn.Conv2d(3, 2, 3)).eval().requires_grad_(False)
        return ModuleBackbone("late", network, "late", open_convnet().preparation, {"0": 1, "1": 1})

    stimuli = pictures(30)
    with pytest.raises(BadOption, match="Nothing that leads to 0 has weights, so there is nothing to train"):
        tuned(training(stimuli, np.zeros((30, 2), np.float32), open_backbone=open_backbone, layers=("0",)))


# -- the frozen part


@pytest.mark.parametrize(
    ("name", "layer", "n_blocks", "last", "has_cut"),
    [
        pytest.param(
            "torchvision/alexnet", "features.12", 5, ["features.10", "features.11", "features.12"], True, marks=pytest.mark.nightly
        ),
        ("torchvision/alexnet", "classifier.5", 7, ["classifier.4", "classifier.5"], True),
        pytest.param("torchvision/resnet18", "layer4", 9, ["layer4.1"], True, marks=pytest.mark.nightly),
        ("torchvision/resnet18", "layer2.1.conv2", 6, ["layer2.1.conv2"], True),
        ("torchvision/squeezenet1_1", "features.12", 9, ["features.12"], True),
        ("torchvision/densenet121", "features.denseblock1", 7, ["features.denseblock1.denselayer6"], False),
        ("timm/vit_tiny_patch16_224", "blocks.2", 4, ["blocks.2"], True),
        pytest.param(
            "open_clip/ViT-B-32/openai", "transformer.resblocks.2", 4, ["transformer.resblocks.2"], True, marks=pytest.mark.nightly
        ),
    ],
)
def test_networks_come_apart_into_the_blocks_they_are_made_of(name, layer, n_blocks, last, has_cut):
    backbone = BACKBONES[name].open(name, "random:0")
    noise = torch.randn(N_PROBED, 3, backbone.preparation.crop, backbone.preparation.crop, generator=torch.Generator().manual_seed(0))
    found = blocks(backbone.network, noise, backbone.calls, (layer,))
    starts = [number for number, block in enumerate(found) if block.learns]
    assert len(starts) == n_blocks and [block.name for block in found[starts[-1] :]] == last
    cut = find_cut(backbone.network, noise, backbone.calls, (layer,), found[: starts[-1]])
    assert (cut is not None) == has_cut
    if cut:
        middle = cut.output(backbone.network, noise)
        for parameter in backbone.network.get_submodule(last[0]).parameters():
            parameter.mul_(1.5)
        with cut.entered(backbone.network, middle):
            entered = backbone.activations(torch.zeros_like(noise), (layer,))[layer]
        torch.testing.assert_close(entered, backbone.activations(noise, (layer,))[layer])
        assert not any("forward" in vars(module) for module in backbone.network.modules())


def test_the_same_is_learned_whether_what_is_frozen_is_kept_or_made_again(monkeypatch):
    stimuli = pictures(60)
    data = training(stimuli, other_filters(stimuli))
    passed = []
    count = ConvNet.forward

    def counted(self, x):
        passed.append(0 if "forward" in vars(self.before[0]) else len(x))
        return count(self, x)

    monkeypatch.setattr(ConvNet, "forward", counted)
    kept, n_kept = tuned(data, n_epochs=4), sum(passed)
    monkeypatch.setattr("encoding.readouts.finetune.kept_inputs", without_a_cut)
    passed.clear()
    whole, n_whole = tuned(data, n_epochs=4), sum(passed)
    monkeypatch.setattr("encoding.readouts._finetune_inputs.MOST_BYTES", 0)
    again = tuned(data, n_epochs=4)
    assert n_kept < 60 + 20 and n_whole > 4 * 60
    np.testing.assert_array_equal(again.weights, whole.weights)
    np.testing.assert_allclose(kept.history["train_loss"], whole.history["train_loss"], rtol=1e-4)
    np.testing.assert_allclose(kept.predict(stimuli), whole.predict(stimuli), rtol=1e-3, atol=1e-2)


def without_a_cut(subjects, network, cut, **more):
    from encoding.readouts._finetune_inputs import kept_inputs

    assert cut is not None
    return kept_inputs(subjects, network, None, **more)


def test_several_layers_are_read_side_by_side_even_where_one_of_them_is_frozen():
    stimuli = pictures(60)
    model = tuned(training(stimuli, other_filters(stimuli), layers=("before", LAYER)), n_epochs=3)
    assert model.trunk.sizes == (8, 8)
    backbone = open_convnet()
    mine = np.concatenate([features(stimuli, backbone, "before"), features(stimuli, model.backbone)], axis=1)
    trunk = model.trunk
    expected = trunk.bottleneck(trunk.standardise(torch.from_numpy(mine))).numpy()
    np.testing.assert_allclose(model.basis(stimuli), expected, rtol=1e-4, atol=1e-4)


# -- clips, mirrors, company


class Clips(TinyStimuli):
    """Three pictures of a data set, one after another."""

    n_frames = 3

    def frames(self, index):
        return [self[(index + number) % len(self)] for number in range(3)]


@pytest.mark.parametrize(("over", "size"), [("mean", 8), ("max", 8), ("last", 8), ("all", 24)])
def test_frames_are_pooled_as_the_fit_says(over, size):
    still = pictures(50)
    clips, Y = Clips(still.pixels), other_filters(still)
    data = training(clips, Y, over_frames=over)
    model = tuned(data, n_epochs=2, hidden=0)
    assert model.trunk.sizes == (size,) and model.trunk.n_hidden == size
    frames = np.stack([features(still, model.backbone)[(np.arange(50) + number) % 50] for number in range(3)], axis=1)
    pooled = {"mean": frames.mean(1), "max": frames.max(1), "last": frames[:, -1], "all": frames.reshape(50, -1)}[over]
    expected = (pooled - model.trunk.standardise.mean.numpy()) / model.trunk.standardise.deviation.numpy()
    np.testing.assert_allclose(model.basis(Chosen(clips, np.arange(50))), expected, rtol=1e-3, atol=1e-3)


def test_mirrored_pictures_are_learned_from_and_never_predicted_from():
    stimuli = pictures(50)
    Y = other_filters(stimuli)
    plain, flipped = (tuned(training(stimuli, Y), n_epochs=2, flip=flip) for flip in (False, True))
    assert not np.array_equal(plain.weights, flipped.weights)
    trunk, x = flipped.trunk, PreparedStimuli(stimuli, flipped.backbone, "mean")[np.arange(50)]
    with torch.no_grad():
        seen, mirror = trunk.features(x), trunk.features(x.flip(-1))
        torch.testing.assert_close(torch.from_numpy(flipped.basis(stimuli)), trunk.bottleneck(trunk.standardise(seen)))
        shown = trunk.train().features(x)
    as_seen, as_mirror = (torch.isclose(shown, each, atol=1e-5).all(1) for each in (seen, mirror))
    assert (as_seen | as_mirror).all() and 10 < as_mirror.sum() < 40
    assert not trunk.network.training


def test_other_subjects_train_the_backbone_too():
    stimuli, theirs = pictures(60), pictures(200, seed=4)
    Y = other_filters(stimuli)
    other = training(theirs, other_filters(theirs, t=6))
    options = {"n_epochs": 4, "patience": 9}
    alone = tuned(training(stimuli, Y), **options)
    beside = tuned(training(stimuli, Y, extra_subjects=(other,)), **options)
    assert beside.weights.shape == alone.weights.shape == (8, 4)
    assert beside.history["validation_r"][-1] > alone.history["validation_r"][-1]


def test_each_epoch_is_told_to_whoever_watches():
    told, stimuli = [], pictures(40)
    model = tuned(training(stimuli, other_filters(stimuli), on_epoch=lambda epoch, r: told.append((epoch, r))), n_epochs=3)
    assert told == list(enumerate(model.history["validation_r"]))


# -- parameters


def test_more_of_everything_costs_more():
    few = FINETUNE.cost(100, 50, 200, FINETUNE.read({}))
    for more in (FINETUNE.cost(200, 50, 200, FINETUNE.read({})), FINETUNE.cost(100, 50, 300, FINETUNE.read({}))):
        assert more[0] > few[0] > 0 and more[1] > few[1] > 0
    assert FINETUNE.cost(100, 50, 200, FINETUNE.read({"n_epochs": 40}))[0] > few[0]
