"""Plain values of a spec's fields: text, whole numbers and parameters as Python has them, whatever a script computed them with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


def text_of(name: str, value: Any) -> str:
    """A field's value as plain text; ValueError for what is none."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, not {value!r}.")
    return str(value)


def texts_of(name: str, value: Any) -> tuple[str, ...]:
    """A field's value as a tuple of texts; one text stands for itself. ValueError for anything else.

    Examples
    --------
    >>> texts_of("rois", "V1v"), texts_of("rois", ["V1v", "V1d"])
    (('V1v',), ('V1v', 'V1d'))
    """
    if isinstance(value, str):
        return (str(value),)
    texts = tuple(value) if isinstance(value, Iterable) and not isinstance(value, Mapping) else (value,)
    if all(isinstance(each, str) for each in texts):
        return tuple(map(str, texts))
    raise ValueError(f"{name} must be text or a list of texts, not {value!r}.")


def whole_number_of(name: str, value: Any) -> int:
    """A field's value as an int, so that 10, 10.0 and ``np.int64(10)`` are one; ValueError for what is no whole number.

    Examples
    --------
    >>> whole_number_of("frames", np.float32(16))
    16
    """
    value = plain(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} must be a whole number, not {value!r}.")
    return value


def parameters_of(value: Any) -> tuple[tuple[str, Any], ...]:
    """A readout's parameters, a mapping or pairs, as sorted pairs of a name and a plain value; ValueError for anything else."""
    pairs = value.items() if isinstance(value, Mapping) else value
    try:
        return tuple(sorted((text_of("The name of a parameter", name), plain(each)) for name, each in pairs))
    except TypeError as error:
        raise ValueError(f"options must be a dict of parameters of the readout, such as {{'alpha': 10}}, not {value!r}.") from error


def plain(value: Any) -> Any:
    """A value without numpy's types; lists and arrays as tuples. Anything else is returned as it is.

    Examples
    --------
    >>> plain(np.float32(0.5)), plain([np.int64(1), 2]), plain("text")
    (0.5, (1, 2), 'text')
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    return tuple(map(plain, value)) if isinstance(value, list | tuple) else value
