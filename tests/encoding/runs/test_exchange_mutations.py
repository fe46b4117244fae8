"""Every field of an exported fit changed in many ways: each file is refused in one sentence, or opens and can be used."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest

from encoding import Store
from encoding.analysis.bootstrap import intervals_of
from encoding.runs.exchange import import_
from encoding.runs.manifest import BadExchange
from encoding.runs.report import report
from encoding.runs.table import all_runs, as_csv, open_run, short_name
from tests.encoding.runs.conftest import rewritten

N_MUTATIONS = int(os.environ.get("ENCODING_TEST_MUTATIONS", "25"))  # of the manifest, and as many of the arrays
MISSING = object()
VALUES = (
    MISSING, None, True, False, 0, -1, 3, 2**63, 10**400, 0.5, -1e308, math.nan, math.inf, "", "x", "1", "x" * 10_000, "<img src=x>",
    "![](http://evil/x.png)", "../../etc/passwd", "a\nb", "a\0b", "\ud800", "\u202etxt", [], ["x"], [1], [[]], ["x"] * 2_000, {}, {"x": 1},
    {"": ""}, [[[[[[[[[]]]]]]]]],
)  # fmt: skip


def places(value, path=()):
    """The path of every field of a manifest."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, child in children for deeper in places(child, (*path, key)))]


def set_at(path, value):
    def change(manifest, arrays):
        *parents, last = path
        for key in parents:
            manifest = manifest[key]
        if value is MISSING:
            manifest.pop(last)
        else:
            manifest[last] = value

    return change


ARRAY_CHANGES = {
    "missing": lambda array: None,
    "empty": lambda array: np.atleast_1d(array)[..., :0],
    "no numbers": lambda array: array.reshape(-1)[:0],
    "one more": lambda array: np.append(array, array.reshape(-1)[:1]),
    "one dimension more": lambda array: array[None],
    "a scalar": lambda array: array.reshape(-1)[0] if array.size else np.zeros((), array.dtype),
    "turned": lambda array: array.T if array.ndim > 1 else np.atleast_1d(array)[::-1],
    "float16": lambda array: array.astype(np.float16),
    "int8": lambda array: array.astype(np.int8),
    "uint64": lambda array: array.astype(np.uint64),
    "bool": lambda array: array.astype(bool),
    "float64": lambda array: array.astype(np.float64),
    "NaN": lambda array: np.full(array.shape, np.nan, np.float32),
    "infinite": lambda array: np.full(array.shape, np.inf, np.float32),
    "huge": lambda array: np.full(array.shape, np.iinfo(np.int64).max),
    "negative": lambda array: np.full(array.shape, -1, array.dtype) if array.dtype.kind != "u" else array + array.dtype.type(255),
    "huge of its kind": lambda array: np.full(array.shape, 1e30 if array.dtype.kind == "f" else np.iinfo(array.dtype).max, array.dtype),
}


def change_array(name, change):
    def apply(manifest, arrays):
        with np.errstate(all="ignore"):
            changed = ARRAY_CHANGES[change](arrays.pop(name))
        if changed is not None:
            arrays[name] = np.ascontiguousarray(changed)

    return apply


def use(file, store, with_report):
    """Import a file, and whatever a page or a command does with it."""
    key = import_(file, store).key
    result = open_run(key, Store(store.root))
    table = all_runs(store)
    assert not table["damaged"].any() and short_name(table.iloc[0]) and as_csv(table)
    assert result.plan.spec.to_command(full=True) and result.plan.spec.to_python() and len(result.rois())
    assert isinstance(result.prediction_refusal(), str) and isinstance(dict(result.origin), dict)
    if with_report:
        assert "<img src=x>" not in report([result], store)
    if intervals := intervals_of(result):
        assert int(intervals["df"]) > 0 and all(len(intervals[f"{hemi}_draws"]) > 1 for hemi in result.plan.hemis)
    if result.is_complete() and result.plan.readout is not None:
        for fold in range(len(result.plan.folds)):
            for group in result.plan.target_groups:
                result.model(group.name, fold).predict(np.zeros((1, len(result.model(group.name, fold).weights)), np.float32))


def check(exported, tmp_path, change, name, *, with_report=False):
    store = Store(tmp_path / "store")
    try:
        use(rewritten(exported, change), store, with_report)
    except BadExchange as error:
        assert len(str(error)) < 400 and "\n" not in str(error), f"{name}: {error}"
        assert not store.keys(), name
    except Exception as error:
        raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error


def sample(every):
    chosen = np.random.default_rng(0).permutation(len(every))[:N_MUTATIONS]
    return [every[i] for i in sorted(chosen)]


def test_any_field_of_the_manifest_may_be_anything(exported, tmp_path):
    seen = []
    rewritten(exported, lambda manifest, arrays: seen.extend(places(manifest)))
    for number, (path, value) in enumerate(sample([(path, value) for path in seen if path and path[:1] != ("files",) for value in VALUES])):
        check(exported, tmp_path / str(number), set_at(path, value), f"{path} = {str(value)[:30]!r}", with_report=True)


def test_any_array_may_be_any_other(exported, tmp_path):
    seen = []
    rewritten(exported, lambda manifest, arrays: seen.extend(arrays))
    for number, (name, change) in enumerate(sample([(name, change) for name in seen for change in ARRAY_CHANGES])):
        check(exported, tmp_path / str(number), change_array(name, change), f"{name}: {change}")


@pytest.mark.parametrize("name", ["version", "n_units", "df"])
@pytest.mark.parametrize("value", [np.zeros(()), np.array([2, 2]), np.array(-1), np.array(0), np.array(2**62)])
def test_numbers_of_intervals_are_possible_or_those_of_another_version(exported, tmp_path, name, value):
    def change(manifest, arrays):
        arrays[f"intervals.{name}"] = value

    check(exported, tmp_path, change, name)


@pytest.mark.parametrize("name", ["lh_value", "lh_rmse_low", "lh_r2_high"])
@pytest.mark.parametrize("values", [np.zeros(3), np.full(4, np.inf), np.full(4, 1e300), np.zeros(4, int), None])
def test_intervals_of_every_score_have_an_end_for_each_roi(exported, tmp_path, name, values):
    def change(manifest, arrays):
        assert arrays.pop(f"intervals.{name}").shape == (4,)
        if values is not None:
            arrays[f"intervals.{name}"] = values

    with pytest.raises(BadExchange, match=r"interval|no sound"):
        use(rewritten(exported, change), Store(tmp_path), with_report=False)


@pytest.mark.parametrize("text", ["{}", "[]", "null", "3", "", "{" * 5_000, "[" * 100_000, '{"format": "encoding-explorer-fit"}', "\xff"])
def test_a_manifest_that_is_none_is_refused(exported, tmp_path, text):
    from tests.encoding.runs.conftest import MANIFEST, members, zipped

    with pytest.raises(BadExchange):
        import_(zipped(members(exported) | {MANIFEST: text}), Store(tmp_path))
