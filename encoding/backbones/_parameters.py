"""Parameters in a network's name: ``gabor:size=64,orientations=4``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from encoding.runtime.registry import unknown


def read_parameters(name: str, readers: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    """Parse the parameters after the first colon of ``name``, each by its reader; empty without a colon.

    Raises
    ------
    ValueError naming the parameter that does not exist, has no value, is given twice, or that its reader refuses with a
    ValueError, whose text then says what is allowed.

    Examples
    --------
    >>> read_parameters("gabor:size=64,orientations=4", {"size": int, "orientations": int})
    {'size': 64, 'orientations': 4}
    """
    network, colon, text = name.partition(":")
    parameters: dict[str, Any] = {}
    for pair in text.split(",") if colon else []:
        key, equals, value = pair.partition("=")
        if key not in readers:
            raise ValueError(f"{unknown(f'parameter of {network}', key, readers)} Write them as {network}:{next(iter(readers))}=….")
        if not equals or not value:
            raise ValueError(f"Parameter {key} of {network} has no value in {name!r}. Write {key}=….")
        if key in parameters:
            raise ValueError(f"Parameter {key} of {network} is given twice in {name!r}.")
        try:
            parameters[key] = readers[key](value)
        except ValueError as error:
            raise ValueError(f"Parameter {key} of {network} cannot be {value!r}: {error}") from error
    return parameters


def number(least: float, most: float, kind: type[int] | type[float] = int) -> Callable[[str], Any]:
    """Make a reader of numbers from ``least`` to ``most``, whole ones unless ``kind`` is ``float``.

    >>> number(1, 64)("8")
    8
    """

    def read(text: str) -> Any:
        plain = text.replace(".", "", 1 if kind is float else 0)
        if not (plain.isascii() and plain.isdecimal()) or not least <= kind(text) <= most:
            raise ValueError(f"it is a {'whole ' if kind is int else ''}number from {least} to {most}.")
        return kind(text)

    return read
