"""The lessons of the Learn page: one file each, with its ``LESSON``; a new file is a new lesson, in the order of their ``place``."""

from __future__ import annotations

import importlib
import pkgutil

from pages.parts.learn.lesson import Lesson

LESSONS: tuple[Lesson, ...] = tuple(
    sorted(
        (
            importlib.import_module(f"{__name__}.{module.name}").LESSON
            for module in pkgutil.iter_modules(__path__)
            if not module.name.startswith("_")
        ),
        key=lambda lesson: (lesson.place, lesson.name),
    )
)
