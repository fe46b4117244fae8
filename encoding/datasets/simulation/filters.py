"""Features of the simulated early visual areas: Gabor energy, texture edges, contrast and colour.

The maps of an image lie on a 32 x 32 grid over it (0.26 degrees per cell). They are written for this simulation alone and share no code
with the ``gabor`` backbone, so that fitting that backbone to the demo is a fair test.

Gabor energy after Adelson & Bergen (1985); contrast energy models of visual cortex after Kay et al. (2008, 2013).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from encoding.datasets.simulation.scenes import CATEGORIES, DEGREES, SIZE

GRID = 32
WAVELENGTHS = (0.5, 1.0, 1.8, 3.2)  # degrees per cycle
ORIENTATIONS = tuple(np.pi / 6 * k for k in range(6))  # of the contour: 0 is horizontal, rising anticlockwise
HALF_SATURATION = 0.02  # contrast, as a share of white, at which responses are half their greatest

N_ORIENTED = len(WAVELENGTHS) * len(ORIENTATIONS)
FAMILIES = {  # which channels: the second axis of `channels`
    "energy": slice(0, N_ORIENTED),
    "edges": slice(N_ORIENTED, N_ORIENTED + 6),
    "contrast": slice(N_ORIENTED + 6, N_ORIENTED + 10),
    "colour": slice(N_ORIENTED + 10, N_ORIENTED + 14),
}
N_CHANNELS = N_ORIENTED + 14


def channels(images: np.ndarray) -> np.ndarray:
    """Compute the feature maps of images.

    Parameters
    ----------
    images : (n, SIZE, SIZE, 3) uint8.

    Returns
    -------
    (n, N_CHANNELS, GRID, GRID) float32, each channel in about 0 … 1.

    Notes
    -----
    ``energy``, wavelength by orientation: the amplitude of a quadrature pair of Gabor filters, divided by its mean over orientations plus
    a constant. ``edges``, one per orientation: how unevenly fine energy is spread within a degree. ``contrast``, one per wavelength: energy
    whatever the orientation. ``colour``: redness, greenness, blueness, yellowness.
    """
    pixels = images.astype(np.float32) / 255
    energy, contrast = _gabor_energy(pixels @ np.full(3, 1 / 3, np.float32))
    fine = energy[:, :2].mean(axis=1)
    coarse = fine.reshape(*fine.shape[:-2], GRID // 4, 4, GRID // 4, 4).mean(axis=(-3, -1))  # blocks of 4 x 4 cells, about a degree
    edges = 4 * np.abs(fine - coarse.repeat(4, axis=-2).repeat(4, axis=-1))
    oriented = energy.reshape(len(images), N_ORIENTED, GRID, GRID)
    return np.concatenate([oriented, edges, contrast, _colours(shrunk(pixels, GRID))], axis=1)


def category_maps(things: np.ndarray, n: int, *, grid: int) -> np.ndarray:
    """Compute maps of category strength.

    Parameters
    ----------
    things : (n_things, 6) as in :class:`~encoding.datasets.simulation.scenes.Scenes`.
    n : number of images.
    grid : side of the maps in cells.

    Returns
    -------
    (n, 6, grid, grid) float32. An object is a round blob a quarter of its size wide whose peak is its strength; blobs sum to at most 1.
    """
    maps = np.zeros((n, len(CATEGORIES), grid, grid), np.float32)
    x, y = cell_centres(grid)
    for number, category, thing_x, thing_y, size, strength in things.tolist():
        spread = 2 * (size / 4) ** 2
        maps[int(number), int(category)] += strength * np.exp(-((x - thing_x) ** 2 + (y - thing_y) ** 2) / spread)
    return np.minimum(maps, 1, out=maps)


def cell_centres(grid: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres of a map's cells, x (right) and y (up), each (grid, grid) float32 in degrees from the centre of gaze."""
    places = ((np.arange(grid, dtype=np.float32) + 0.5) / grid - 0.5) * np.float32(DEGREES)
    return np.meshgrid(places, -places)


def _gabor_energy(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, SIZE, SIZE) -> energy (n, n_wavelengths, n_orientations, GRID, GRID) and contrast (n, n_wavelengths, GRID, GRID)."""
    from scipy import fft  # four times as fast as numpy's

    spectrum = fft.fft2(grey)
    energy = np.empty((len(grey), len(WAVELENGTHS), len(ORIENTATIONS), GRID, GRID), np.float32)
    for scale, wavelength in enumerate(WAVELENGTHS):
        filters = _filters(wavelength)
        low = np.fft.fftfreq(filters.shape[-1], 1 / filters.shape[-1]).astype(int)  # a smaller image holds all that passes
        passed = spectrum[:, low[:, None], low[None, :]] * np.complex64((len(low) / SIZE) ** 2)
        for direction, gabor in enumerate(filters):
            energy[:, scale, direction] = shrunk(np.abs(fft.ifft2(passed * gabor, overwrite_x=True)), GRID)
    mean = energy.mean(axis=2)
    energy /= HALF_SATURATION + mean[:, :, None]
    return energy, mean / (HALF_SATURATION + mean)


@cache
def _filters(wavelength: float) -> np.ndarray:
    """(n_orientations, size, size) float32 in the frequency plane: one octave and 30 degrees wide, one-sided.

    One-sided filters give the even and the odd Gabor as real and imaginary part.
    """
    centre = DEGREES / wavelength  # cycles per image
    size = GRID if 3.6 * centre < GRID else 2 * GRID
    across, down = np.meshgrid(np.fft.fftfreq(size, 1 / size), np.fft.fftfreq(size, 1 / size))
    radius = np.hypot(across, down)
    radius[0, 0] = 1e-6
    band = np.exp(-0.5 * (np.log2(radius / centre) / 0.45) ** 2)
    result = []
    for orientation in ORIENTATIONS:
        off = np.angle(np.exp(1j * (np.arctan2(-down, across) - orientation - np.pi / 2)))
        result.append(2 * band * np.exp(-0.5 * (off / np.radians(18)) ** 2))
    return np.array(result, np.float32)


def _colours(pixels: np.ndarray) -> np.ndarray:
    """(n, GRID, GRID, 3) -> (n, 4, GRID, GRID): the two opponent axes, each cut in its two directions."""
    red, green, blue = np.moveaxis(pixels, 3, 0)
    axes = (red - green, green - red, blue - (red + green) / 2, (red + green) / 2 - blue)
    return 2 * np.stack([np.maximum(axis, 0) for axis in axes], axis=1)


def shrunk(maps: np.ndarray, grid: int) -> np.ndarray:
    """Downsample maps by averaging, (n, size, size, …) to (n, grid, grid, …)."""
    step = maps.shape[1] // grid
    return sum(maps[:, down::step, across::step] for down in range(step) for across in range(step)) / step**2
