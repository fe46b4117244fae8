import pytest

from encoding import DATASETS
from encoding.evaluation.scores import SCORES, STORED_SCORES
from encoding.runtime.registry import UnknownName
from pages.parts.shared.glossary import REGIONS, TERMS, explain


@pytest.mark.parametrize("dataset", ["demo", "algonauts2023", "algonauts2021"])
def test_every_region_that_a_data_set_names_is_explained(dataset):
    for names in DATASETS[dataset].roi_names().values():
        for name in names:
            assert explain(name).endswith(".")


def test_halves_of_early_areas_say_which_half_of_the_field_they_see():
    assert "upper half" in explain("V1v") and "lower half" in explain("V3d")


def test_every_score_shown_has_a_word_in_the_glossary():
    assert {SCORES[key].short for key in STORED_SCORES} <= set(TERMS)


def test_words_are_sentences_and_no_word_is_explained_twice():
    assert all(text.endswith((".", ")")) for text in [*TERMS.values(), *REGIONS.values()])
    assert not set(TERMS) & set(REGIONS)


def test_an_unknown_word_gets_the_nearest():
    with pytest.raises(UnknownName, match="Did you mean 'readout'"):
        explain("readuot")


@pytest.mark.parametrize(
    "word",
    ["Gabor energy", "simple and complex cell", "p", "q", "confidence interval", "permutation test", "circular selection",
     "hierarchy index", "variance partitioning", "CKA", "noise ceiling", "highest r", "cross-validation"],
)  # fmt: skip
def test_words_of_the_lessons_are_explained(word):
    assert 40 < len(explain(word)) < 260


def test_the_noise_ceiling_is_a_share_of_variance_and_its_root_the_highest_r():
    assert "share" in explain("noise ceiling") and "root of the noise ceiling" in explain("highest r")
