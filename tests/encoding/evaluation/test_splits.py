import numpy as np
import pytest

from encoding.evaluation.splits import NamedSplit, check_split, folds, has_several_folds, inner_blocks, inner_folds


def test_the_hold_out_is_the_development_kits_own_shuffle():
    rng_state = np.random.get_state()
    np.random.seed(5)
    order = np.arange(9841)
    np.random.shuffle(order)
    np.random.set_state(rng_state)
    (fold,) = folds("holdout:0.9:5", np.arange(9841))
    assert (len(fold.train), len(fold.test)) == (8857, 984)
    np.testing.assert_array_equal(fold.train, np.sort(order[:8857]))
    np.testing.assert_array_equal(fold.test, np.sort(order[8857:]))


@pytest.mark.parametrize("split", ["holdout:0.7:1", "kfold:5:0", "kfold:2:3"])
def test_repeats_of_a_stimulus_stay_on_one_side(split):
    groups = np.random.default_rng(0).integers(0, 30, 100)
    for fold in folds(split, groups):
        assert not set(groups[fold.train]) & set(groups[fold.test])
        assert len(fold.train) + len(fold.test) == 100
    inner = inner_folds(groups, 4)
    assert all(len(set(inner[groups == group])) == 1 for group in set(groups))


def test_k_folds_test_every_row_once():
    tested = np.concatenate([fold.test for fold in folds("kfold:7:0", np.arange(50))])
    np.testing.assert_array_equal(np.sort(tested), np.arange(50))


def test_inner_folds_are_of_equal_size():
    assert set(np.bincount(inner_folds(np.arange(103), 5))) <= {20, 21}


@pytest.mark.parametrize("split", ["holdout:1.5:0", "kfold:1:0", "leave-one-out", "holdout:0.9", "kfold:x:0"])
def test_an_unreadable_split_says_how_to_write_one(split):
    with pytest.raises(ValueError, match=r"Write holdout:0\.9:5 \(fraction, seed\), kfold:5:0"):
        folds(split, np.arange(20))


def test_more_folds_than_stimuli_is_refused_with_both_numbers():
    with pytest.raises(ValueError, match="asks for 9 folds but there are only 4 groups"):
        folds("kfold:9:0", np.repeat(np.arange(4), 5))
    with pytest.raises(ValueError, match=r"5 folds of the training rows need as many groups at least; there are 3 .* validation share"):
        inner_folds(np.array([0, 1, 2, 2, 1]), 5)


def test_the_first_stimuli_train_and_repeats_stay_together():
    (fold,) = folds("first:3", np.array([7, 7, 2, 5, 2, 9, 1]))
    assert fold.train.tolist() == [0, 1, 2, 3, 4] and fold.test.tolist() == [5, 6]
    with pytest.raises(ValueError, match="not understood"):
        folds("first:3:0", np.arange(9))
    with pytest.raises(ValueError, match="fewer than two"):
        folds("first:9", np.arange(9))


@pytest.mark.parametrize(("n_groups", "split"), [(2, "kfold:5:0"), (2, "holdout:0.9:5"), (3, "kfold:4:1"), (1, "first:2")])
def test_counts_of_groups_are_called_groups(n_groups, split):
    with pytest.raises(ValueError, match=rf"{n_groups} groups \(of 60 rows"):
        folds(split, np.arange(60) % n_groups)
    with pytest.raises(ValueError, match=rf"there are {n_groups} groups \(of 60 rows.*n_folds"):
        inner_folds(np.arange(60) % n_groups, 5)
    with pytest.raises(ValueError, match=r"only 60 different stimuli"):
        folds("kfold:61:0", np.arange(60))


@pytest.mark.parametrize("split", ["holdout:0.75:5", "kfold:3:0", "first:20"])
@pytest.mark.parametrize("inner", ["holdout:0.8:0", "kfold:4:1", "first:9"])
def test_a_split_within_a_split_parts_the_training_rows_of_each_fold(split, inner):
    groups = np.repeat(np.arange(30), 2)  # two repeats each
    whole, within = folds(split, groups), folds(f"{split}/{inner}", groups)
    n_inner = len(within) // len(whole)
    for number, part in enumerate(within):
        fold = whole[number // n_inner]
        assert np.array_equal(np.sort(np.concatenate([part.train, part.test])), fold.train)
        assert not set(groups[part.train]) & set(groups[part.test])
    assert n_inner == (4 if inner.startswith("kfold") else 1)


def test_all_trains_on_every_row_and_tests_none():
    (fold,) = folds("all", np.arange(7))
    assert fold.train.tolist() == list(range(7))
    assert fold.test.tolist() == []


@pytest.mark.parametrize(
    "split",
    ["holdout:0.75:5", "first:20", "all", "kfold:3:0", "runs", "blocks:3:1", "named:own", "named:own:far", "named:own/kfold:2:0",
     "named:own/holdout:0.5:0", "holdout:0.75:5/kfold:2:0", "kfold:3:0/holdout:0.8:0", "runs/first:8", "holdout:0.75:5/first:9"],
)  # fmt: skip
def test_the_name_of_a_split_says_whether_it_has_several_folds(split):
    rows = np.arange(40)
    named = {"own": NamedSplit(train=rows[:20], tests={"near": rows[20:30], "far": rows[30:]})}
    assert has_several_folds(split) == (len(folds(split, rows // 4 if "runs" in split else rows, named, runs=rows // 10)) > 1)


@pytest.mark.parametrize("split", ["all/holdout:0.8:0", "holdout:0.8:0/all", "kfold:3:0/", "/kfold:3:0", "kfold:3:0/kfold"])
def test_a_split_that_leaves_nothing_to_part_is_refused(split):
    with pytest.raises(ValueError, match="not understood"):
        check_split(split)


RUNS = np.repeat([7, 3, 5, 4], [30, 50, 50, 41])


def test_leave_one_run_out_tests_each_run_once_in_a_fold_of_its_own():
    parts = folds("runs", RUNS, runs=RUNS)
    assert [set(RUNS[fold.test]) for fold in parts] == [{3}, {4}, {5}, {7}]
    for fold in parts:
        assert sorted([*fold.train, *fold.test]) == list(range(171))
    nested = folds("runs/runs", RUNS, runs=RUNS)
    assert len(nested) == 12 and all(len(set(RUNS[fold.train]) | set(RUNS[fold.test])) == 3 for fold in nested)


@pytest.mark.parametrize(("n", "gap"), [(2, 0), (5, 4), (7, 1)])
def test_blocks_test_every_sample_once_and_leave_a_gap_within_runs(n, gap):
    parts, place = folds(f"blocks:{n}:{gap}", RUNS, runs=RUNS), np.concatenate([np.arange((run == RUNS).sum()) for run in (7, 3, 5, 4)])
    assert sorted(np.concatenate([fold.test for fold in parts])) == list(range(171))
    for fold in parts:
        assert (np.diff(np.unique(place[fold.test])) == 1).all()  # a stretch, the same in runs of one film
        for run in set(RUNS):
            train, test = (set(place[rows][RUNS[rows] == run].tolist()) for rows in (fold.train, fold.test))
            near = {at + step for at in test for step in range(-gap, gap + 1)}
            assert not train & near
        left_out = np.setdiff1d(np.arange(171), np.concatenate([fold.train, fold.test]))
        assert len(left_out) <= 2 * gap * 4 and (gap == 0) == (len(left_out) == 0)


@pytest.mark.parametrize("split", ["kfold:4:0", "runs", "holdout:0.5:0", "blocks:4:2", "runs/kfold:2:0", "named:mine", "named:mine/runs"])
def test_a_stimulus_that_is_tested_in_one_run_is_not_trained_on_in_another(split):
    runs, stimuli = np.repeat(np.arange(4), 50), np.arange(200)
    stimuli[50:70], stimuli[160:180], stimuli[90] = stimuli[:20], stimuli[100:120], stimuli[110]
    named = {"mine": NamedSplit(np.arange(150), {"test": np.arange(150, 200)})}
    parts, apart = (folds(split, runs, named, runs=runs, stimuli=each) for each in (stimuli, None))
    for fold, whole in zip(parts, apart, strict=True):
        assert fold.test.tolist() == whole.test.tolist() or "/" in split
        assert not np.intersect1d(stimuli[fold.train], stimuli[fold.test]).size
        if "/" not in split:  # nothing else is left out
            assert fold.train.tolist() == whole.train[~np.isin(stimuli[whole.train], stimuli[whole.test])].tolist()
    assert any(len(fold.train) < len(whole.train) for fold, whole in zip(parts, apart, strict=True))
    for fold, whole in zip(folds(split, runs, named, runs=runs, stimuli=np.arange(200)), apart, strict=True):  # none is repeated
        assert fold.train.tolist() == whole.train.tolist() and fold.test.tolist() == whole.test.tolist()


def test_a_split_that_leaves_nothing_to_train_says_that_stimuli_are_repeated():
    runs, shown = np.repeat([0, 1], 40), np.arange(80) % 2
    for split in ("blocks:4:0", "runs", "named:mine"):
        with pytest.raises(ValueError, match=r"leaves fewer than two training or test rows.*stimuli that are tested"):
            folds(split, runs, {"mine": NamedSplit(np.arange(40), {"test": np.arange(40, 80)})}, runs=runs, stimuli=shown)


def test_inner_folds_leave_whole_runs_out_and_cut_a_single_run_into_stretches():
    for n_folds, n_made in ((3, 3), (5, 4)):
        inner = inner_blocks(RUNS, RUNS, n_folds)
        assert len(set(inner)) == n_made and all(len(set(inner[run == RUNS])) == 1 for run in set(RUNS))
    np.testing.assert_array_equal(inner_blocks(RUNS, RUNS, 2), inner_folds(RUNS, 2))
    one = inner_blocks(np.zeros(171, int), RUNS, 5)
    assert set(one) == set(range(5)) and all((np.diff(one[run == RUNS]) >= 0).all() for run in set(RUNS))


@pytest.mark.parametrize(
    ("split", "groups", "runs", "match"),
    [
        ("blocks:5:2", np.arange(171), None, "no samples of runs"),
        ("blocks:5:40", RUNS, RUNS, "fewer than two"),
        ("runs", np.zeros(171, int), RUNS, "blocks:5:10"),
        ("runs", np.arange(171), None, "fewer than two"),
        ("blocks:1:2", RUNS, RUNS, "not understood"),
        ("blocks:5:-1", RUNS, RUNS, "not understood"),
        ("runs:2", RUNS, RUNS, "not understood"),
    ],
)
def test_splits_of_runs_are_refused_where_there_are_none(split, groups, runs, match):
    with pytest.raises(ValueError, match=match):
        folds(split, groups, runs=runs)
