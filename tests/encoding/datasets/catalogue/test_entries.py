"""Laws of every entry of the catalogue, and what the loader refuses."""

import re

import pytest

from encoding.datasets import BadData
from encoding.datasets.catalogue import entries, find_entry
from encoding.datasets.catalogue.entry import FOLDER, read_entry
from encoding.runtime.registry import UnknownName
from tests import PROJECT

KAY = (FOLDER / "kay2008.toml").read_text()


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_an_entry_says_all_that_is_asked_first(entry):
    assert entry.page.startswith("http") and len(entry.citation) > 20
    assert entry.form or re.search(r"never|not", entry.seen), "what was never seen is said"
    if entry.form:
        assert not entry.files and "http" in entry.form
        return
    files = entry.remote_files(entry.subjects, tuple(entry.parts))
    assert len({file.name for file in files}) == len({file.address for file in files}) == len(files)
    one = entry.remote_files(*entry.check_choice((), ()))
    assert one and {file.subject for file in one} <= {"", entry.subjects[0]}
    assert sum(file.size for file in one) < 10e9 or " GB" in entry.about, "a large download is said in its first sentences"


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_an_entry_stands_in_the_table_of_the_docs(entry):
    name, *cells = entry.row.values()
    assert " | ".join([f"| `{name}`", *cells]) + " |\n" in (PROJECT / "docs" / "data_sets.md").read_text()


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("https://osf.io", "http://osf.io", "not an https address"),
        ("https://osf.io/ymnjv/download", "file:///etc/passwd", "not an https address"),
        ('name = "kay_images.npz"', 'name = "../kay.npz"', "no name for a file"),
        ('converter = "kay2008"', 'converter = "os"', "no converter"),
        ("about_bytes = 170_000_000", "", "needs bytes"),
        ("about_bytes = 170_000_000", 'bytes = 17\nmd5 = "xyz"', "32 hexadecimal digits"),
        ("licence =", "license =", "license"),
        ("seen =", "form = 'Sign it.'\nseen =", "either files to fetch, or form"),
        ("/ymnjv/", "/{session}/", "nothing says what {session} is"),
        ('subjects = ["S1"]', 'subjects = ["../S1"]', "a list of names"),
        ("about_bytes = 170_000_000", 'about_bytes = 17\nof = ["second"]', "among its parts"),
    ],
)
def test_an_entry_that_could_not_be_fetched_is_refused(tmp_path, old, new, match):
    assert old in KAY
    (tmp_path / "mine.toml").write_text(KAY.replace(old, new))
    with pytest.raises(BadData, match=match):
        read_entry(tmp_path / "mine.toml")


def test_files_of_sessions_and_subjects_are_listed_from_one_line(tmp_path):
    lines = (
        KAY.replace('["S1"]', '["a", "b"]')
        .replace("/ymnjv/", "/{subject}/{session}-{run}/")
        .replace("kay_images", "{subject}-{session}-{run}")
    )
    (tmp_path / "mine.toml").write_text(f"{lines}each = {{ session = ['x', 'y'], run = [1, 2, 3] }}\n")
    files = read_entry(tmp_path / "mine.toml").remote_files(("b",), ())
    assert [file.name for file in files] == [f"b-{session}-{run}.npz" for session in "xy" for run in (1, 2, 3)]
    assert files[-1].address == "https://osf.io/b/y-3/download" and {file.subject for file in files} == {"b"}


def test_a_name_that_is_not_there_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match="kay2008"):
        find_entry("kay2009")
    with pytest.raises(UnknownName, match="S1"):
        find_entry("kay2008").check_choice(("S2",), ())
