"""Optuna studies in SQLite files: create, open, add trials, tabulate.

Numeric parameters are rounded to three significant digits, so that commands and links stay readable. A file appears once it is
complete, and only the process that holds the Store's lock of the search writes to it.
"""

from __future__ import annotations

import errno
import sqlite3
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from encoding.readouts import Choice, Range
from encoding.storage.atomic import scratch_folder
from encoding.storage.store import DamagedResult

if TYPE_CHECKING:
    import optuna
    import pandas as pd

Space = Mapping[str, Range | Choice]
EpochCallback = Callable[[int, float], None]
"""``on_epoch(epoch, r)``, from 0; raises where the trial is given up."""

N_UNPRUNED, N_UNPRUNED_EPOCHS = 5, 5  # trials that run to their end before any is given up, and epochs that each may run
LEAST_FOR_IMPORTANCES = 10  # trials with a value; fewer say hardly anything
DIGITS = 3
LOCKED_SECONDS = 60  # that a reader waits while a trial is written
ERROR = "error"  # attribute of a trial that failed of itself; one that was interrupted has none
STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


def begin(path: Path) -> None:
    """Create the study at ``path`` where it is missing or damaged, and mark interrupted trials as failed.

    The caller holds the search's lock.
    """
    if path.exists():
        if is_sound(path):
            with opened(path, "rw", check=True) as study:
                for trial in study.get_trials(deepcopy=False):
                    if trial.state.name == "RUNNING":  # its process is gone: whoever runs a trial holds the lock
                        study.tell(trial.number, state=_state("FAIL"))
            return
        warnings.warn(f"{path} is damaged; the search begins anew.", DamagedResult, stacklevel=2)
        for file in (path, path.with_name(f"{path.name}-journal")):  # which SQLite would roll back into the new file
            file.unlink(missing_ok=True)
    with scratch_folder(path.parent) as scratch:
        with opened(scratch / path.name, "rwc"):
            pass
        (scratch / path.name).rename(path)


def is_sound(path: Path) -> bool:
    """Whether a file holds a study. What a killed process began to write is taken back first.

    Raises
    ------
    OSError, with the file's name, where it cannot be read now.
    """
    with _system_errors_of(path), closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=LOCKED_SECONDS)) as file:
        try:
            has_study = file.execute("SELECT name FROM sqlite_master WHERE name = 'studies'").fetchone() is not None
            return has_study and file.execute("PRAGMA quick_check").fetchone() == ("ok",)
        except sqlite3.OperationalError:  # locked, or no room: nothing is wrong with the file
            raise
        except sqlite3.DatabaseError:
            return False


@contextmanager
def opened(path: Path, mode: str, *, check: bool = False) -> Iterator[optuna.Study]:
    """Open the study in a file.

    Parameters
    ----------
    mode : SQLite's open mode: ``ro``, ``rw``, or ``rwc`` to create the file.
    check : raise if another version of Optuna wrote tables that this one cannot read.

    Raises
    ------
    OSError, with the file's name, where it cannot be read or written now.
    """
    import optuna

    url = f"sqlite:///{quote(path.as_uri(), safe='/:')}?uri=true&mode={mode}&timeout={LOCKED_SECONDS}"  # quoted twice, as read twice
    creates = mode == "rwc"
    with _quiet(), _system_errors_of(path):
        storage = optuna.storages.RDBStorage(url, skip_table_creation=not creates, skip_compatibility_check=not check)
        try:
            pruner = optuna.pruners.MedianPruner(N_UNPRUNED, N_UNPRUNED_EPOCHS)
            if creates:
                yield optuna.create_study(storage=storage, study_name="search", direction="maximize", pruner=pruner)
            else:
                yield optuna.load_study(storage=storage, study_name="search", pruner=pruner)
        finally:
            storage.remove_session()
            storage.engine.dispose()


@contextmanager
def _system_errors_of(path: Path) -> Iterator[None]:
    """Within the block an error of SQLite that says nothing about the file's content is an OSError with the file's name."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, sqlite3.OperationalError):  # Optuna's, of SQLAlchemy's, of SQLite's
            cause = cause.__cause__
        if cause is None:
            raise
        is_full = cause.sqlite_errorcode == sqlite3.SQLITE_FULL
        raise OSError(errno.ENOSPC if is_full else errno.EIO, str(cause), str(path)) from error


def counted(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Finished trials (complete, pruned or failed, not interrupted), in order."""
    return [trial for trial in study.get_trials(deepcopy=False) if _ended(trial)]


def _ended(trial: optuna.trial.FrozenTrial) -> bool:
    return trial.state.name in ("COMPLETE", "PRUNED") or (trial.state.name == "FAIL" and ERROR in trial.user_attrs)


def try_one(
    study: optuna.Study,
    before: list[optuna.trial.FrozenTrial],
    space: Space,
    defaults: Mapping[str, Any],
    seed: int,
    judge: Callable[[dict[str, Any], EpochCallback], float],
) -> None:
    """Run one trial and record its outcome; exceptions that interrupt it are raised again.

    Parameters
    ----------
    before : the trials :func:`counted` so far. The first trial uses ``defaults``, of which Optuna sees only those within the space.
        A repeated proposal takes the value it had before.
    space : search space.
    defaults : the readout's default parameters.
    seed : seed of the proposal.
    judge : objective (parameters, epoch callback) -> value, to be maximised.

    Notes
    -----
    A trial fails where training diverges, memory is insufficient, or parameters other than the defaults are refused.
    """
    import optuna
    import torch

    number = len(before)
    study.sampler = optuna.samplers.TPESampler(seed=int(np.random.SeedSequence((seed, number)).generate_state(1)[0]))
    proposed = {name: each for name, each in space.items() if number or _holds(each, defaults[name])}
    if number == 0 and not study.get_trials(deepcopy=False, states=(_state("WAITING"),)):
        study.enqueue_trial({name: _label(defaults[name]) for name in proposed})
    failures = (ArithmeticError, MemoryError, torch.cuda.OutOfMemoryError, *([ValueError] if number else []))
    trial = study.ask()

    def on_epoch(epoch: int, r: float) -> None:
        trial.report(r, epoch)  # no loss: parameters may say which loss, and losses of two kinds cannot be compared
        if trial.should_prune():
            raise optuna.TrialPruned

    try:
        chosen = {
            name: from_proposal(each, _suggested(trial, name, each)) if name in proposed else defaults[name] for name, each in space.items()
        }
        complete = [earlier for earlier in before if earlier.state.name == "COMPLETE"]
        known = [earlier.value for earlier in complete if parameters(earlier, space, defaults) == chosen]
        value = known[0] if known else judge(chosen, on_epoch)
    except optuna.TrialPruned:
        study.tell(trial, state=_state("PRUNED"))
    except failures as error:
        trial.set_user_attr(ERROR, f"{type(error).__name__}: {error}")
        study.tell(trial, state=_state("FAIL"))
    except BaseException:
        study.tell(trial, state=_state("FAIL"))
        raise
    else:
        study.tell(trial, value)


def parameters(trial: optuna.trial.FrozenTrial, space: Space, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a trial."""
    return {name: from_proposal(each, trial.params[name]) if name in trial.params else defaults[name] for name, each in space.items()}


def from_proposal(space: Range | Choice, raw: Any) -> Any:
    """Convert a proposal of Optuna to a parameter value: a choice, or a number rounded to three significant digits.

    Examples
    --------
    >>> from_proposal(Range(1e-4, 1e-1, log=True), 0.0123456)
    0.0123
    """
    if isinstance(space, Choice):
        return next(value for value in space.values if (type(_label(value)), _label(value)) == (type(raw), raw))
    if _is_whole(space):
        return int(raw)
    return min(max(float(f"{raw:.{DIGITS}g}"), space.low), space.high)


def _suggested(trial: optuna.Trial, name: str, space: Range | Choice) -> Any:
    """What Optuna proposes, in terms that it can keep."""
    if isinstance(space, Choice):
        return trial.suggest_categorical(name, [_label(value) for value in space.values])
    suggest = trial.suggest_int if _is_whole(space) else trial.suggest_float
    return suggest(name, space.low, space.high, log=space.log)


def _holds(space: Range | Choice, value: Any) -> bool:
    if isinstance(space, Choice):
        return any((type(each), each) == (type(value), value) for each in space.values)
    return value is not None and space.low <= value <= space.high


def _is_whole(space: Range) -> bool:
    return isinstance(space.low, int) and isinstance(space.high, int)


def _label(value: Any) -> Any:
    """A choice as Optuna can store it."""
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)


def tables(trials: list[optuna.trial.FrozenTrial], space: Space, defaults: Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables ``trials`` and ``epochs`` of a :class:`encoding.analysis.hyperparameter_search.Search`."""
    import pandas as pd

    rows = [
        {
            "number": number,
            "value": trial.value if trial.state.name == "COMPLETE" else np.nan,
            "state": STATES[trial.state.name],
            "seconds": trial.duration.total_seconds(),
            "error": trial.user_attrs.get(ERROR, ""),
        }
        | parameters(trial, space, defaults)
        for number, trial in enumerate(trials, 1)
    ]
    table = pd.DataFrame(rows, columns=["number", "value", "state", "seconds", *space, "error"], dtype=object)  # 1 stays 1, True stays True
    epochs = [(number, epoch, value) for number, trial in enumerate(trials, 1) for epoch, value in trial.intermediate_values.items()]
    return (
        table.astype({"number": int, "value": float, "seconds": float}),
        pd.DataFrame(epochs, columns=["trial", "epoch", "r"]).astype({"trial": int, "epoch": int, "r": float}),
    )


def shares_of_variance(trials: list[optuna.trial.FrozenTrial]) -> dict[str, float]:
    """Importance of each parameter: its share of the variance of trial values (fANOVA, Hutter et al. 2014), largest first.

    Sums to 1. Empty with fewer than ten complete trials, or where all values are equal.
    """
    import optuna

    n_parameters = max((len(trial.params) for trial in trials), default=0)
    complete = [trial for trial in trials if trial.state.name == "COMPLETE" and len(trial.params) == n_parameters]
    if len(complete) < LEAST_FOR_IMPORTANCES or len({trial.value for trial in complete}) == 1:
        return {}
    with _quiet():
        study = optuna.create_study(direction="maximize")
        study.add_trials(complete)
        try:
            shares = optuna.importance.get_param_importances(study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0))
        except RuntimeError:  # the values differ by rounding alone
            return {}
    return {name: float(share) for name, share in shares.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Within the block Optuna does not log each of its steps."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _state(name: str) -> Any:
    import optuna

    return optuna.trial.TrialState[name]
