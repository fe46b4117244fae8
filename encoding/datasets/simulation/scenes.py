"""Stimuli of the simulated experiment: images composed by code, with a description of their content.

Each scene has surroundings (a place, a patterned surface or a plain backdrop) and up to three things in it,
one of them usually large. Scene number i depends on the seed and on i alone, so more scenes can be
drawn without changing the first.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from encoding.datasets.simulation.patterns import PLAIN, TEXTURES
from encoding.datasets.simulation.pen import Pen, pick
from encoding.datasets.simulation.places import PLACES
from encoding.datasets.simulation.things import THINGS
from encoding.runtime.progress import Report, silent

VERSION = 1
SIZE = 128  # pixels, width and height
DEGREES = 8.4  # of visual angle, width and height: those of the Natural Scenes Dataset
CATEGORIES = ("faces", "bodies", "places", "words", "food", "textures")

WORTH_A_PROCESS = 300  # scenes

_FINER = 2  # drawn this much larger, then averaged, so that edges are smooth
_RADIUS = DEGREES / 2


@dataclass(frozen=True)
class Thing:
    """An object in a scene. ``x`` (right), ``y`` (up) and ``size`` (height) in degrees from the centre of gaze.

    ``strength`` in 0 … 1 is the visible evidence for its category: small or occluded objects have little.
    """

    category: str
    x: float
    y: float
    size: float
    strength: float


@dataclass(frozen=True)
class Scenes:
    """Images with their ground truth.

    Attributes
    ----------
    images : (n, SIZE, SIZE, 3) uint8.
    strength : (n, 6) float32 in 0 … 1, how much of each of :data:`CATEGORIES` an image shows.
    things : (n_things, 6) float32, columns scene number, category number, x, y, size (degrees), strength.
        Surroundings are objects of the whole image's size.
    """

    images: np.ndarray
    strength: np.ndarray
    things: np.ndarray

    @property
    def category(self) -> np.ndarray:
        """Strongest category of each image, (n,) text."""
        return np.array(CATEGORIES)[np.argmax(self.strength, axis=1)]


def scenes(n: int, *, seed: int, report: Report = silent) -> Scenes:
    """Draw ``n`` scenes, deterministic given ``seed``; large numbers are shared with a second process.

    On one machine they agree to the last bit; between machines and versions of Pillow a pixel may differ by one level.
    """
    half = n // 2 if n >= WORTH_A_PROCESS else n
    with _drawing_elsewhere(range(half, n), seed) as rest:
        first = _draw(range(half), seed, report)
        parts = [first, *rest()]
    numbers = np.cumsum([0, *(len(part.images) for part in parts)])
    for part, start in zip(parts, numbers, strict=False):
        part.things[:, 0] += start
    return Scenes(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Scenes)))


def _draw(numbers: range, seed: int, report: Report = silent) -> Scenes:
    """The scenes of some numbers; their things count scenes from 0."""
    images = np.empty((len(numbers), SIZE, SIZE, 3), np.uint8)
    strength = np.zeros((len(numbers), len(CATEGORIES)), np.float32)
    rows = []
    for place, number in enumerate(numbers):
        images[place], things = draw_scene(np.random.default_rng([seed, number]))
        for thing in things:
            code = CATEGORIES.index(thing.category)
            rows.append((place, code, thing.x, thing.y, thing.size, thing.strength))
            strength[place, code] = 1 - (1 - strength[place, code]) * (1 - thing.strength)
        if place % 20 == 0:
            report(place / len(numbers), f"Drawing scenes: {place / len(numbers):.0%}")
    return Scenes(images, strength, np.array(rows, np.float32).reshape(-1, 6))


@contextmanager
def _drawing_elsewhere(numbers: range, seed: int) -> Iterator[Callable[[], list[Scenes]]]:
    """Draw scenes in a process of its own; yields a function that waits for them. Drawn in this process where none can start.

    A plain process and not a pool: a pool's would import the caller's main module, which may be a script without a guard.
    """
    if not numbers:
        yield list
        return
    with tempfile.TemporaryDirectory() as folder:
        code = f"from encoding.datasets.simulation.scenes import _save; _save({numbers!r}, {seed!r}, {folder!r})"
        paths = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *filter(None, sys.path)])}
        process = subprocess.Popen(
            [sys.executable, "-c", code], env=os.environ | paths, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield lambda: [_load(folder) if process.wait() == 0 else _draw(numbers, seed)]
        finally:
            process.kill()
            process.wait()


def _save(numbers: range, seed: int, folder: str) -> None:
    for name, values in vars(_draw(numbers, seed)).items():
        np.save(Path(folder, f"{name}.npy"), values)


def _load(folder: str) -> Scenes:
    return Scenes(*(np.load(Path(folder, f"{field.name}.npy")) for field in fields(Scenes)))


def draw_scene(rng: np.random.Generator) -> tuple[np.ndarray, list[Thing]]:
    """Draw one image, (SIZE, SIZE, 3) uint8, and list its content, surroundings first."""
    image = Image.new("RGB", (SIZE * _FINER, SIZE * _FINER))
    main = pick(rng, CATEGORIES)
    if main in ("places", "textures"):
        pick(rng, PLACES if main == "places" else TEXTURES)(Pen(image), rng)
        around = [(main, 1.0)]
        things = _small_things(image, rng, at_most=2 if main == "places" else 1)
    else:
        around = _surroundings(image, rng)
        things = _small_things(image, rng, at_most=2) if rng.random() < 0.6 else []
        things.append(_large_thing(image, rng, main))
    free = max(0.0, 1 - sum((thing.size / DEGREES) ** 2 for thing in things))  # share of the image left in view
    seen = [Thing(category, 0.0, 0.0, DEGREES, strength * free) for category, strength in around]
    return _photograph(image.reduce(_FINER), rng), seen + things


def _surroundings(image: Image.Image, rng: np.random.Generator) -> list[tuple[str, float]]:
    """Draw what a large thing stands before; returns its category and strength, none where it is plain."""
    kind = rng.random()
    if kind < 0.3:
        pick(rng, PLAIN)(Pen(image), rng)
        return []
    pick(rng, PLACES if kind < 0.65 else TEXTURES)(Pen(image), rng)
    image.paste(image.filter(ImageFilter.BoxBlur(float(rng.uniform(0.5, 5)))))
    if kind < 0.65:
        return [("places", 0.4)]
    colour = tuple(round(v) for v in np.asarray(image).mean(axis=(0, 1)))
    image.paste(Image.blend(image, Image.new("RGB", image.size, colour), float(rng.uniform(0.1, 0.7))))
    return [("textures", 0.4)]


def _large_thing(image: Image.Image, rng: np.random.Generator, category: str) -> Thing:
    size = rng.uniform(0.35, 0.85)
    x, y = np.clip(rng.normal(0, 0.32, 2), size - 1.15, 1.15 - size)
    return _put(image, rng, pick(rng, THINGS[category]), category, x, y, size)


def _small_things(image: Image.Image, rng: np.random.Generator, *, at_most: int) -> list[Thing]:
    things = []
    for _ in range(int(rng.integers(0, at_most + 1))):
        category = pick(rng, list(THINGS))
        x, y = rng.uniform(-0.75, 0.75), rng.uniform(-0.5, 0.75)
        things.append(_put(image, rng, pick(rng, THINGS[category]), category, x, y, rng.uniform(0.14, 0.3)))
    return things


def _put(image: Image.Image, rng: np.random.Generator, thing: Callable, category: str, x: float, y: float, size: float) -> Thing:
    turn = rng.normal(0, 0.35 if category == "food" else 0.1)
    thing(Pen(image, x=x, y=y, size=size, turn=turn, mirror=category != "words" and rng.random() < 0.5), rng)
    strength = min(1.0, size / 0.55) * rng.uniform(0.85, 1)
    return Thing(category, float(x) * _RADIUS, -float(y) * _RADIUS, 2 * size * _RADIUS, float(strength))


def _photograph(image: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """Light from one side, a colour cast, more or less contrast, and grain. (SIZE, SIZE, 3) uint8."""
    pixels = np.asarray(image, np.float32) / 255
    across = np.linspace(-1, 1, SIZE, dtype=np.float32)
    slope = rng.normal(0, 0.1, 2).astype(np.float32)
    light = 1 + slope[0] * across[:, None] + slope[1] * across[None, :]
    cast = (1 + rng.normal(0, 0.04, 3)).astype(np.float32)
    contrast, mean = np.float32(rng.uniform(0.4, 1.1)), np.float32(np.asarray(image).mean() / 255)
    grain = pick(rng, _grain()) * np.float32(rng.uniform(0.004, 0.02))
    pixels = ((pixels - mean) * contrast + mean) * light[:, :, None] * cast + grain[:, :, None]
    return (np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8)


@cache
def _grain() -> np.ndarray:
    """(8, SIZE, SIZE) float32 noise of unit variance whose amplitude falls with frequency, as in photographs."""
    white = np.fft.rfft2(np.random.default_rng(0).standard_normal((8, SIZE, SIZE)))
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None, :])
    noise = np.fft.irfft2(white / np.maximum(frequency, 1 / SIZE) ** 0.8, s=(SIZE, SIZE))
    return (noise / noise.std(axis=(1, 2), keepdims=True)).astype(np.float32)
