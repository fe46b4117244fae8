"""Widgets for the parameters of a readout. The URL holds those that differ from the default, under ``<readout>_<parameter>``."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from encoding import READOUTS
from encoding.readouts import Choice, Readout
from pages.parts.shared.linked import choose, enter, switch

DEFAULT = "default"  # how None is written, where it is the default
NONE = "none"  # and where it is not


def parameter_controls(readout: Readout, place: DeltaGenerator | None) -> dict[str, Any]:
    """Choose the readout's parameters, drawn in ``place`` if there is one, and return those that differ from the defaults.

    Raises
    ------
    ValueError where a text cannot be read as what the parameter is.
    """
    fields = dataclasses.fields(readout.options)
    if not fields:
        return {}
    kinds = typing.get_type_hints(readout.options)
    expander = None if place is None else place.expander(f"Parameters of {readout.title.lower()}")
    values = {field.name: _value(readout.name, field, _kinds(kinds[field.name]), expander) for field in fields}
    return {field.name: values[field.name] for field in fields if values[field.name] != field.default}


def choose_parameters(readout: str, values: Mapping[str, Any]) -> None:
    """Callback: set the widgets of some parameters of a readout."""
    kinds = typing.get_type_hints(READOUTS[readout].options)
    for field in dataclasses.fields(READOUTS[readout].options):
        if field.name in values:
            st.session_state[f"{readout}_{field.name}"] = _shown(values[field.name], field, _kinds(kinds[field.name]))


def _kinds(kind: Any) -> tuple[Any, ...]:
    """The types that a parameter may have."""
    return typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)


def _known(field: dataclasses.Field, kinds: tuple[Any, ...]) -> dict[str, Any]:
    """Text to value of those that a menu offers, the default first; empty where there is no menu but a box to type in."""
    search = field.metadata["search"]
    values = search.values if isinstance(search, Choice) else field.metadata["choices"] or ((True, False) if bool in kinds else ())
    every = (field.default, *values) if values else ()
    return {_text(value, field): value for value in every}


def _value(readout: str, field: dataclasses.Field, kinds: tuple[Any, ...], place: DeltaGenerator | None) -> Any:
    """The value chosen of one parameter."""
    names = (field.metadata["label"] or field.name, f"{readout}_{field.name}")
    drawn = {"place": place, "help": field.metadata["help"]}
    if kinds == (bool,):
        return switch(*names, field.default, **drawn)
    if known := _known(field, kinds):
        text = choose(*names, list(known), _text(field.default, field), new=True, **drawn)
        return known[text] if text in known else _read(field, text, kinds)
    return _read(field, enter(*names, placeholder=_text(field.default, field), **drawn), kinds)


def _shown(value: Any, field: dataclasses.Field, kinds: tuple[Any, ...]) -> Any:
    """What a widget holds when it stands for a value."""
    if kinds == (bool,):
        return value
    return _text(value, field) if _known(field, kinds) or value != field.default else ""


def _text(value: Any, field: dataclasses.Field) -> str:
    """A value as it is typed; :func:`_read` reads it back."""
    if value is None:
        return DEFAULT if field.default is None else NONE
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _read(field: dataclasses.Field, text: str, kinds: tuple[Any, ...]) -> Any:
    """A number, several separated by commas, or words, as the parameter is one; the default for an empty box."""
    text = text.strip()
    if not text or (text.lower() == DEFAULT and str not in kinds):
        return field.default
    if text.lower() == NONE and types.NoneType in kinds:
        return None
    several = next((typing.get_args(kind)[0] for kind in kinds if typing.get_origin(kind) is tuple), None)
    if several is not None and ("," in text or not {int, float} & {*kinds}):
        parts = [part.strip() for part in text.split(",")]
        return tuple(parts if several is str else (_number(field.name, part, "a number, or numbers separated by commas") for part in parts))
    return text if str in kinds else _number(field.name, text, "a number")


def _number(name: str, text: str, wanted: str) -> int | float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{name} must be {wanted}, not {text!r}.") from None
    return int(number) if number.is_integer() else number
