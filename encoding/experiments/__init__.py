"""Experiments: grids of fits that run as a graph of stage tasks and end in one long table.

    TOML or Python ─ Experiment ─ cells() ─ compile_graph() ─ run ─ long_table()
                     base spec,   a FitSpec   tasks named by    Store   a row per fit,
                     what varies  each        their result keys         ROI and hemisphere

A task is one stage of a fit (:mod:`encoding.pipeline`) and its key is the digest that names the stage's result in the Store. So equal
work of two cells, of two experiments, or of an experiment and a fit is one task, and what is stored is no task at all: an experiment
that was stopped, or whose worker died, goes on with what is missing.
"""

from encoding.experiments.experiment import Cell, Experiment
from encoding.experiments.run import ExperimentResult, run_experiment

__all__ = ["Cell", "Experiment", "ExperimentResult", "run_experiment"]
