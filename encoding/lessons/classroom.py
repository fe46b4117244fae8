"""Predictions and whereabouts of the students of a class, one small file per student."""

from __future__ import annotations

import json
import re
import threading
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from encoding.storage.atomic import atomic_file
from encoding.storage.store import DamagedResult

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
STEPS = ("reading", "predicted", "shown")  # of a lesson, in order
MOST_STUDENTS = 1_000  # of a class; further sessions take part without being counted


class Classroom:
    """A class: what each student predicted and where each is, in memory and in ``folder``.

    Any number of threads of one process may use it at once. A new object on the same folder continues the class; a damaged file is moved
    aside, and its student begins anew. Of another process on the folder it sees what one of its own students did there.

    Parameters
    ----------
    folder : of the class alone, created where it is not there.

    Raises
    ------
    OSError where the folder cannot be read or created.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        found = {path.stem: self._read(path.stem) for path in self._folder.glob("*.json")}
        self._students = {student: state for student, state in found.items() if state is not None}

    def note(self, student: str, lesson: str, step: str, answer: int | None = None) -> None:
        """Keep where a student is and, where given, the index of the predicted answer; a lesson's first prediction counts.

        Raises
        ------
        ValueError for a student's name that is no file name, a step that does not exist or a negative answer. OSError where the file
        cannot be written; nothing is kept then.
        """
        if not NAME.fullmatch(student) or step not in STEPS or (answer is not None and answer < 0):
            raise ValueError(f"A class cannot keep student {student!r}, step {step!r}, answer {answer!r}.")
        with self._lock:
            before = self._read(student)
            if before is None and len(self._students) >= MOST_STUDENTS:
                return
            answers = dict(before["answers"]) if before else {}
            if answer is not None:
                answers.setdefault(lesson, answer)
            now = {"lesson": lesson, "step": step, "answers": answers}
            if now != before:
                with atomic_file(self._folder / f"{student}.json", "w") as file:
                    json.dump(now, file)
            self._students[student] = now

    def _read(self, student: str) -> dict[str, Any] | None:
        """What a student's file holds; None where there is none, or a damaged one, which is moved aside."""
        path = self._folder / f"{student}.json"
        try:
            found = json.loads(path.read_text("utf-8"))
            is_whole = all(isinstance(answer, int) for answer in found["answers"].values())
            if is_whole and found["step"] in STEPS and isinstance(found["lesson"], str):
                return found
        except FileNotFoundError:
            return None
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            pass
        with suppress(FileNotFoundError):  # another process moved it
            path.replace(path.with_suffix(".damaged"))
        warnings.warn(f"{path} is damaged; its student begins anew.", DamagedResult, stacklevel=3)
        return None

    def answers(self, student: str) -> dict[str, int]:
        """Lesson to the index of what a student predicted."""
        with self._lock:
            return dict(self._students.get(student, {"answers": {}})["answers"])

    def predictions(self, lesson: str, n_answers: int) -> list[int]:
        """Number of students who predicted each of a lesson's answers, (n_answers,)."""
        with self._lock:
            counts = Counter(each["answers"].get(lesson) for each in self._students.values())
        return [counts[answer] for answer in range(n_answers)]

    def places(self) -> Counter[tuple[str, str]]:
        """Number of students at each (lesson, step)."""
        with self._lock:
            return Counter((each["lesson"], each["step"]) for each in self._students.values())
