"""The doctor on data that a dataset.toml describes."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

from encoding.datasets.doctor import diagnose
from tests.encoding.datasets.doctor.findings import OWN, levels, told


def test_sound_data_of_ones_own_give_only_the_warning_they_deserve(own, store):
    findings = diagnose(own, store)
    assert diagnose(own.parent, store) == findings
    assert levels(findings, "error") == []
    assert levels(findings, "warning") == ["warning mine ann: brain ROIs of fewer than 20 vertices: V1 (3). Their mean scores say little."]
    for part in (
        "mine: dataset.toml is understood: Mine, 1 subject.",
        "mine ann: 11 rows.",
        "mine ann: brain responses 11 x 30 float64, finite",
        "2 ROIs hold 3 of 30 vertices",
        "brain ROIs without vertices: none. That is usual",
        "no places on the cortex. There is no brain map. To have one, name vertices.",
        "no noise ceilings. Scores are shown without them.",
    ):
        assert part in told(findings, "ok"), part


OWN_FAULTS = {
    "description": ({"text": OWN.replace("title", "titel")}, "error", "Unknown key 'titel'. Did you mean 'title'"),
    "rows": ({"Y": np.zeros((10, 30))}, "error", "11 images but .*Y.npy has 10 rows"),
    "constant": ({"Y": np.zeros((11, 30))}, "error", "Y.npy holds nothing but 0.0"),
    "NaN": ({"Y": np.full((11, 30), np.nan)}, "error", "Y.npy holds NaN or infinite responses in 30 vertices"),
    "mask": ({"V1": np.arange(30)}, "error", "is no mask. For labels write"),
    "missing": ({"text": OWN + "ceiling = 'nc.npy'"}, "error", "nc.npy is missing"),
    "from one": (
        {"text": OWN + "repeats = 'r.npy'", "r": np.repeat(np.arange(1, 11), [2, *[1] * 9])},
        "warning",
        "1 of 11 images belong to no row",
    ),
    "twins": ({"copy": ("00.png", "10.png")}, "warning", "1 row has an image that another row has too, the first rows 0 and 10"),
    "parted twins": (
        {"text": OWN + "groups = 'g.npy'", "copy": ("00.png", "10.png"), "g": np.arange(11)},
        "error",
        "puts rows 0 and 10 into different groups, but 10.png is a copy of 00.png",
    ),
    "no unlabelled": ({"text": OWN.replace("[subjects.ann]", "unlabelled = '.'\n[subjects.ann]")}, "warning", "nothing to predict without"),
    "built in": ({"rename": "demo"}, "error", "demo is the name of a data set that is built in. This one can't be opened by it. Rename"),
    "elsewhere": ({"rename": "../other/mine"}, "warning", "is not in the folder of data sets, .*Move it there, or set ENCODING_DATA_DIR"),
}


@pytest.mark.parametrize(("change", "level", "message"), OWN_FAULTS.values(), ids=OWN_FAULTS)
def test_a_fault_in_data_of_ones_own_is_a_finding(own, store, change, level, message):
    for name, value in change.items():
        if name == "text":
            (own / "dataset.toml").write_text(value)
        elif name == "copy":
            shutil.copy(own / "images" / value[0], own / "images" / value[1])
        elif name == "rename":
            (own.parent / value).parent.mkdir(exist_ok=True)
            own = own.rename((own.parent / value).resolve())
        else:
            np.save(own / f"{name}.npy", value)
    found = levels(diagnose(own, store), level)
    assert any(re.search(message, line) for line in found), found


def test_groups_that_keep_doubles_together_are_in_order(own, store):
    shutil.copy(own / "images" / "00.png", own / "images" / "10.png")
    np.save(own / "g.npy", np.r_[np.arange(10), 0])
    (own / "dataset.toml").write_text(OWN + "groups = 'g.npy'")
    findings = diagnose(own, store)
    assert "no image has a duplicate that a split could part" in told(findings, "ok")
    assert "Splits keep 10 groups of rows together" in told(findings, "ok")


def test_a_description_speaks_for_all_of_its_folder(own, store):
    (own / "subj01" / "training_split").mkdir(parents=True)
    (own / "trainingIMG").mkdir()
    assert all(finding.what.startswith("mine") for finding in diagnose(own.parent, store))
