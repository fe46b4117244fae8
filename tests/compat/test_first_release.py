"""Stores, exported fits, links and command lines of the first release are read by today's code."""

from __future__ import annotations

import contextlib
import json
import shlex
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from encoding import FitSpec, Store, fit
from encoding.cli import parser
from encoding.cli.spec_options import spec_from
from encoding.fits.open import FitChanged, FormerRelease, open_fit
from encoding.fits.plan import plan
from encoding.runs.exchange import import_
from encoding.runs.table import open_run, run_keys
from encoding.sites.site import publish, slug_of
from tests import PROJECT

HERE = Path(__file__).parent
FITS = json.loads((HERE / "fits.json").read_text())
RENAMED = ("mlp_company", "linear_sgd_roi", "positional")  # whose keys cover more today: extra subjects, ROI masks, places
LINKS = {
    "?dataset=demo&subject=subj01&focus=roi": {"target_groups": "roi"},
    "?dataset=demo&subject=subj01&backbone=gabor&layer=simple&components=20&readout=ols&focus=both": {
        "target_groups": "both",
        "layer": "simple",
    },
    "?readout=mlp&company=subj02&company=subj03": {"extra_subjects": ["subj02", "subj03"]},
}
COMMANDS = {
    "fit --focus roi": FitSpec(target_groups="roi"),
    "fit --readout mlp --company subj02 subj03 --focus both": FitSpec(
        readout="mlp", extra_subjects=("subj02", "subj03"), target_groups="both"
    ),
    "fit --layer energy --roi V1v V1d --hemi lh": FitSpec(rois=("V1v", "V1d"), hemi="lh"),
    "fit --readout ridge --set alpha=10 --components 50 --split kfold:5:0": FitSpec(
        options={"alpha": 10}, n_components=50, split="kfold:5:0"
    ),
}


@pytest.fixture
def first_release(tmp_path, monkeypatch) -> Store:
    """The Store of the first release with its data set, in a folder of its own."""
    with zipfile.ZipFile(HERE / "first_release.zip") as archive:
        archive.extractall(tmp_path)
    monkeypatch.setenv("ENCODING_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "store"))
    return Store(tmp_path / "store")


def means(result) -> dict[str, float]:
    return {f"{row.hemi} {row.roi}": row.r_mean if np.isfinite(row.r_mean) else None for row in result.rois().itertuples()}


@pytest.mark.parametrize("name", sorted(set(FITS) - set(RENAMED)))
def test_a_stored_fit_is_found_under_its_key_and_nothing_is_computed(first_release, name):
    spec = FitSpec.from_dict(FITS[name]["spec"])
    before = set(first_release.keys())
    result = fit(spec, first_release)
    assert result.key == FITS[name]["key"] and result.cached
    assert set(first_release.keys()) == before
    assert means(result) == pytest.approx(FITS[name]["r_mean"], abs=1e-9)


@pytest.mark.parametrize("name", FITS)
def test_a_stored_fit_opens_from_its_own_key(first_release, name):
    with pytest.warns(FormerRelease) if name in RENAMED else contextlib.nullcontext():
        result = open_fit(FITS[name]["key"], first_release)
    found = means(result)  # of every region, also where the first command named some
    assert {each: found[each] for each in FITS[name]["r_mean"]} == pytest.approx(FITS[name]["r_mean"], abs=1e-9)
    for hemi in result.plan.hemis:
        assert np.isfinite(result.predicted(hemi, [3])).all()


@pytest.mark.parametrize("name", FITS)
def test_an_exported_fit_is_imported_and_shows_the_same_scores(store, name):
    imported = import_(HERE / "exports" / f"{name}.zip", store)
    assert means(imported) == pytest.approx(FITS[name]["r_mean"], abs=1e-9)
    assert imported.plan.spec == FitSpec.from_dict(FITS[name]["spec"])


def test_every_stored_fit_is_in_the_table_of_runs(first_release):
    keys = run_keys(first_release)
    assert set(keys) == {about["key"] for about in FITS.values()}
    with pytest.warns(FormerRelease):
        assert all(open_run(key, first_release).key == key for key in keys)


def test_a_fit_of_a_former_name_is_published_and_nothing_is_computed(first_release, tmp_path):
    before = set(first_release.keys())
    with pytest.warns(FormerRelease):
        result = open_run(FITS[RENAMED[1]]["key"], first_release)
    folder = publish([result], tmp_path / "site", first_release)
    assert "Best region" in (folder / f"{slug_of(result)}.html").read_text()
    assert set(first_release.keys()) == before


@pytest.mark.parametrize("name", FITS)
def test_the_command_line_of_a_stored_fit_leads_to_it(first_release, name):
    arguments = parser().parse_args(["fit", *FITS[name]["command"].split()])
    planned = plan(spec_from(arguments), first_release)
    assert (planned.key == FITS[name]["key"]) == (name not in RENAMED)
    assert replace(planned, former=True).key == FITS[name]["key"]


@pytest.mark.parametrize("name", RENAMED)
def test_a_fit_whose_key_covers_more_today_is_fitted_anew_and_agrees(first_release, name):
    result = fit(FitSpec.from_dict(FITS[name]["spec"]), first_release)
    assert result.key != FITS[name]["key"] and not result.cached
    near = 5e-3 if name == "mlp_company" else 1e-5  # the other subject learned images on which early stopping looks
    assert means(result) == pytest.approx(FITS[name]["r_mean"], abs=near)


def test_a_stored_fit_whose_data_changed_is_not_shown(first_release):
    path = first_release.root.parent / "data" / "compat" / "ann_lh.npy"
    np.save(path, 2 * np.load(path))
    with pytest.raises(FitChanged, match="have changed since"):
        open_fit(FITS["positional"]["key"], first_release)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_former_command_line_means_what_it_meant(line):
    assert spec_from(parser().parse_args(shlex.split(line))) == COMMANDS[line]


def test_a_former_flag_says_how_it_is_called_today(capsys):
    parser().parse_args(["fit", "--focus", "roi", "--company", "subj02"])
    said = capsys.readouterr().err
    assert "--target-groups" in said and "--extra-subjects" in said


@pytest.mark.parametrize("link", LINKS)
def test_a_former_link_is_read_under_todays_names(first_release, link):
    def app():
        from pages.parts.shared.former_links import read_former_parameters

        read_former_parameters()

    at = AppTest.from_function(app, default_timeout=60)
    for pair in link.removeprefix("?").split("&"):
        name, _, value = pair.partition("=")
        at.query_params[name] = value if name not in at.query_params else [at.query_params[name], value]
    at.run()
    assert not at.exception
    assert {name: at.query_params[name] for name in LINKS[link]} == LINKS[link]
    assert not {"focus", "company"} & set(at.query_params)


def test_the_page_opens_a_former_link(first_release):
    at = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=60)
    at.query_params.update(
        {"dataset": "compat", "subject": "ann", "backbone": "gabor", "layer": "energy", "readout": "mlp", "focus": "roi"}
    )
    at.run()
    assert not at.exception and at.query_params["target_groups"] == "roi"
