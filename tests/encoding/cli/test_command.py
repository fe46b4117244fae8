"""Where answers are written is checked before any work."""

import os

import pytest

from encoding.cli.command import BadArguments, check_out_file, check_out_folder
from tests.encoding.cli.words import TINY_FIT

WITH_OUT = {
    "fit": TINY_FIT,
    "predict": ["predict", "fit-0", "--submission"],
    "export": ["export", "fit-0"],
    "report": ["report", "fit-0"],
    "publish": ["publish"],
    "simulate": ["simulate", "--layout", "algonauts2023"],
    "runs": ["runs"],
    "rank": ["rank", "fit-0", "--images", "."],
    "sweep": ["sweep", *TINY_FIT[1:]],
    "significance": ["significance", "fit-0"],
    "recipe": ["recipe", "run", "clips-best-layer"],
}


@pytest.mark.parametrize("command", WITH_OUT)
def test_an_impossible_place_is_refused_before_any_work(tiny, shell, tmp_path, monkeypatch, cache, command):
    def work(*arguments, **more):
        raise AssertionError("the work began")

    monkeypatch.setattr(type(tiny), "open", work)
    (tmp_path / "file").write_text("")
    code, _, err = shell(*WITH_OUT[command], "--out", tmp_path / "file" / "new" / "out.csv")
    assert code == 2 and "cannot be written" in err and "the work began" not in err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("check", [check_out_file, check_out_folder])
def test_a_folder_that_may_not_be_written_to_is_refused(tmp_path, check):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(BadArguments, match="may not write in"):
        check(tmp_path / "locked" / "out")


def test_a_folder_that_may_not_be_written_to_is_refused_whoever_runs_this(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(BadArguments, match=f"you may not write in {tmp_path}"):
        check_out_folder(tmp_path / "new" / "out")


@pytest.mark.parametrize("command", ["runs", "rank", "sweep", "significance"])
@pytest.mark.parametrize("name", ["out.xlsx", "out"])
def test_a_table_is_written_as_csv_under_no_other_name(tiny, shell, tmp_path, command, name):
    code, _, err = shell(*WITH_OUT[command], "--out", tmp_path / name)
    assert code == 2 and "must end in .csv" in err
