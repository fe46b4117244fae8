"""Words of ``fit`` are read as people write them."""

from __future__ import annotations

import argparse

import pytest

from encoding import FitSpec
from encoding.cli.command import whole_number
from encoding.cli.fitting import option


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10), (".5", 0.5), ("1.", 1.0), ("+1", 1), ("1e-3", 1e-3), ("-2", -2), ("None", None), ("null", None), ("True", True),
        ("true", True), ("1,10", (1, 10)), ("[1, 10]", [1, 10]), ("(.1, 1.)", (0.1, 1.0)), ("roi", "roi"), ("'roi'", "roi"), ("1_0", 10),
        ("", ""), ("a=b", "a=b"), ("(" * 10_000, "(" * 10_000),
    ],
)  # fmt: skip
def test_values_are_read_as_json_or_as_python_writes_them(text, value):
    assert option(f"alpha={text}") == ("alpha", value)


@pytest.mark.parametrize("hemi", ["left", "brain", "lh", "both"])
def test_any_block_can_be_named_and_planning_decides_whether_it_is_there(hemi):
    assert FitSpec.from_dict(FitSpec(hemi=hemi).to_dict()).hemi == hemi
    for wrong in ("", "l h", "--x"):
        with pytest.raises(ValueError, match="hemi must be lh, rh, another block"):
            FitSpec(hemi=wrong)


@pytest.mark.parametrize(("text", "number"), [("100", 100), ("1e2", 100), ("100.0", 100), (" 16 ", 16), ("-1", -1), ("9" * 19, 10**19 - 1)])
def test_a_whole_number_is_read_as_people_write_it(text, number):
    assert whole_number(text) == number


@pytest.mark.parametrize("text", ["1.5", "1,5", "ten", "", "nan", "inf", "1e400", "0x10"])
def test_what_is_no_whole_number_is_refused_with_an_example(text):
    with pytest.raises(argparse.ArgumentTypeError, match="a whole number such as 100 is needed"):
        whole_number(text)


def test_fit_shows_another_score_with_its_interval(tiny, shell, tmp_path, monkeypatch):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "cache"))
    words = ["fit", "--dataset", "tiny", "--backbone", "tinynet", "--layer", "pixels", "--components", "0", "--split", "kfold:3:0"]
    code, out, _ = shell(*words, "--score", "pooled_r")
    assert code == 0 and "mean r, pooled" in out and "95 % from" in out and "One r over the predictions of all 3 folds together" in out
    code, out, _ = shell(*words[:-1], "holdout:0.75:5", "--score", "pooled_r")
    assert code == 0 and "one fold, of which pooled r is r" in out
    code, _, wrong = shell(*words, "--score", "normalised_r2")
    assert code and "needs a noise ceiling" in wrong
