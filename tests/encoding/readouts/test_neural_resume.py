"""A training that was killed goes on from its checkpoint and ends with the same bits."""

import re

import numpy as np
import pytest
import torch

from encoding.readouts._checkpoint import Checkpoint
from encoding.runtime.progress import Cancelled
from tests.encoding.readouts.test_neural import NAMES, planted, train
from tests.readout_problems import same_bits


@pytest.fixture(autouse=True)
def one_thread():
    """Equal bits need equal sums: a matrix library that uses fewer threads on a busy machine adds in another order."""
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n)


@pytest.fixture
def every_epoch(monkeypatch):
    """Checkpoints are written after every epoch."""
    monkeypatch.setattr("encoding.readouts._train.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("encoding.readouts._train.REPORT_SECONDS", np.inf)  # after epochs alone
    monkeypatch.setattr("encoding.readouts._train.CHECKPOINT_SHARE", np.inf)


def until(epoch):
    """A report that stops the work after an epoch, as a person would."""

    def report(fraction, text):
        if text.startswith(f"epoch {epoch} "):
            raise Cancelled

    return report


def resumed(name, checkpoint, *, kill_at, more=None, **options):
    """(the model of a training that was stopped once, what its second half told)."""
    X, Y = planted(n=150)
    told = []
    with pytest.raises(Cancelled):
        train(name, X, Y, report=until(kill_at), more={"checkpoint": checkpoint, **(more or {})}, **options)
    assert checkpoint.load() is not None
    model = train(name, X, Y, report=lambda _, text: told.append(text), more={"checkpoint": checkpoint, **(more or {})}, **options)
    return model, told


@pytest.mark.parametrize("optimiser", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("name", NAMES)
def test_a_training_killed_at_epoch_3_ends_as_if_it_had_not_been(name, optimiser, store, every_epoch):
    options = {"n_epochs": 5, "patience": 5, "optimiser": optimiser, "decay_every": 2, "decay_by": 0.5, "batch_size": 40}
    checkpoint = Checkpoint(store, f"{name}-{optimiser}")
    model, told = resumed(name, checkpoint, kill_at=3, **options)
    measured = [text.measured for text in told if getattr(text, "measured", None)]
    assert [each["epoch"] for each in measured] == [1, 2, 3, 4, 5]  # those of before the kill as well, so that a live chart is whole
    assert [each["learning_rate"] for each in measured] == [measured[0]["learning_rate"] * 0.5 ** (n // 2) for n in range(5)]
    assert [text.split(":")[0] for text in told if text.startswith("epoch")] == [f"epoch {n} of 5" for n in (4, 5)]
    same_bits(model, train(name, *planted(n=150), **options))


def test_the_best_epoch_may_lie_before_the_kill(store, every_epoch):
    options = {"n_epochs": 60, "patience": 6, "learning_rate": 3e-2, "decimals": None}
    whole = train("deep", *planted(n=150), **options)
    best = int(whole.details["best_epoch"][0])
    assert len(whole.history["train_loss"]) == best + 6 < 60
    model, told = resumed("deep", Checkpoint(store, "late"), kill_at=best + 2, **options)
    assert sum(text.startswith("epoch") for text in told) == 4
    same_bits(model, whole)


def test_rois_that_have_stopped_stay_so_after_a_kill(store, every_epoch):
    more = {"rois": {"V1": np.arange(3), "V2": np.arange(3, 6)}}
    options = {"early_stopping": "roi", "learning_rate": 1e-2, "batch_size": 30}
    whole = train("linear_sgd", *planted(n=150), more=more, **options)
    last = len(whole.history["train_loss"])
    assert last > 6 and len(set(whole.details["best_epoch"])) > 1
    model, _ = resumed("linear_sgd", Checkpoint(store, "rois"), kill_at=last - 1, more=more, **options)
    same_bits(model, whole)


def test_without_a_checkpoint_nothing_is_kept_and_a_cancelled_training_stops_at_once():
    told = []

    def report(fraction, text):
        told.append((fraction, text))
        until(2)(fraction, text)

    with pytest.raises(Cancelled):
        train("mlp", *planted(n=150), report=report, n_epochs=9)
    assert re.fullmatch(r"epoch 2 of 9: validation loss [01]\.\d{3}", told[-1][1])
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions) and 0.2 < fractions[-1] < 0.3
