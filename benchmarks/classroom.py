"""A class of 30 on one server: real websocket sessions go through a whole lesson, each student with pauses of its own.

A click is over when the server has run the script to its end; what a browser needs to draw is not in it.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil

from benchmarks._visitor import PROJECT, Server

N_STUDENTS, LESSON = 30, "ridge"
ALPHAS = ("0.1", "1", "10", "100", "1000", "10000")  # that each student drags through
ARRIVE, THINK = (0, 20), (5, 20)  # seconds until a student joins, and between its clicks: a lesson in two minutes, not twelve
PATIENCE = 120  # seconds, for one click


def measure(*, quick: bool = False) -> list[dict[str, object]]:
    from encoding import FitSpec, Store, fit

    n = 3 if quick else N_STUDENTS
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        fit(FitSpec(), Store(store))
        env = {"ENCODING_CLASS": "benchmark", "ENCODING_CACHE_DIR": str(store)}
        with closing(Server(PROJECT / "app.py", env, Path(folder) / "log.txt")) as server:
            asyncio.run(Student(server.url, 0).lesson(hurry=True))  # the lecturer has opened the lesson
            load, process = os.getloadavg()[0], psutil.Process(server.process.pid)
            before = sum(process.cpu_times()[:2])
            students = [Student(server.url, seed) for seed in range(1, n + 1)]
            asyncio.run(_all(students))
            spent = sum(process.cpu_times()[:2]) - before
    clicks = np.concatenate([student.seconds for student in students])
    errors = [error for student in students for error in student.errors]
    return [
        {
            "what": f"a class of {n} goes through the lesson “{LESSON}”: seconds of a click",
            "ours": f"median {np.median(clicks):.2f} s, p95 {np.quantile(clicks, 0.95):.2f} s, longest {clicks.max():.2f} s",
            "against": f"{len(clicks)} clicks, {len(errors)} errors",
            "ratio": f"{spent / len(clicks):.2f} s of the server's CPU time a click; load before {load:.1f}, {os.cpu_count()} cores",
            "aim": "p95 under 2 s, no error",
            "errors": errors,
        }
    ]


async def _all(students: list[Student]) -> None:
    outcomes = await asyncio.gather(*(student.lesson() for student in students), return_exceptions=True)
    for student, outcome in zip(students, outcomes, strict=True):
        if outcome is not None:
            student.errors.append(repr(outcome))


class Student:
    """One session without a browser, speaking the websocket protocol of Streamlit.

    Attributes
    ----------
    seconds : of each click, the opening of the lesson first.
    errors : messages of exceptions that the page showed.
    """

    def __init__(self, url: str, seed: int) -> None:
        self._url, self._random = url.replace("http", "ws") + "/_stcore/stream", random.Random(seed)
        self.seconds: list[float] = []
        self.errors: list[str] = []
        self._ids: dict[str, str] = {}  # key of a widget to its id
        self._states: dict[str, tuple[str, object]] = {}
        self._query = f"class=benchmark&lesson={LESSON}"

    async def lesson(self, *, hurry: bool = False) -> None:
        """Open the lesson, answer its question, move its control, and go on to the next one."""
        from websockets.asyncio.client import connect

        from pages.parts.learn.lessons import LESSONS

        answers = next(lesson.answers for lesson in LESSONS if lesson.name == LESSON)
        await asyncio.sleep(0 if hurry else self._random.uniform(*ARRIVE))
        async with connect(self._url, subprotocols=["streamlit"], max_size=None, open_timeout=PATIENCE) as socket:
            await self._run(socket)
            steps = [(f"answer_{LESSON}", "string_value", self._random.choice(answers))]
            steps += [("alpha", "string_array_value", [alpha]) for alpha in ALPHAS]
            steps += [("next", "trigger_value", True)]
            for key, kind, value in steps:
                await asyncio.sleep(0 if hurry else self._random.uniform(*THINK))
                await self._run(socket, key, kind, value)

    async def _run(self, socket, key: str = "", kind: str = "", value: object = None) -> None:
        """Rerun the page, with a widget changed, and listen until the script is through."""
        from streamlit.proto.BackMsg_pb2 import BackMsg

        message = BackMsg()
        message.rerun_script.query_string, message.rerun_script.page_name = self._query, "learn"
        if key:
            self._states[self._ids[key]] = kind, value
        for widget, (field, content) in self._states.items():
            state = message.rerun_script.widget_states.widgets.add(id=widget)
            getattr(state, field).data.extend(content) if isinstance(content, list) else setattr(state, field, content)
        started = time.perf_counter()
        await socket.send(message.SerializeToString())
        await asyncio.wait_for(self._listen(socket), PATIENCE)
        self.seconds.append(time.perf_counter() - started)
        self._states = {widget: state for widget, state in self._states.items() if state[0] != "trigger_value"}

    async def _listen(self, socket) -> None:
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        while True:
            message = ForwardMsg.FromString(await socket.recv())
            if message.WhichOneof("type") == "delta" and message.delta.WhichOneof("type") == "new_element":
                self._note(message.delta.new_element)
            elif message.WhichOneof("type") == "page_info_changed":
                self._query = message.page_info_changed.query_string
            elif message.WhichOneof("type") == "script_finished" and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                return

    def _note(self, element) -> None:
        """Remember the id of a widget, which ends in its key, and the text of an exception."""
        kind = element.WhichOneof("type")
        content = getattr(element, kind)
        if kind == "exception":
            self.errors.append(f"{content.type}: {content.message}")
        elif widget := getattr(content, "id", ""):
            for key in (f"answer_{LESSON}", "alpha", "next"):
                if widget.endswith(f"-{key}"):
                    self._ids[key] = widget
