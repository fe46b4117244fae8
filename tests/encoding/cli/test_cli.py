"""The command as a whole: wrong words, failures, and how it starts and ends from outside."""

import io
import json
import os
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from encoding import READOUTS
from encoding.backbones import NoWeights
from encoding.cli import _print, warnings_as_lines
from encoding.cli.terminal import Progress
from encoding.datasets import BadData
from encoding.storage.store import DamagedResult, StoreFull
from tests import PROJECT
from tests.conftest import TinySource
from tests.encoding.cli.words import TINY_FIT

# ---- words


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
        ([*TINY_FIT, "--split", "first:x"], "first:900 (so many stimuli, or groups of rows, train), runs (leaves out one run at a time)"),
        ([*TINY_FIT, "--split", "kfold:121:0"], "asks for 121 folds but there are only 120"),
        (["layers", "tinynets"], "Did you mean 'tinynet'?"),
        (["rois", "tinny", "subj01"], "Did you mean 'tiny'?"),
        (["list", "networks"], "invalid choice: 'networks'"),
        (["cache", "prune", "--stage", "wieghts"], "Unknown stage 'wieghts'. Did you mean 'weights'?"),
        (["cache", "prune", "--older", "-1"], "a number of days of 0 or more is needed, not '-1'"),
        (["cache", "prune", "--all", "--older", "3"], "--all removes every result"),
        (["simulate", "--out", "x"], "the following arguments are required: --layout"),
        (["cache"], "the following arguments are required: ACTION"),
        (["frobnicate"], "invalid choice: 'frobnicate' (choose from fit, "),
        (["fitt"], "invalid choice: 'fitt'. Did you mean 'fit'? (choose from fit, "),
        (["list", "backbone"], "invalid choice: 'backbone'. Did you mean 'backbones'?"),
        (["fit", "--layer-scaling", "zscores"], "invalid choice: 'zscores'. Did you mean 'zscore'?"),
        (["fit", "--datset", "demo"], "unrecognized arguments: --datset demo. Did you mean --dataset?"),
        (["cache", "prune", "--dryrun"], "unrecognized arguments: --dryrun. Did you mean --dry-run?"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_wrong_words_are_exit_code_2_and_say_what_could_be_meant(tiny, shell, words, message):
    code, out, err = shell(*words)
    assert code == 2 and out == ""
    assert err.splitlines()[-1].startswith("error: ") or "\nerror: " in "\n" + err
    assert message in err and "Traceback" not in err


def test_the_help_of_a_fit_names_every_kind_of_split(shell):
    out = shell("fit", "--help")[1]
    text = " ".join(out.split())
    kinds = ("holdout:FRACTION:SEED", "kfold:FOLDS:SEED", "first:N,", "runs,", "blocks:N:GAP", "named:NAME:TESTSET", "or all")
    assert all(kind in text for kind in kinds) and "first N different stimuli" in text


def test_no_words_show_the_help(shell):
    code, out, err = shell()
    assert code == 2 and out == "" and "first steps:" in err


@pytest.mark.parametrize("text", ["abc", "-1", "nan"])
def test_a_variable_that_cannot_be_used_is_named_and_only_where_it_is_used(tiny, shell, monkeypatch, text):
    monkeypatch.setenv("ENCODING_FEATURE_BUDGET", text)
    code, out, err = shell(*TINY_FIT)
    assert code == 2 and out == "" and "ENCODING_FEATURE_BUDGET cannot be used: A feature budget is a number of GB from 0" in err
    assert shell("fit", "--help")[0] == 0 and shell("list", "readouts")[0] == 0
    assert shell(*TINY_FIT, "--feature-budget", "none")[0] == 0


def test_the_variable_of_the_feature_budget_is_the_default(tiny, ask, shell, monkeypatch):
    monkeypatch.setenv("ENCODING_FEATURE_BUDGET", "0.5")
    assert "(default: 0.5)" in shell("fit", "--help")[1]
    assert ask(*TINY_FIT)["spec"]["feature_budget"] == 0.5
    assert ask(*TINY_FIT, "--feature-budget", "3")["spec"]["feature_budget"] == 3.0


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


def test_a_path_in_a_home_folder_that_does_not_exist_is_said_in_words(tiny, shell):
    code, out, err = shell("experiment", "run", "~nobody-of-this-name/grid.toml")
    assert code == 1 and out == "" and "home folder does not exist here. Write the whole path." in err and "--debug" not in err


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


# ---- text and warnings


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_no_text_fails_for_a_terminal_that_cannot_show_it(encoding, monkeypatch, shell):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    Progress(stream)(0.5, "Fläche → V1 Σ")
    Progress(stream).say("Σ")
    monkeypatch.setattr(sys, "stdout", stream)
    assert _print("R² → ∞", 0, Progress(io.StringIO())) == 0
    stream.flush()
    shown = raw.getvalue().decode(encoding)
    assert shown.splitlines()[-1] == {"ascii": "R? ? ?", "cp1252": "R² ? ?", "utf-8": "R² → ∞"}[encoding]


def test_warnings_are_one_line_each():
    stream = io.StringIO()
    with warnings_as_lines(Progress(stream)):
        for _ in range(2):
            warnings.warn("first\n  second", DamagedResult, stacklevel=1)
    assert stream.getvalue() == "warning: first second\n" * 2


# ---- from outside


def outside(*words, cwd, **environment):
    """Run a real shell command elsewhere."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])} | environment
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


def to_shell(command, *, cwd):
    """Run a line of bash, in which $ENCODING is the program."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])}
    env |= {"ENCODING": f"{shlex.quote(sys.executable)} -m encoding"}
    return subprocess.run(["bash", "-c", command], cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("words", ["list readouts", "list readouts --json", "list reedouts"])
@pytest.mark.parametrize("place", ["> /dev/full", ">&-"])
def test_an_answer_that_cannot_be_written_is_said_in_one_line(tmp_path, words, place):
    if place == "> /dev/full" and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    done = to_shell(f"$ENCODING {words} {place}", cwd=tmp_path)
    code = 2 if words == "list reedouts" else 1
    assert done.returncode == code and "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert code != 1 or ("error: Standard output cannot be written" in done.stderr and done.stderr.count("\n") == 1)


def test_messages_without_standard_error_are_no_failure(tmp_path):
    done = to_shell("$ENCODING list readouts --json 2>&-", cwd=tmp_path)
    assert done.returncode == 0 and json.loads(done.stdout)["readouts"]
    assert to_shell("$ENCODING list reedouts 2>&-", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize("module", ["numpy", "encoding.pipeline", "encoding.cli", "encoding.datasets"])
def test_ctrl_c_while_modules_are_loading_is_exit_code_130(tmp_path, module):
    code = f"""
import runpy, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
sys.argv = ["encoding", "list", "readouts"]
runpy.run_module("encoding", run_name="__main__")
"""
    done = outside("-c", code, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")


def test_a_reader_that_has_seen_enough_is_no_failure(tmp_path):
    command = f"{shlex.quote(sys.executable)} -m encoding list readouts | true; exit ${{PIPESTATUS[0]}}"
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and done.stderr == ""


@pytest.mark.parametrize("words", ["fit --out", "import", "doctor", "experiment run", "report fit-1 --out", "publish --out"])
def test_a_name_that_is_too_long_for_the_disk_is_said_in_a_sentence(shell, tmp_path, monkeypatch, words):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "cache"))
    code, _, wrong = shell(*words.split(), "x" * 300)
    assert code == 1 and "error: File name too long: " in wrong and "OSError" not in wrong
