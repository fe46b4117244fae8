"""A model of primary visual cortex: the VOneBlock of Dapello, Marques et al. (2020).

Gabor filters whose parameters are drawn from what was measured in macaques, simple cells (rectified) and complex cells
(the energy of a pair in quadrature), and noise whose variance is the response, as that of spike counts is. The counts
below are those that the authors' code draws from, and the studies those that it names.

This file imports torch; :mod:`encoding.backbones.vonenet` imports it only to build a network.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

N_SIMPLE, N_COMPLEX = 256, 256  # channels
KERNEL, STRIDE = 25, 4  # pixels
PIXELS_PER_DEGREE = 224 / 8  # the image is 224 pixels and 8 degrees of visual angle wide
GAIN = 25.0  # from filter responses to spikes
NOISE_SCALE, NOISE_LEVEL = 0.35, 0.07  # at which the variance is the mean, and spontaneous spikes; the defaults of the authors' code
LEAST_VARIANCE = 1e-4

ORIENTATION_EDGES = (-22.5, 22.5, 67.5, 112.5, 157.5)  # degrees; cells counted in each by De Valois, Yund & Hepler (1982)
ORIENTATION_COUNTS = (66, 49, 77, 54)
FREQUENCY_EDGES = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6)  # cycles per degree; De Valois, Albrecht & Thorell (1982) went
FREQUENCY_COUNTS = (4, 4, 8, 25, 32, 26, 28)  # on to 11.2, where the authors stop at 5.6, five pixels a cycle
CYCLES_EDGES = tuple(10 ** np.linspace(-1, 0.2, 6))  # standard deviations of the envelope in wavelengths; Ringach (2002)
CYCLES_COUNTS = ((2, 0, 1, 0, 0), (8, 9, 4, 1, 0), (1, 2, 19, 17, 3), (0, 0, 1, 7, 4), (0, 0, 0, 0, 0))  # along, across
CORRELATION = 0.75  # of a cell's frequency with the size of its envelope along the wave in wavelengths


def draw(n: int) -> dict[str, np.ndarray]:
    """Parameters of ``n`` cells from torch's random numbers, each (n,) float64.

    ``frequency`` in cycles per degree; ``orientation`` in degrees, 0 … 180, of the direction in which brightness changes,
    counted from down to right (0 for horizontal bars); ``phase`` in degrees; ``along`` and ``across`` the standard
    deviations of the envelope along the wave and along its bars, in wavelengths; ``colour`` 0, 1 or 2, the input channel.
    """

    def uniform() -> np.ndarray:
        return torch.rand(n, dtype=torch.float64, device="cpu").numpy()

    one, other = (torch.randn(n, dtype=torch.float64, device="cpu") for _ in range(2))
    tied = CORRELATION * one + (1 - CORRELATION**2) ** 0.5 * other
    counts = np.array(CYCLES_COUNTS, float)
    along = _drawn(torch.special.ndtr(one).numpy(), counts.sum(1), np.log(CYCLES_EDGES))
    kind = np.searchsorted(np.log(CYCLES_EDGES), along, side="left") - 1  # the bin of ``along``, whose row says how ``across`` falls
    across = np.array([_drawn(u, counts[row], np.log(CYCLES_EDGES)) for u, row in zip(uniform(), kind.clip(0), strict=True)])
    return {
        "frequency": np.exp(_drawn(torch.special.ndtr(tied).numpy(), FREQUENCY_COUNTS, np.log(FREQUENCY_EDGES))),
        "orientation": _drawn(uniform(), ORIENTATION_COUNTS, ORIENTATION_EDGES) % 180,
        "phase": uniform() * 360,
        "along": np.exp(along),
        "across": np.exp(across),
        "colour": torch.randint(3, (n,), device="cpu").numpy(),
    }


def _drawn(u: np.ndarray, counts: np.ndarray | tuple[int, ...], edges: np.ndarray | tuple[float, ...]) -> np.ndarray:
    """Numbers with the distribution of a histogram, even within its bins, from numbers even in 0 … 1."""
    return np.interp(u, np.concatenate([[0.0], np.cumsum(counts) / np.sum(counts)]), edges)


def filters(cells: dict[str, np.ndarray], turned: float = 0.0) -> np.ndarray:
    """The cells' Gabor filters, (n, 3, 25, 25) float32: one colour each, the others zero.

    A wave times an envelope of integral one. ``turned`` is added to the phase, in degrees; 90 gives the partner in quadrature.
    """
    places = np.arange(KERNEL) - KERNEL // 2
    row, column = np.meshgrid(places, places, indexing="ij")
    kernels = np.zeros((len(cells["phase"]), 3, KERNEL, KERNEL), np.float32)
    for i in range(len(kernels)):
        angle, phase = np.deg2rad(cells["orientation"][i]), np.deg2rad(cells["phase"][i] + turned)
        frequency = cells["frequency"][i] / PIXELS_PER_DEGREE  # cycles per pixel
        along, across = cells["along"][i] / frequency, cells["across"][i] / frequency  # pixels
        u, v = row * np.cos(angle) + column * np.sin(angle), column * np.cos(angle) - row * np.sin(angle)
        envelope = np.exp(-0.5 * ((u / along) ** 2 + (v / across) ** 2)) / (2 * np.pi * along * across)
        kernels[i, cells["colour"][i]] = envelope * np.cos(2 * np.pi * frequency * u + phase)
    return kernels


class VOneBlock(nn.Module):
    """(b, 3, 224, 224) in -1 … 1 -> (b, 512, 56, 56), the simple cells and then the complex ones, in spikes; never negative.

    Modules
    -------
    simple : (b, 256, 56, 56) rectified responses of the first 256 filters. Before noise, times the gain.
    complex : (b, 256, 56, 56) root of the mean square of the others and their partners in quadrature, likewise.

    Parameters
    ----------
    noise : seed of one draw of noise, added to both kinds for every image alike; None for none.
    """

    n_channels = N_SIMPLE + N_COMPLEX

    def __init__(self, noise: int | None = None) -> None:
        super().__init__()
        cells = draw(self.n_channels)
        odd = {name: values[N_SIMPLE:] for name, values in cells.items()}
        self.even, self.odd = _convolution(filters(cells)), _convolution(filters(odd, turned=90))
        self.simple, self.complex = nn.ReLU(), Energy()
        self.noise = None if noise is None else Noise(noise)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        even = GAIN * self.even(x)
        spikes = torch.cat([self.simple(even[:, :N_SIMPLE]), self.complex(even[:, N_SIMPLE:], GAIN * self.odd(x))], 1)
        return spikes if self.noise is None else self.noise(spikes)


class Energy(nn.Module):
    """Root of the mean square of two responses."""

    def forward(self, even: torch.Tensor, odd: torch.Tensor) -> torch.Tensor:
        return ((even**2 + odd**2) / 2).sqrt()


class Noise(nn.Module):
    """Noise as that of spike counts: normal, its variance the mean count. One draw, the same for each image."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        side = 224 // STRIDE
        source = torch.Generator("cpu").manual_seed(seed)
        drawn = torch.randn(N_SIMPLE + N_COMPLEX, side, side, generator=source, device="cpu")
        self.register_buffer("drawn", drawn, persistent=False)

    def forward(self, spikes: torch.Tensor) -> torch.Tensor:
        mean = NOISE_SCALE * spikes + NOISE_LEVEL
        return ((mean + self.drawn * (mean + LEAST_VARIANCE).sqrt() - NOISE_LEVEL) / NOISE_SCALE).relu()


def _convolution(kernels: np.ndarray) -> nn.Conv2d:
    convolution = nn.Conv2d(3, len(kernels), KERNEL, stride=STRIDE, padding=KERNEL // 2, bias=False, device="meta")
    convolution.weight = nn.Parameter(torch.from_numpy(kernels), requires_grad=False)
    return convolution
