"""The words of a small fit."""

import shlex

from tests.conftest import TINY

TINY_FIT = shlex.split(TINY.to_command())[3:]
