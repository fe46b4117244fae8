"""Fine-tuning: the backbone's last blocks, a linear bottleneck and a linear output layer trained end to end on images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.datasets import Stimuli
from encoding.readouts import READOUTS, BadOption, Model, Range, Readout, Training, option
from encoding.readouts._examples import ROW_BLOCK, Examples, Inputs, Scale
from encoding.readouts._finetune_inputs import PreparedStimuli, kept_inputs
from encoding.readouts._network import TRUNK, NetworkModel, fold_head
from encoding.readouts._options import key_values
from encoding.readouts._train import first_seed, train
from encoding.readouts._train_options import OPTIMISERS, TrainingOptions, check_share, one_of
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.random_state import seeded

if TYPE_CHECKING:
    from encoding.backbones._blocks import Block, Cut
    from encoding.backbones._modules import ModuleBackbone
    from encoding.readouts._finetune_trunk import Trunk

ACTIVATIONS = ("none", "relu", "tanh")
KEEPING, READING = 0.3, 0.35  # of the work: until images are kept, until responses are read
PASS = 4e9  # multiplications for one image, assumed for an estimate: a network of ResNet50's size
LEARNING_SHARE = 0.25  # of those, in the blocks that learn


@dataclass(frozen=True)
class FinetuneOptions(TrainingOptions):
    """Parameters of :class:`Finetune`."""

    n_epochs: int = option(20, "Largest number of epochs (passes over the training images).")
    batch_size: int = option(32, "Batch size: training images per gradient step.")
    optimiser: str = option("adamw", "Optimiser: adamw, adam or sgd.", choices=OPTIMISERS)
    weight_decay: float = option(
        1e-2, "Weight decay (L2 regularisation; decoupled from the gradient with adamw).", search=Range(1e-4, 1.0, log=True)
    )
    backbone_learning_rate: float = option(
        1e-5,
        "Learning rate of the backbone's weights; usually lower than learning_rate, which is that of the new layers.",
        search=Range(1e-6, 1e-3, log=True),
    )
    n_blocks: int = option(
        1, "Number of backbone blocks to fine-tune, counted back from the layer; where it has fewer, all of them.", search=Range(1, 4)
    )
    hidden: int = option(
        256, "Number of units of the bottleneck between the layer and the vertices. 0: no bottleneck.", search=Range(32, 1024, log=True)
    )
    activation: str = option("none", "Activation function of the bottleneck: none, relu or tanh.", choices=ACTIVATIONS)
    dropout: float = option(0.0, "Dropout rate of the bottleneck.", search=Range(0.0, 0.7))
    flip: bool = option(
        False,
        "Data augmentation: random horizontal flips (p = .5). Early visual cortex distinguishes left from right, which flips make alike.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (np.isfinite(self.backbone_learning_rate) and self.backbone_learning_rate > 0):
            raise BadOption(f"backbone_learning_rate must be a number above 0, not {self.backbone_learning_rate!r}.")
        if self.n_blocks < 1:
            raise BadOption(f"n_blocks must be 1 or more, not {self.n_blocks}. A frozen backbone is what ridge or mlp read.")
        if self.hidden < 0:
            raise BadOption(f"hidden must be 0 (no bottleneck) or more, not {self.hidden}.")
        one_of("activation", self.activation, ACTIVATIONS)
        check_share("dropout", self.dropout)


@dataclass(frozen=True, kw_only=True)
class FinetuneModel(NetworkModel):
    """Fine-tuned network on the CPU, which predicts from stimuli; only the trained tensors are stored.

    Attributes
    ----------
    trunk : a :class:`~encoding.readouts._finetune_trunk.Trunk`. backbone : prepares images for it.
    """

    trunk: Trunk
    backbone: ModuleBackbone

    def basis(self, X: Stimuli) -> np.ndarray:
        """Activations of the last hidden layer, float32 (n, h)."""
        import torch

        images = PreparedStimuli(X, self.backbone, self.trunk.over)
        if not len(X):
            return np.zeros((0, self.trunk.n_hidden), np.float32)
        step = n_at_once(images)
        with torch.no_grad():
            made = [self.trunk(images[np.arange(start, min(start + step, len(X)))]) for start in range(0, len(X), step)]
        return torch.cat(made).numpy()


class Finetune(Readout):
    """The last blocks of the backbone before the fitted layers, a linear bottleneck and a linear last layer, trained end to end.

    The backbone starts with the weights that the fit names. Those of its last ``n_blocks`` blocks learn, at a low rate of their own; all
    before them stay as they are, and so does what belongs to no block, such as position embeddings. Batch norms keep their published means
    and variances (they are never in training mode), dropout within the backbone is off. Layers are pooled as the fit says, over places and
    over frames, without components; each feature enters in standard units of what the untuned backbone gave on the rows learned from.
    Where a network can be entered in the middle the frozen part runs once. ``history`` and ``details`` are as of every neural readout.
    """

    name, title = "finetune", "Tuned backbone"
    about = "Trains the backbone's last blocks together with the readout, from the images themselves."
    uses_moments = False
    uses_components = False
    restores_from_data = True
    export_refusal = "Its model is a whole network, which is not passed on."
    per_target = False
    exact = False
    options = FinetuneOptions

    def n_folds(self, options: FinetuneOptions) -> int:
        return round(1 / options.validation)

    def fit(self, data: Training, options: FinetuneOptions, *, device: str = "cpu", report: Report = silent) -> Model:
        from encoding.readouts._layers import LinearHead, Network

        subjects = (data, *data.extra_subjects)
        backbone = _opened(data).to(device)
        with ExitStack() as files, seeded(first_seed(options)):
            images = [PreparedStimuli(each.stimuli, backbone, data.over_frames) for each in subjects]
            recipe, cut = self._recipe(backbone, data, images[0], options, device)
            trunk = _trunk(backbone, recipe)
            network = Network(trunk, [LinearHead(trunk.n_hidden, each.n_targets) for each in subjects]).to(device).eval()
            keeping, reading = subprogress(report, 0, KEEPING), subprogress(report, KEEPING, READING)
            inputs, cut = kept_inputs(
                images, trunk.network, cut, device=device, step=n_at_once(images[0]), files=files, report=keeping
            )  # fmt: skip
            trunk.enter_at(cut, images[0][np.arange(1)].shape[3:])
            examples = [
                Examples(given, each.Y, each.fold, validates=each is data, device=device, report=reading)
                for given, each in zip(inputs, subjects, strict=True)
            ]
            trunk.load_scale(Scale.of(_features(trunk, inputs[0], examples[0].learning, reading)))
            trained = train(
                network, examples, options, learning_rates={"trunk.network.": options.backbone_learning_rate},
                checkpoint=data.checkpoint, on_epoch=data.on_epoch, report=subprogress(report, READING, 1),
            )  # fmt: skip
        trunk.enter_at(None)
        network.to("cpu").eval().requires_grad_(False)
        weights, intercept = fold_head(network.heads[0], examples[0].scale)
        return FinetuneModel(weights, intercept, trained.details, trained.history, trunk=trunk, backbone=backbone, recipe=_arrays(recipe))

    def _recipe(
        self, backbone: ModuleBackbone, data: Training, images: PreparedStimuli, options: FinetuneOptions, device: str
    ) -> tuple[dict[str, Any], Cut | None]:
        """How to build the trunk, JSON-able, and where to enter the network so that what is frozen need not run again."""
        import torch

        from encoding.backbones._blocks import N_PROBED, blocks, find_cut

        example = images[np.arange(1)]
        noise = torch.randn(N_PROBED, *example.shape[2:]).to(device)
        found = blocks(backbone.network, noise, backbone.calls, data.layers)
        learned, frozen = _split(found, options.n_blocks, data.layers)
        names = [name for name, _ in backbone.network.named_parameters() if any(name.startswith(f"{block.name}.") for block in learned)]
        n_side_by_side = example.shape[1] if data.over_frames in ("all", "sequence") else 1
        given = backbone.activations(noise, data.layers, data.pool)
        recipe = {
            "layers": list(data.layers), "sizes": [given[layer].shape[1] * n_side_by_side for layer in data.layers], "tuned": names,
            "pool": data.pool, "over": data.over_frames, "options": key_values(options),
        }  # fmt: skip
        return recipe, None if options.flip else find_cut(backbone.network, noise, backbone.calls, data.layers, frozen)

    def restore(self, arrays: Mapping[str, np.ndarray], data: Training) -> Model:
        """Load the stored tensors into the backbone that ``data`` opens."""
        import torch

        backbone = _opened(data)
        with seeded(0):
            trunk = _trunk(backbone, json.loads(bytes(np.asarray(arrays["recipe"]))))
        tensors = {name.removeprefix(TRUNK): torch.tensor(np.array(arrays[name])) for name in arrays if name.startswith(TRUNK)}
        trunk.load_state_dict(tensors)
        trunk.eval().requires_grad_(False)
        recipe = {"recipe": arrays["recipe"]}
        return FinetuneModel(arrays["weights"], **Model.shared_fields(arrays), trunk=trunk, backbone=backbone, recipe=recipe)

    def cost(self, n: int, p: int, t: int, options: FinetuneOptions) -> tuple[float, float]:
        """Assume a backbone of ResNet50's size, of which a quarter is trained, and no early stopping."""
        n_hidden = options.hidden or p
        head = p * options.hidden + n_hidden * t
        passes = PASS * (2 + 3 * LEARNING_SHARE * options.n_epochs)
        return n * (passes + 3.0 * head * options.n_epochs), 4.0 * (n * t + 5 * head)


def n_at_once(images: PreparedStimuli) -> int:
    """Number of stimuli in one forward pass."""
    from encoding.readouts._finetune_trunk import FORWARD_PIXELS

    n_frames, _, height, width = images[np.arange(1)].shape[1:]
    return max(1, FORWARD_PIXELS // (n_frames * height * width))


def _opened(data: Training) -> ModuleBackbone:
    """The backbone, if there is anything in it that could learn; BadOption otherwise."""
    from encoding.backbones._modules import ModuleBackbone

    backbone = data.open_backbone()
    if not isinstance(backbone, ModuleBackbone):
        raise BadOption(
            f"finetune trains weights of the backbone, and {type(backbone).__name__} has none that it can train. "
            "Choose a network of torchvision, timm, open_clip or vonenet, such as torchvision/alexnet."
        )
    return backbone


def _split(blocks: Sequence[Block], n_blocks: int, layers: Sequence[str]) -> tuple[Sequence[Block], Sequence[Block]]:
    """The blocks that learn, and those before them. The last ``n_blocks`` that have weights learn, and what runs among and after them."""
    starts = [number for number, block in enumerate(blocks) if block.learns]
    if not starts:
        raise BadOption(f"Nothing that leads to {', '.join(layers)} has weights, so there is nothing to train. Choose a later layer.")
    start = starts[max(0, len(starts) - n_blocks)]
    return blocks[start:], blocks[:start]


def _trunk(backbone: ModuleBackbone, recipe: Mapping[str, Any]) -> Trunk:
    from encoding.readouts._finetune_trunk import Trunk

    options = {name: recipe["options"][name] for name in ("hidden", "activation", "dropout", "flip")}
    return Trunk(backbone, recipe["layers"], recipe["sizes"], recipe["tuned"], pool=recipe["pool"], over=recipe["over"], **options)


def _arrays(recipe: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {"recipe": np.frombuffer(json.dumps(recipe, sort_keys=True).encode(), np.uint8)}


def _features(trunk: Trunk, inputs: Inputs, rows: np.ndarray, report: Report) -> Iterator[np.ndarray]:
    """What the untuned backbone gives, blocks of rows (b, n_features)."""
    import torch

    for start in range(0, len(rows), ROW_BLOCK):
        report(1, f"features: {start:,} of {len(rows):,}")
        with torch.no_grad():
            yield trunk.features(inputs(rows[start : start + ROW_BLOCK])).cpu().numpy()


READOUTS.register("finetune", Finetune())
