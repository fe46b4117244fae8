"""The leaderboard of a class: hidden images, their scores, and whose entry counts."""

from __future__ import annotations

import numpy as np
import pytest

from encoding.datasets.simulation import scenes
from encoding.lessons import leaderboard as module
from encoding.lessons.leaderboard import Entry, Hidden, Leaderboard
from encoding.storage.store import DamagedResult


def entry(r=0.3, name="", key="fit-1"):
    return Entry(name, key, "gabor energy", r, r - 0.1, r + 0.1)


def test_a_secret_seed_draws_images_that_no_fit_was_given_and_the_signal_of_the_same_cortex():
    hidden, drawn = Hidden.draw("subj01", 7, n=3), scenes.scenes(3, seed=7)
    assert np.array_equal(np.asarray(hidden.stimuli[2]), drawn.images[2])
    assert set(hidden.measured) == {"lh", "rh"} and all(np.isfinite(values).all() for values in hidden.measured.values())


def test_the_score_is_the_mean_of_corrcoef_and_vertices_without_a_prediction_count_as_0():
    rng = np.random.default_rng(0)
    measured = {"lh": rng.standard_normal((40, 3)), "rh": rng.standard_normal((40, 2))}
    predicted = {hemi: values + rng.standard_normal(values.shape) for hemi, values in measured.items()}
    predicted["lh"][:, 1] = np.nan
    hidden = Hidden(list(range(40)), measured)
    each = {(hemi, i): np.corrcoef(predicted[hemi][:, i], measured[hemi][:, i])[0, 1] for hemi in measured for i in range(2)}
    each |= {("lh", 2): np.corrcoef(predicted["lh"][:, 2], measured["lh"][:, 2])[0, 1], ("lh", 1): 0.0}
    r, low, high = hidden.score(predicted)
    assert r == pytest.approx(np.mean(list(each.values()))) and low < r < high
    left, *_ = hidden.score({"lh": predicted["lh"]})
    assert left == pytest.approx(sum(value for (hemi, _), value in each.items() if hemi == "lh") / 5)


def test_the_last_entry_counts_in_order_of_r_also_after_a_restart(tmp_path):
    board = Leaderboard(tmp_path / "b")
    board.enter("ann", entry(0.5))
    board.enter("bob", entry(0.4, name=" Bob "))
    board.enter("ann", entry(0.2))
    for each in (board, Leaderboard(tmp_path / "b")):
        assert [(row.name, row.r) for row in each.table()] == [("Bob", 0.4), ("Student 1", 0.2)]
        assert each.seed == board.seed and each.n_left("ann") == module.MOST_ENTRIES - 2 and each.n_left("eve") == module.MOST_ENTRIES
    assert Leaderboard(tmp_path / "other").seed != board.seed


def test_a_student_cannot_enter_without_end_nor_under_a_long_name_and_a_full_disk_keeps_nothing(tmp_path, monkeypatch):
    board = Leaderboard(tmp_path)
    with pytest.raises(ValueError, match="24 characters"):
        board.enter("ann", entry(name="a" * 25))
    with monkeypatch.context() as broken:
        broken.setattr(module, "atomic_file", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            board.enter("ann", entry())
    assert not board.table()
    for _ in range(module.MOST_ENTRIES):
        board.enter("ann", entry())
    with pytest.raises(ValueError, match="all that a student may enter"):
        board.enter("ann", entry())


def test_two_servers_on_one_folder_keep_each_others_entries(tmp_path):
    first, second = Leaderboard(tmp_path), Leaderboard(tmp_path)
    first.enter("ann", entry(0.5))
    second.enter("bob", entry(0.4))
    second.enter("ann", entry(0.2))
    for each in (first, second, Leaderboard(tmp_path)):
        assert [(row.name, row.r) for row in each.table()] == [("Student 2", 0.4), ("Student 1", 0.2)]
        assert each.seed == first.seed and each.n_left("ann") == module.MOST_ENTRIES - 2


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '{"seed": 3}', '{"seed": 3, "entries": {"ann": [{"name": "x"}]}}', "\xff"])
def test_a_damaged_file_is_moved_aside_and_the_board_begins_anew(tmp_path, text):
    board = Leaderboard(tmp_path)
    board.enter("ann", entry())
    (tmp_path / "leaderboard.json").write_bytes(text.encode("latin1"))
    with pytest.warns(DamagedResult, match="begins anew"):
        again = Leaderboard(tmp_path)
    assert not again.table() and again.n_left("ann") == module.MOST_ENTRIES
    again.enter("ann", entry(0.2))
    assert [row.r for row in Leaderboard(tmp_path).table()] == [0.2] and Leaderboard(tmp_path).seed == again.seed
    assert (tmp_path / "leaderboard.damaged").read_bytes() == text.encode("latin1")
