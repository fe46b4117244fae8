"""Read and write TOML: the standard library only reads it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def read_toml(text: str) -> dict[str, Any]:
    """Parse TOML; ValueError with line and column where it is none."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"This is not TOML: {error}.") from error


def dump_toml(values: Mapping[str, Any]) -> str:
    """Write nested tables of text, numbers, booleans and lists as TOML; tables of the first level get a header of their own.

    Raises
    ------
    TypeError
        For None or any other kind of value, which TOML does not have.

    Examples
    --------
    >>> print(dump_toml({"title": "a", "base": {"n": 1, "layers": ["x"]}}))
    title = "a"
    <BLANKLINE>
    [base]
    n = 1
    layers = ["x"]
    <BLANKLINE>
    """
    plain = [f"{_key(name)} = {_value(value)}\n" for name, value in values.items() if not isinstance(value, Mapping)]
    tables = []
    for name, table in values.items():
        if isinstance(table, Mapping):
            tables.append("".join([f"[{_key(name)}]\n", *(f"{_key(each)} = {_value(value)}\n" for each, value in table.items())]))
    return "\n".join(part for part in ("".join(plain), *tables) if part)


def _key(name: str) -> str:
    return name if BARE_KEY.fullmatch(name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)  # inf and nan are written alike in TOML
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(name)} = {_value(each)}' for name, each in value.items())}}}"
    raise TypeError(f"TOML has no {type(value).__name__}: {value!r}.")
