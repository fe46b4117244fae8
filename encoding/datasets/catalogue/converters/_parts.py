"""What several converters need: arrays of an ``.npz`` row by row, ROI labels from columns, images from arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from encoding.datasets._base import BadData
from encoding.storage.npy import BAD_HEADER, Header, read_header

DAMAGED = (*BAD_HEADER, OSError, zipfile.BadZipFile)


class NpzArrays:
    """Arrays of an ``.npz``, read by blocks of rows, compressed or not, without holding one whole.

    Raises
    ------
    BadData, naming the file, where it is damaged or an array is missing, has another shape or holds Python objects.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise BadData(f"{path.name} is no .npz file ({error}).") from error

    def __enter__(self) -> NpzArrays:
        return self

    def __exit__(self, *about: object) -> None:
        self._archive.close()

    def header(self, name: str) -> Header:
        """Shape, memory order and dtype of an array."""
        try:
            with self._archive.open(f"{name}.npy") as file:
                return read_header(file)
        except KeyError as error:
            held = ", ".join(each.removesuffix(".npy") for each in self._archive.namelist())
            raise BadData(f"{self.path.name} holds no array {name}; it holds {held}.") from error
        except DAMAGED as error:
            raise BadData(f"{self.path.name}: {name} cannot be read ({error}).") from error

    def blocks(self, name: str, n_rows: int = 64) -> Iterator[np.ndarray]:
        """Yield ``n_rows`` rows at a time, in the array's dtype."""
        shape, columns_first, dtype = self.header(name)
        if columns_first and len(shape) > 1:
            yield self.whole(name)
            return
        row_bytes = int(np.prod(shape[1:], dtype=int)) * dtype.itemsize
        try:
            with self._archive.open(f"{name}.npy") as file:
                read_header(file)
                for start in range(0, shape[0], n_rows):
                    n = min(n_rows, shape[0] - start)
                    content = file.read(n * row_bytes)
                    if len(content) != n * row_bytes:
                        raise EOFError("it is cut short")
                    yield np.frombuffer(content, dtype).reshape(n, *shape[1:])
        except DAMAGED as error:
            raise BadData(f"{self.path.name}: {name} cannot be read ({error}).") from error

    def whole(self, name: str) -> np.ndarray:
        """A whole array, for small ones."""
        self.header(name)
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                return arrays[name]
        except DAMAGED as error:
            raise BadData(f"{self.path.name}: {name} cannot be read ({error}).") from error


def save_grey(values: np.ndarray, path: Path, low: float, high: float) -> None:
    """Save an image (height, width) of real numbers as 8-bit greyscale, ``low`` as black and ``high`` as white."""
    scaled = np.clip((np.asarray(values, np.float64) - low) / (high - low), 0, 1)
    Image.fromarray(np.rint(255 * scaled).astype(np.uint8), "L").save(path)


def write_labels(path: Path, masks: Mapping[str, np.ndarray]) -> dict[str, object]:
    """Save ROIs that do not overlap as integer labels, and give the table of ``dataset.toml`` for them.

    Parameters
    ----------
    masks : ROI to (n_vertices,) bool.
    """
    labels = np.zeros(len(next(iter(masks.values()))), np.int32)
    for number, mask in enumerate(masks.values(), start=1):
        labels[mask] = number
    np.save(path, labels)
    return {"labels": f"./{path.name}", "names": list(masks)}
