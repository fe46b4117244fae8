"""Patterned surfaces and plain backdrops, drawn by code.

Each is a function ``pattern(pen, rng)`` that covers the whole image, from (-1, -1) at its top left to (1, 1).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from encoding.datasets.simulation.palette import BRICKS, GREENS, PAINTS, WALLS, WOODS
from encoding.datasets.simulation.pen import Colour, Pen, arc, pick, tint


def _two(rng: np.random.Generator) -> tuple[Colour, Colour]:
    first = int(rng.integers(len(PAINTS)))
    second = (first + int(rng.integers(1, len(PAINTS)))) % len(PAINTS)
    return PAINTS[first], PAINTS[second]


def _turned(pen: Pen, rng: np.random.Generator) -> Pen:
    return Pen(pen.image, turn=rng.uniform(0, np.pi), size=1)


def stripes(pen: Pen, rng: np.random.Generator) -> None:
    """Draw stripes."""
    ground, ink = _two(rng)
    pen.box(-1, -1, 1, 1, ground)
    pen, wide = _turned(pen, rng), float(np.exp(rng.uniform(np.log(0.06), np.log(0.3))))
    for x in np.arange(-1.5, 1.5, 2 * wide):
        pen.box(x, -1.5, x + wide, 1.5, ink)


def plaid(pen: Pen, rng: np.random.Generator) -> None:
    """Draw a plaid."""
    ground, ink = _two(rng)
    pen.box(-1, -1, 1, 1, ground)
    pen, wide = _turned(pen, rng), rng.uniform(0.06, 0.2)
    for at in np.arange(-1.5, 1.5, 2.5 * wide):
        pen.box(at, -1.5, at + wide, 1.5, (*ink, 140))
        pen.box(-1.5, at, 1.5, at + wide, (*ink, 140))


def checks(pen: Pen, rng: np.random.Generator) -> None:
    """Draw checks."""
    ground, ink = _two(rng)
    pen.box(-1, -1, 1, 1, ground)
    pen, wide = _turned(pen, rng), rng.uniform(0.12, 0.4)
    for row, y in enumerate(np.arange(-1.5, 1.5, wide)):
        for x in np.arange(-1.5 + wide * (row % 2), 1.5, 2 * wide):
            pen.box(x, y, x + wide, y + wide, ink)


def dots(pen: Pen, rng: np.random.Generator) -> None:
    """Draw dots."""
    ground, ink = _two(rng)
    pen.box(-1, -1, 1, 1, ground)
    pen, gap = _turned(pen, rng), rng.uniform(0.14, 0.4)
    radius = gap * rng.uniform(0.22, 0.42)
    for row, y in enumerate(np.arange(-1.5, 1.5, gap)):
        for x in np.arange(-1.5 + gap / 2 * (row % 2), 1.5, gap):
            pen.oval(x, y, radius, radius, ink)


def bricks(pen: Pen, rng: np.random.Generator) -> None:
    """Draw bricks."""
    brick, wide = pick(rng, BRICKS), rng.uniform(0.2, 0.45)
    pen.box(-1, -1, 1, 1, tint(brick, 0.4))
    tall = wide * 0.45
    for row, y in enumerate(np.arange(-1, 1, tall)):
        for x in np.arange(-1 - wide / 2 * (row % 2), 1, wide):
            pen.box(x, y, x + wide * 0.93, y + tall * 0.86, tint(brick, rng.uniform(-0.25, 0.15)))


def pebbles(pen: Pen, rng: np.random.Generator) -> None:
    """Stones or leaves strewn over the ground."""
    leaf = rng.random() < 0.5
    colour, size = pick(rng, GREENS if leaf else BRICKS), rng.uniform(0.08, 0.22)
    pen.box(-1, -1, 1, 1, tint(colour, -0.55))
    for _ in range(int(6 / size**1.5)):
        x, y = rng.uniform(-1.1, 1.1, 2)
        pen.oval(x, y, size, size * (0.4 if leaf else 0.75), tint(colour, rng.uniform(-0.4, 0.35)), turn=rng.uniform(0, 3))


def waves(pen: Pen, rng: np.random.Generator) -> None:
    """Wavy bands, such as wood grain, water or cloth."""
    ground, ink = _two(rng)
    pen.box(-1, -1, 1, 1, ground)
    pen, gap, high, often = _turned(pen, rng), rng.uniform(0.1, 0.3), rng.uniform(0.02, 0.14), rng.uniform(2, 7)
    x = np.linspace(-1.5, 1.5, 40)
    for number, y in enumerate(np.arange(-1.6, 1.6, gap)):
        pen.stroke(np.stack([x, y + high * np.sin(often * x + 0.35 * number)], axis=1), gap * 0.45, ink)


# Plain backdrops


def backdrop(pen: Pen, rng: np.random.Generator) -> None:
    """A wall without detail, lighter below."""
    colour = pick(rng, PAINTS + WALLS)
    pen.ramp(tint(colour, -0.25), tint(colour, 0.3))


def table(pen: Pen, rng: np.random.Generator) -> None:
    """A table top before a wall."""
    wall, wood, edge = pick(rng, WALLS), pick(rng, WOODS), rng.uniform(-0.3, 0.3)
    pen.ramp(wall, tint(wall, -0.2), -1, edge)
    pen.ramp(tint(wood, -0.1), tint(wood, 0.1), edge, 1)
    for y in np.linspace(edge, 1, 6)[1:]:
        pen.stroke(arc(0, y, 2, 0.02, 0.3, 2.8), 0.012, (*tint(wood, -0.4), 110))


TEXTURES: tuple[Callable[[Pen, np.random.Generator], None], ...] = (stripes, plaid, checks, dots, bricks, pebbles, waves)
PLAIN: tuple[Callable[[Pen, np.random.Generator], None], ...] = (backdrop, table)
