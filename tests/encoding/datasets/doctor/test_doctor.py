"""The doctor finds every data set in a folder."""

from __future__ import annotations

import shutil

from encoding.datasets.doctor import diagnose, find_subjects


def test_a_subject_a_folder_of_subjects_and_the_folder_above_are_recognised(layout):
    (layout.folder.parent / "subj01").mkdir()
    both = [layout.folder.parent / "subj01", layout.folder]
    assert find_subjects(layout.folder) == [layout.folder]
    assert find_subjects(layout.folder.parent) == both
    assert find_subjects(layout.folder.parent.parent) == both


def test_a_folder_without_subjects_is_an_error_that_says_what_to_name(tmp_path, store):
    for folder in (tmp_path, tmp_path / "nowhere"):
        (finding,) = diagnose(folder, store)
        assert finding.level == "error" and str(folder) in finding.what and "subj01, subj02" in finding.fix


def test_several_data_sets_in_one_folder_are_all_examined(own, img2brain, layout, store):
    shutil.copytree(layout.folder, own.parent / "algonauts2023" / "subj03")
    names = {finding.what.partition(":")[0] for finding in diagnose(own.parent, store)}
    assert names == {"mine", "mine ann", "img2brain", "subj03"}
