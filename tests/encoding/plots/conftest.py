"""Made-up tables and responses that tests of several figures draw."""

import numpy as np
import pandas as pd
import pytest

from encoding.evaluation.scores import SCORES

CLASSES = {"early": ("V1v",), "faces": ("FFA-1", "FFA-2"), "places": ("PPA",), "words": ("OWFA",)}
ROIS = ("all", "PPA", "FFA-2", "V1v", "FFA-1")


@pytest.fixture
def table():
    """Made up: five ROIs, the left FFA-2 empty, the right FFA-1 without a score."""
    rng = np.random.default_rng(0)
    rows = []
    for roi in ROIS:
        for hemi in ("lh", "rh"):
            missing = (roi, hemi) in (("FFA-2", "lh"), ("FFA-1", "rh"))
            row = {"roi": roi, "hemi": hemi, "n_vertices": 0 if (roi, hemi) == ("FFA-2", "lh") else int(rng.integers(10, 9_000))}
            for score in SCORES.values():
                mean, median = (np.nan, np.nan) if missing else rng.uniform(0.2, 0.5, 2)
                row |= {score.mean_column: mean} | ({score.median_column: median} if score.has_median else {})
            row["ceiling_r"] = np.nan if missing else rng.uniform(0.5, 0.9)
            row["ceiling_r2"] = row["ceiling_r"] ** 2
            rows.append(row)
    return pd.DataFrame(rows)


@pytest.fixture
def intervals(table):
    means = {hemi: table.loc[table["hemi"] == hemi, "r_mean"].to_numpy() for hemi in ("lh", "rh")}
    return {hemi: (r - 0.03, r + 0.05) for hemi, r in means.items()}


@pytest.fixture
def pair():
    """Made up: 120 measured and predicted responses, and the images' names."""
    rng = np.random.default_rng(1)
    predicted = rng.normal(size=120)
    return 0.7 * predicted + rng.normal(size=120) + 0.1, predicted, [f"image-{i:04d}" for i in range(120)]


def named(fig, name):
    """The traces of a figure under one name."""
    return [trace for trace in fig.data if trace.name == name]


def notes(fig, text):
    return [note for note in fig.layout.annotations if note.text == text]


def rois_of(fig):
    """The ROIs along the axis, without their numbers of vertices."""
    return [text.split("<br>")[0] for text in fig.layout.xaxis.ticktext]
