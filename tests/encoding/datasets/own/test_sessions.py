"""Sessions and runs that are taken from the files of several blocks, and sessions of a single row."""

from __future__ import annotations

import numpy as np
import pytest

from encoding import DATASETS
from encoding.datasets import BadData
from encoding.datasets.doctor import diagnose

N, V = 60, 3
Y = np.random.default_rng(0).normal(size=(N, 2 * V)).astype(np.float32)
NAMES = '[stimuli]\nnames = "names.txt"\n'
FILES = '[subjects.me]\nresponses = { lh = ["a.npy", "b.npy"], rh = ["c.npy", "d.npy"] }\n'
SCORED = {"sessions": NAMES + FILES + 'zscore = "session"\n', "runs": "[time]\ntr = 2.0\nzscore = true\n" + FILES}


@pytest.fixture
def folder(data_dir):
    """Sixty names, and the responses of each hemisphere in two files."""
    folder = data_dir / "mine"
    folder.mkdir(parents=True)
    (folder / "names.txt").write_text("\n".join(f"scene{i}" for i in range(N)))
    write(folder, 30, 30)
    return folder


def write(folder, *first):
    for names, n, part in zip(("ab", "cd"), first, (Y[:, :V], Y[:, V:]), strict=True):
        for name, rows in zip(names, (part[:n], part[n:]), strict=True):
            np.save(folder / f"{name}.npy", rows)


def opened(folder, store, text):
    (folder / "dataset.toml").write_text(text)
    return DATASETS["mine"].open("me", store)


@pytest.mark.parametrize("text", SCORED.values(), ids=SCORED)
def test_files_of_blocks_that_divide_the_rows_differently_are_refused(folder, store, text):
    for rows in opened(folder, store, text).responses.values():
        np.testing.assert_allclose(rows[:30].mean(0), 0, atol=1e-6)
    write(folder, 30, 20)
    with pytest.raises(BadData, match=r"those of lh have 30, 30 rows but those of rh have 20, 40 rows \(.*a\.npy, .*c\.npy\)"):
        opened(folder, store, text)
    assert any("20, 40 rows" in each.what and each.level == "error" for each in diagnose(folder, store))


def test_where_the_files_tell_nothing_they_may_divide_the_rows_as_they_like(folder, store):
    write(folder, 30, 20)
    np.save(folder / "days.npy", np.arange(N) // 20)
    for text in (NAMES + FILES, NAMES + FILES + 'zscore = "session"\nsessions = "days.npy"\n'):
        assert opened(folder, store, text).n_stimuli == N
    one = NAMES + '[subjects.me]\nresponses = { lh = "whole.npy", rh = ["c.npy", "d.npy"] }\nzscore = "session"\n'
    np.save(folder / "whole.npy", Y[:, :V])
    np.testing.assert_allclose(opened(folder, store, one).responses["lh"][:20].mean(0), 0, atol=1e-6)


def test_a_session_of_a_single_row_is_refused(folder, store):
    np.save(folder / "days.npy", np.r_[np.arange(N - 1) // 20, 9])
    text = NAMES + FILES + 'sessions = "days.npy"\n'
    assert opened(folder, store, text).n_stimuli == N
    with pytest.raises(BadData, match=r"days\.npy: row 59 \(counted from 0\) is alone in its session"):
        opened(folder, store, text + 'zscore = "session"\n')
    assert any("is alone in its session" in each.what and each.level == "error" for each in diagnose(folder, store))
    write(folder, 59, 59)
    with pytest.raises(BadData, match=r"a\.npy: row 59 \(counted from 0\) is alone"):
        opened(folder, store, NAMES + FILES + 'zscore = "session"\n')
