"""Predictions and whereabouts of the students of a class, one small file per student."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from pathlib import Path

from encoding.storage.atomic import atomic_file

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
STEPS = ("reading", "predicted", "shown")  # of a lesson, in order
MOST_STUDENTS = 1_000  # of a class; further sessions take part without being counted


class Classroom:
    """A class: what each student predicted and where each is, in memory and in ``folder``.

    Any number of threads of one process may use it at once. A new object on the same folder continues the class.

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
        self._students = {path.stem: json.loads(path.read_text("utf-8")) for path in self._folder.glob("*.json")}

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
            before = self._students.get(student)
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
