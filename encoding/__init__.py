"""Brain encoding models: stimuli -> features -> components -> responses. No interface code lives here."""

from encoding.backbones import BACKBONES
from encoding.datasets import DATASETS
from encoding.fits.result import Result
from encoding.fits.spec import FitSpec
from encoding.pipeline import fit
from encoding.readouts import READOUTS
from encoding.storage.store import Store

__all__ = ["BACKBONES", "DATASETS", "READOUTS", "FitSpec", "Result", "Store", "fit"]
