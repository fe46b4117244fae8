"""The viewer's binary format: a JSON header and arrays, numbers in as few bits as they need."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

N_COLOURS = 256
"""Colours of a colour bar."""
MAX_STEPS = 2**24
"""The viewer reads numbers as float32, which holds every integer up to here."""


def coloured_numbers(numbers: np.ndarray, colour_range: tuple[float, float]) -> tuple[np.ndarray, int]:
    """Numbers of a colour bar's unit as :func:`pack` is given them: (n,) float, and their steps per unit, 0 for float32.

    They are sent in thousandths where these resolve all colours of the range, else as float32. The three decimals that the viewer
    shows are exact in both cases.
    """
    low, high = colour_range
    if 1000 * (high - low) >= N_COLOURS and np.nanmax(np.abs(numbers), initial=0) < MAX_STEPS / 1000:
        return numbers, 1000
    return numbers.astype(np.float32), 0


def pack(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray], steps: Mapping[str, int] | None = None) -> bytes:
    """Serialise a JSON header and arrays: header length (uint32), header, then each array at a multiple of four bytes.

    ``arrays`` in the header lists each array's name, dtype, offset from the header's end and length. Little-endian throughout.

    Parameters
    ----------
    steps : steps per unit of the arrays that are rounded to steps and sent with the fewest bits; 0, or none, sends an array as it is.
        Their entry has dtype ``bits``, ``n_bits``, ``n_steps`` and ``lowest``: number i stands in bits ``i * n_bits`` and following, the
        lowest bit first, as 0 for NaN and else as ``1 + steps - lowest``.
    """
    parts, listed, offset = [], [], 0
    for name, array in arrays.items():
        entry = {"name": name, "dtype": array.dtype.name, "offset": offset, "length": int(array.size)}
        if per_unit := (steps or {}).get(name, 0):
            array, packing = _fewest_bits(array, per_unit)
            entry |= packing
        data = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        listed.append(entry)
        parts.append(data + bytes(-len(data) % 4))
        offset += len(parts[-1])
    text = json.dumps({**header, "arrays": listed}, separators=(",", ":"), default=list).encode()
    text += b" " * (-len(text) % 4)
    return np.uint32(len(text)).astype("<u4").tobytes() + text + b"".join(parts)


def _fewest_bits(numbers: np.ndarray, n_steps: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Encode (n,) numbers in steps of 1 / ``n_steps`` as :func:`pack` says: uint8, and the entry in its header."""
    steps = np.rint(np.float64(n_steps) * numbers)
    known = ~np.isnan(steps)
    lowest = int(steps[known].min(initial=MAX_STEPS))
    codes = np.where(known, 1 + steps - lowest, 0).astype(np.int64)
    n_bits = int(codes.max(initial=0)).bit_length()
    bits = (codes[:, None] >> np.arange(n_bits) & 1).astype(np.uint8)
    return np.packbits(bits, bitorder="little"), {"dtype": "bits", "n_bits": n_bits, "n_steps": n_steps, "lowest": lowest}
