"""Readouts (regression models), one file for each family. A new file here that registers a :class:`Readout` adds it everywhere."""

from encoding.readouts._base import READOUTS, NotConverged, Readout
from encoding.readouts._model import LinearModel, Model
from encoding.readouts._options import BadOption, Choice, Options, Range, known_space, option, read_value, search_space
from encoding.readouts._training import Chosen, Responses, Training

__all__ = [
    "READOUTS",
    "BadOption",
    "Choice",
    "Chosen",
    "LinearModel",
    "Model",
    "NotConverged",
    "Options",
    "Range",
    "Readout",
    "Responses",
    "Training",
    "known_space",
    "option",
    "read_value",
    "search_space",
]
