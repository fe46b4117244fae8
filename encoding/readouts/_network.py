"""Base class of neural readouts: a trunk that all targets share, and a linear output layer.

A subclass declares its parameters and builds its trunk. Everything else (standard units, training, early stopping, checkpoints,
the last layer folded into plain weights, storage without pickle) is here and in ``_train``.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from encoding.readouts._base import Readout
from encoding.readouts._examples import ROW_BLOCK, Examples, Inputs, Scale, array_inputs
from encoding.readouts._model import Columns, Model
from encoding.readouts._options import key_values
from encoding.readouts._train import Trained, first_seed, train
from encoding.readouts._train_options import TrainingOptions
from encoding.readouts._training import Training
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.random_state import seeded

if TYPE_CHECKING:
    import torch
    from torch import nn

    from encoding.readouts._layers import Head

TRUNK, HEAD = "trunk.", "head."
AT_ONCE = 1 << 30
READING = 0.05  # of the work, as far as a report is concerned


@dataclass(frozen=True)
class Shape:
    """Input shape of a trunk: n_components columns, in n_frames equal blocks, frame after frame.

    Attributes
    ----------
    places : channels, height and width of the map that the columns are, and 1 where channels stand last; empty where they are none.
    """

    n_components: int
    n_frames: int = 1
    places: tuple[int, ...] = ()

    @classmethod
    def of(cls, numbers: Sequence[int]) -> Shape:
        """Read the stored form: components, frames, and places where there are any."""
        n_components, n_frames, *places = map(int, numbers)
        return cls(n_components, n_frames, tuple(places))


@dataclass(frozen=True, kw_only=True)
class NetworkModel(Model):
    """``predict(X) = trunk(X) @ weights + intercept``, on the CPU, so that a stored model predicts the same bits.

    Attributes
    ----------
    trunk : (n, ...) -> (n, h), in eval mode. recipe : the arrays that say how to build an empty one.
    """

    trunk: nn.Module
    recipe: Mapping[str, np.ndarray]

    def basis(self, X: np.ndarray) -> np.ndarray:
        """Activations of the last hidden layer, float32 (n, h)."""
        import torch

        starts = range(0, max(len(X), 1), ROW_BLOCK)
        with torch.inference_mode():
            return np.concatenate([self.trunk(self.tensor(X, slice(start, start + ROW_BLOCK))).numpy() for start in starts])

    def tensor(self, X: Any, rows: slice) -> torch.Tensor:
        """Copy some rows of X into a tensor for the trunk."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(X[rows], np.float32))

    def state(self) -> dict[str, np.ndarray]:
        tensors = {f"{TRUNK}{name}": value.numpy() for name, value in self.trunk.state_dict().items()}
        return {"weights": self.weights, **self.recipe, **tensors}


@dataclass(frozen=True, kw_only=True)
class HeadModel(NetworkModel):
    """Network whose output layer is not linear: ``predict(X) = head(trunk(X)) * deviation + intercept``; ``weights`` is (0, t).

    Attributes
    ----------
    head : (n, h) -> (n, t) in standard units, in eval mode. deviation : (t,) float64, 0 for a constant target.
    """

    head: Head
    deviation: np.ndarray

    def predict_from(self, basis: np.ndarray, columns: Columns = slice(None)) -> np.ndarray:
        import torch

        with torch.inference_mode():
            predicted = self.head.columns(torch.from_numpy(np.ascontiguousarray(basis, np.float32)), columns).numpy()
        return (predicted * self.deviation[columns] + self.intercept[columns]).astype(np.float32)

    def state(self) -> dict[str, np.ndarray]:
        tensors = {f"{HEAD}{name}": value.numpy() for name, value in self.head.state_dict().items()}
        return super().state() | tensors | {"deviation": self.deviation}


class NetworkReadout(Readout):
    """A readout whose trunk is trained. X and Y enter in standard units of the rows learned from; predictions leave in the responses' own.

    ``history`` holds ``train_loss``, ``validation_loss`` and ``validation_r`` per epoch (losses in standard units, where the mean
    scores 1), ``details`` the ``best_epoch`` of each target, whose weights are kept, and its ``validation_r`` and errors
    then. A constant target has weights of 0. ``extra_subjects`` train the trunk too, each with a last layer of its own that is dropped
    afterwards.
    """

    uses_moments = False
    export_refusal = "Its model is a network, and networks are not opened from somebody else's file."
    per_target = False
    shares = True
    exact = False
    options: ClassVar[type[TrainingOptions]]

    @abstractmethod
    def trunk(self, shape: Shape, options: Any) -> nn.Module:
        """Build an untrained trunk (n, ...) -> (n, h), initialised from torch's random numbers; its ``n_hidden`` is h.

        The standard units of X are loaded into its :class:`~encoding.readouts._layers.Standardise`, where it has one.
        """

    @abstractmethod
    def n_weights(self, shape: Shape, options: Any) -> tuple[int, int]:
        """Number of weights of the trunk, and h; for an estimate of cost."""

    def head(self, data: Training, n_hidden: int, options: Any) -> Head:
        """Build an untrained output layer for the targets of ``data``."""
        from encoding.readouts._layers import LinearHead

        return LinearHead(n_hidden, data.n_targets)

    def shape(self, data: Training, options: Any) -> Shape:
        """Input shape of the trunk for some training data."""
        return Shape(data.X.shape[1], data.n_frames)

    def empty_head(self, n_hidden: int, n_targets: int, options: Any) -> Head:
        """Build an output layer that does not fold, into which stored tensors are loaded; only for readouts that have one."""
        raise NotImplementedError

    def inputs(self, data: Training, device: str) -> Inputs:
        """Function from row numbers of ``data`` to the trunk's input, on the device."""
        return array_inputs(data.X, device)

    def learning_rates(self, options: Any) -> Mapping[str, float]:
        """Learning rates other than the option's, by prefix of the parameter's name (``trunk.1.``)."""
        return {}

    def groups(self, data: Training, options: Any) -> Sequence[np.ndarray]:
        """Groups of targets with early stopping of their own; one group of all by default."""
        return ()

    def check(self, data: Training, options: Any) -> None:
        """ValueError where the data lack what the readout needs."""

    def n_folds(self, options: TrainingOptions) -> int:
        return round(1 / options.validation)

    def fit(self, data: Training, options: TrainingOptions, *, device: str = "cpu", report: Report = silent) -> Model:
        from encoding.readouts._layers import Network, Standardise

        subjects = (data, *data.extra_subjects)
        for each in subjects:
            self.check(each, options)
        shape = self.shape(data, options)
        reading = subprogress(report, 0, READING)
        examples = [
            Examples(self.inputs(each, device), each.Y, each.fold, validates=each is data, device=device, report=reading)
            for each in subjects
        ]
        with seeded(first_seed(options)):
            trunk = self.trunk(shape, options)
            network = Network(trunk, [self.head(each, trunk.n_hidden, options) for each in subjects])
        for layer in trunk.modules():
            if isinstance(layer, Standardise):
                layer.load(Scale.of(_rows_of(data.X, examples[0].learning)))
        trained = train(
            network, examples, options, groups=self.groups(data, options), learning_rates=self.learning_rates(options),
            checkpoint=data.checkpoint, on_epoch=data.on_epoch, report=subprogress(report, READING, 1),
        )  # fmt: skip
        network.to("cpu").eval().requires_grad_(False)
        head, scale, recipe = network.heads[0], examples[0].scale, self.recipe(shape, options)
        if head.folds:
            return self.model(network.trunk, *fold_head(head, scale), trained, recipe)
        return HeadModel(
            np.zeros((0, head.n_targets), np.float32), scale.mean, trained.details, trained.history,
            trunk=network.trunk, recipe=recipe, head=head, deviation=np.where(scale.constant, 0, scale.deviation),
        )  # fmt: skip

    def model(
        self, trunk: nn.Module, weights: np.ndarray, intercept: np.ndarray, trained: Trained, recipe: Mapping[str, np.ndarray]
    ) -> Model:
        """Build the fitted model of a trunk on the CPU and weights (h, t) from its outputs to the responses."""
        return NetworkModel(weights, intercept, trained.details, trained.history, trunk=trunk, recipe=recipe)

    def recipe(self, shape: Shape, options: TrainingOptions) -> dict[str, np.ndarray]:
        """Arrays from which the trunk is built again."""
        text = json.dumps(key_values(options), sort_keys=True)
        return {"shape": np.array([shape.n_components, shape.n_frames, *shape.places]), "options": np.frombuffer(text.encode(), np.uint8)}

    def restore(self, arrays: Mapping[str, np.ndarray], data: Training | None) -> Model:
        import torch

        options = self.read(json.loads(bytes(np.asarray(arrays["options"]))))
        with seeded(0):
            trunk = self.trunk(Shape.of(arrays["shape"]), options)
            head = self.empty_head(trunk.n_hidden, len(arrays["intercept"]), options) if "deviation" in arrays else None
        for prefix, module in ((TRUNK, trunk), (HEAD, head)):
            if module is not None:
                named = {name.removeprefix(prefix): torch.tensor(np.array(arrays[name])) for name in arrays if name.startswith(prefix)}
                module.load_state_dict(named)
                module.eval().requires_grad_(False)
        fields = {"weights": arrays["weights"], **Model.shared_fields(arrays), "trunk": trunk}
        fields["recipe"] = {name: arrays[name] for name in ("shape", "options")}
        return NetworkModel(**fields) if head is None else HeadModel(**fields, head=head, deviation=arrays["deviation"])

    def cost(self, n: int, p: int, t: int, options: TrainingOptions) -> tuple[float, float]:
        """Estimate operations and memory without early stopping; a backward pass costs twice a forward pass."""
        trunk, n_hidden = self.n_weights(Shape(p), options)
        weights = trunk + n_hidden * t
        return 3.0 * n * weights * options.n_epochs, 4.0 * (n * (p + t) + 5 * weights)


def _rows_of(X: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Some rows of X, at once unless they take more than :data:`AT_ONCE` bytes."""
    step = len(rows) if 4 * len(rows) * X.shape[1] <= AT_ONCE else ROW_BLOCK
    return (X[rows[start : start + step]] for start in range(0, len(rows), step))


def fold_head(head: Head, scale: Scale) -> tuple[np.ndarray, np.ndarray]:
    """The weights, float32 (h, t), and intercept, float64 (t,), in the responses' own units."""
    weights, bias = (part.detach().double().numpy() for part in head.folded())
    weights, bias = np.where(scale.constant, 0, weights * scale.deviation), np.where(scale.constant, 0, bias * scale.deviation)
    return weights.astype(np.float32), bias + scale.mean
