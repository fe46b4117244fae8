"""Surroundings, drawn by code: outdoor and indoor places.

Each is a function ``place(pen, rng)`` that covers the whole image, from (-1, -1) at its top left to (1, 1).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from encoding.datasets.simulation.palette import BRICKS, GREENS, NIGHT, PAINTS, SKIES, WALLS, WOODS
from encoding.datasets.simulation.pen import Colour, Pen, pick, tint

# Outdoors


def _sky(pen: Pen, rng: np.random.Generator, horizon: float) -> None:
    above, below = NIGHT if rng.random() < 0.12 else pick(rng, SKIES)
    pen.ramp(above, below, -1, horizon)
    if rng.random() < 0.4:
        pen.oval(rng.uniform(-0.8, 0.8), rng.uniform(-0.85, -0.5), 0.12, 0.12, (255, 246, 214))
    for _ in range(int(rng.integers(0, 4))):
        x, y, wide = rng.uniform(-1, 1), rng.uniform(-0.95, horizon - 0.3), rng.uniform(0.12, 0.3)
        for shift, grow in ((-0.8, 0.6), (0, 1), (0.8, 0.7), (1.4, 0.45)):
            pen.oval(x + shift * wide, y, wide * grow, wide * grow * 0.5, (255, 255, 255, 170))


def _ridge(pen: Pen, rng: np.random.Generator, base: float, height: float, colour: Colour, *, jagged: bool) -> None:
    x = np.linspace(-1, 1, 24)
    waves = sum(rng.uniform(0.3, 1) / k * np.sin(k * (x * 2.2 + rng.uniform(0, 6))) for k in (1, 2, 3))
    if jagged:
        waves = waves + rng.uniform(-0.35, 0.35, 24)
    pen.shape([*zip(x, base - height * (0.6 + waves / 2.4), strict=True), (1, 1), (-1, 1)], colour)


def _tree(pen: Pen, rng: np.random.Generator, x: float, y: float, tall: float) -> None:
    leaf = tint(pick(rng, GREENS[:3]), rng.uniform(-0.4, 0))
    pen.box(x - tall * 0.06, y - tall * 0.5, x + tall * 0.06, y, (92, 66, 46))
    if rng.random() < 0.5:
        for level in (0.25, 0.5, 0.75):
            wide = tall * 0.4 * (1.15 - level)
            pen.shape([(x - wide, y - tall * level), (x + wide, y - tall * level), (x, y - tall * (level + 0.4))], tint(leaf, level / 4))
    else:
        for dx, dy, r in ((-0.2, 0.6, 0.24), (0.2, 0.62, 0.24), (0, 0.82, 0.27), (-0.06, 0.7, 0.16)):
            pen.oval(x + dx * tall, y - dy * tall, r * tall, r * tall, tint(leaf, dy / 4))


def _house(pen: Pen, rng: np.random.Generator, x: float, y: float, wide: float) -> None:
    wall, roof = pick(rng, WALLS + BRICKS), pick(rng, [(150, 62, 50), (84, 84, 96), (120, 80, 56)])
    tall = wide * rng.uniform(0.7, 1.3)
    pen.box(x - wide, y - tall, x + wide, y, wall)
    pen.box(x + wide * 0.7, y - tall, x + wide, y, (0, 0, 0, 40))
    pen.shape([(x - wide * 1.15, y - tall), (x + wide * 1.15, y - tall), (x, y - tall - wide * rng.uniform(0.6, 1))], roof)
    pen.box(x - wide * 0.17, y - tall * 0.48, x + wide * 0.17, y, pick(rng, WOODS))
    for side in (-0.6, 0.6):
        _window(pen, x + side * wide, y - tall * 0.55, wide * 0.22, (170, 206, 226))


def _window(pen: Pen, x: float, y: float, half: float, glass: Colour) -> None:
    pen.box(x - half * 1.15, y - half * 1.15, x + half * 1.15, y + half * 1.15, (246, 246, 242))
    pen.box(x - half, y - half, x + half, y + half, glass)
    pen.stroke([(x, y - half), (x, y + half)], half * 0.12, (246, 246, 242))
    pen.stroke([(x - half, y), (x + half, y)], half * 0.12, (246, 246, 242))


def meadow(pen: Pen, rng: np.random.Generator) -> None:
    """Hills, trees and perhaps houses."""
    horizon = rng.uniform(-0.3, 0.3)
    _sky(pen, rng, horizon)
    for step in range(3):
        _ridge(pen, rng, horizon + 0.28 * step, 0.22, tint(pick(rng, GREENS), 0.25 - 0.2 * step), jagged=False)
    if rng.random() < 0.6:
        _house(pen, rng, rng.uniform(-0.7, 0.7), horizon + 0.45, rng.uniform(0.2, 0.5))
    for y in np.sort(rng.uniform(horizon + 0.1, 0.95, int(rng.integers(2, 8)))):
        _tree(pen, rng, rng.uniform(-1, 1), y, 0.35 + 0.5 * (y - horizon))


def mountains(pen: Pen, rng: np.random.Generator) -> None:
    """Peaks above a lake."""
    horizon = rng.uniform(0, 0.4)
    _sky(pen, rng, horizon)
    _ridge(pen, rng, horizon, 0.7, (150, 162, 186), jagged=True)
    _ridge(pen, rng, horizon, 0.4, (96, 112, 130), jagged=True)
    pen.ramp((120, 168, 200), (40, 84, 128), horizon, 1)
    for y in rng.uniform(horizon, 1, 14):
        x = rng.uniform(-1, 0.6)
        pen.stroke([(x, y), (x + rng.uniform(0.1, 0.5), y)], 0.015, (255, 255, 255, 90))
    for x in rng.uniform(-1, 1, int(rng.integers(0, 7))):
        _tree(pen, rng, x, 1.05, rng.uniform(0.4, 0.9))


def coast(pen: Pen, rng: np.random.Generator) -> None:
    """Sea, sand and a sail."""
    horizon = rng.uniform(-0.4, 0.1)
    _sky(pen, rng, horizon)
    pen.ramp((36, 110, 160), (110, 190, 200), horizon, 1)
    for y in np.linspace(horizon + 0.06, 0.8, 7):
        pen.stroke([(x, y + 0.012 * np.sin(9 * x + 40 * y)) for x in np.linspace(-1, 1, 20)], 0.012, (255, 255, 255, 100))
    sail = rng.uniform(-0.7, 0.7)
    pen.shape([(sail, horizon - 0.3), (sail, horizon + 0.04), (sail + 0.2, horizon + 0.04)], (252, 250, 244))
    pen.shape(
        [(sail - 0.15, horizon + 0.06), (sail + 0.22, horizon + 0.06), (sail + 0.12, horizon + 0.14), (sail - 0.08, horizon + 0.14)],
        pick(rng, PAINTS),
    )
    _ridge(pen, rng, rng.uniform(0.6, 0.95), 0.15, (232, 208, 158), jagged=False)


def city(pen: Pen, rng: np.random.Generator) -> None:
    """Tall buildings in two rows."""
    _sky(pen, rng, 0.8)
    lit = rng.random() < 0.3
    for base, count, fade in ((0.75, 7, 0.35), (0.9, 5, 0)):
        for x in np.linspace(-0.95, 0.95, count) + rng.uniform(-0.06, 0.06, count):
            wall, wide, top = tint(pick(rng, BRICKS + PAINTS[:4]), fade), 0.95 / count, rng.uniform(-0.75, 0.2) + fade / 3
            pen.box(x - wide, top, x + wide, base, wall)
            pen.box(x + wide * 0.6, top, x + wide, base, (0, 0, 0, 36))
            pane = (250, 222, 130) if lit else tint(wall, -0.45)
            for row in np.arange(top + 0.08, base - 0.1, 0.16):
                for column in (-0.55, 0, 0.55):
                    pen.box(x + (column - 0.17) * wide, row, x + (column + 0.17) * wide, row + 0.08, pane)
    pen.ramp((110, 110, 116), (70, 70, 78), 0.85, 1)


def street(pen: Pen, rng: np.random.Generator) -> None:
    """A road that runs to the horizon between houses or trees."""
    horizon, x = rng.uniform(-0.25, 0.1), rng.uniform(-0.3, 0.3)
    _sky(pen, rng, horizon)
    pen.ramp(tint(pick(rng, GREENS), 0.15), tint(pick(rng, GREENS), -0.1), horizon, 1)
    pen.shape([(x - 0.04, horizon), (x + 0.04, horizon), (0.8, 1), (-0.8, 1)], (98, 98, 104))
    for near in (0.08, 0.2, 0.4, 0.7):
        y, wide = horizon + (1 - horizon) * near, 0.03 * near + 0.004
        pen.shape(
            [
                (x * (1 - near) - wide, y),
                (x * (1 - near) + wide, y),
                (x * (1 - near * 1.25) + wide * 1.3, y + 0.2 * near),
                (x * (1 - near * 1.25) - wide * 1.3, y + 0.2 * near),
            ],
            (246, 240, 210),
        )
    homes = rng.random() < 0.6
    for near in (0.12, 0.25, 0.5):
        for side in (-1, 1):
            place = x * (1 - near) + side * (0.3 + near * 1.1)
            (_house if homes else _tree)(pen, rng, place, horizon + (1 - horizon) * near * 0.7, (0.35 if homes else 1.6) * near + 0.08)


# Indoors


def _floor(pen: Pen, rng: np.random.Generator, line: float) -> None:
    floor, far = pick(rng, WOODS), rng.uniform(-0.3, 0.3)
    pen.ramp(tint(floor, -0.15), tint(floor, 0.12), line, 1)
    for x in np.linspace(-3, 3, 19):
        pen.stroke([(far + (x - far) * 0.35, line), (x, 1)], 0.012, (*tint(floor, -0.4), 150))


def room(pen: Pen, rng: np.random.Generator) -> None:
    """A living room: a wall with windows and paintings, a floor, and furniture."""
    wall, line = pick(rng, WALLS), rng.uniform(0.2, 0.5)
    pen.ramp(tint(wall, 0.1), tint(wall, -0.12), -1, line)
    _floor(pen, rng, line)
    pen.box(-1, line - 0.06, 1, line, (244, 242, 238))
    for x in (rng.uniform(-0.75, -0.4), rng.uniform(0.3, 0.75)):
        if rng.random() < 0.6:
            _window(pen, x, rng.uniform(-0.5, -0.3), rng.uniform(0.2, 0.32), pick(rng, SKIES)[1])
        else:
            pen.box(x - 0.22, -0.62, x + 0.22, -0.22, pick(rng, WOODS))
            pen.box(x - 0.18, -0.58, x + 0.18, -0.26, pick(rng, PAINTS))
    sofa, x = pick(rng, PAINTS), rng.uniform(-0.5, 0.5)
    pen.box(x - 0.55, line - 0.2, x + 0.55, line + 0.22, tint(sofa, -0.15))
    pen.box(x - 0.48, line + 0.06, x + 0.48, line + 0.3, sofa)
    for side in (-0.58, 0.58):
        pen.box(x + side - 0.09, line - 0.04, x + side + 0.09, line + 0.34, tint(sofa, 0.1))
    lamp = -0.85 if x > 0 else 0.85
    pen.stroke([(lamp, line + 0.2), (lamp, -0.3)], 0.03, (60, 56, 54))
    pen.shape([(lamp - 0.1, -0.5), (lamp + 0.1, -0.5), (lamp + 0.18, -0.25), (lamp - 0.18, -0.25)], (252, 226, 160))


def corridor(pen: Pen, rng: np.random.Generator) -> None:
    """Walls, doors and lights that shrink towards one point."""
    wall, floor = pick(rng, WALLS), pick(rng, WOODS + BRICKS)
    far = np.array([rng.uniform(-0.35, 0.35), rng.uniform(-0.3, 0.1)])

    def at(x: float, y: float, depth: float) -> tuple[float, float]:
        return tuple(far + (np.array([x, y]) - far) * depth)

    end = 0.2
    for corners, colour in (
        (((-1, -1), (1, -1)), tint(wall, 0.35)),
        (((1, -1), (1, 1)), tint(wall, -0.1)),
        (((1, 1), (-1, 1)), floor),
        (((-1, 1), (-1, -1)), tint(wall, -0.25)),
    ):
        pen.shape([at(*corners[0], 1.5), at(*corners[1], 1.5), at(*corners[1], end), at(*corners[0], end)], colour)
    pen.shape([at(x, y, end) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))], tint(wall, 0.15))
    door = pick(rng, WOODS + PAINTS)
    pen.shape([at(x, y, end) for x, y in ((-0.4, -0.5), (0.4, -0.5), (0.4, 1), (-0.4, 1))], door)
    for near, away in ((0.92, 0.66), (0.52, 0.4), (0.33, 0.26)):
        for side in (-1, 1):
            pen.shape([at(side, -0.55, near), at(side, -0.55, away), at(side, 1, away), at(side, 1, near)], tint(door, -0.1 * side))
        pen.shape([at(-0.25, -1, near), at(0.25, -1, near), at(0.25, -1, away), at(-0.25, -1, away)], (255, 252, 236))


def kitchen(pen: Pen, rng: np.random.Generator) -> None:
    """Cupboards over a tiled wall and a worktop."""
    tile, wood, top = pick(rng, WALLS), pick(rng, WOODS + PAINTS), rng.uniform(0.25, 0.5)
    pen.box(-1, -1, 1, 1, tile)
    for grid in np.arange(-1, 1, 0.16):
        pen.stroke([(grid, -1), (grid, top)], 0.014, tint(tile, -0.2))
        pen.stroke([(-1, grid), (1, grid)], 0.014, tint(tile, -0.2))
    shift = rng.uniform(0, 0.4)
    for x in np.arange(-1.4, 1.4, 0.42) + shift:
        if abs(x) > 0.4 or shift > 0.2:
            _cupboard(pen, x, -1.1, -0.42, wood)
        _cupboard(pen, x, top + 0.1, 1.1, wood)
    if shift <= 0.2:
        _window(pen, 0, -0.45, 0.34, pick(rng, SKIES)[1])
    pen.box(-1, top, 1, top + 0.1, pick(rng, [(60, 60, 66), (230, 228, 224), (150, 110, 76)]))
    for x in rng.uniform(-0.9, 0.9, 3):
        pen.shape([(x - 0.1, top - 0.24), (x + 0.1, top - 0.24), (x + 0.08, top), (x - 0.08, top)], pick(rng, PAINTS))


def _cupboard(pen: Pen, x: float, top: float, bottom: float, wood: Colour) -> None:
    pen.box(x, top, x + 0.4, bottom, wood)
    pen.box(x + 0.05, top + 0.05, x + 0.35, bottom - 0.05, tint(wood, 0.12))
    pen.oval(x + 0.32, (top + bottom) / 2, 0.025, 0.025, (220, 216, 206))


PLACES: tuple[Callable[[Pen, np.random.Generator], None], ...] = (meadow, mountains, coast, city, street, room, corridor, kitchen)
