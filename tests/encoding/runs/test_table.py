"""The table of finished fits, and what people note of them."""

from __future__ import annotations

import io
import threading
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from encoding import fit
from encoding.analysis.bootstrap import roi_intervals
from encoding.evaluation.scores import SCORES
from encoding.runs.exchange import import_, packed
from encoding.runs.table import (
    Note,
    all_runs,
    as_csv,
    find_run,
    known_tags,
    matching,
    open_run,
    read_note,
    run_keys,
    short_name,
    write_note,
)
from encoding.runtime.registry import UnknownName
from tests.conftest import TINY

COLOUR = replace(TINY, layers=("colour",), options={"alpha": 10.0})


@pytest.fixture
def two(tiny, store):
    return [fit(spec, store, device="cpu") for spec in (TINY, COLOUR)]


def test_a_store_without_fits_has_an_empty_table(store):
    table = all_runs(store)
    assert len(table) == 0 and "r_mean" in table and len(matching(table, words="x")) == 0 and as_csv(table).startswith("key,")


def test_every_finished_fit_is_a_row_that_says_what_made_it(two, store):
    table = all_runs(store).set_index("key")
    row = table.loc[two[1].key]
    assert set(table.index) == {result.key for result in two} == set(run_keys(store))
    assert row["r_mean"] == pytest.approx(np.mean([two[1].score(hemi) for hemi in ("lh", "rh")]))
    assert (row["layers"], row["options"], row["readout"], row["device"]) == ("colour", "alpha=10.0", "ridge", "cpu")
    assert row["simulated"] and not row["imported"] and row["seconds"] > 0 and row["made"].startswith("20")
    assert "tinynet colour · all features · ridge alpha=10.0 · tiny, " in short_name({"key": two[1].key, **row})


def test_a_fit_of_a_vertex_a_hemisphere_or_some_rois_says_so(tiny, store):
    """Its mean r is over these alone, so it must not read as one of every vertex."""
    together = {"readout": "ridge", "options": {"alpha_per_target": False}, "target_groups": "roi", "rois": ("driven",)}
    specs = [replace(TINY, target_groups="vertex:lh:3"), replace(TINY, hemi="rh"), TINY, replace(TINY, **together)]
    rows = {result.key: spec for spec in specs for result in [fit(spec, store, device="cpu")]}
    table = all_runs(store).set_index("key")
    assert table.loc[list(rows), "targets"].tolist() == ["lh 3", "rh", "", "driven"]
    names = [short_name({"key": key, **table.loc[key]}) for key in rows]
    assert ", lh 3 only · r " in names[0] and ", rh only · r " in names[1] and "only" not in names[2] and ", driven only" in names[3]


def test_notes_and_tags_are_kept_and_taken_away(two, store):
    key = two[0].key
    write_note(key, store, Note("the baseline", ("paper", "figure 2")))
    assert read_note(key, store) == Note("the baseline", ("paper", "figure 2"))
    assert known_tags(all_runs(store)) == ["figure 2", "paper"]
    write_note(key, store, Note())
    assert read_note(key, store) == Note() and not list((store.root / "notes").iterdir())


@pytest.mark.parametrize(
    ("note", "said"),
    [
        (Note("x" * 2_001), "2,000 characters"),
        (Note("", ("a,b",)), "without a comma"),
        (Note("", (" ",)), "A tag is"),
        (Note("", ("t",) * 21), "20 tags"),
    ],
)
def test_a_note_that_cannot_be_kept_is_refused(two, store, note, said):
    with pytest.raises(ValueError, match=said):
        write_note(two[0].key, store, note)


@pytest.mark.parametrize("key", ["../../etc/passwd", "fit-../../x", "", "fit-0123", "weights-0123456789abcdef0123"])
def test_a_note_of_no_run_names_no_file(store, key):
    with pytest.raises((ValueError, UnknownName)):
        write_note(key, store, Note("x"))
    assert read_note(key, store) == Note()


def test_writers_at_once_leave_one_whole_note(two, store):
    key = two[0].key
    writers = [threading.Thread(target=write_note, args=(key, store, Note(str(i) * 500))) for i in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    text = read_note(key, store).text
    assert len(text) == 500 and len(set(text)) == 1
    assert [path.name for path in (store.root / "notes").iterdir()] == [f"{key}.json"]


def test_a_note_that_cannot_be_read_is_no_note(two, store):
    write_note(two[0].key, store, Note("x"))
    (store.root / "notes" / f"{two[0].key}.json").write_text("{")
    assert read_note(two[0].key, store) == Note() and len(all_runs(store)) == 2


def test_rows_are_found_by_words_in_any_column_and_by_tags(two, store):
    write_note(two[0].key, store, Note("for the Talk", ("paper",)))
    table = all_runs(store)
    assert matching(table, words="TALK pixels")["key"].tolist() == [two[0].key]
    assert matching(table, words="talk colour").empty
    assert matching(table, tags=["paper"])["key"].tolist() == [two[0].key]
    assert matching(table, by="r_mean", ascending=True)["r_mean"].is_monotonic_increasing
    with pytest.raises(UnknownName, match="Did you mean 'r_mean'"):
        matching(table, by="mean")


def test_csv_reads_back_and_runs_no_formula(two, store):
    write_note(two[0].key, store, Note('=HYPERLINK("x")', ("a", "b")))
    back = pd.read_csv(io.StringIO(as_csv(all_runs(store)))).set_index("key")
    assert back.loc[two[0].key, "note"].startswith("'=") and back.loc[two[0].key, "tags"] == "a b"
    assert back["r_mean"].tolist() == pytest.approx(all_runs(store)["r_mean"].tolist())


def test_a_run_is_opened_by_the_beginning_of_its_key(two, store):
    assert open_run(two[0].key[:12], store).key == two[0].key
    with pytest.raises(UnknownName, match="Unknown fit 'zzz'"):
        find_run("zzz", store)
    with pytest.raises(UnknownName, match="Unknown imported fit"):
        open_run("imported-00", store)


def test_pooled_r_is_a_column_once_it_was_computed(tiny, store):
    result, one = fit(replace(TINY, split="kfold:3:0"), store, device="cpu"), fit(TINY, store, device="cpu")
    assert all_runs(store)["pooled_r"].isna().all()
    for each in (result, one):
        roi_intervals(each)
    table = all_runs(store).set_index("key")
    mean = np.mean([result.pooled(hemi) for hemi in ("lh", "rh")])
    assert table.loc[result.key, "pooled_r"] == pytest.approx(mean) and mean != pytest.approx(table.loc[result.key, "r_mean"])
    assert np.isnan(table.loc[one.key, "pooled_r"]), "of one fold it is r"
    there = import_(io.BytesIO(packed(result)), store)
    assert all_runs(store).set_index("key").loc[there.key, "pooled_r"] == pytest.approx(mean)
    assert matching(all_runs(store), by="pooled_r")["key"].iloc[0] in (result.key, there.key)


def test_mean_r_counts_no_r_that_a_readout_reports(tiny, store):
    result = fit(replace(TINY, readout="linear_sgd", options={"n_epochs": 2}), store, device="cpu")
    assert "validation_r" in result.detail_names
    mean = np.mean([result.score(hemi) for hemi in ("lh", "rh")])
    assert all_runs(store)["r_mean"].item() == pytest.approx(mean)
    there = import_(io.BytesIO(packed(result)), store)
    assert all_runs(store).set_index("key").loc[there.key, "r_mean"] == pytest.approx(mean)


def test_damaged_scores_leave_a_run_without_r(two, store):
    (store.path(two[1].key) / "lh_r.npy").write_bytes(b"x")
    table = all_runs(store).set_index("key")
    assert np.isnan(table.loc[two[1].key, "r_mean"]) and table.loc[two[0].key, "r_mean"] > 0 and not table["damaged"].any()


DAMAGE = {
    "no JSON": "{",
    "null": "null",
    "a list": "[]",
    "nested deep": "[" * 50_000,
    "no spec": '{"made_from": {}, "files": {}}',
    "an import of another kind": '{"made_from": {"spec": {}, "imported": 3}, "files": {}}',
    "seconds that are text": '{"made_from": {"spec": {}, "fit_seconds": "x"}, "files": {}}',
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_run_whose_provenance_cannot_be_read_is_listed_as_damaged(tiny, store, what):
    sound, broken = (fit(spec, store, device="cpu") for spec in (TINY, replace(TINY, n_components=3)))
    (store.path(broken.key) / "provenance.json").write_text(DAMAGE[what])
    table = all_runs(store).set_index("key", drop=False)
    assert table["damaged"].to_dict() == {sound.key: False, broken.key: True}
    row = table.loc[broken.key]
    assert "cannot be read" in row["dataset"] and np.isnan(row["r_mean"]) and not row["imported"]
    assert short_name(row) == f"{broken.key} · damaged: its provenance cannot be read"
    assert len(matching(all_runs(store), words="damaged")) == 1 and matching(all_runs(store), by="r_mean")["key"].iloc[0] == sound.key
    assert broken.key in as_csv(all_runs(store))


@pytest.mark.parametrize("repeats", [False, True], ids=["rows", "repeats averaged"])
def test_every_score_is_a_column_as_mean_median_and_best(tiny, store, repeats):
    ceiling = {hemi: np.linspace(0.01, 0.9, 10, dtype=np.float32) for hemi in ("lh", "rh")}
    tiny.change(ceiling=ceiling, **({"groups": np.repeat(np.arange(40), 3)} if repeats else {}))
    result = fit(replace(TINY, split="kfold:3:0", average_repeats=repeats), store, device="cpu")
    there = import_(io.BytesIO(packed(result)), store)
    table = all_runs(store, subject_of=lambda dataset, subject: tiny.subject).set_index("key")
    without = all_runs(store).set_index("key")
    for key, score in SCORES.items():
        if key == "pooled_r":
            continue
        values = np.concatenate([result.score(hemi, key) for hemi in ("lh", "rh")])
        values = values[np.isfinite(values)]
        over = {"mean": np.mean, "median": np.median, "best": np.min if score.lower_is_better else np.max}
        for statistic in score.statistics:
            column = score.column(statistic)
            assert table.loc[result.key, column] == pytest.approx(over[statistic](values), rel=1e-6)
            assert table.loc[there.key, column] == pytest.approx(over[statistic](values), rel=1e-6)
            assert np.isnan(without.loc[result.key, column]) == score.needs_ceiling
    assert matching(all_runs(store), by="rmse", ascending=True)["rmse"].is_monotonic_increasing


def test_a_subject_that_is_gone_or_changed_leaves_its_fits_without_normalised_scores(two, tiny, store):
    tiny.change(ceiling={hemi: np.full(7, 0.5, np.float32) for hemi in ("lh", "rh")})
    for subject in (None, tiny.subject):
        table = all_runs(store, subject_of=lambda dataset, name, subject=subject: subject)
        assert table["normalised_r2"].isna().all() and table["r_mean"].notna().all()


@pytest.mark.parametrize("how", [{"target_groups": "vertex:lh:3"}, {"target_groups": "roi", "rois": ("driven",)}])
@pytest.mark.parametrize("split", [TINY.split, "kfold:3:0"])
def test_vertices_without_a_model_count_in_no_score(tiny, store, how, split):
    """One that has a model and never varies counts 0 in the challenge's score, as it does there, and in no other that needs a ceiling."""
    responses = {hemi: Y.copy() for hemi, Y in tiny.subject.responses.items()}
    responses["lh"][:, 2] = 1
    tiny.change(responses=responses, ceiling={hemi: np.full(10, 0.5, np.float32) for hemi in ("lh", "rh")})
    result = fit(replace(TINY, readout="pls", n_components=5, split=split, **how), store, device="cpu")
    there = import_(io.BytesIO(packed(result)), store)
    fitted = {hemi: np.zeros(10, bool) for hemi in result.plan.hemis}
    for group in result.plan.target_groups:
        for hemi, columns in group.columns.items():
            fitted[hemi][columns] = True
    table = all_runs(store, subject_of=lambda dataset, subject: tiny.subject).set_index("key")
    for each in (result, there):
        for name in each.score_names:
            values = np.concatenate([each.score(hemi, name) for hemi in fitted])
            assert np.isnan(values[~np.concatenate(list(fitted.values()))]).all(), name
            if SCORES[name].needs_ceiling:
                assert table.loc[each.key, SCORES[name].mean_column] == pytest.approx(np.nanmean(values))
    if fitted["lh"][2]:
        assert result.score("lh", "algonauts2023")[2] == 0 and np.isnan(result.score("lh", "normalised_r2")[2])
