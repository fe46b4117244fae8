"""Leaderboard of a class: fits scored on images and responses of the simulated subject that only the lecturer's server knows."""

from __future__ import annotations

import json
import secrets
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from encoding.datasets import Stimuli
from encoding.datasets.demo import SceneImages
from encoding.datasets.simulation import cortex, responses, scenes
from encoding.evaluation.scores import pearson
from encoding.storage.atomic import atomic_file
from encoding.storage.keys import digest
from encoding.storage.locks import file_lock
from encoding.storage.store import DamagedResult

N_HIDDEN = 100  # images
MOST_ENTRIES = 3  # of a student; the last one counts
LONGEST_NAME = 24
N_DRAWS, COVERED = 200, 0.95  # of the bootstrap over images


@dataclass(frozen=True)
class Hidden:
    """Images that no fit of the class was given, and the simulated subject's responses to them.

    Attributes
    ----------
    stimuli : n images.
    measured : hemisphere to (n, n_vertices) float32, with noise as in the known responses.
    """

    stimuli: Stimuli
    measured: Mapping[str, np.ndarray]

    @classmethod
    def draw(cls, subject: str, seed: int, *, n: int = N_HIDDEN) -> Hidden:
        """Draw ``n`` images and simulate the responses of a subject of the demo, deterministic given ``seed``."""
        seen, halves = scenes.scenes(n, seed=seed), cortex.truth(subject)
        signal = responses.signals(halves, seen)
        measured = {
            hemi: responses.simulate_responses(signal[hemi], half.ceiling, np.random.default_rng([seed, number]))
            for number, (hemi, half) in enumerate(halves.items())
        }
        return cls(SceneImages(seen, fingerprint=digest("hidden", 1, seed=seed, n=n, size=scenes.SIZE)), measured)

    def score(self, predicted: Mapping[str, np.ndarray]) -> tuple[float, float, float]:
        """Mean r over all vertices of both hemispheres and its 95 % interval over images.

        Parameters
        ----------
        predicted : hemisphere to (n, n_vertices); a vertex that is not there, or NaN, counts as r = 0, so that everyone is scored on the
            same vertices.

        Returns
        -------
        r, low, high : the interval is a percentile bootstrap over images. It speaks of one entry: the best of many is still optimistic.
        """
        both = [(np.nan_to_num(predicted[hemi]), self.measured[hemi]) for hemi in self.measured if hemi in predicted]
        n_vertices, n = sum(values.shape[1] for values in self.measured.values()), len(self.stimuli)

        def mean_r(rows: np.ndarray) -> float:
            return float(sum(np.nan_to_num(pearson(p[rows], m[rows])).sum() for p, m in both) / n_vertices)

        rng = np.random.default_rng(0)
        draws = [mean_r(rng.integers(0, n, n)) for _ in range(N_DRAWS)]
        low, high = np.quantile(draws, [(1 - COVERED) / 2, (1 + COVERED) / 2])
        return mean_r(np.arange(n)), float(low), float(high)


@dataclass(frozen=True)
class Entry:
    """A scored fit: the name that its student chose, the fit's key and description, and r with its interval."""

    name: str
    fit_key: str
    model: str
    r: float
    low: float
    high: float


class Leaderboard:
    """Entries of a class and the secret seed of its hidden images, in one file of ``folder``.

    Any number of threads and processes may use it at once. A damaged file is moved aside, and the board begins anew.
    """

    def __init__(self, folder: str | Path) -> None:
        self._file = Path(folder) / "leaderboard.json"
        self._lock_file = self._file.with_suffix(".lock")
        self.seed: int = secrets.randbits(63)
        with file_lock(self._lock_file):
            if (kept := self._kept()) is None:
                self._write({})
            else:
                self.seed = kept["seed"]

    def n_left(self, student: str) -> int:
        """Number of fits that a student may still enter."""
        return MOST_ENTRIES - len(self._entries().get(student, ()))

    def enter(self, student: str, entry: Entry) -> None:
        """Keep a student's entry.

        Raises
        ------
        ValueError where the name is longer than 24 characters or the student has used every entry. OSError where the file cannot be
        written; nothing is kept then.
        """
        with file_lock(self._lock_file):
            entries = self._entries()
            before = entries.get(student, [])
            if len(before) >= MOST_ENTRIES:
                raise ValueError(f"{MOST_ENTRIES} fits were entered, which is all that a student may enter.")
            if len(entry.name) > LONGEST_NAME:
                raise ValueError(f"A name has {LONGEST_NAME} characters at most.")
            anonymous = f"Student {list(entries).index(student) + 1 if before else len(entries) + 1}"
            named = Entry(**asdict(entry) | {"name": entry.name.strip() or anonymous})
            self._write(entries | {student: [*before, named]})

    def table(self) -> list[Entry]:
        """Last entry of each student, highest r first."""
        return sorted((entries[-1] for entries in self._entries().values()), key=lambda entry: -entry.r)

    def _entries(self) -> dict[str, list[Entry]]:
        """Entries of each student, in the order in which they first entered one."""
        return (self._kept() or {"entries": {}})["entries"]

    def _kept(self) -> dict[str, Any] | None:
        """What the file holds; None where there is none, or a damaged one, which is moved aside."""
        try:
            kept = json.loads(self._file.read_text("utf-8"))
            entries = {student: [Entry(**each) for each in entries] for student, entries in kept["entries"].items()}
            return {"seed": int(kept["seed"]), "entries": entries}
        except FileNotFoundError:
            return None
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            with suppress(FileNotFoundError):  # another process moved it
                self._file.replace(self._file.with_suffix(".damaged"))
            warnings.warn(f"{self._file} is damaged; the leaderboard begins anew.", DamagedResult, stacklevel=2)
            return None

    def _write(self, entries: Mapping[str, list[Entry]]) -> None:
        with atomic_file(self._file, "w") as file:
            json.dump({"seed": self.seed, "entries": {student: [asdict(e) for e in each] for student, each in entries.items()}}, file)
