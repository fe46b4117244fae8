"""Experiments composes fits on every image and writes both challenges' files with them, one fit a subject."""

from __future__ import annotations

import zipfile

import pytest

from encoding import FitSpec
from encoding.experiments import Experiment, run_experiment
from encoding.experiments.selection import with_validation
from encoding.fits.open import open_fit
from encoding.jobs.tasks import compose_fits, write_submission
from encoding.runs.table import all_runs
from tests import with_nightly
from tests.encoding.prediction.conftest import challenge2023, clip_data, clips, data2023  # noqa: F401 - fixtures
from tests.pages.conftest import NoWorkers

GRIDS = {
    "data2023": ({"dataset": "algonauts2023", "split": "holdout:0.7:1"}, ["subj01", "subj06"], "algonauts2023_submission.zip"),
    "clip_data": ({"dataset": "algonauts2021", "split": "holdout:0.7:1", "frames": 3}, ["sub01", "sub03"], "mini_track.zip"),
}


@pytest.mark.parametrize("challenge", with_nightly(GRIDS, always=("clip_data",)))
def test_fits_on_every_image_are_composed_and_written_as_the_challenge_wants(challenge, request, open_page, store):
    request.getfixturevalue(challenge)
    base, subjects, name = GRIDS[challenge]
    spec = FitSpec(subject=subjects[0], backbone="pixels", layers=("rgb",), n_components=4, **base)
    grid = with_validation(Experiment(base=spec, vary={"subject": subjects, "readout": ["ridge", "ols"]}), "holdout:0.6:0")
    run_experiment(grid, store, device="cpu")
    page = open_page("35_experiments", experiment=grid.key, compose="mean", refit="true")
    page.run()
    page.button(key="compose_fits").click().run()
    ((task, wanted, key),) = NoWorkers.submitted
    assert not page.exception and task is compose_fits and wanted.refit and key == wanted.job_key and "--split all" in wanted.command
    compose_fits(wanted, store, device="cpu")
    made = all_runs(store)
    keys = made[(made["readout"] == "composed") & (made["split"] == "all")].sort_values("subject")["key"].tolist()
    assert [open_fit(each, store).plan.spec.subject for each in keys] == subjects
    page.run()
    assert not page.exception and sorted(page.multiselect(key="submitted").value) == sorted(keys)
    assert any("the same submission" in caption.value for caption in page.caption), "the other subjects are missing"
    page.button(key="write_submission").click().run()
    task, wanted, _ = NoWorkers.submitted[-1]
    assert task is write_submission and set(wanted.keys) == set(keys)
    write_submission(wanted, store, device="cpu")
    page.run()
    assert not page.exception and any(name in button.proto.label for button in page.get("download_button"))
    with zipfile.ZipFile(wanted.folder(store) / name) as archive:
        assert len(archive.namelist()) == (4 if challenge == "data2023" else 1)
