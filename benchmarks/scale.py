"""Rows at real scale: large layers (:mod:`benchmarks.blocks`), then experiments (:mod:`benchmarks.experiments`)."""

from __future__ import annotations

from benchmarks import blocks, experiments


def measure(*, quick: bool = False) -> list[dict[str, object]]:
    return [*blocks.measure(quick=quick), *experiments.measure(quick=quick)]
