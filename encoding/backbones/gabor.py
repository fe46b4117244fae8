"""A Gabor wavelet pyramid: the classical model of primary visual cortex. It has no weights and learns nothing.

After Kay, Naselaris, Prenger & Gallant (2008), Identifying natural images from human brain activity, Nature 452:
wavelets at six spatial frequencies, eight orientations and two phases in quadrature, on a grid as fine as the
frequency; one octave of bandwidth in frequency and 41 degrees in orientation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from encoding.backbones._base import SOURCES, Backbone, Source
from encoding.pooling import pooled
from encoding.spec import digest

if TYPE_CHECKING:
    import torch

GABOR_VERSION = 1

SIZE = 128  # pixels a side of the picture that is filtered
FREQUENCIES = (1, 2, 4, 8, 16, 32)  # cycles per image; as many wavelets fit along each side
N_ORIENTATIONS = 8  # evenly over 180 degrees; the first is that of vertical bars
WAVELENGTH = 8  # pixels, after the picture was made small enough for the frequency; SIZE / 32 for the finest
ALONG, ACROSS = 0.56, 0.50  # standard deviations of the envelope in wavelengths, along the wave and along its bars
LUMA = (0.299, 0.587, 0.114)  # of red, green, blue (ITU-R BT.601), on gamma-encoded values: closer to lightness than luminance is

LAYERS = ("simple", "energy")


def wavelets() -> dict[str, np.ndarray]:
    """Where each feature of ``energy`` looks and what it prefers, each (10920,) float64.

    ``frequency`` in cycles per image; ``orientation`` in degrees, 0 … 180, of the direction in which brightness
    changes (0 for vertical bars), counted from right to down; ``x`` and ``y`` of the centre in 0 … 1 of the image.
    """
    kinds = []
    for frequency in FREQUENCIES:
        centres = (np.arange(frequency) + 0.5) / frequency
        angles = np.arange(N_ORIENTATIONS) * 180 / N_ORIENTATIONS
        angle, y, x = (grid.ravel() for grid in np.meshgrid(angles, centres, centres, indexing="ij"))
        kinds.append({"frequency": np.full(angle.size, float(frequency)), "orientation": angle, "x": x, "y": y})
    return {name: np.concatenate([kind[name] for kind in kinds]) for name in kinds[0]}


class Gabor(Backbone):
    """Wavelet responses to the picture's central square, as seen on a mid-grey screen.

    Brightness is counted from mid-grey, black -1 and white 1, so a uniform grey picture gives zeros and a
    grating of full contrast gives 1 in the ``energy`` of the wavelets that match it.

    Layers
    ------
    simple : (b, 21840) signed responses of the even wavelets, then of the odd ones, at each frequency.
    energy : (b, 10920) root of the sum of their squares: complex cells, which do not care for phase.

    Within a frequency, features run by orientation, row, column (:func:`wavelets`).
    """

    fingerprint = digest(
        "backbone",
        GABOR_VERSION,
        network="gabor",
        size=SIZE,
        frequencies=FREQUENCIES,
        n_orientations=N_ORIENTATIONS,
        envelope=[WAVELENGTH, ALONG, ACROSS],
    )

    def __init__(self, device: str = "cpu") -> None:
        import torch

        self._filters = {size: torch.from_numpy(_filters(size)).to(device) for size in {_wavelength(f) for f in FREQUENCIES}}
        self._luma = torch.tensor(LUMA, device=device).view(1, 3, 1, 1)

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """(3, 128, 128) in 0 … 1."""
        import torch

        small = ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1), np.float32) / 255)

    def activations(self, batch: torch.Tensor, layers: Sequence[str], pool: str = "none") -> dict[str, torch.Tensor]:
        import torch
        import torch.nn.functional as F

        GaborSource().check_layers("gabor", layers)
        brightness = 2 * F.conv2d(batch, self._luma) - 1  # (b, 1, SIZE, SIZE)
        responses = [self._respond(brightness, frequency) for frequency in FREQUENCIES]  # each (b, 2, orientations, f, f)
        made = {}
        if "simple" in layers:
            made["simple"] = torch.cat([response.flatten(1) for response in responses], 1)
        if "energy" in layers:
            made["energy"] = torch.cat([response.square().sum(1).sqrt().flatten(1) for response in responses], 1)
        return {layer: pooled(features, pool) for layer, features in made.items()}

    def to(self, device: str) -> Gabor:
        return Gabor(device)

    def _respond(self, brightness: torch.Tensor, frequency: int) -> torch.Tensor:
        """Responses of one frequency's wavelets, (b, phase, orientation, row, column). Beyond the picture all is mid-grey."""
        import torch.nn.functional as F

        wavelength = _wavelength(frequency)
        shrunk = F.avg_pool2d(brightness, SIZE // (wavelength * frequency))
        responses = F.conv2d(shrunk, self._filters[wavelength], stride=wavelength, padding=wavelength)
        return responses.unflatten(1, (2, N_ORIENTATIONS))


def _wavelength(frequency: int) -> int:
    """Pixels per cycle once the picture is as small as the frequency allows."""
    return min(WAVELENGTH, SIZE // frequency)


def _filters(wavelength: int) -> np.ndarray:
    """Even then odd wavelets, (2 * orientations, 1, 3 * wavelength, 3 * wavelength) float32.

    Each sums to zero and answers 1 to its own wave at full contrast.
    """
    places = (np.arange(3 * wavelength) + 0.5) / wavelength - 1.5  # in wavelengths from the centre
    y, x = np.meshgrid(places, places, indexing="ij")
    made = []
    for phase in (np.cos, np.sin):
        for angle in np.arange(N_ORIENTATIONS) * np.pi / N_ORIENTATIONS:
            u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
            envelope = np.exp(-0.5 * ((u / ALONG) ** 2 + (v / ACROSS) ** 2))
            wave = phase(2 * np.pi * u)
            wavelet = envelope * (wave - (envelope * wave).sum() / envelope.sum())
            made.append(wavelet / (wavelet * wave).sum())
    return np.stack(made)[:, None].astype(np.float32)


class GaborSource(Source):
    name = "gabor"
    needs_weights = False

    def networks(self) -> tuple[str, ...]:
        return ("gabor",)

    def layers(self, network: str) -> tuple[str, ...]:
        return LAYERS

    def every_layer(self, network: str) -> tuple[str, ...]:
        return LAYERS

    def fingerprint(self, network: str, weights: str) -> str:
        return Gabor.fingerprint

    def open(self, network: str, weights: str) -> Gabor:
        return Gabor()


SOURCES.register(GaborSource.name, GaborSource())
