"""Folders of data are written and examined."""

import pytest

from encoding import DATASETS
from encoding.runtime.progress import silent
from tests.conftest import TinyDataset
from tests.encoding.datasets.made2023 import made_subject


@pytest.fixture
def demo(monkeypatch):
    """A small subject in the place of the simulated one, which takes longer."""
    list(DATASETS)

    class Small(TinyDataset):
        def open(self, subject, store, report=silent):
            return made_subject(name=subject)

    monkeypatch.setitem(DATASETS._members, "demo", Small())


def test_a_simulated_subject_is_found_read_back_and_healthy(demo, ask, shell, tmp_path):
    out = tmp_path / "data" / "algonauts2023"
    document = ask("simulate", "--layout", "algonauts2023", "--out", out, "--subject", "subj03")
    assert document["folder"] == str(out / "subj03") and document["simulated"] is True
    listed = next(one for one in ask("list", "datasets")["datasets"] if one["name"] == "algonauts2023")
    assert listed["subjects"] == ["subj03"]
    rois = {(row["roi"], row["hemi"]): row["n_vertices"] for row in ask("rois", "algonauts2023", "subj03")["rois"]}
    assert rois == {(roi, hemi): len(columns) for hemi, found in made_subject().rois.items() for roi, columns in found.items()}
    assert ask("doctor", out)["healthy"] is True
    assert shell("doctor", out)[1].splitlines()[-1] == "Usable: no errors, 2 warnings."


def test_the_next_line_is_said_where_the_folder_has_the_layouts_name(demo, shell, tmp_path):
    words = ("simulate", "--layout", "algonauts2023", "--out")
    assert f"ENCODING_DATA_DIR={tmp_path} encoding-explorer" in shell(*words, tmp_path / "algonauts2023")[1]
    assert "ENCODING_DATA_DIR" not in shell(*words, tmp_path / "elsewhere")[1]


def test_simulating_over_what_is_there_is_refused(demo, shell, tmp_path):
    words = ("simulate", "--layout", "algonauts2023", "--out", tmp_path)
    assert shell(*words)[0] == 0
    code, _, err = shell(*words)
    assert code == 1 and f"error: {tmp_path / 'subj01'} exists already" in err


def test_the_doctor_fails_where_data_cannot_be_used_and_says_the_mend(demo, ask, shell, tmp_path):
    ask("simulate", "--layout", "algonauts2023", "--out", tmp_path)
    (tmp_path / "subj01" / "training_split" / "training_fmri" / "lh_training_fmri.npy").unlink()
    document = ask("doctor", tmp_path, code=1)
    errors = [finding for finding in document["findings"] if finding["level"] == "error"]
    assert document["healthy"] is False and any("lh_training_fmri.npy" in finding["what"] for finding in errors)
    code, out, _ = shell("doctor", tmp_path)
    assert code == 1 and out.splitlines()[-1].startswith("Not usable as it is: ")


def test_the_doctor_says_that_a_folder_holds_no_data(ask, tmp_path):
    (finding,) = ask("doctor", tmp_path, code=1)["findings"]
    assert "holds no subject" in finding["what"] and "subj01" in finding["fix"]
