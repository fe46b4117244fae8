"""Data sets, one file each. Adding a file here that registers a :class:`Dataset` adds it everywhere."""

from encoding.datasets._base import DATASETS, BadData, Dataset, Stimuli, Subject, data_dir

__all__ = ["DATASETS", "BadData", "Dataset", "Stimuli", "Subject", "data_dir"]
