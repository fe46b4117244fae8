"""Group view: means, spread and maps by hand, subjects with vertices of their own, and models tested on another subject."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from encoding import DATASETS, Store, fit
from encoding.analysis import group
from encoding.analysis.group import NotAGroup, across_key, across_subjects, check_group, group_maps, group_table
from encoding.analysis.significance import significance
from encoding.evaluation.permutation import Permutations
from encoding.evaluation.scores import pearson
from encoding.runs.exchange import export, import_
from encoding.runtime.progress import silent
from tests.conftest import TINY, TinyDataset, TinyStimuli, register_tiny

SUBJECTS = ("subj01", "subj02", "subj03")


class ThreeSubjects(TinyDataset):
    """Three subjects with the same weights at overlapping vertices; the others saw 90 of the first's images and 30 of their own."""

    def __init__(self) -> None:
        super().__init__()
        first = self.subject
        rng = np.random.default_rng(1)
        weights = {hemi: rng.normal(size=(48, 10)) * (np.arange(10) < 5) for hemi in ("lh", "rh")}
        self.by_name = {}
        for number, name in enumerate(SUBJECTS):
            pixels = first.stimuli.pixels.copy()
            if number:
                pixels[90:] = rng.integers(0, 256, (30, 4, 4, 3), dtype=np.uint8)
            drive = pixels.reshape(120, -1) / 255 - 0.5
            Y = {hemi: (drive @ W + (0.1 + 0.2 * number) * rng.normal(size=(120, 10))).astype(np.float32) for hemi, W in weights.items()}
            vertices = {hemi: 20_000 + np.arange(10) + 2 * number for hemi in Y}  # two further along with each subject
            Y = {hemi: np.roll(values, -2 * number, axis=1) for hemi, values in Y.items()}  # the same place, the same weights
            rois = {hemi: {"driven": np.arange(max(0, 5 - 2 * number)), "noise": np.arange(5, 8)} for hemi in Y}
            prints = {hemi: f"{name}-{hemi}" for hemi in Y}
            self.by_name[name] = replace(
                first, name=name, stimuli=TinyStimuli(pixels), responses=Y, fingerprints=prints, vertices=vertices, rois=rois
            )

    def subjects(self):
        return SUBJECTS

    def open(self, subject, store, report=None):
        return self.by_name[subject]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    from encoding.datasets import DATASETS

    with pytest.MonkeyPatch.context() as monkeypatch:
        register_tiny(monkeypatch)
        monkeypatch.setitem(DATASETS._members, "tiny", ThreeSubjects())
        store = Store(tmp_path_factory.mktemp("group"))
        names = {"first:90": SUBJECTS, "kfold:4:0": SUBJECTS[:2]}
        yield {split: [fit(replace(TINY, subject=name, split=split), store, device="cpu") for name in names[split]] for split in SPLITS}


SPLITS = ("first:90", "kfold:4:0")


def test_the_table_is_the_mean_and_spread_over_subjects_that_have_the_region(world):
    results = world["first:90"]
    table = group_table(results).set_index(["roi", "hemi"])
    values = [result.score("lh")[result.columns("noise", "lh")].mean() for result in results]
    row = table.loc[("noise", "lh")]
    assert row["n_subjects"] == 3 and row["mean"] == pytest.approx(np.mean(values)) and row["sd"] == pytest.approx(np.std(values, ddof=1))
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high))
    assert row["tiny subj02"] == pytest.approx(values[1]) and (row["least"], row["most"]) == (min(values), max(values))
    lonely = [replace(each, plan=replace(each.plan, subject=replace(each.plan.subject, rois={"lh": {}, "rh": {}}))) for each in results[1:]]
    row = group_table([results[0], *lonely]).set_index(["roi", "hemi"]).loc[("driven", "lh")]
    assert row["n_subjects"] == 1 and np.isnan(row["low"]) and np.isnan(row["tiny subj02"])
    median = group_table(results, "rmse", "median").set_index(["roi", "hemi"])
    assert median.loc[("all", "rh"), "tiny subj03"] == pytest.approx(np.median(results[2].score("rh", "rmse")))


def test_maps_average_over_the_subjects_that_have_a_vertex(world):
    results = world["first:90"]
    maps = group_maps(results, threshold=0.5)
    assert list(maps) == ["lh", "rh"] and maps["lh"].vertices.tolist() == list(range(20_000, 20_014))
    assert maps["lh"].n_subjects.tolist() == [1, 1, 2, 2, *[3] * 6, 2, 2, 1, 1]
    for place, vertex in enumerate(maps["rh"].vertices):
        values = [
            each.score("rh")[vertex - 20_000 - 2 * number] for number, each in enumerate(results) if 0 <= vertex - 20_000 - 2 * number < 10
        ]
        assert maps["rh"].mean[place] == pytest.approx(np.mean(values)) and maps["rh"].n_above[place] == np.sum(np.array(values) >= 0.5)
    errors = group_maps(results, "rmse", threshold=0.2)
    assert errors["lh"].n_above.sum() == sum((each.score("lh", "rmse") <= 0.2).sum() for each in results)


def test_maps_count_significant_subjects_where_all_were_tested(world):
    results = world["first:90"]
    with pytest.raises(NotAGroup, match="permutation test of tiny subj01 was not computed"):
        group_maps(results, threshold=None)
    tested = [significance(each, permutations=Permutations()) for each in results]
    maps = group_maps(results, threshold=None)
    assert maps["lh"].n_above.sum() == sum((each.q["lh"] <= 0.05).sum() for each in tested) > 0


@pytest.mark.parametrize("split", SPLITS)
def test_a_model_is_tested_on_another_subject_without_stimuli_that_it_was_trained_on(world, split):
    results = world[split]
    table = across_subjects(results, device="cpu").set_index(["model", "tested", "roi", "hemi"])
    one, two = results[:2]
    pixels = [each.plan.subject.stimuli.pixels.reshape(120, -1) for each in (one, two)]
    # rows of the second subject that each fold's model of the first may predict; r is of each fold's, and their mean
    tested = np.unique(np.concatenate([fold.test for fold in two.plan.folds]))
    predictable, of_region, of_vertices = set(), [], []
    X = pixels[1] / 255
    for number, fold in enumerate(one.plan.folds):
        seen = {pixels[0][row].tobytes() for row in fold.train}
        rows = np.array([row for row in tested if pixels[1][row].tobytes() not in seen])
        Z = one.components(number)  # every component: a linear map of the pixels
        W = np.linalg.lstsq(np.c_[pixels[0] / 255, np.ones(120)], np.asarray(Z), rcond=None)[0]
        model, Y = one.model("lh", number), two.plan.subject.responses["lh"][rows]
        predicted = (np.c_[X, np.ones(120)] @ W)[rows] @ model.weights + model.intercept
        predictable |= set(rows.tolist())
        of_region.append(pearson(predicted.mean(1), Y.mean(1)))
        of_vertices.append(pearson(predicted[:, 2:], Y[:, :8]))
    assert split != "first:90" or len(predictable) == 30  # only images of its own
    row = table.loc[("tiny subj01", "tiny subj02", "all", "lh")]
    assert row["n_stimuli"] == len(predictable) and row["n_shared"] == 8
    assert row["r_region"] == pytest.approx(np.mean(of_region), abs=1e-3)
    assert row["r_vertices"] == pytest.approx(np.mean(of_vertices), abs=1e-3)
    driven = table.xs("driven", level="roi")
    assert driven.loc[("tiny subj01", "tiny subj02", "lh"), "n_shared"] == 3
    assert (driven["r_vertices"].dropna() > 0.6).all()
    own = table.loc[("tiny subj01", "tiny subj01", "noise", "lh")]
    assert own["n_shared"] == 3 and own["n_stimuli"] == one.n_test
    assert own["r_vertices"] == pytest.approx(one.score("lh")[5:8].mean(), abs=1e-5)  # as the fit's own bars
    means = [each("lh", np.arange(5, 8)).mean(1, dtype=np.float64) for each in (one.predicted, one.measured)]
    assert own["r_region"] == pytest.approx(one.test_r(*means), abs=1e-5)


@pytest.mark.parametrize("kept", [{"feature_budget": 0.0}, {"feature_dtype": "float16"}], ids=["reduced in the pass", "in half the room"])
def test_stimuli_that_a_model_was_trained_on_are_known_however_features_are_kept(world, kept, monkeypatch):
    people = DATASETS["tiny"].by_name
    backwards = TinyStimuli(people["subj02"].stimuli.pixels[::-1].copy())
    monkeypatch.setitem(people, "subj02", replace(people["subj02"], stimuli=backwards, fingerprints={"lh": "2-lh", "rh": "2-rh"}))
    store, spec = world["kfold:4:0"][0].store, replace(TINY, split="kfold:4:0", n_components=12, **kept)
    one, two = (fit(replace(spec, subject=name), store, device="cpu") for name in SUBJECTS[:2])
    pixels = [each.plan.subject.stimuli.pixels for each in (one, two)]
    for fold, tested in zip(one.plan.folds, group._tested_folds(one, two, silent, "cpu"), strict=True):
        seen = {pixels[0][row].tobytes() for row in fold.train}
        assert tested.rows.tolist() == [row for row in range(120) if pixels[1][row].tobytes() not in seen]


def test_a_model_is_not_tested_on_what_it_learned_of_an_extra_subject(world):
    store, spec = world["kfold:4:0"][0].store, replace(TINY, split="kfold:4:0")
    more = {"readout": "mlp", "options": {"n_epochs": 1, "hidden_1": 4, "hidden_2": 4}, "extra_subjects": ("subj02",)}
    one, two = fit(replace(spec, subject="subj01", **more), store, device="cpu"), world["kfold:4:0"][1]
    (other,) = one.plan.extra_subjects
    pixels = [each.plan.subject.stimuli.pixels for each in (one, two)]
    for number, (fold, tested) in enumerate(zip(one.plan.folds, group._tested_folds(one, two, silent, "cpu"), strict=True)):
        seen = {pixels[0][row].tobytes() for row in fold.train}
        learned = {row for row in other.extra_fold(number).train if row >= 90}  # images that the first did not see
        assert tested.rows.tolist() == [row for row in range(120) if pixels[1][row].tobytes() not in seen and row not in learned]


def test_tables_of_single_folds_keep_their_keys_and_pooled_ones_are_not_read(world):
    """Pooled r over folds stands under version 1, which is still that of fits with one fold, whose numbers are the same."""
    (one, *_), (folded, *_) = (world[split] for split in SPLITS)
    assert across_key(one, one) == former_key(one, one) and across_key(folded, one) != former_key(folded, one)
    assert across_key(one, folded) == former_key(one, folded)  # the model's folds count


def former_key(model, tested):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(group, "ACROSS_VERSION", 1)
        return across_key(model, tested)


@pytest.mark.parametrize("split", ["holdout:0.75:5", "kfold:4:0"])
def test_repeats_are_averaged_within_each_fold_and_small_folds_left_out(world, split, monkeypatch):
    shown, subjects = np.arange(120) // 2, DATASETS["tiny"].by_name
    monkeypatch.setitem(subjects, "subj01", replace(subjects["subj01"], groups=shown))
    averaged = fit(replace(TINY, subject="subj01", split=split, average_repeats=True), world["first:90"][0].store, device="cpu")
    arrays = group._across(averaged, averaged, silent, "cpu")
    at = list(zip(arrays["roi"], arrays["hemi"], strict=True)).index(("all", "lh"))
    assert arrays["n_stimuli"][at] == len(np.unique(np.concatenate([shown[fold.test] for fold in averaged.plan.folds])))
    predicted, measured = (each("lh", np.arange(10)).mean(1, dtype=np.float64) for each in (averaged.predicted, averaged.measured))
    assert arrays["r_region"][at] == pytest.approx(averaged.test_r(predicted, measured), abs=1e-5)
    monkeypatch.setattr(group, "FEWEST_ROWS", 31)
    assert np.isnan(group._across(averaged, averaged, silent, "cpu")["r_region"]).all()


def test_unions_of_one_name_and_of_other_rois_are_no_region_of_a_group(world):
    one, two, _ = world["first:90"]

    def united(fit, rois):
        return replace(fit, plan=replace(fit.plan, spec=replace(fit.plan.spec, rois=(rois,))))

    with pytest.raises(NotAGroup, match=r"early is driven\+noise in tiny subj01 and driven in tiny subj02"):
        check_group([united(one, "early=driven+noise"), united(two, "early=driven")])
    check_group([united(one, "early=driven+noise"), united(two, "early = noise + driven")])


def test_what_is_no_group_is_refused(world, tmp_path):
    one, two, _ = world["first:90"]
    with pytest.raises(NotAGroup, match="two subjects at least"):
        group_table([one])
    with pytest.raises(NotAGroup, match="of tiny subj01 there are several"):
        group_table([one, two, world["kfold:4:0"][0]])
    there = import_(export(two, tmp_path / "two.zip"), one.store)
    assert group_table([one, there])["mean"].tolist() == pytest.approx(group_table([one, two])["mean"].tolist(), nan_ok=True)
    with pytest.raises(NotAGroup, match="subj02 is imported"):
        across_subjects([one, there])
    nowhere = replace(two, plan=replace(two.plan, subject=replace(two.plan.subject, vertices=None)))
    with pytest.raises(NotAGroup, match="subj02 lie on the cortex is not known"):
        group_maps([one, nowhere])


def test_the_shell_prints_a_group_and_writes_maps(world, shell, monkeypatch, tmp_path):
    results = world["first:90"]
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(results[0].store.root))
    keys = [each.key for each in results]
    code, text, _ = shell("group", *keys, "--across", "--out", tmp_path / "group.csv", "--maps", tmp_path / "maps")
    assert code == 0 and "driven" in text and "tested on" in text and "subj03" in text
    assert np.load(tmp_path / "maps" / "lh_mean.npy").shape == (163_842,)
    assert np.nanmax(np.load(tmp_path / "maps" / "lh_n_subjects.npy")) == 3
    code, text, _ = shell("group", *keys, "--json")
    assert code == 0 and json.loads(text)["rois"][0]["n_subjects"] == 3
    assert shell("group", keys[0])[0] == 2 and shell("group", *keys, "--score", "normalised_r2")[0] == 2
    for counted in (["--threshold", "0.3"], ["--significant"], ["--threshold", "0.3", "--significant", "--maps", tmp_path / "more"]):
        assert shell("group", *keys, *counted)[0] == 2 and not (tmp_path / "more").exists()
