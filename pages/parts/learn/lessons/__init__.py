"""The lessons of the Learn page, in the order in which they are taught: a file each, its ``LESSON`` in it."""

from __future__ import annotations

from pages.parts.learn.lesson import Lesson
from pages.parts.learn.lessons import ceiling, fields, hierarchy, pitfalls, residuals, response, ridge, rois, rsa, sharing, steps

MODULES = (response, rois, fields, steps, ridge, ceiling, hierarchy, sharing, rsa, residuals, pitfalls)
LESSONS: tuple[Lesson, ...] = tuple(module.LESSON for module in MODULES)
