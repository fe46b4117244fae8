"""Faces, bodies, words and food, drawn by code with random variation.

Each is a function ``thing(pen, rng)``. It draws in its own coordinates: the centre is (0, 0), the top -1, the bottom 1, and the
:class:`~encoding.datasets.simulation.pen.Pen` maps that square to a place in the image.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from encoding.datasets.simulation.palette import CLOTHES, HAIRS, SHADOW, SHINE, SKINS
from encoding.datasets.simulation.pen import CIRCLE, Colour, Pen, Point, arc, pick, tint

WORDS = ["OPEN", "CAFE", "STOP", "BOOKS", "EXIT", "TAXI", "MUSIC", "HOTEL", "NEWS", "PARK", "SALE", "TEA"]
WORDS += ["MARKET", "CINEMA", "READ", "WORD", "NORTH", "PIZZA", "BUS", "HELLO", "ZEBRA", "RIVER", "LEMON", "GAME"]


# Faces


def face(pen: Pen, rng: np.random.Generator) -> None:
    """Head and shoulders, seen from the front or turned a little."""
    skin, hair, shirt = pick(rng, SKINS), pick(rng, HAIRS), pick(rng, CLOTHES)
    yaw, long = rng.uniform(-0.13, 0.13), rng.random() < 0.45
    if long:
        pen.oval(0, -0.12, 0.76, 0.84, hair)
        pen.shape([(-0.76, -0.1), (0.76, -0.1), (0.8, 0.75), (-0.8, 0.75)], hair)
    pen.shape(arc(0, 1.15, 0.95, 0.36, np.pi, 2 * np.pi), shirt)
    pen.shape([(-0.24, 0.45), (0.24, 0.45), (0.3, 0.92), (-0.3, 0.92)], tint(skin, -0.22))
    for side in (-1, 1):
        pen.oval(0.62 * side, 0, 0.1, 0.17, tint(skin, -0.12))
    pen.oval(0, -0.05, 0.62, 0.8, skin)
    pen.shape(arc(0, -0.05, 0.62, 0.8, -1.2, 1.45), (*tint(skin, -0.6), 26))  # the side away from the light
    _hair(pen, rng, hair, long)
    _eyes(pen, rng, hair, yaw)
    _nose_and_mouth(pen, rng, skin, yaw)
    if not long and rng.random() < 0.25:
        pen.shape(np.vstack([arc(0, 0.1, 0.6, 0.66, 0.15, np.pi - 0.15), arc(yaw, 0.12, 0.36, 0.24, np.pi - 0.2, 0.2)]), hair)
        pen.shape(arc(yaw, 0.38, 0.17, 0.08, 0, np.pi), (150, 60, 60))


def _hair(pen: Pen, rng: np.random.Generator, hair: Colour, long: bool) -> None:
    if not long and rng.random() < 0.12:
        return  # bald
    line, part = rng.uniform(-0.5, -0.34), rng.uniform(-0.4, 0.4)
    top = arc(0, -0.08, 0.68, 0.86, np.pi, 2 * np.pi)
    pen.shape(np.vstack([top, [(0.6, -0.12), (0.5, line), (part, line - 0.14), (-0.5, line), (-0.6, -0.12)]]), hair)
    pen.stroke(arc(0, -0.1, 0.5, 0.68, np.pi + 0.6, np.pi + 1.3), 0.05, (*tint(hair, 0.35), 120))


def _eyes(pen: Pen, rng: np.random.Generator, hair: Colour, yaw: float) -> None:
    iris = pick(rng, [(70, 45, 30), (60, 100, 140), (70, 110, 70), (90, 70, 40)])
    gaze, lift, glasses = rng.uniform(-0.04, 0.04), rng.uniform(-0.05, 0.03), rng.random() < 0.25
    for x in (-0.25 + yaw, 0.25 + yaw):
        pen.oval(x, -0.12, 0.14, 0.085, (250, 250, 248))
        pen.oval(x + gaze, -0.12, 0.075, 0.08, iris)
        pen.oval(x + gaze, -0.12, 0.036, 0.04, (12, 12, 14))
        pen.oval(x + gaze + 0.02, -0.145, 0.018, 0.018, (255, 255, 255))
        pen.stroke(arc(x, -0.1, 0.15, 0.11, np.pi + 0.2, 2 * np.pi - 0.2), 0.028, (40, 28, 26))
        pen.stroke(arc(x, -0.22 + lift, 0.17, 0.1, np.pi + 0.4, 2 * np.pi - 0.4), 0.05, tint(hair, -0.25))
        if glasses:
            pen.stroke(np.vstack([arc(x, -0.11, 0.2, 0.16), arc(x, -0.11, 0.2, 0.16)[:1]]), 0.03, (30, 30, 36))
    if glasses:
        pen.stroke([(yaw - 0.06, -0.12), (yaw + 0.06, -0.12)], 0.03, (30, 30, 36))


def _nose_and_mouth(pen: Pen, rng: np.random.Generator, skin: Colour, yaw: float) -> None:
    lean, smile, lips = (
        0.05 if yaw > 0 else -0.05,
        rng.uniform(-0.02, 0.14),
        tint(pick(rng, [(190, 90, 90), (170, 70, 80), (150, 80, 70)]), -0.05),
    )
    pen.stroke([(yaw, -0.08), (yaw * 1.2 + lean, 0.14), (yaw * 1.2 - lean * 0.6, 0.17)], 0.035, tint(skin, -0.28))
    for x in (-0.36 + yaw, 0.36 + yaw):
        pen.oval(x, 0.14, 0.12, 0.08, (220, 80, 80, 34))
    corners = arc(yaw, 0.36 - smile, 0.2, 0.05 + smile, 0.1, np.pi - 0.1)
    if rng.random() < 0.4 and smile > 0.05:
        pen.shape(corners, (120, 30, 36))
        pen.shape(arc(yaw, 0.365 - smile, 0.17, 0.04 + smile * 0.3, 0, np.pi), (250, 248, 244))
    else:
        pen.stroke(corners, 0.05, lips)


# Bodies


def person(pen: Pen, rng: np.random.Generator) -> None:
    """A whole figure: standing, walking, leaping. Its face is too plain to be read."""
    skin, hair, shirt, legs = pick(rng, SKINS), pick(rng, HAIRS), pick(rng, CLOTHES), pick(rng, CLOTHES)
    stride, reach = rng.uniform(0.05, 0.75), rng.uniform(0.15, 2.6, 2)
    skirt, short = rng.random() < 0.25, rng.random() < 0.3
    for side, lift in ((-1, rng.uniform(0, 0.7)), (1, rng.uniform(0, 0.25))):
        hip = (0.09 * side, 0.1)
        knee = _along(hip, side * stride * 0.8, 0.4)
        foot = _along(knee, side * stride * 0.4 - lift * 0.6, 0.4)
        pen.stroke([hip, knee, foot], 0.15, tint(legs, -0.12 if side < 0 else 0) if not (skirt or short) else skin)
        if short:
            pen.stroke([hip, _along(hip, side * stride * 0.8, 0.25)], 0.19, legs)
        pen.stroke([foot, (foot[0] + 0.1, foot[1] + 0.03)], 0.1, (50, 40, 40))
    for side, angle in zip((-1, 1), reach, strict=True):
        shoulder = (0.2 * side, -0.5)
        elbow = _along(shoulder, side * angle, 0.27)
        hand = _along(elbow, side * angle + rng.uniform(-0.3, 1.2) * side, 0.25)
        pen.stroke([shoulder, elbow, hand], 0.095, skin)
        pen.stroke([shoulder, elbow], 0.13, tint(shirt, -0.15 if side < 0 else 0.06))
        pen.oval(*hand, 0.06, 0.07, skin)
    pen.stroke([(0, -0.6), (0, -0.7)], 0.11, tint(skin, -0.2))
    pen.shape([(-0.23, -0.57), (0.23, -0.57), (0.16, -0.1), (0.18, 0.16), (-0.18, 0.16), (-0.16, -0.1)], shirt)
    pen.shape([(0.06, -0.57), (0.23, -0.57), (0.16, -0.1), (0.18, 0.16), (0.08, 0.16)], (0, 0, 0, 28))
    if skirt:
        pen.shape([(-0.16, 0.02), (0.16, 0.02), (0.34, 0.5), (-0.34, 0.5)], legs)
    pen.oval(0, -0.83, 0.13, 0.16, skin)
    pen.shape(arc(0, -0.85, 0.145, 0.16, np.pi - 0.3, 2 * np.pi + 0.3), hair)


def _along(start: Point, angle: float, length: float) -> Point:
    """Where a limb ends: ``angle`` 0 hangs straight down, positive swings to the right."""
    return start[0] + length * float(np.sin(angle)), start[1] + length * float(np.cos(angle))


def hand(pen: Pen, rng: np.random.Generator) -> None:
    """An open hand with its sleeve."""
    skin, spread = pick(rng, SKINS), rng.uniform(0.12, 0.3)
    edge = tint(skin, -0.2)
    pen.shape([(-0.28, 0.35), (0.28, 0.35), (0.26, 1), (-0.26, 1)], skin)
    pen.box(-0.36, 0.72, 0.36, 1.05, pick(rng, CLOTHES))
    for grow, colour in ((0.035, edge), (0, skin)):
        for number, length in enumerate((0.5, 0.62, 0.58, 0.44)):
            root = (-0.27 + 0.18 * number, -0.12)
            pen.stroke([root, _along(root, np.pi - spread * (number - 1.5), length)], 0.16 + grow, colour)
        pen.stroke([(0.3, 0.25), (0.52, -0.02), (0.6, -0.16)], 0.18 + grow, colour)
        pen.oval(0, 0.16, 0.4 + grow / 2, 0.4 + grow / 2, colour)
    pen.stroke(arc(0.1, 0.3, 0.3, 0.3, np.pi, np.pi + 1.2), 0.02, edge)


def dog(pen: Pen, rng: np.random.Generator) -> None:
    """A four-legged animal from the side."""
    coat = pick(rng, [(150, 100, 56), (60, 50, 46), (222, 196, 150), (236, 232, 226), (120, 112, 104)])
    dark, step = tint(coat, -0.22), rng.uniform(-0.18, 0.18)
    for x, shift, colour in ((-0.45, step, dark), (0.4, -step, dark), (-0.6, -step, coat), (0.5, step, coat)):
        pen.stroke([(x, 0.2), (x + shift * 0.4, 0.5), (x + shift, 0.85)], 0.16, colour)
    pen.stroke([(-0.7, -0.05), (-0.92, -0.35), (-0.9, -0.6)], 0.11, coat)
    pen.oval(-0.05, 0.08, 0.72, 0.33, coat)
    pen.shape(arc(-0.05, 0.1, 0.7, 0.3, 0.2, np.pi - 0.2), (*dark, 120))
    pen.stroke([(0.5, 0), (0.66, -0.35)], 0.32, coat)
    pen.oval(0.7, -0.45, 0.26, 0.24, coat)
    pen.oval(0.92, -0.36, 0.2, 0.12, tint(coat, 0.12))
    pen.oval(1.07, -0.4, 0.055, 0.05, (24, 20, 20))
    pen.oval(0.55, -0.4, 0.1, 0.24, dark, turn=0.3)
    pen.oval(0.78, -0.52, 0.035, 0.04, (20, 16, 16))


# Words


def sign(pen: Pen, rng: np.random.Generator) -> None:
    """One to three printed words, on a board or bare."""
    ground = pick(rng, [(250, 248, 240), (28, 60, 110), (170, 36, 40), (30, 96, 62), (250, 204, 60), (34, 34, 38), (224, 228, 232)])
    ink = (28, 26, 30) if sum(ground) > 420 else (252, 250, 240)
    lines, half = int(rng.integers(1, 4)), rng.uniform(0.24, 0.3)
    tall = half * lines + 0.16
    if rng.random() < 0.8:
        pen.box(-0.97, -tall + 0.05, 1.03, tall + 0.05, SHADOW)
        pen.box(-1, -tall, 1, tall, ground)
        pen.box(-0.95, -tall + 0.05, 0.95, tall - 0.05, ink)
        pen.box(-0.92, -tall + 0.08, 0.92, tall - 0.08, ground)
    bold = rng.random() < 0.6
    for line in range(lines):
        pen.text(pick(rng, WORDS), (2 * line + 1 - lines) * half, half * 2.1, ink, bold=bold, fit=1.7)


def page(pen: Pen, rng: np.random.Generator) -> None:
    """A printed page with a headline."""
    pen.box(-0.74, -0.96, 0.82, 1.03, SHADOW)
    pen.box(-0.78, -1, 0.78, 1, pick(rng, [(250, 248, 242), (244, 236, 214), (236, 240, 244)]))
    pen.text(pick(rng, WORDS), -0.7, 0.42, pick(rng, [(30, 28, 30), (150, 30, 34), (30, 60, 120)]), bold=True, fit=1.3)
    for y in np.arange(-0.35, 0.85, 0.25):
        pen.text(f"{pick(rng, WORDS)} {pick(rng, WORDS)}".lower(), float(y), 0.25, (50, 48, 50), fit=1.36)


# Food


def apple(pen: Pen, rng: np.random.Generator) -> None:
    """Draw an apple."""
    skin = pick(rng, [(200, 40, 44), (120, 170, 50), (226, 180, 60)])
    for x in (-0.24, 0.24):
        pen.oval(x, 0.1, 0.55, 0.72, skin)
    pen.shape(arc(0.24, 0.1, 0.55, 0.72, -1, 1.5), (0, 0, 0, 36))
    pen.stroke([(0, -0.5), (0.08, -0.9)], 0.09, (96, 62, 34))
    pen.oval(0.34, -0.75, 0.28, 0.12, (80, 140, 60), turn=-0.5)
    pen.oval(-0.38, -0.2, 0.13, 0.22, SHINE, turn=0.4)


def banana(pen: Pen, rng: np.random.Generator) -> None:
    """Draw a banana."""
    peel = pick(rng, [(250, 214, 70), (240, 196, 56), (200, 204, 80)])
    pen.shape(np.vstack([arc(0, -0.5, 0.95, 1.1, 0.15, np.pi - 0.15), arc(0, -0.6, 0.85, 0.65, np.pi - 0.1, 0.1)]), peel)
    pen.stroke(arc(0, -0.5, 0.8, 0.85, 0.4, np.pi - 0.4), 0.05, tint(peel, -0.22))
    pen.stroke([(0.9, -0.5), (0.86, -0.72)], 0.13, (120, 92, 40))
    pen.oval(-0.9, -0.5, 0.07, 0.08, (80, 60, 30))


def doughnut(pen: Pen, rng: np.random.Generator) -> None:
    """Draw a doughnut."""
    icing = pick(rng, [(240, 150, 180), (110, 64, 44), (250, 244, 232), (150, 200, 220)])
    pen.oval(0.03, 0.08, 0.92, 0.88, SHADOW)
    pen.oval(0, 0, 0.9, 0.84, (206, 150, 88))
    pen.oval(0, -0.04, 0.8, 0.72, icing)
    for angle, radius in zip(rng.uniform(0, 2 * np.pi, 22), rng.uniform(0.42, 0.68, 22), strict=True):
        x, y = radius * np.cos(angle), radius * 0.9 * np.sin(angle) - 0.04
        pen.stroke([(x, y), (x + 0.08 * np.sin(angle * 5), y + 0.08 * np.cos(angle * 5))], 0.05, pick(rng, CLOTHES))
    pen.oval(0, 0, 0.3, 0.26, (150, 100, 58))
    pen.oval(0, 0.03, 0.25, 0.2, (86, 66, 52))


def burger(pen: Pen, rng: np.random.Generator) -> None:
    """Draw a burger."""
    bun = pick(rng, [(218, 150, 76), (200, 128, 60)])
    pen.shape(arc(0, 0.4, 0.85, 0.5, 0, np.pi), bun)
    pen.box(-0.85, 0.3, 0.85, 0.45, bun)
    pen.box(-0.88, 0.08, 0.88, 0.32, (92, 52, 34))
    pen.shape([(-0.9, 0.05), (0.9, 0.05), (0.5, 0.28), (0.2, 0.08), (-0.3, 0.3), (-0.6, 0.08)], (250, 196, 50))
    pen.box(-0.86, -0.06, 0.86, 0.07, (206, 54, 44))
    pen.stroke([(x, -0.1 + 0.06 * (-1) ** i) for i, x in enumerate(np.linspace(-0.9, 0.9, 12))], 0.12, (104, 170, 64))
    pen.shape(arc(0, -0.14, 0.86, 0.72, np.pi, 2 * np.pi), bun)
    for x, y in zip(rng.uniform(-0.55, 0.55, 12), rng.uniform(-0.66, -0.3, 12), strict=True):
        pen.oval(x, y, 0.05, 0.03, (250, 232, 190))


def pizza(pen: Pen, rng: np.random.Generator) -> None:
    """Draw a pizza."""
    pen.oval(0.02, 0.06, 0.97, 0.95, SHADOW)
    pen.oval(0, 0, 0.95, 0.93, (206, 148, 78))
    pen.oval(0, 0, 0.82, 0.8, (246, 204, 100))
    for angle, radius in zip(np.arange(7) * 2.4 + rng.uniform(0, 6), (0.1, 0.5, 0.6, 0.45, 0.55, 0.6, 0.5), strict=True):
        pen.oval(radius * np.cos(angle), radius * np.sin(angle), 0.15, 0.15, (190, 52, 42))
        pen.oval(radius * np.cos(angle + 0.9), radius * np.sin(angle + 0.9), 0.1, 0.05, (70, 130, 60), turn=angle)
    for angle in np.arange(4) * np.pi / 4 + rng.uniform(0, 1):
        pen.stroke([(-np.cos(angle), -np.sin(angle)), (np.cos(angle), np.sin(angle))], 0.025, (170, 112, 54, 150))


def ice_cream(pen: Pen, rng: np.random.Generator) -> None:
    """Draw an ice cream."""
    pen.shape([(-0.42, 0), (0.42, 0), (0, 1)], (222, 166, 96))
    for shift in (-0.25, 0, 0.25):
        pen.stroke([(shift - 0.1, 0.02), (shift * 0.3 + 0.1, 0.62)], 0.03, (176, 118, 60))
    for x, y in ((-0.22, -0.15), (0.22, -0.15), (0, -0.52)):
        scoop = pick(rng, [(250, 236, 200), (240, 160, 180), (120, 74, 52), (180, 220, 170), (250, 190, 90)])
        pen.oval(x, y, 0.37, 0.36, scoop)
        pen.oval(x - 0.12, y - 0.12, 0.1, 0.08, SHINE)


def egg(pen: Pen, rng: np.random.Generator) -> None:
    """Draw an egg."""
    pen.oval(0, 0.05, 0.98, 0.95, SHADOW)
    pen.oval(0, 0, 0.96, 0.92, (244, 246, 250))
    pen.oval(0, 0, 0.74, 0.7, tint(pick(rng, CLOTHES), 0.75))
    wobble = arc(-0.05, 0, 0.5, 0.46) + 0.05 * np.sin(3 * CIRCLE + rng.uniform(0, 6))[:, None]
    pen.shape(wobble, (255, 255, 252))
    pen.oval(-0.08, -0.04, 0.21, 0.2, (250, 180, 40))
    pen.oval(-0.14, -0.1, 0.06, 0.05, SHINE)
    for shift in (0, 0.14):
        pen.oval(0.5, 0.2 - shift, 0.08, 0.16, (110, 160, 70), turn=0.6)


def melon(pen: Pen, rng: np.random.Generator) -> None:
    """Draw a melon."""
    for radius, colour in ((0.95, (52, 122, 60)), (0.86, (222, 240, 200)), (0.8, pick(rng, [(226, 62, 72), (250, 150, 80)]))):
        pen.shape(arc(0, -0.4, radius, radius * 1.15, 0, np.pi), colour)
    for angle in np.linspace(0.4, np.pi - 0.4, 6):
        for radius in (0.35, 0.6):
            pen.oval(radius * np.cos(angle), -0.4 + radius * 1.1 * np.sin(angle), 0.03, 0.06, (40, 26, 26), turn=angle - np.pi / 2)


def cupcake(pen: Pen, rng: np.random.Generator) -> None:
    """Draw a cupcake."""
    case, icing = pick(rng, CLOTHES), pick(rng, [(250, 180, 200), (255, 246, 230), (150, 100, 70), (180, 220, 240)])
    pen.shape([(-0.6, 0.15), (0.6, 0.15), (0.42, 0.95), (-0.42, 0.95)], case)
    for x in np.linspace(-0.45, 0.45, 5):
        pen.stroke([(x, 0.2), (x * 0.72, 0.92)], 0.04, tint(case, -0.25))
    for number, (y, wide) in enumerate(((0.08, 0.72), (-0.2, 0.56), (-0.46, 0.36))):
        pen.oval(0, y, wide, 0.24, tint(icing, -0.05 * number))
    pen.oval(0, -0.74, 0.15, 0.15, (200, 36, 44))


THINGS: dict[str, tuple[Callable[[Pen, np.random.Generator], None], ...]] = {
    "faces": (face,),
    "bodies": (person, person, hand, dog),
    "words": (sign, sign, page),
    "food": (apple, banana, doughnut, burger, pizza, ice_cream, egg, melon, cupcake),
}
