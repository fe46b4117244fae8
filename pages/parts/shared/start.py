"""What a bare link means."""

from encoding import FitSpec

START = FitSpec()
"""The settings of a link that names none; never "the first of a list", which changes as things are added."""
