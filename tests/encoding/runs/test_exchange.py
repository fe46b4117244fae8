"""A fit as one file: what comes through, under which key, and from a shell."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from encoding import FitSpec, Store, fit
from encoding.analysis.bootstrap import interval_note, interval_text, intervals_of, roi_intervals
from encoding.analysis.comparison import compare
from encoding.analysis.learning_curve import curve_key
from encoding.cli import main
from encoding.datasets._base import VoxelGrid
from encoding.datasets._placement import Placement
from encoding.evaluation.splits import NamedSplit
from encoding.fits.open import find_key
from encoding.runs.exchange import export, import_, open_imported, packed
from encoding.runs.exchange_validation import check_arrays
from encoding.runs.imported import NotSent, arrays_of
from encoding.runs.manifest import BadExchange
from encoding.runs.table import all_runs, open_run
from encoding.runtime.registry import UnknownName
from tests.conftest import TINY
from tests.encoding.runs.conftest import as_version_1, members


def test_tables_maps_and_comparisons_are_the_same_without_the_data_set(sent, elsewhere, tmp_path, monkeypatch):
    path = export(sent, tmp_path / "fit.zip", by="Ada, lab 4")
    from encoding.datasets import DATASETS

    monkeypatch.delitem(DATASETS._members, "tiny")
    there = import_(path, elsewhere)
    pd.testing.assert_frame_equal(there.rois(), sent.rois())
    pd.testing.assert_frame_equal(there.vertices(), sent.vertices())
    assert (there.n_train, there.n_test, there.plan.spec) == (sent.n_train, sent.n_test, sent.plan.spec)
    np.testing.assert_array_equal(Placement.of(there.plan.subject).vertices["rh"], np.arange(10) * 3)
    np.testing.assert_array_equal(intervals_of(there)["lh_draws"], roi_intervals(sent)["lh_draws"])
    assert there.derived(curve_key(there.key, there.plan))["lh_test"].shape[1] == 10 and there.plan.subject.simulated
    found = compare(sent, there)
    assert found.unpaired is None and found.same_vertices and found.tested and (found.table["difference"] == 0).all()


def test_what_made_it_and_who_sent_it_come_along(sent, elsewhere, tmp_path):
    there = import_(export(sent, tmp_path / "fit.zip", by="Ada"), elsewhere)
    again = open_imported(there.key, elsewhere)
    for name in ("created", "commit", "libraries"):
        assert again.provenance[name] == sent.provenance[name]
    assert again.origin["by"] == "Ada" and again.origin["fit"] == sent.key and again.origin["file"] == "fit.zip" and again.origin["when"]
    row = all_runs(elsewhere).iloc[0]
    assert row["imported"] and row["sender"] == "Ada" and row["r_mean"] == pytest.approx(np.mean([sent.score(h) for h in ("lh", "rh")]))
    assert open_run(there.key[:14], elsewhere).key == there.key


def test_an_imported_fit_never_stands_in_for_one_that_is_computed(sent, elsewhere, tmp_path):
    there = import_(export(sent, tmp_path / "fit.zip"), elsewhere)
    assert there.key.startswith("imported-") and not fit(TINY, elsewhere, device="cpu").cached
    with pytest.raises(UnknownName):
        find_key(there.key, elsewhere)


def test_no_stimulus_or_response_is_sent_and_asking_says_so(sent, elsewhere, tmp_path):
    data = packed(sent)
    content = b"".join(members(data).values())
    for array in sent.plan.subject.responses.values():
        assert np.asarray(array).tobytes() not in content and np.asarray(array)[0].tobytes() not in content
    there = import_(io.BytesIO(data), elsewhere)
    for ask in (lambda: there.measured("lh", [0]), lambda: there.predicted("lh", [0]), lambda: there.plan.subject.stimuli[0]):
        with pytest.raises(NotSent, match=r"did not come with it\. With the data: python -m encoding fit --dataset tiny"):
            ask()


def test_a_file_of_version_1_is_the_same_fit(sent, exported, elsewhere):
    there = import_(as_version_1(exported), elsewhere)
    pd.testing.assert_frame_equal(there.rois(), sent.rois())
    assert there.plan.spec == sent.plan.spec and there.prediction_refusal() == "" and there.origin["fit"] == sent.key
    assert import_(as_version_1(exported), elsewhere).key == there.key != import_(io.BytesIO(exported), elsewhere).key


def test_equal_fits_are_equal_files_and_one_import(sent, elsewhere):
    assert packed(sent, by="Ada") == packed(sent, by="Ada")
    keys = {import_(io.BytesIO(packed(sent, by="Ada")), elsewhere).key for _ in range(2)}
    assert len(keys) == 1 and len(elsewhere.keys()) == 1


def test_an_imported_fit_can_be_passed_on(sent, elsewhere, tmp_path):
    there = import_(export(sent, tmp_path / "one.zip", by="Ada"), elsewhere)
    third = import_(export(there, tmp_path / "two.zip", by="Grace"), Store(tmp_path / "third"))
    pd.testing.assert_frame_equal(third.rois(), sent.rois())
    assert third.origin["by"] == "Grace" and third.origin["fit"] == sent.key


def test_a_fit_without_intervals_or_places_is_sent_without_them(tiny, store, elsewhere):
    there = import_(io.BytesIO(packed(fit(replace(TINY, hemi="lh", split="kfold:3:0"), store, device="cpu"))), elsewhere)
    assert (
        intervals_of(there) is None and there.derived(curve_key(there.key, there.plan)) is None and Placement.of(there.plan.subject) is None
    )
    assert there.plan.hemis == ("lh",) and there.n_test == 120


def test_a_subject_without_rois_is_sent_as_it_is(tiny, store, elsewhere):
    tiny.change(rois={"lh": {}, "rh": {}})
    result = fit(TINY, store, device="cpu")
    there = import_(io.BytesIO(packed(result)), elsewhere)
    pd.testing.assert_frame_equal(there.rois(), result.rois())
    assert there.selected_rois == ("all",)


def test_voxels_of_a_volume_keep_where_the_surface_samples_them(tiny, store, elsewhere):
    one = {"lh": tiny.subject.responses["lh"]}
    places = {hemi: (np.array([5, 9]), np.array([0, 3])) for hemi in ("lh", "rh")}
    changed = {"responses": {"brain": one["lh"]}, "rois": {"brain": tiny.subject.rois["lh"]}, "fingerprints": {"brain": "b"}}
    tiny.change(**changed, sampled=places)
    there = import_(io.BytesIO(packed(fit(TINY, store, device="cpu"))), elsewhere)
    np.testing.assert_array_equal(there.plan.subject.sampled["rh"][1], [0, 3])
    assert Placement.of(there.plan.subject).blocks == {"lh": "brain", "rh": "brain"}


def test_the_folder_of_a_weights_file_is_not_told(sent, elsewhere):
    spec = replace(TINY, weights="/home/ada/secret/net.pt")
    moved = replace(sent, plan=replace(sent.plan, spec=spec))
    moved.plan.__dict__["key"] = sent.key  # as if it had been fitted with that file
    data = packed(moved)
    assert not any(b"secret" in content for content in members(data).values())
    assert import_(io.BytesIO(data), elsewhere).plan.spec.weights == "net.pt"


def test_nothing_is_overwritten_and_a_missing_file_is_named(sent, elsewhere, tmp_path):
    path = export(sent, tmp_path / "fit.zip")
    with pytest.raises(FileExistsError, match="Name another file"):
        export(sent, path)
    with pytest.raises(FileNotFoundError, match="There is no file"):
        import_(tmp_path / "none.zip", elsewhere)
    with pytest.raises(ValueError, match="The sender is one line"):
        packed(sent, by="a\nb")


def test_pruning_by_age_keeps_imported_fits(exported, store, tiny, monkeypatch):
    fit(TINY, store, device="cpu")
    there = import_(io.BytesIO(exported), store)
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(store.root))
    assert main(["cache", "prune", "--older", "0"]) == 0
    assert store.keys() == [there.key]
    assert main(["cache", "prune", "--stage", "imported"]) == 0 and store.keys() == []


def test_from_a_shell(sent, elsewhere, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(sent.store.root))
    file = str(tmp_path / "fit.zip")
    assert main(["export", sent.key[:10], "--out", file, "--by", "Ada", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["by"] == "Ada" and document["models"] and document["kept_back"] == ""
    assert main(["export", sent.key[:10], "--out", f"{file}3", "--no-models"]) == 0
    assert "Without its models: nothing can be predicted from it." in capsys.readouterr().out
    assert main(["export", sent.key[:10], "--out", file]) == 1 and "Name another file" in capsys.readouterr().err
    assert main(["export", sent.key[:10], "--out", file + "2", "--by", "<b>"]) == 2
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(elsewhere.root))
    capsys.readouterr()
    assert main(["import", file, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["cannot_predict"] == ""
    assert document["origin"]["by"] == "Ada" and document["simulated"] and FitSpec.from_dict(document["spec"]) == TINY
    assert main(["import", str(tmp_path / "none")]) == 2
    (tmp_path / "bad.zip").write_bytes(b"x")
    assert main(["import", str(tmp_path / "bad.zip")]) == 1 and "no exported fit" in capsys.readouterr().err
    page = tmp_path / "page.html"
    assert main(["report", document["key"], "--out", str(page)]) == 0 and "from Ada" in page.read_text()


def words_of(result):
    counts = [result.counted(part) for part in ("training", "test")]
    return [*counts, result.n_test_stimuli, result.plan.n_tested, interval_text(result), interval_note(result)]


TRIALS, DAYS = np.arange(120) // 3, np.arange(120) // 12


@pytest.mark.parametrize(
    ("rows", "split"),
    [
        ({"groups": TRIALS}, "kfold:4:1"),
        ({"groups": DAYS, "stimulus_ids": TRIALS}, "kfold:2:1"),
        ({"groups": DAYS, "stimulus_ids": np.arange(120)}, "holdout:0.8:0"),
        ({"groups": DAYS, "stimulus_ids": np.arange(120), "runs": DAYS}, "runs"),
    ],
)
def test_which_rows_are_of_one_image_day_or_run_comes_along(tiny, store, elsewhere, rows, split):
    tiny.change(**rows)
    result = fit(replace(TINY, split=split), store, device="cpu")
    roi_intervals(result)
    there = import_(io.BytesIO(packed(result)), elsewhere)
    assert words_of(there) == words_of(result)


@pytest.mark.parametrize("values", [np.arange(119), np.arange(120) - 1, np.arange(120.0)])
@pytest.mark.parametrize("name", ["groups", "stimulus_ids", "runs"])
def test_rows_that_cannot_belong_together_are_refused(sent, name, values):
    arrays = arrays_of(sent, intervals=None, curve=None)
    with pytest.raises(BadExchange, match=name):
        check_arrays(arrays | {f"about.{name}": values})


@pytest.fixture
def voxels(tiny, store):
    """A fit of one block of voxels of a volume, with named splits and ceilings that were estimated."""
    responses = np.concatenate([np.asarray(each) for each in tiny.subject.responses.values()], axis=1)
    grid = VoxelGrid(np.arange(20) * 3, (4, 5, 3), np.diag([2.0, 2.0, 2.5, 1.0]))
    splits = {"films": NamedSplit(np.arange(90), {"inside": np.arange(90, 100), "outside": np.arange(100, 120)})}
    tiny.change(
        responses={"brain": responses}, fingerprints={"brain": "brain-1"}, rois={"brain": {"V1": np.arange(9)}}, vertices=None, grid=grid,
        ceiling={"brain": np.full(20, 0.5, np.float32)}, ceiling_about="split halves of 40 stimuli × 3 <b>repeats</b>", splits=splits,
    )  # fmt: skip
    return fit(replace(TINY, split="named:films"), store, device="cpu")


def test_volumes_splits_and_how_ceilings_were_estimated_come_along(voxels, elsewhere):
    subject = import_(io.BytesIO(packed(voxels)), elsewhere).plan.subject
    sent = voxels.plan.subject
    np.testing.assert_array_equal(subject.grid.volume(np.arange(20)), sent.grid.volume(np.arange(20)))
    np.testing.assert_array_equal(subject.grid.affine, sent.grid.affine)
    assert "split halves of 40 stimuli" in subject.ceiling_about and "<" not in subject.ceiling_about
    assert list(subject.splits) == ["films"] and list(subject.splits["films"].tests) == ["inside", "outside"]
    np.testing.assert_array_equal(subject.splits["films"].train, np.arange(90))
    np.testing.assert_array_equal(subject.splits["films"].tests["outside"], np.arange(100, 120))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("about.grid_voxels", np.arange(20) * 4, "no possible volume"),
        ("about.grid_voxels", np.arange(19), "a volume of other voxels"),
        ("about.grid_shape", np.array([2**20, 2**20, 2**20]), "no possible volume"),
        ("about.grid_affine", np.zeros((4, 4)), "no possible place of its volume"),
        ("about.split_0_train", np.arange(95), "no possible rows of the split films"),
        ("about.split_0_test_1", np.array([500]), "no possible rows of the split films"),
    ],
)
def test_a_volume_or_split_that_cannot_be_is_refused(voxels, elsewhere, name, values, message):
    arrays = arrays_of(voxels, intervals=None, curve=None)
    with pytest.raises(BadExchange, match=message):
        check_arrays(arrays | {name: values})
    check_arrays(arrays)
