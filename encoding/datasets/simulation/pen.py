"""Drawing primitives in an object's own coordinates, independent of its place and size in the image.

Colours are RGB in 0 … 255, with a fourth value for opacity where an object is translucent.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, ...]
Point = tuple[float, float]

CIRCLE = np.linspace(0, 2 * np.pi, 40, endpoint=False)


def pick(rng: np.random.Generator, options: Sequence):
    """Draw one of ``options`` uniformly at random."""
    return options[int(rng.integers(len(options)))]


def tint(colour: Colour, amount: float) -> Colour:
    """Move ``colour`` towards white (amount up to 1) or black (down to -1)."""
    goal = 255 if amount > 0 else 0
    return tuple(round(c + (goal - c) * abs(amount)) for c in colour[:3])


class Pen:
    """Drawing on ``image`` in the coordinates of one object.

    Parameters
    ----------
    x, y : its centre in the image, from -1 (left, top) to 1.
    size : half its height, where 1 is half the image.
    turn : radians, clockwise on the screen.
    """

    def __init__(self, image: Image.Image, *, x: float = 0, y: float = 0, size: float = 1, turn: float = 0, mirror: bool = False) -> None:
        self.image = image
        self.draw = ImageDraw.Draw(image, "RGBA")
        half = image.width / 2
        self.scale = size * half
        self.centre = np.array([half + x * half, half + y * half])
        cos, sin = np.cos(turn), np.sin(turn)
        self.matrix = np.array([[cos, sin], [-sin, cos]]) * self.scale
        if mirror:
            self.matrix[0] *= -1
        self.turn = turn

    def _place(self, points) -> list[Point]:
        placed = np.asarray(points, float) @ self.matrix + self.centre
        return [tuple(point) for point in placed.tolist()]

    def shape(self, points, colour: Colour) -> None:
        """Draw a filled polygon."""
        self.draw.polygon(self._place(points), fill=colour)

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour, *, turn: float = 0) -> None:
        """Draw a filled ellipse."""
        self.shape(arc(x, y, rx, ry, turn=turn), colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Draw a filled rectangle."""
        self.shape([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def stroke(self, points, width: float, colour: Colour) -> None:
        """Draw a line with round ends and joints."""
        placed, thick = self._place(points), max(1, width * self.scale)
        self.draw.line(placed, fill=colour, width=round(thick))
        if thick > 3 and len(colour) == 3:
            for x, y in placed:
                self.draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=colour)

    def ramp(self, above: Colour, below: Colour, top: float = -1, bottom: float = 1) -> None:
        """Fill the whole width between two heights of the image with a vertical colour gradient."""
        first, last = (round((y + 1) / 2 * self.image.height) for y in (top, bottom))
        if last > first:
            steps = np.linspace(0, 1, last - first)[:, None]
            rows = (np.array(above) * (1 - steps) + np.array(below) * steps).astype(np.uint8)
            self.image.paste(Image.fromarray(rows[:, None]).resize((self.image.width, last - first)), (0, first))

    def text(self, words: str, y: float, height: float, colour: Colour, *, bold: bool = False, fit: float = 1.8) -> None:
        """Draw words centred on ``y``, no wider than ``fit``."""
        font = _font(max(6, round(height * self.scale)))
        wide = font.getlength(words)
        if wide > fit * self.scale:
            font = _font(max(5, int(font.size * fit * self.scale / wide)))
        weight = round(font.size * 0.035) if bold else 0
        left, top, right, bottom = (round(v) for v in font.getbbox(words, stroke_width=weight))
        mask = Image.new("L", (right - left + 4, bottom - top + 4))
        ImageDraw.Draw(mask).text((2 - left, 2 - top), words, fill=255, font=font, stroke_width=weight)
        mask = mask.rotate(-np.degrees(self.turn), Image.Resampling.BILINEAR, expand=True)
        ((x, y),) = self._place([(0, y)])
        self.image.paste(colour, (round(x - mask.width / 2), round(y - mask.height / 2)), mask)


def arc(x: float, y: float, rx: float, ry: float, start: float = 0, stop: float = 2 * np.pi, *, turn: float = 0) -> np.ndarray:
    """Compute points (n, 2) along an ellipse from angle ``start`` to ``stop`` in radians (0 is right, a quarter turn is down)."""
    angles = start + CIRCLE * ((stop - start) / CIRCLE[-1]) if stop - start < 6 else CIRCLE
    u, v = rx * np.cos(angles), ry * np.sin(angles)
    return np.stack([x + u * np.cos(turn) - v * np.sin(turn), y + u * np.sin(turn) + v * np.cos(turn)], axis=1)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
