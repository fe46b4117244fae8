"""Where a fold tests a single group, such as one run, nothing has an interval: every page says so, and none says nan."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from encoding import fit
from encoding.analysis.bootstrap import interval_note, roi_intervals
from encoding.analysis.comparison import compare, verdict
from encoding.runs.report import how_it_was_tested, roi_ends
from tests.conftest import TINY

SPEC = replace(TINY, split="kfold:8:0")
ONE = {"dataset": "tiny", "subject": "subj01", "backbone": "tinynet", "layer": "pixels", "components": "0", "split": "kfold:8:0"}
SWEEP = {"dataset": "tiny", "subject": "subj01", "backbones": "tinynet", "components": "0", "split": "kfold:8:0"}


@pytest.fixture
def fitted(tiny, store):
    tiny.change(groups=np.arange(120) // 15, stimulus_ids=np.arange(120))
    results = [fit(replace(SPEC, layers=(layer,)), store, device="cpu") for layer in ("pixels", "colour")]
    for result in results:
        roi_intervals(result)
    return results


def texts(page) -> str:
    return " ".join(each.value for each in [*page.markdown, *page.caption, *page.info, *page.warning, *page.title, *page.header])


@pytest.mark.parametrize(
    ("view", "link", "words"),
    [
        ("10_explore", ONE, "There is no interval: a fold tests a single group"),
        ("30_layers", SWEEP, "There are no intervals and no tests: a fold tests a single group"),
        ("30_layers", SWEEP | {"on_brain": "best layer"}, "a fold tests a single group"),
        ("40_compare", {}, "no interval and no p: a fold tests a single group"),
        ("25_region", {"dataset": "tiny", "subject": "subj01", "roi": "driven"}, "it has no interval"),
    ],
)
def test_a_page_says_why_there_is_no_interval_and_never_nan(open_page, fitted, view, link, words):
    if view == "40_compare":
        link = {"a": fitted[0].key, "b": fitted[1].key}
    page = open_page(view, **link)
    page.run()
    said = texts(page)
    assert not page.exception and words in said
    assert not re.search(r"\bnan\b", said), said


def test_a_difference_is_said_without_a_test(fitted):
    comparison = compare(*fitted)
    assert not comparison.tested and "has the better score in" in verdict(comparison)
    assert "a fold tests a single group" in how_it_was_tested(comparison)
    assert roi_ends(fitted[0]) == {} and interval_note(fitted[0]).endswith("such as one run.")


def test_the_shell_says_it_too(fitted, store, shell, monkeypatch):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(store.root))
    words = ("--dataset", "tiny", "--components", 0, "--split", "kfold:8:0")
    code, out, err = shell("sweep", *words, "--backbone", "tinynet", "--all-layers", "--device", "cpu")
    assert code == 0, err
    assert "nan" not in out and "There are no intervals and no tests" in out
