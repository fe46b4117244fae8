"""Fits that were sent are found, listed and marked in the shell."""

import numpy as np
import pytest

from encoding import Store
from tests.encoding.cli.words import TINY_FIT


@pytest.fixture
def sent(tiny, ask, tmp_path, monkeypatch):
    """The key of a fit that was exported from another Store, and the file."""
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "theirs"))
    key = ask(*TINY_FIT)["key"]
    ask("export", key, "--out", tmp_path / "fit.zip")
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "cache"))
    return key, tmp_path / "fit.zip"


def test_the_short_digits_of_an_imported_fit_find_it(sent, ask, shell, tmp_path):
    key = ask("import", sent[1])["key"]
    digits = key.removeprefix("imported-")[:6]
    assert ask("report", digits, "--out", tmp_path / "report.html")["keys"] == [key]
    code, _, err = shell("report", "ffffffffff", "--out", tmp_path / "none.html")
    assert code == 2 and "Unknown fit 'ffffffffff'." in err and key in err


def test_digits_that_begin_a_fit_and_an_imported_one_are_refused_with_both(sent, ask, shell, cache, tmp_path):
    imported = ask("import", sent[1])["key"]
    own = f"fit-{imported.removeprefix('imported-')[:6]}{'0' * 14}"
    cache.put(own, {"a": np.ones(1)}, {"spec": {}})
    code, _, err = shell("report", own.removeprefix("fit-")[:6], "--out", tmp_path / "report.html")
    assert code == 2 and "begins the keys of 2 fits" in err and own in err and imported in err


def test_an_import_of_a_fit_that_is_here_says_so_and_runs_marks_it(sent, ask, shell):
    own = ask(*TINY_FIT)["key"]
    assert own == sent[0]
    code, out, _ = shell("import", sent[1])
    assert code == 0 and f"here too   {own}: this Store has computed the same fit" in out
    assert ask("import", sent[1])["computed_here"] == own
    code, out, _ = shell("runs")
    digits = next(key for key in Store().keys() if key.startswith("imported-"))[9:15]  # noqa: SIM118
    assert f"{digits} (imported)" in out and own[4:10] in out and f"{own[4:10]} (imported)" not in out
