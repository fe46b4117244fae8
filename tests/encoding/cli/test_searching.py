import json
import shlex
from dataclasses import replace

import pytest

from encoding import READOUTS, Store, fit
from encoding.analysis.hyperparameter_search import search
from encoding.cli import parser
from encoding.cli.spec_options import spec_from
from tests.encoding.analysis.searched_readouts import SIGNED, STEPPED, Signed, Stepped

SEARCH = ["search", *shlex.split(SIGNED.to_command())[4:]]


@pytest.fixture(autouse=True)
def cache(tiny, tmp_path, monkeypatch):
    """The planted data, readouts with a space, and an empty Store that commands use."""
    list(READOUTS)
    for readout in (Signed(), Stepped()):
        monkeypatch.setitem(READOUTS._members, readout.name, readout)
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    return Store(tmp_path / "cache")


def test_the_command_finds_what_the_function_finds(cache, shell):
    code, out, _ = shell(*SEARCH, "--trials", 12, "--json")
    document = json.loads(out)
    found = search(SIGNED, cache, n_trials=12)
    assert code == 0 and document["key"] == found.key
    assert document["best"] == found.best and document["value"] == pytest.approx(found.best_value)
    assert document["importances"] == found.importances and document["varied"] == ["alpha", "sign"]
    assert [trial["alpha"] for trial in document["trials"]] == list(found.trials["alpha"])


def test_the_command_that_is_printed_fits_with_the_best(cache, shell):
    code, out, _ = shell(*SEARCH, "--trials", 12)
    assert code == 0
    command = next(line for line in out.splitlines() if line.startswith("best")).removeprefix("best").strip()
    assert spec_from(parser().parse_args(shlex.split(command)[3:])) == search(SIGNED, cache, n_trials=12).best_spec
    best, *others = [line.split() for line in out.splitlines()[1:11]]
    assert float(best[1]) == max(float(line[1]) for line in (best, *others))
    assert "sign" in next(line for line in out.splitlines() if line.startswith("mattered"))


def test_fit_fits_the_best(cache, shell):
    code, out, _ = shell(*SEARCH, "--trials", 3, "--fit", "--json")
    document = json.loads(out)
    assert code == 0 and document["fit"]["spec"] == document["best_spec"]
    assert fit(search(SIGNED, cache, n_trials=3).best_spec, cache).key == document["fit"]["key"]
    assert shell(*SEARCH, "--trials", 3, "--fit")[1].count("driven") == 1


@pytest.mark.parametrize(("split", "several"), [(SIGNED.split, False), ("kfold:3:0", True)])
def test_a_search_says_whether_its_validation_images_are_tested_by_other_folds(cache, shell, split, several):
    words = [*SEARCH, "--split", split, "--trials", 2, "--fit"]
    _, out, _ = shell(*words)
    assert ("No test image is looked at." in out) == (not several)
    assert out.count("tested by the other folds") == several
    assert out.rstrip().splitlines()[-1].startswith("searched ") == several  # below the scores of the fit
    assert json.loads(shell(*words, "--json")[1])["validation_is_tested"] is several


def test_the_help_speaks_of_several_folds(shell):
    assert "tested by the other folds" in " ".join(shell("search", "--help")[1].split())


def test_set_vary_and_seed_reach_the_search(cache, shell):
    _, out, _ = shell(*SEARCH, "--set", "sign=-1", "--vary", "alpha", "--seed", 3, "--trials", 2, "--json")
    found = search(replace(SIGNED, options={"sign": -1}), cache, vary=["alpha"], seed=3, n_trials=2)
    assert json.loads(out)["key"] == found.key


def test_failed_and_pruned_trials_are_counted_and_explained(cache, shell):
    _, out, _ = shell(*SEARCH, "--set", "fails=true", "--trials", 8)
    assert "failed" in out and "failure   trial" in out and "FloatingPointError: negative" in out
    _, out, _ = shell("search", *shlex.split(STEPPED.to_command())[4:], "--trials", 12)
    assert "given up early" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trials", "0"], "a whole number of 1 or more is needed, not '0'"),
        (["--seed", "-1"], "--seed must be 0 or more, not -1"),
        (["--vary", "alhpa"], "Did you mean 'alpha'?"),
        (["--vary", "alpha", "--set", "alpha=3"], "alpha is set to 3, so it cannot be varied"),
        (["--readout", "ols"], "ols has no parameters to search. Readouts that have:"),
        (["--readout", "rigde"], "Did you mean 'ridge'?"),
        (["--layer", "pixel"], "Did you mean 'pixels'?"),
    ],
)
def test_wrong_words_end_with_two_and_say_what_could_be_meant(cache, shell, words, message):
    code, out, err = shell(*SEARCH, *words)
    assert code == 2 and not out and message in err
    assert not (cache.root / "search").exists()


def test_where_no_trial_gives_a_value_the_command_fails(shell):
    code, out, err = shell(*SEARCH, "--set", "fails=true", "--set", "sign=-1", "--vary", "alpha", "--trials", 2)
    assert code == 1 and not out and "None of 2 trials gave a value" in err


def test_the_cache_command_lists_and_prunes_trials_but_not_of_a_search_that_is_going_on(cache, shell):
    shell(*SEARCH, "--trials", 2)
    (path,) = cache.root.glob("search/*.db")
    listed = json.loads(shell("cache", "list", "--json")[1])["results"]
    assert {"key": path.stem, "stage": "search", "bytes": path.stat().st_size}.items() <= listed[-1].items()
    prune = ["cache", "prune", "--stage", "search"]
    with cache.lock(path.stem):
        assert f"Kept, as a fit or a search that is going on uses it: {path.stem}" in shell(*prune, "--dry-run")[1]
        document = json.loads(shell(*prune, "--json")[1])
        assert (document["removed"], document["in_use"], document["bytes"]) == ([], [path.stem], 0) and path.exists()
    n_bytes = path.stat().st_size
    document = json.loads(shell(*prune, "--json")[1])
    assert document["removed"] == [path.stem] and document["bytes"] == n_bytes and not path.exists()
