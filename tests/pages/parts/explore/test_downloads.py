"""Files to take away from Explore."""

from __future__ import annotations

from dataclasses import replace

from encoding import fit
from pages.parts.explore import downloads
from pages.parts.shared.text import file_stem
from tests.conftest import TINY


def test_files_of_two_fits_have_names_of_their_own(tiny, store, monkeypatch):
    names = []
    monkeypatch.setattr(downloads, "_download", lambda place, label, data, file_name, *more: names.append(file_name))
    results = [
        fit(replace(TINY, n_components=k, split=split), store=store) for k, split in ((3, "kfold:3:0"), (4, "kfold:3:0"), (3, "first:80"))
    ]
    for result in results:
        downloads.take_away(result, result.rois(), None)
    assert len(set(names)) == len(names) == 5 * len(results)
    assert all(any(result.key.rpartition("-")[2][:6] in name for result in results) for name in names)


def test_a_long_name_is_cut_and_keeps_its_digits():
    assert file_stem("a b", "torchvision/x", keys=["fit-3fa92c0e"]) == "a-b-torchvision-x-3fa92c"
    assert len(file_stem("+".join(["features.1"] * 30), keys=["fit-3fa92c0e"])) < 130
