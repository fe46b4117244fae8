"""Names of fits that are shown beside each other."""

from __future__ import annotations

from collections.abc import Mapping

from encoding import Result
from encoding.analysis.comparison import what_differs
from encoding.runs.labels import model_label, readout_label, split_label, subject_label

MOST_NAMED = 2  # settings in the name of a fit
OWN_SETTINGS = ("readout", "split", "n_components", "pool", "subject", "input", "degree", "hemi", "target_groups", "reduction")
WORDS = {"readout": readout_label, "subject": subject_label, "split": split_label}  # settings whose values speak for themselves


def fit_names(results: Mapping[str, Result]) -> dict[str, str]:
    """Name of each fit: network and layers, and where these are the same what else differs."""
    models = {letter: model_label(result.plan.spec) for letter, result in results.items()}
    if len(set(models.values())) == len(models):
        return models
    table = what_differs(list(results.values())).set_index("setting")
    own = [name for name in table.index if name in OWN_SETTINGS or ":" in name][:MOST_NAMED]
    further = [[WORDS.get(name, str)(str(table.loc[name].iloc[place])) for name in own] for place in range(len(models))]
    labels = [name.rpartition(": ")[2].replace("n_components", "components") for name in own]
    named = [
        ", ".join(value if name in WORDS else f"{label} {value}" for name, label, value in zip(own, labels, values, strict=True) if value)
        for values in further
    ]
    return {letter: ", ".join(filter(None, [model, more])) for (letter, model), more in zip(models.items(), named, strict=True)}
