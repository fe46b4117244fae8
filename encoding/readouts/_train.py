"""Training loop of neural readouts: minibatches, learning-rate schedule, early stopping on a validation set, checkpoints.

Everything random in an epoch follows from the seed and the epoch's number, so a training that goes on from a checkpoint ends
with the same bits as one that was never interrupted (on the same device).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoding.evaluation.scores import r_from_moments
from encoding.readouts._examples import ROW_BLOCK, Examples, batches
from encoding.readouts._stopping import EarlyStopping
from encoding.runtime.progress import Report, Step, silent
from encoding.runtime.random_state import seeded

if TYPE_CHECKING:
    import torch

    from encoding.readouts._checkpoint import Checkpoint
    from encoding.readouts._layers import Network
    from encoding.readouts._train_options import TrainingOptions

CHECKPOINT_SECONDS = 10.0  # between two checkpoints, at least
CHECKPOINT_SHARE = 0.05  # of the time may go to writing them
REPORT_SECONDS = 1.0
FLAT = 1e-3  # variance in standard units that keeps the gradient of r finite where predictions hardly vary
HISTORY = ("train_loss", "validation_loss", "validation_r")


class Diverged(ArithmeticError):
    """The training or validation loss became NaN or infinite. The message names the epoch and what helps."""


@dataclass(frozen=True)
class Trained:
    """Results of :func:`train`; the network holds the weights of its best epoch.

    Attributes
    ----------
    details : per target (t,) ``best_epoch`` (from 1) whose weights are kept, and of that epoch ``validation_r`` (NaN for a constant
        target), and ``train_mse`` (while learning, with dropout) and ``validation_mse`` in the squared unit of the responses.
    history : per epoch (e,) ``train_loss`` (while learning, with dropout), ``validation_loss``, ``validation_r`` (mean over targets).
    """

    details: dict[str, np.ndarray]
    history: dict[str, np.ndarray]


def train(
    network: Network,
    subjects: Sequence[Examples],
    options: TrainingOptions,
    *,
    groups: Sequence[np.ndarray] = (),
    learning_rates: Mapping[str, float] | None = None,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
    report: Report = silent,
) -> Trained:
    """Train ``network`` in place, and leave it on the device with the weights of its best epoch.

    Parameters
    ----------
    subjects : one for each head, the first the subject whose validation set counts. Minibatches of several come in random order.
    groups : columns of the first subject that stop each at its own best epoch, every column in one; only for a network whose
        trunk learns nothing. One group of all by default.
    learning_rates : beginnings of parameters' names, to learning rates other than the option's, such as ``{"trunk.1.": 1e-5}``.
    checkpoint : is read first, written after an epoch every :data:`CHECKPOINT_SECONDS`; whoever stores the result clears it.
    on_epoch : called with the number (from 0) and the ``validation_r`` of each epoch, which trainings on different losses share.
    report : called after each epoch, with its losses (:class:`~encoding.runtime.progress.Step`), and once a second. An exception of it
        or ``on_epoch`` stops and leaves the checkpoint.

    Raises
    ------
    Diverged where a loss is no number.
    """
    first = subjects[0]
    network.to(first.device)
    course = _Course(network, subjects, options, groups, learning_rates or {})
    saved = checkpoint.load() if checkpoint else None
    if saved is not None:
        course.load(saved)
        for epoch in range(course.epoch):
            report(course.epoch / options.n_epochs, Step(f"going on after epoch {course.epoch}", measured=course.measured(epoch)))
    last_save, save_took = time.monotonic(), 0.0
    while course.epoch < options.n_epochs and not course.stopping.done(course.epoch):
        course.run_epoch(report)
        now = time.monotonic()
        if checkpoint and now - last_save >= CHECKPOINT_SECONDS and (now - last_save) * CHECKPOINT_SHARE >= save_took:
            checkpoint.save(course.arrays())
            last_save = time.monotonic()
            save_took = last_save - now
        if on_epoch:
            on_epoch(course.epoch - 1, course.history["validation_r"][-1])
        report(course.epoch / options.n_epochs, Step(course.text(), measured=course.measured(course.epoch - 1)))
    network.load_state_dict(course.stopping.best)
    return Trained(course.stopping.details(), {name: np.array(values) for name, values in course.history.items()})


class _Course:
    """State of a training between two epochs."""

    def __init__(
        self,
        network: Network,
        subjects: Sequence[Examples],
        options: TrainingOptions,
        groups: Sequence[np.ndarray],
        learning_rates: Mapping[str, float],
    ) -> None:
        self.network, self.subjects, self.options = network, subjects, options
        self.optimiser = _optimiser(network, options, learning_rates)
        self.rates = [group["lr"] for group in self.optimiser.param_groups]
        self.stopping = EarlyStopping(network, subjects[0].n_targets, groups, patience=options.patience, decimals=options.decimals)
        self.epoch = 0
        self.history: dict[str, list[float]] = {name: [] for name in HISTORY}

    def run_epoch(self, report: Report) -> None:
        options, epoch = self.options, self.epoch
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * self._decay(epoch)
        with seeded(_seed(options.seed, epoch + 1), self.subjects[0].device):
            train_loss, train_error = self._learn(report)
        self._check("training", train_loss)
        losses, r, error = validate(self.network, self.subjects[0], options)
        self.epoch += 1
        scale = self.subjects[0].scale
        variance = np.where(scale.constant, 0, scale.deviation**2)  # a constant target is predicted as it is
        errors = {"train_mse": train_error * variance, "validation_mse": error * variance}
        self.stopping.see(self.epoch, losses if options.keep == "loss" else -np.nan_to_num(r), {"validation_r": r} | errors)
        loss, mean_r = float(losses.mean()), float(np.nanmean(r)) if np.isfinite(r).any() else 0.0
        self._check("validation", loss)
        for name, value in zip(HISTORY, (train_loss, loss, mean_r), strict=True):
            self.history[name].append(value)

    def _learn(self, report: Report) -> tuple[float, np.ndarray]:
        """One pass over the training rows of every subject; the first subject's mean loss, and mean squared error of each target (t,)."""
        import torch

        options, network, device = self.options, self.network, self.subjects[0].device
        generator = torch.Generator().manual_seed(_seed(options.seed, self.epoch + 1))
        plan = [(i, rows) for i, each in enumerate(self.subjects) for rows in batches(each.learning, options.batch_size, generator)]
        if len(self.subjects) > 1:
            plan = [plan[i] for i in torch.randperm(len(plan), generator=generator)]
        total, last_report = torch.zeros((), dtype=torch.float64, device=device), time.monotonic()
        errors = torch.zeros(self.subjects[0].n_targets, dtype=torch.float64, device=device)
        network.train()
        for step, (number, rows) in enumerate(plan):
            subject = self.subjects[number]
            with _autocast(device, options):
                predicted = network(subject.inputs(rows), number)
            predicted, measured = predicted.float(), subject.responses(rows)
            loss = batch_loss(predicted, measured, options.loss)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            if options.max_norm is not None:
                torch.nn.utils.clip_grad_norm_(network.parameters(), options.max_norm)
            self.optimiser.step()
            if number == 0:
                total += loss.detach() * len(rows)
                errors += (predicted.detach() - measured).square().sum(0)
            if time.monotonic() - last_report > REPORT_SECONDS:
                last_report = time.monotonic()
                report((self.epoch + step / len(plan)) / options.n_epochs, self.text())
        n = len(self.subjects[0].learning)
        return float(total) / n, errors.cpu().numpy() / n

    def _check(self, which: str, loss: float) -> None:
        if not np.isfinite(loss):
            raise Diverged(
                f"The {which} loss became {loss} in epoch {len(self.history['train_loss']) + 1}. "
                f"Use a lower learning_rate than {self.options.learning_rate:g}, or set max_norm to 1."
            )

    def text(self) -> str:
        """Progress text: epoch and validation loss."""
        known = f": validation loss {self.history['validation_loss'][-1]:.3f}" if self.epoch else ""
        return f"epoch {self.epoch} of {self.options.n_epochs}{known}"

    def measured(self, epoch: int) -> dict[str, float]:
        """Losses and learning rate of an epoch, from 0."""
        rate = self.options.learning_rate * self._decay(epoch)
        return {"epoch": epoch + 1, "learning_rate": rate} | {name: values[epoch] for name, values in self.history.items()}

    def _decay(self, epoch: int) -> float:
        return self.options.decay_by ** (epoch // self.options.decay_every)

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything the next epoch depends on."""
        import torch

        arrays = {"epoch": np.array(self.epoch)} | {f"history.{name}": np.array(values) for name, values in self.history.items()}
        arrays |= {f"network.{name}": value for name, value in self.network.state_dict().items()}
        for number, state in self.optimiser.state_dict()["state"].items():
            arrays |= {f"optimiser.{number}.{name}": value for name, value in state.items() if value is not None}
        arrays |= {f"stopping.{name}": value for name, value in self.stopping.state().items()}
        return {name: value.cpu().numpy() if isinstance(value, torch.Tensor) else value for name, value in arrays.items()}

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from :meth:`arrays`."""
        import torch

        self.epoch = int(arrays["epoch"])
        self.history = {name: arrays[f"history.{name}"].tolist() for name in HISTORY}
        self.network.load_state_dict({name: torch.from_numpy(value) for name, value in _below("network.", arrays).items()})
        states: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in _below("optimiser.", arrays).items():
            number, _, name = name.partition(".")
            states.setdefault(int(number), {})[name] = torch.from_numpy(value)
        self.optimiser.load_state_dict(self.optimiser.state_dict() | {"state": states})
        self.stopping.load(_below("stopping.", arrays))


def _below(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): np.asarray(value) for name, value in arrays.items() if name.startswith(prefix)}


def _seed(seed: int, number: int) -> int:
    """A seed for each epoch, and 0 for the first weights, unlike those of every other training."""
    return int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0] >> 1)


def first_seed(options: TrainingOptions) -> int:
    """Seed of a network's initial weights."""
    return _seed(options.seed, 0)


def _optimiser(network: Network, options: TrainingOptions, learning_rates: Mapping[str, float]) -> torch.optim.Optimizer:
    """The loss is a mean over targets, of which a target's own weights see a t-th.

    With ``loss_scale="vertex"`` their steps are made as if it were the whole, so that the learning rate and the weight decay of a vertex
    mean the same however many are trained beside it. With ``"mean"`` they are torch's own, of the mean over all targets.
    """
    import torch

    free = {id(parameter): head for head in network.heads for parameter in head.free()}
    grouped: dict[tuple[float, int], list[torch.nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            rate = next((rate for start, rate in learning_rates.items() if name.startswith(start)), options.learning_rate)
            share = free[id(parameter)].n_targets if id(parameter) in free and options.loss_scale == "vertex" else 1
            grouped.setdefault((rate, share), []).append(parameter)
    sgd, decoupled = options.optimiser == "sgd", options.optimiser == "adamw"
    groups = [
        {"params": parameters, "lr": rate * share if sgd else rate, "weight_decay": options.weight_decay / (1 if decoupled else share)}
        | ({"momentum": options.momentum} if sgd else {"eps": 1e-8 / share})
        for (rate, share), parameters in grouped.items()
    ]
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}[options.optimiser]
    return kind(groups, fused=True)  # one reading of the weights a step


def _autocast(device: str, options: TrainingOptions) -> torch.autocast:
    import torch

    on_gpu = device.startswith("cuda")
    return torch.autocast("cuda" if on_gpu else "cpu", torch.bfloat16, enabled=on_gpu and options.mixed_precision)


def batch_loss(predicted: torch.Tensor, measured: torch.Tensor, loss: str) -> torch.Tensor:
    """Loss of one batch (b, t), a mean over rows and targets: MSE, ``1 - r`` or ``(MSE + 1 - r) / 2``, r over the batch."""
    error = (predicted - measured).square().mean() if "mse" in loss else 0.0
    if loss == "mse":
        return error
    p, m = predicted - predicted.mean(0), measured - measured.mean(0)
    r = (p * m).mean(0) / ((p.square().mean(0) + FLAT) * (m.square().mean(0) + FLAT)).sqrt()
    return 1 - r.mean() if loss == "1-r" else (error + 1 - r.mean()) / 2


def validate(network: Network, subject: Examples, options: TrainingOptions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loss, correlation and mean squared error of each target over the validation rows, float64 (t,).

    r is 0 for a constant prediction and NaN for a constant target.
    """
    import torch

    sums = torch.zeros(6, subject.n_targets, dtype=torch.float64, device=subject.device)
    network.eval()
    with torch.no_grad():
        for start in range(0, len(subject.validation), ROW_BLOCK):
            rows = subject.validation[start : start + ROW_BLOCK]
            with _autocast(subject.device, options):
                p = network(subject.inputs(rows)).float()
            m = subject.responses(rows)
            for total, product in zip(sums, ((p - m).square(), p, m, p * p, m * m, p * m), strict=True):
                total += product.sum(0)
    n = len(subject.validation)
    error, p, m, pp, mm, pm = sums.cpu().numpy() / n
    var_p, var_m = np.maximum(pp - p * p, 0), np.maximum(mm - m * m, 0)
    flat_p, flat_m = var_p <= 1e-6 * pp, var_m <= 1e-6 * mm
    r = np.nan_to_num(r_from_moments(pm - p * m, var_p, var_m, flat_p, flat_m))
    loss = {"mse": error, "1-r": 1 - r, "mse+r": (error + 1 - r) / 2}[options.loss]
    return loss, np.where(subject.scale.constant, np.nan, r), error
