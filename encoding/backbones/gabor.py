"""A Gabor wavelet pyramid: the classical model of primary visual cortex. It has no weights and learns nothing.

After Kay, Naselaris, Prenger & Gallant (2008), Identifying natural images from human brain activity, Nature 452:
wavelets at six spatial frequencies, eight orientations and two phases in quadrature, on a grid as fine as the
frequency; one octave of bandwidth in frequency and 41 degrees in orientation.

Other pyramids are chosen by name, as in ``gabor:size=256,frequencies=1-2-4-8-16-32-64,orientations=12``
(:class:`Pyramid`); what is left out stays as it is in plain ``gabor``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from encoding.backbones._base import SOURCES, Backbone, Source
from encoding.backbones._parameters import number, read_parameters
from encoding.backbones._pooling import pooled
from encoding.storage.keys import digest

if TYPE_CHECKING:
    import torch

GABOR_VERSION = 1

WAVELENGTHS = range(4, 9)  # pixels a cycle, after the image was made small enough for the frequency; the longest that fits
LUMA = (0.299, 0.587, 0.114)  # of red, green, blue (ITU-R BT.601), on gamma-encoded values: closer to lightness than luminance is
NARROWEST, WIDEST = 0.25, 0.75  # standard deviations of an envelope: a pixel of the shortest wave; half of a filter's reach

LAYERS = ("simple", "energy")


@dataclass(frozen=True)
class Pyramid:
    """Parameters of the wavelet pyramid.

    Attributes
    ----------
    size : pixels a side of the image that is filtered, 16 … 1024.
    frequencies : cycles per image, rising; as many wavelets fit along each side. Each must fit the size:
        :meth:`wavelength`.
    orientations : how many, 1 … 64, evenly over 180 degrees; the first is that of vertical bars.
    along, across : standard deviations of the envelope in wavelengths, 0.25 … 0.75, along the wave and along its bars.
    """

    size: int = 128
    frequencies: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    orientations: int = 8
    along: float = 0.56
    across: float = 0.50

    def __post_init__(self) -> None:
        for frequency in self.frequencies:
            if not self._fitting(frequency):
                multiples = f"a multiple of {WAVELENGTHS[-1]} x {frequency} = {WAVELENGTHS[-1] * frequency}"
                raise ValueError(
                    f"A frequency of {frequency} cycles per image does not fit an image of {self.size} pixels. "
                    f"The size must be {multiples}, or of {WAVELENGTHS[0]}, 5, 6 or 7 times {frequency}."
                )

    @classmethod
    def named(cls, name: str) -> Pyramid:
        """Parse the pyramid in a backbone's name; ValueError where a parameter is not understood or does not fit."""
        width = number(NARROWEST, WIDEST, float)
        readers = {"size": number(16, 1024), "frequencies": _rising, "orientations": number(1, 64), "along": width, "across": width}
        return cls(**read_parameters(name, readers))

    def wavelength(self, frequency: int) -> int:
        """Pixels a cycle once the image is as small as the frequency allows; the most of 4 … 8 that shrink it by a whole number."""
        return self._fitting(frequency)[-1]

    def _fitting(self, frequency: int) -> list[int]:
        return [pixels for pixels in WAVELENGTHS if self.size % (pixels * frequency) == 0]

    def fingerprint(self) -> str:
        """Digest of all that determines its filters."""
        return digest(
            "backbone",
            GABOR_VERSION,
            network="gabor",
            size=self.size,
            frequencies=self.frequencies,
            n_orientations=self.orientations,
            envelope=[WAVELENGTHS[-1], self.along, self.across],
        )

    def wavelets(self) -> dict[str, np.ndarray]:
        """Receptive-field centre and preferred stimulus of each ``energy`` feature, (n_features,) float64; (10920,) in plain ``gabor``.

        ``frequency`` in cycles per image; ``orientation`` in degrees, 0 … 180, of the direction in which brightness
        changes (0 for vertical bars), counted from right to down; ``x`` and ``y`` of the centre in 0 … 1 of the image.
        """
        kinds = []
        for frequency in self.frequencies:
            centres = (np.arange(frequency) + 0.5) / frequency
            angles = np.arange(self.orientations) * 180 / self.orientations
            angle, y, x = (grid.ravel() for grid in np.meshgrid(angles, centres, centres, indexing="ij"))
            kinds.append({"frequency": np.full(angle.size, float(frequency)), "orientation": angle, "x": x, "y": y})
        return {name: np.concatenate([kind[name] for kind in kinds]) for name in kinds[0]}

    def filters(self, wavelength: int) -> np.ndarray:
        """Even then odd wavelets, (2 * orientations, 1, 3 * wavelength, 3 * wavelength) float32.

        Each sums to zero and answers 1 to its own wave at full contrast.
        """
        places = (np.arange(3 * wavelength) + 0.5) / wavelength - 1.5  # in wavelengths from the centre
        y, x = np.meshgrid(places, places, indexing="ij")
        wavelets = []
        for phase in (np.cos, np.sin):
            for angle in np.arange(self.orientations) * np.pi / self.orientations:
                u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
                envelope = np.exp(-0.5 * ((u / self.along) ** 2 + (v / self.across) ** 2))
                wave = phase(2 * np.pi * u)
                wavelet = envelope * (wave - (envelope * wave).sum() / envelope.sum())
                wavelets.append(wavelet / (wavelet * wave).sum())
        return np.stack(wavelets)[:, None].astype(np.float32)


def _rising(text: str) -> tuple[int, ...]:
    """``1-2-4`` -> (1, 2, 4)."""
    parts = text.split("-")
    frequencies = tuple(int(part) for part in parts if part.isascii() and part.isdecimal())
    if len(frequencies) < len(parts) or frequencies[0] < 1 or any(b <= a for a, b in pairwise(frequencies)):
        raise ValueError("it is whole numbers of cycles per image, rising, such as 1-2-4-8.")
    return frequencies


class Gabor(Backbone):
    """Wavelet responses to the image's central square, as seen on a mid-grey screen.

    Brightness is counted from mid-grey, black -1 and white 1, so a uniform grey image gives zeros and a
    grating of full contrast gives 1 in the ``energy`` of the wavelets that match it.

    Layers
    ------
    simple : signed responses of the even wavelets, then of the odd ones, at each frequency; (b, 21840) in plain ``gabor``.
    energy : root of the sum of their squares: complex cells, which do not care for phase; half as many.

    Within a frequency, features run by orientation, row, column (:meth:`Pyramid.wavelets`).
    """

    def __init__(self, pyramid: Pyramid | None = None, device: str = "cpu") -> None:
        import torch

        self.pyramid = pyramid or Pyramid()
        self.fingerprint = self.pyramid.fingerprint()
        wavelengths = {self.pyramid.wavelength(frequency) for frequency in self.pyramid.frequencies}
        self._filters = {wavelength: torch.from_numpy(self.pyramid.filters(wavelength)).to(device) for wavelength in wavelengths}
        self._luma = torch.tensor(LUMA, device=device).view(1, 3, 1, 1)

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """Crop and resize an image: (3, size, size) in 0 to 1."""
        import torch

        small = ImageOps.fit(image, (self.pyramid.size, self.pyramid.size), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1), np.float32) / 255)

    def activations(self, batch: torch.Tensor, layers: Sequence[str], pool: str = "none") -> dict[str, torch.Tensor]:
        import torch
        import torch.nn.functional as F

        GaborSource().check_layers("gabor", layers)
        brightness = 2 * F.conv2d(batch, self._luma) - 1  # (b, 1, size, size)
        responses = [self._respond(brightness, frequency) for frequency in self.pyramid.frequencies]  # each (b, 2, orientations, f, f)
        outputs = {}
        if "simple" in layers:
            outputs["simple"] = torch.cat([response.flatten(1) for response in responses], 1)
        if "energy" in layers:
            outputs["energy"] = torch.cat([response.square().sum(1).sqrt().flatten(1) for response in responses], 1)
        return {layer: pooled(outputs[layer], pool) for layer in layers}

    def to(self, device: str) -> Gabor:
        return Gabor(self.pyramid, device)

    def _respond(self, brightness: torch.Tensor, frequency: int) -> torch.Tensor:
        """Responses of one frequency's wavelets, (b, phase, orientation, row, column). Beyond the image all is mid-grey."""
        import torch.nn.functional as F

        wavelength = self.pyramid.wavelength(frequency)
        shrunk = F.avg_pool2d(brightness, self.pyramid.size // (wavelength * frequency))
        responses = F.conv2d(shrunk, self._filters[wavelength], stride=wavelength, padding=wavelength)
        return responses.unflatten(1, (2, self.pyramid.orientations))


class GaborSource(Source):
    """The Gabor pyramid, a network without weights."""

    name = "gabor"
    needs_weights = False

    def networks(self) -> tuple[str, ...]:
        return ("gabor",)

    def has(self, network: str) -> bool:
        return network.partition(":")[0] == "gabor" and not self.why_not(network)

    def why_not(self, network: str) -> str:
        try:
            Pyramid.named(network)
        except ValueError as error:
            return str(error)
        return ""

    def layers(self, network: str) -> tuple[str, ...]:
        return LAYERS

    def every_layer(self, network: str) -> tuple[str, ...]:
        return LAYERS

    def fingerprint(self, network: str, weights: str) -> str:
        return Pyramid.named(network).fingerprint()

    def open(self, network: str, weights: str) -> Gabor:
        return Gabor(Pyramid.named(network))


SOURCES.register(GaborSource.name, GaborSource())
