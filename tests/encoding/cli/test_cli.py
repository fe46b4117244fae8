import io
import json
import os
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from encoding import DATASETS, READOUTS, FitSpec, fit
from encoding.backbones import BACKBONES, NoWeights
from encoding.cli import _print, parser, warnings_as_lines
from encoding.cli.fitting import spec_from
from encoding.cli.terminal import Progress, file_size, table
from encoding.datasets import BadData
from encoding.runtime.durations import duration
from encoding.runtime.progress import silent
from encoding.storage.store import DamagedResult, Store, StoreFull
from tests import PROJECT
from tests.conftest import TINY, TinyDataset, TinySource
from tests.encoding.datasets.test_algonauts2023 import made_subject

ROOT = PROJECT
TINY_FIT = shlex.split(TINY.to_command())[3:]
KEYS = {"key", "spec", "cached", "seconds", "device", "n_train", "n_test", "rois"}
ROI_KEYS = {"roi", "hemi", "n_vertices", "r_mean", "r_median", "r2_mean", "rmse", "mae", "smooth_l1"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The Store that commands use: an empty one."""
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("ENCODING_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    return Store(tmp_path / "cache")


@pytest.fixture
def ask(shell):
    """Run a command with ``--json``; the one document that it prints."""

    def run(*words, code=0):
        found, out, err = shell(*words, "--json")
        assert found == code, err
        return json.loads(out)

    return run


def put(store, key, value=1.0):
    store.put(key, {"a": np.full(1000, value)}, {"spec": FitSpec().to_dict()})


def damage(store, key):
    path = store.path(key) / "a.npy"
    path.write_bytes(path.read_bytes()[:-8])


# ---- words


SPECS = [
    FitSpec(),
    FitSpec(backbone="torchvision/alexnet", layers=("features.1", "features.4"), weights="random:0", hemi="lh"),
    FitSpec(rois=("V1v", "V1d"), hemi="rh", n_components=0, split="kfold:5:0"),
    FitSpec(rois=("FFA-1",), readout="ols", weights="/a folder/with 'quotes'.pt"),
    FitSpec(options={"alpha": 10}),
    FitSpec(options={"alpha": 10.5, "n_folds": 3}, subject="subj02"),
    FitSpec(options={"alphas": (1.0, 10.0), "flag": True, "nothing": None}),
    FitSpec(options={"kernel": "rbf", "digits": "10", "truth": "true", "quoted": '"x"', "spaced": "a b=c", "empty": ""}),
    TINY,
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: " ".join(map(str, spec.changed().values())) or "default")
def test_the_command_of_a_spec_is_read_back_as_the_same_spec(spec):
    words = shlex.split(spec.to_command())
    assert words[:4] == ["python", "-m", "encoding", "fit"]
    found = spec_from(parser().parse_args(words[3:]))
    assert found == spec and hash(found) == hash(spec)
    assert {name: type(value) for name, value in found.options} == {name: type(value) for name, value in spec.options}


def test_rois_may_stand_before_other_options_and_be_given_twice():
    words = ["fit", "--roi", "V1v", "V1d", "--hemi", "lh", "--roi", "hV4", "V1v", "--json"]
    spec = spec_from(parser().parse_args(words))
    assert spec.rois == ("V1v", "V1d", "hV4") and spec.hemi == "lh"


def test_without_options_fit_means_the_default_spec():
    assert spec_from(parser().parse_args(["fit"])) == FitSpec()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit", "--set", "alpha"], "write NAME=VALUE, such as alpha=10, not 'alpha'"),
        (["fit", "--set", "alpha=1", "--set", "alpha=2"], "--set alpha is given twice"),
        (["fit", "--components", "-1"], "n_components must be 0 (no PCA) or more, not -1"),
        (["fit", "--components", "many"], "a whole number such as 100 is needed, not 'many'"),
        (["fit", "--hemi", "left side"], "another block of responses, or both; not 'left side'"),
        (["fit", "--comp", "3"], "unrecognized arguments: --comp 3"),
        (["fit", "--dataset", "tinny"], "Unknown dataset 'tinny'. Did you mean 'tiny'?"),
        (["fit", "--backbone", "tinynets"], "Unknown backbone 'tinynets'. Did you mean 'tinynet'?"),
        (["fit", "--backbone", "tinynet"], "tinynet needs --layer. Layers: pixels, colour."),
        ([*TINY_FIT, "--layer", "pixel"], "Unknown layer of tinynet 'pixel'. Did you mean 'pixels'?"),
        ([*TINY_FIT, "--readout", "rigde"], "Unknown readout 'rigde'. Did you mean 'ridge'?"),
        ([*TINY_FIT, "--set", "alpa=1"], "Unknown parameter of ridge 'alpa'. Did you mean 'alpha'?"),
        ([*TINY_FIT, "--set", "alpha=-1"], "alpha must be a number of 0 or more, not -1"),
        ([*TINY_FIT, "--set", "alpha=big"], "ridge cannot use alpha='big'. Its default: None"),
        ([*TINY_FIT, "--roi", "drivn"], "Unknown ROI of tiny subj01 'drivn'. Did you mean 'driven'?"),
        ([*TINY_FIT, "--split", "half"], "Split 'half' is not understood"),
        ([*TINY_FIT, "--split", "kfold:121:0"], "asks for 121 folds but there are only 120"),
        (["layers", "tinynets"], "Did you mean 'tinynet'?"),
        (["rois", "tinny", "subj01"], "Did you mean 'tiny'?"),
        (["list", "networks"], "invalid choice: 'networks'"),
        (["cache", "prune", "--stage", "wieghts"], "Unknown stage 'wieghts'. Did you mean 'weights'?"),
        (["cache", "prune", "--older", "-1"], "a number of days of 0 or more is needed, not '-1'"),
        (["cache", "prune", "--all", "--older", "3"], "--all removes every result"),
        (["simulate", "--out", "x"], "the following arguments are required: --layout"),
        (["cache"], "the following arguments are required: ACTION"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_wrong_words_are_exit_code_2_and_say_what_could_be_meant(tiny, shell, words, message):
    code, out, err = shell(*words)
    assert code == 2 and out == ""
    assert err.splitlines()[-1].startswith("error: ") or "\nerror: " in "\n" + err
    assert message in err and "Traceback" not in err


def test_no_words_show_the_help(shell):
    code, out, err = shell()
    assert code == 2 and out == "" and "first steps:" in err


# ---- fit


def test_fit_prints_one_document_with_the_keys_of_the_issue(tiny, shell, cache):
    code, out, _ = shell(*TINY_FIT, "--json")
    document = json.loads(out)
    assert code == 0 and set(document) >= KEYS
    assert document["n_train"] == 90 and document["n_test"] == 30 and document["cached"] is False
    assert document["spec"] == TINY.to_dict() and document["key"] in cache
    assert [(row["roi"], row["hemi"]) for row in document["rois"]][:3] == [("all", "lh"), ("all", "rh"), ("driven", "lh")]
    assert all(set(row) >= ROI_KEYS for row in document["rois"])
    empty = next(row for row in document["rois"] if row["roi"] == "empty")
    assert empty["n_vertices"] == 0 and empty["r_mean"] is None


def test_the_shell_and_a_notebook_give_the_same_numbers(tiny, ask, store):
    here = fit(TINY, store).summary()
    there = ask(*TINY_FIT)
    assert there["key"] == here["key"] and there["rois"] == here["rois"]


def test_the_same_fit_again_is_kept(tiny, ask):
    assert ask(*TINY_FIT)["cached"] is False
    assert ask(*TINY_FIT)["cached"] is True


def test_the_table_has_both_hemispheres_side_by_side_and_says_what_is_simulated(tiny, shell):
    document = json.loads(shell(*TINY_FIT, "--json")[1])
    r = {(row["roi"], row["hemi"]): row["r_mean"] for row in document["rois"]}
    code, out, _ = shell(*TINY_FIT)
    lines = out.splitlines()
    assert code == 0 and lines[0].split() == ["left", "right"]
    assert lines[1].split() == ["ROI", "vertices", "mean", "r", "vertices", "mean", "r"]
    assert ["driven", "5", f"{r['driven', 'lh']:.3f}", "5", f"{r['driven', 'rh']:.3f}"] in [line.split() for line in lines]
    assert ["empty", "0", "-", "0", "-"] in [line.split() for line in lines]
    assert "simulated: no brain was measured" in out and document["key"] in out
    assert len({len(line) for line in lines[1 : 1 + 5]}) == 1, "columns end together"


def test_the_ceiling_is_shown_where_it_is_known(tiny, shell):
    tiny.change(ceiling={hemi: np.full(10, 0.25, np.float32) for hemi in ("lh", "rh")})
    _, out, _ = shell(*TINY_FIT, "--roi", "driven", "--hemi", "rh")
    assert out.splitlines()[0].split() == ["right"]
    assert out.splitlines()[2].split()[-1] == "0.500"


def test_measured_responses_are_not_called_simulated(tiny, shell):
    tiny.change(simulated=False)
    assert "simulated" not in shell(*TINY_FIT)[1]


def test_out_writes_the_five_files(tiny, ask, tmp_path):
    document = ask(*TINY_FIT, "--out", tmp_path / "new" / "out")
    folder = Path(document["out"])
    assert {path.name for path in folder.iterdir()} == {"spec.json", "rois.csv", "vertices.parquet", "lh_r.npy", "rh_r.npy"}
    assert FitSpec.from_dict(json.loads((folder / "spec.json").read_text())["spec"]) == TINY
    expected = {(row["roi"], row["hemi"]): row["r_mean"] for row in document["rois"]}
    for row in pd.read_csv(folder / "rois.csv").itertuples():
        assert row.r_mean == pytest.approx(expected[row.roi, row.hemi], abs=1e-8) or row.n_vertices == 0
    vertices = pd.read_parquet(folder / "vertices.parquet")
    np.testing.assert_allclose(np.load(folder / "rh_r.npy"), vertices[vertices.hemi == "rh"].r, atol=1e-6)


def test_out_on_a_file_is_refused_before_any_work(tiny, shell, tmp_path, cache):
    (tmp_path / "file").write_text("mine")
    code, _, err = shell(*TINY_FIT, "--out", tmp_path / "file")
    assert code == 2 and "is a file; give a folder" in err
    assert cache.keys() == [] and (tmp_path / "file").read_text() == "mine"


def test_the_default_backbone_needs_no_layer_and_no_download(tiny, ask):
    document = ask("fit", "--dataset", "tiny", "--components", "10")
    assert document["spec"]["backbone"] == "gabor" and document["spec"]["layers"] == ["energy"]
    assert document["n_train"] == 108 and np.isfinite(document["rois"][0]["r_mean"])


# ---- failures


@pytest.mark.parametrize(
    "error",
    [
        BadData("lh_training_fmri.npy is cut short."),
        NoWeights("No weights of alexnet: put alexnet.pth into weights/."),
        StoreFull("No room left on the disk."),
    ],
)
def test_a_failure_is_its_message_and_exit_code_1(tiny, shell, monkeypatch, error):
    def fail(*arguments, **more):
        raise error

    monkeypatch.setattr(type(tiny), "open", fail)
    code, out, err = shell(*TINY_FIT)
    assert code == 1 and out == "" and err == f"error: {error}\n"


def test_an_unexpected_failure_is_named_and_debug_shows_where(tiny, shell, monkeypatch):
    monkeypatch.setattr(TinySource, "open", lambda *arguments: {}["gone"])
    code, _, err = shell(*TINY_FIT)
    assert code == 1 and "error: KeyError: 'gone'" in err and "--debug" in err and "Traceback" not in err
    code, _, err = shell(*TINY_FIT, "--debug")
    assert code == 1 and "Traceback" in err and "error: KeyError: 'gone'" in err


def test_a_value_error_in_the_middle_of_the_work_is_no_bad_argument(tiny, shell, monkeypatch):
    def fail(*arguments):
        raise ValueError("tensors do not fit")

    monkeypatch.setattr(TinySource, "open", fail)
    code, _, err = shell(*TINY_FIT)
    assert code == 1 and "error: ValueError: tensors do not fit" in err


def test_a_failure_with_json_is_one_document_too(tiny, shell):
    code, out, err = shell("fit", "--dataset", "tinny", "--json")
    document = json.loads(out)
    assert code == 2 and document["exit_code"] == 2 and f"error: {document['error']}" in err


def test_ctrl_c_says_that_finished_stages_are_kept(tiny, shell, monkeypatch, cache):
    def interrupt(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(READOUTS["ridge"], "fit", interrupt, raising=False)
    code, out, err = shell(*TINY_FIT)
    assert code == 130 and out == "" and err.splitlines()[-1].startswith("Interrupted. Finished stages are kept")
    assert {key.partition("-")[0] for key in cache.keys()} == {"probe", "features", "components", "moments"}  # noqa: SIM118


def test_a_damaged_result_is_one_line_on_standard_error(tiny, shell, cache):
    document = json.loads(shell(*TINY_FIT, "--json")[1])
    path = cache.path(document["key"]) / "lh_r.npy"
    path.write_bytes(path.read_bytes()[:-8])
    code, out, err = shell(*TINY_FIT, "--json")
    again = json.loads(out)
    assert code == 0 and again["cached"] is False and again["rois"] == document["rois"]
    warned = [line for line in err.splitlines() if "damaged" in line]
    assert len(warned) == 1 and warned[0].startswith("warning: ") and document["key"] in warned[0]


def test_what_a_library_prints_stays_off_standard_output(tiny, ask, monkeypatch):
    opened = tiny.open
    monkeypatch.setattr(tiny, "open", lambda *arguments: print("Downloading …") or opened(*arguments))
    assert ask(*TINY_FIT)["n_test"] == 30


# ---- listing


def test_every_member_of_each_registry_is_listed(tiny, ask):
    assert {one["name"] for one in ask("list", "datasets")["datasets"]} == set(DATASETS)
    assert {one["name"] for one in ask("list", "backbones")["backbones"]} == set(BACKBONES)
    ridge = next(one for one in ask("list", "readouts")["readouts"] if one["name"] == "ridge")
    assert {option["name"] for option in ridge["options"]} == {"alpha", "alphas", "n_folds"}


@pytest.mark.parametrize("kind", ["datasets", "backbones", "readouts"])
def test_lists_are_readable_too(tiny, shell, kind):
    code, out, _ = shell("list", kind)
    name = {"datasets": "tiny: Tiny (simulated: no brain was measured)", "backbones": "tinynet", "readouts": "ridge: Ridge"}[kind]
    assert code == 0 and any(line.startswith(name) for line in out.splitlines())


def test_layers_are_the_curated_ones_or_all(tiny, ask, monkeypatch):
    monkeypatch.setattr(TinySource, "every_layer", lambda self, network: ("conv", "pixels", "colour"))
    assert ask("layers", "tinynet") == {"backbone": "tinynet", "curated": True, "layers": ["pixels", "colour"]}
    assert ask("layers", "tinynet", "--all") == {"backbone": "tinynet", "curated": False, "layers": ["conv", "pixels", "colour"]}


def test_a_backbone_without_curated_layers_shows_all_and_says_so(tiny, shell, monkeypatch):
    monkeypatch.setattr(TinySource, "layers", lambda self, network: ())
    monkeypatch.setattr(TinySource, "every_layer", lambda self, network: ("conv",))
    code, out, err = shell("layers", "tinynet")
    assert code == 0 and out == "conv\n" and "all of its layers" in err


def test_rois_counts_each_hemisphere_and_an_empty_roi_is_zero(tiny, ask, shell):
    document = ask("rois", "tiny", "subj01")
    counts = {(row["roi"], row["hemi"]): row["n_vertices"] for row in document["rois"]}
    assert counts["driven", "lh"] == 5 and counts["empty", "rh"] == 0
    assert document["n_vertices"] == {"lh": 10, "rh": 10} and document["simulated"] is True
    _, out, _ = shell("rois", "tiny", "subj01")
    assert ["empty", "planted", "0", "0"] in [line.split() for line in out.splitlines()]


# ---- folders of data


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


# ---- cache


def test_cache_list_adds_up(ask, shell, cache):
    put(cache, "features-1")
    put(cache, "fit-2")
    document = ask("cache", "list")
    assert [one["key"] for one in document["results"]] == ["features-1", "fit-2"]
    assert document["bytes"] == sum(one["bytes"] for one in document["results"]) == cache.size("features-1") + cache.size("fit-2")
    assert "demo subj01, gabor energy, ridge" in shell("cache", "list")[1]


def test_cache_verify_removes_the_damaged_and_fails(ask, cache):
    put(cache, "fit-1")
    put(cache, "fit-2")
    assert ask("cache", "verify") == {"folder": str(cache.root), "checked": 2, "damaged": []}
    damage(cache, "fit-1")
    assert ask("cache", "verify", code=1)["damaged"] == ["fit-1"]
    assert cache.keys() == ["fit-2"]


def test_prune_without_a_choice_removes_only_the_damaged_and_what_is_left_over(ask, shell, cache):
    put(cache, "fit-1")
    put(cache, "fit-2")
    damage(cache, "fit-1")
    left = cache.path("fit-2").parent / ".writing-dead"
    left.mkdir()
    (left / "a.npy").write_bytes(bytes(100))
    os.utime(left, (0, 0))
    n_bytes = cache.size("fit-1") + 100
    would = ask("cache", "prune", "--dry-run")
    assert would["removed"] == ["fit-1"] and would["leftovers"] == 1 and would["bytes"] == n_bytes
    assert left.exists() and len(cache.keys()) == 2
    _, out, _ = shell("cache", "prune")
    assert f"Removed 1 damaged result and 1 left half written: {file_size(n_bytes)} freed" in out and "--older DAYS" in out
    assert not left.exists() and cache.keys() == ["fit-2"]


@pytest.mark.parametrize(
    ("choice", "kept"),
    [
        (["--stage", "features"], ["fit-old", "fit-new"]),
        (["--older", "30"], ["features-new", "fit-new"]),
        (["--older", "30", "--stage", "fit"], ["features-old", "features-new", "fit-new"]),
        (["--all"], []),
    ],
    ids=" ".join,
)
def test_prune_removes_what_is_chosen_and_says_the_bytes(ask, cache, choice, kept):
    every = ["features-old", "fit-old", "features-new", "fit-new"]
    for key in every:
        put(cache, key)
        if key.endswith("old"):
            os.utime(cache.path(key) / "provenance.json", (0, 0))
    size = {key: cache.size(key) for key in every}
    would = ask("cache", "prune", *choice, "--dry-run")
    assert set(cache.keys()) == set(every)
    done = ask("cache", "prune", *choice)
    assert set(cache.keys()) == set(kept) and would["removed"] == done["removed"]
    assert done["bytes"] == sum(size[key] for key in every if key not in kept) == would["bytes"]


# ---- terminal


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_plain_lines_come_at_most_once_a_second():
    clock, stream = Clock(), io.StringIO()
    progress = Progress(stream, clock=clock)
    for step in range(101):
        clock.now = step / 20
        progress(step / 100, f"step {step}")
    progress.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 6 and lines[0] == "  0 %  step 0" and lines[-1].startswith("100 %  step 100")
    assert "\r" not in stream.getvalue()
    assert lines[2] == " 40 %  step 40, about 3 s left"


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()


def test_a_terminal_gets_one_bar_that_goes_away(terminal):
    progress = Progress(terminal)
    for step in range(51):
        progress(step / 100, "extracting [features]")
    progress.say("warning: something")
    progress.close()
    drawn, _, after = terminal.getvalue().partition("warning: something\n")
    assert "extracting [features]" in drawn and " 50%" in drawn and after == ""
    assert drawn.count("\n") == drawn.count("\x1b[1A"), "every line that was drawn is taken back"


def test_a_terminal_that_can_draw_nothing_gets_lines(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    Progress(terminal, clock=Clock())(0.5, "half")
    assert terminal.getvalue() == " 50 %  half\n"


def test_progress_never_goes_back():
    clock, stream = Clock(), io.StringIO()
    progress = Progress(stream, clock=clock)
    for clock.now, fraction in ((0, 0.4), (1, 0.1), (2, 1.7)):
        progress(fraction, "")
    assert [line.split()[0] for line in stream.getvalue().splitlines()] == ["40", "40", "100"]


def test_time_left_ignores_what_was_found_done_already():
    clock, stream = Clock(), io.StringIO()
    progress = Progress(stream, clock=clock)
    clock.now = 0.2
    progress(0.5, "")  # half of the work in a fifth of a second: it was kept from before
    for step in range(1, 21):
        clock.now = 0.2 + step
        progress(0.5 + step / 100, "")
    assert stream.getvalue().splitlines()[-1] in (" 70 %  , about 30 s left", " 70 %  , about 31 s left"), "rounded up"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_no_text_fails_for_a_terminal_that_cannot_show_it(encoding, monkeypatch, shell):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    Progress(stream)(0.5, "Fläche → V1 Σ")
    Progress(stream).say("Σ")
    monkeypatch.setattr(sys, "stdout", stream)
    _print("R² → ∞")
    stream.flush()
    shown = raw.getvalue().decode(encoding)
    assert shown.splitlines()[-1] == {"ascii": "R? ? ?", "cp1252": "R² ? ?", "utf-8": "R² → ∞"}[encoding]


def test_columns_are_aligned():
    text = table(["a", "count"], [["long name", "1"], ["b", "1,000"]], align="<>", groups=[("", 1), ("mid", 1)])
    assert text == "            mid\na          count\nlong name      1\nb          1,000"


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (3900, "1 h 05 min")])
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(("n_bytes", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (3_400_000, "3.4 MB"), (5e12, "5,000.0 GB")])
def test_sizes_read_well(n_bytes, text):
    assert file_size(int(n_bytes)) == text


def test_warnings_are_one_line_each():
    stream = io.StringIO()
    with warnings_as_lines(Progress(stream)):
        for _ in range(2):
            warnings.warn("first\n  second", DamagedResult, stacklevel=1)
    assert stream.getvalue() == "warning: first second\n" * 2


# ---- from outside


def outside(*words, cwd, **environment):
    """Run a real shell command elsewhere."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])} | environment
    return subprocess.run([sys.executable, *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_help_and_lists_load_no_torch(tmp_path):
    code = """
import sys
from encoding.cli import main
for words in ("--help", "fit --help", "list datasets", "list backbones", "list readouts", "layers gabor", "cache list"):
    assert main(words.split()) == 0, words
heavy = {"torch", "torchvision", "nilearn", "sklearn", "pandas", "dask", "distributed", "streamlit"} & set(sys.modules)
assert not heavy, heavy
"""
    done = outside("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout and "--roi V1v V1d" in done.stdout


def test_the_module_runs_from_any_folder(tmp_path):
    done = outside("-m", "encoding", "list", "readouts", "--json", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    assert {one["name"] for one in json.loads(done.stdout)["readouts"]} == set(READOUTS)


def test_a_wrong_name_leaves_the_process_with_2(tmp_path):
    done = outside("-m", "encoding", "fit", "--readout", "rigde", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: Unknown readout 'rigde'. Did you mean 'ridge'? Known: ") and done.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_failure(tmp_path):
    command = f"{shlex.quote(sys.executable)} -m encoding list readouts | true; exit ${{PIPESTATUS[0]}}"
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and done.stderr == ""
