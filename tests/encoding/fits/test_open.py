"""The fit that a key names is opened, and what has changed since is named."""

from dataclasses import replace

import numpy as np
import pytest

from encoding import fit
from encoding.fits.open import FitChanged, find_key, of_regions, open_fit
from encoding.runtime.registry import UnknownName
from tests.conftest import TINY, TinyBackbone


def test_a_fit_is_opened_by_its_key_its_digest_or_the_beginning_of_either(tiny, store):
    result = fit(TINY, store)
    digest = result.key.removeprefix("fit-")
    for text in (result.key, digest, result.key[:9], digest[:5]):
        assert open_fit(text, store).key == result.key
    assert open_fit(digest, store).plan.spec == TINY


def test_an_unknown_key_gets_the_nearest_and_an_ambiguous_one_both(store):
    with pytest.raises(UnknownName, match=r"holds none yet. `python -m encoding fit` makes one"):
        find_key("fit-12", store)
    for key in ("fit-12ab", "fit-12cd", "weights-12ef"):
        store.put(key, {"a": np.zeros(1)}, {})
    assert find_key("12a", store) == find_key("fit-12ab", store) == "fit-12ab"
    with pytest.raises(UnknownName, match=r"'12' begins the keys of 2 fits: fit-12ab, fit-12cd. Give more"):
        find_key("12", store)
    store.put("fit-98765", {"a": np.zeros(1)}, {})
    with pytest.raises(UnknownName, match=r"Unknown fit 'fit-98756'\. Did you mean 'fit-98765'\? Known: .*cache list"):
        find_key("fit-98756", store)
    for text in ("weights-12ef", "12ef", ""):
        with pytest.raises(UnknownName):
            find_key(text, store)


def test_other_weights_or_data_than_the_fits_are_named(tiny, store, monkeypatch):
    key = fit(TINY, store).key
    with monkeypatch.context() as patch:
        patch.setattr(TinyBackbone, "fingerprint", "other weights")
        with pytest.raises(
            FitChanged, match=r"the weights of tinynet \(pretrained\) are not those .* Fit it again: python -m encoding fit"
        ):
            open_fit(key, store)
    tiny.change(fingerprints={"lh": "other", "rh": "other"})
    with pytest.raises(FitChanged, match=r"the responses or the stimuli of tiny subj01 have changed"):
        open_fit(key, store)


def test_a_key_names_a_fit_whatever_regions_were_asked_for_first(tiny, store):
    first = fit(replace(TINY, rois=("driven",)), store)
    assert fit(TINY, store).key == first.key
    assert open_fit(first.key, store).selected_rois == fit(TINY, store).selected_rois == ("all", "driven", "noise", "empty")
    narrowed = of_regions(open_fit(first.key, store), ["noise", "both=driven+noise"])
    assert narrowed.key == first.key and narrowed.selected_rois == ("noise", "both")
    both = np.concatenate([first.columns(roi, "lh") for roi in ("driven", "noise")])
    np.testing.assert_array_equal(narrowed.columns("both", "lh"), np.sort(both))
    with pytest.raises(UnknownName, match="Did you mean 'noise'"):
        of_regions(first, ["nois"])


def test_a_key_keeps_the_unions_that_were_asked_for(tiny, store):
    key = fit(replace(TINY, rois=("noise", "both=driven+noise")), store).key
    assert open_fit(key, store).selected_rois == ("noise", "both")


def test_where_models_are_of_regions_other_regions_are_another_fit(tiny, store):
    key = fit(replace(TINY, rois=("driven",), readout="pls", target_groups="roi"), store).key
    result = open_fit(key, store)
    assert result.selected_rois == ("driven",)
    with pytest.raises(ValueError, match="has models of its own for each region"):
        of_regions(result, ["noise"])


@pytest.mark.parametrize("text", ["garbage", "[]", ""])
def test_a_fit_whose_provenance_is_damaged_is_named_with_what_to_do(tiny, store, monkeypatch, shell, text):
    key = fit(TINY, store).key
    (store.path(key) / "provenance.json").write_text(text)
    with pytest.raises(FitChanged, match=rf"{key} is damaged \(provenance.json .* `python -m encoding cache verify` moves it aside"):
        open_fit(key, store)
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(store.root))
    code, _, wrong = shell("partition", key)
    assert code == 1 and f"error: {key} is damaged" in wrong and "--debug" not in wrong
