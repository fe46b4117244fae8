"""Registry of data sets, one module each. A module here that registers a :class:`Dataset` is available everywhere."""

from encoding.datasets._base import BadData, Chosen, Stimuli, Subject
from encoding.datasets._registry import DATASETS, Dataset, data_dir

__all__ = ["DATASETS", "BadData", "Chosen", "Dataset", "Stimuli", "Subject", "data_dir"]
