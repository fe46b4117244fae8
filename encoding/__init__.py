"""Brain encoding models: stimuli -> features -> components -> responses. No interface code lives here."""

import os

# Threads of torch that wait for one another sleep rather than spin. On a machine with anything else to do (a browser, a second fit)
# spinning made small steps a hundred times slower. Read when torch is first imported; set it yourself to choose otherwise.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from encoding.backbones import BACKBONES
from encoding.datasets import DATASETS
from encoding.fits.result import Result
from encoding.fits.spec import FitSpec
from encoding.pipeline import fit
from encoding.readouts import READOUTS
from encoding.storage.store import Store

__all__ = ["BACKBONES", "DATASETS", "READOUTS", "FitSpec", "Result", "Store", "fit"]
