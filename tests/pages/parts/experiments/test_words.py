"""Names of an experiment's fits, for people."""

from __future__ import annotations

import pandas as pd

from encoding.experiments import Experiment
from encoding.experiments.selection import with_validation
from encoding.fits.spec import FitSpec
from pages.parts.experiments.words import candidates_in_words, fits_in_words, rows_in_words

GRID = Experiment(base=FitSpec(), vary={"backbone": ["gabor", "pixels"], "layers": "curated", "n_components": [60, 100]})


def test_fits_on_validation_images_are_told_from_the_others_in_a_word():
    """A sentence on either split stood behind what else varies, where a table of a laptop's width cut it off."""
    words = fits_in_words(with_validation(GRID).cells())
    assert {each.rpartition(" · ")[2] for each in words} == {"test", "validation"} and len(set(words)) == len(words)
    several = with_validation(Experiment(base=FitSpec(), vary={"split": ["kfold:5:0", "holdout:0.9:5"]}))
    assert len(set(fits_in_words(several.cells()))) == 4


def test_candidates_are_named_as_the_rest_of_the_page_names_them():
    cells = with_validation(GRID).cells()
    assert candidates_in_words(cells, ["backbone"]) == {"gabor": "Gabor filters", "pixels": "pixels"}
    assert candidates_in_words(cells, [])["gabor · energy · 60"] == "Gabor filters · energy · 60 components"


def test_scores_name_networks_and_subjects_and_keep_their_numbers():
    rows = pd.DataFrame({"subject": ["subj01"], "backbone": ["gabor"], "layers": ["energy"], "n_components": [60], "score": [0.25]})
    assert rows_in_words(rows).iloc[0].tolist() == ["subject 1", "Gabor filters", "energy", 60, 0.25]
