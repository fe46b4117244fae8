"""A class: nothing is lost when 30 students answer at once, and the first prediction counts."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from encoding.lessons import classroom as module
from encoding.lessons.classroom import Classroom
from encoding.storage.store import DamagedResult

N_STUDENTS, LESSON_NAMES = 30, ("steps", "ridge", "ceiling")


def test_thirty_students_at_once_lose_nothing_also_after_a_restart(tmp_path):
    room, together = Classroom(tmp_path), threading.Barrier(N_STUDENTS)

    def takes_part(student: int) -> None:
        together.wait(timeout=30)
        for number, lesson in enumerate(LESSON_NAMES):
            room.note(f"{student:x}", lesson, "reading")
            room.note(f"{student:x}", lesson, "predicted", (student + number) % 3)
            assert sum(room.predictions(lesson, 3)) >= 1 and sum(room.places().values()) <= N_STUDENTS

    with ThreadPoolExecutor(N_STUDENTS) as pool:
        list(pool.map(takes_part, range(N_STUDENTS)))
    for each in (room, Classroom(tmp_path)):
        for number, lesson in enumerate(LESSON_NAMES):
            expected = Counter((student + number) % 3 for student in range(N_STUDENTS))
            assert each.predictions(lesson, 3) == [expected[answer] for answer in range(3)]
        assert each.places() == {("ceiling", "predicted"): N_STUDENTS}
    assert len(list(tmp_path.iterdir())) == N_STUDENTS  # nothing half written stays


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", '{"lesson": "ridge"}', '{"lesson": "ridge", "step": "shown", "answers": []}', "\xff"]
)
def test_a_damaged_file_is_moved_aside_and_concerns_its_student_alone(tmp_path, text):
    room = Classroom(tmp_path)
    for student in "ab":
        room.note(student, "ridge", "predicted", 1)
    (tmp_path / "b.json").write_bytes(text.encode("latin1"))
    with pytest.warns(DamagedResult, match=r"b\.json is damaged"):
        again = Classroom(tmp_path)
    assert again.predictions("ridge", 2) == [0, 1] and again.answers("b") == {} and sum(again.places().values()) == 1
    again.note("b", "ridge", "predicted", 0)
    assert Classroom(tmp_path).predictions("ridge", 2) == [1, 1]
    assert (tmp_path / "b.damaged").read_bytes() == text.encode("latin1")


def test_a_second_server_on_the_folder_takes_no_prediction_back(tmp_path):
    first, second = Classroom(tmp_path), Classroom(tmp_path)
    first.note("a", "ridge", "predicted", 1)
    second.note("a", "ridge", "predicted", 0)
    assert second.predictions("ridge", 2) == [0, 1]
    second.note("a", "steps", "predicted", 2)
    assert Classroom(tmp_path).answers("a") == second.answers("a") == {"ridge": 1, "steps": 2}


def test_the_first_prediction_counts(tmp_path):
    room = Classroom(tmp_path)
    room.note("a", "ridge", "predicted", 0)
    room.note("a", "ridge", "predicted", 2)
    assert room.predictions("ridge", 3) == [1, 0, 0]


@pytest.mark.parametrize(
    ("student", "step", "answer"), [("../a", "reading", None), ("", "reading", None), ("a", "gone", None), ("a", "shown", -1)]
)
def test_what_a_class_cannot_keep_is_refused(tmp_path, student, step, answer):
    room = Classroom(tmp_path / "class")
    with pytest.raises(ValueError, match="cannot keep"):
        room.note(student, "ridge", step, answer)
    assert not room.places() and [path.name for path in tmp_path.rglob("*")] == ["class"]


def test_a_failed_write_counts_nothing(tmp_path, monkeypatch):
    room = Classroom(tmp_path)

    def full(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(module, "atomic_file", full)
    with pytest.raises(OSError, match="disk full"):
        room.note("a", "ridge", "predicted", 1)
    assert room.predictions("ridge", 3) == [0, 0, 0] and not room.places()


def test_a_full_class_counts_no_further_student(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_STUDENTS", 2)
    room = Classroom(tmp_path)
    for student in "abc":
        room.note(student, "ridge", "predicted", 0)
    room.note("a", "steps", "reading")
    assert room.predictions("ridge", 2) == [2, 0] and room.places()["steps", "reading"] == 1
