"""Readouts, one file a family. Adding a file here that registers a :class:`Readout` adds it everywhere."""

from encoding.readouts._base import READOUTS, BadOption, LinearModel, Options, Readout, option

__all__ = ["READOUTS", "BadOption", "LinearModel", "Options", "Readout", "option"]
