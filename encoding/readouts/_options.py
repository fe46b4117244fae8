"""Parameters of readouts: dataclass fields with a default, a description and, where a search may vary them, a range."""

from __future__ import annotations

import ast
import dataclasses
import functools
import json
import types
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from encoding.runtime.registry import unknown


class BadOption(ValueError):
    """An unknown parameter of a readout, or a value that it cannot take. The message lists the valid ones."""


@dataclass(frozen=True)
class Options:
    """Parameters of a readout; each a field made by :func:`option`."""


@dataclass(frozen=True)
class Range:
    """Search range ``low`` to ``high``, both included; of integers where both ends are integers.

    Attributes
    ----------
    log : sample uniformly in the logarithm.
    """

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Choice:
    """Categorical search range."""

    values: tuple[Any, ...]


def option(
    default: Any, help: str, search: Range | Choice | None = None, label: str = "", *, choices: Sequence[Any] = (), added: bool = False
) -> Any:
    """A field of :class:`Options`.

    Parameters
    ----------
    help : one sentence in the field's terms, shown on the page and by ``encoding readouts``.
    search : range of the hyperparameter search; None leaves the parameter at its value.
    label : label on the page, where the field's name is not the usual term.
    choices : the values that exist, for a menu and for a search that names the parameter (``--vary optimiser``).
    added : true for a parameter that the readout did not have from the start: at its default it enters no key, so that keys stay valid.
    """
    return field(default=default, metadata={"help": help, "search": search, "label": label, "choices": tuple(choices), "added": added})


O = TypeVar("O", bound=Options)  # noqa: E741


_type_hints = functools.cache(typing.get_type_hints)


def read_value(text: str) -> Any:
    """Read a value as JSON or as a Python literal (``.5``, ``None``, ``1,10``); other text stays text."""
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return read(text.strip())
    return text


def key_values(options: Options) -> dict[str, Any]:
    """Parameters as they enter keys: by name, without those at their default that were ``added`` to the readout later."""
    late = {field.name: field.default for field in dataclasses.fields(options) if field.metadata.get("added")}
    return {name: value for name, value in dataclasses.asdict(options).items() if name not in late or value != late[name]}


def search_space(kind: type[Options]) -> dict[str, Range | Choice]:
    """Search ranges of the parameters that a search varies unless it names some, by name."""
    return {field.name: field.metadata["search"] for field in dataclasses.fields(kind) if field.metadata["search"] is not None}


def known_space(kind: type[Options]) -> dict[str, Range | Choice | None]:
    """What a search that names a parameter varies it over: its range or choices; None where a range has to be given with the name."""
    found: dict[str, Range | Choice | None] = {}
    for each in dataclasses.fields(kind):
        choices = each.metadata["choices"] or ((True, False) if _type_hints(kind)[each.name] is bool else ())
        found[each.name] = each.metadata["search"] or (Choice(choices) if choices else None)
    return found


def read_options(readout: str, kind: type[O], values: Mapping[str, Any]) -> O:
    """Read parameters from plain values; BadOption names those that exist where one does not."""
    known = {field.name: field for field in dataclasses.fields(kind)}
    for name in values:
        if name not in known:
            raise BadOption(unknown(f"parameter of {readout}", name, known) if known else f"{readout} has no parameters, so no {name!r}.")
    kinds = _type_hints(kind)
    read = {}
    for name, value in values.items():  # as the fields' types, so that equal parameters are equal however they were written: 10 is 10.0
        for each in typing.get_args(kinds[name]) if isinstance(kinds[name], types.UnionType) else (kinds[name],):
            with suppress(TypeError, ValueError):
                read[name] = _as_type(value, each)
                break
        else:
            raise BadOption(f"{readout} cannot use {name}={value!r}. Its default: {known[name].default!r}.")
    return kind(**read)


def _as_type(value: Any, kind: Any) -> Any:
    """``value`` as a plain type or a tuple of one; TypeError or ValueError where that would change it."""
    if typing.get_origin(kind) is tuple:
        if isinstance(value, str):
            raise TypeError
        return tuple(_as_type(each, typing.get_args(kind)[0]) for each in value)
    if kind is types.NoneType or isinstance(value, bool) or kind in (bool, str):
        if isinstance(value, kind):
            return value
        raise TypeError
    made = kind(value)
    if isinstance(value, str) or (made != value and made == made):
        raise ValueError
    return made
