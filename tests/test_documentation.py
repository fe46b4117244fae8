"""The code of README.md and docs/ is run as it stands there."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import encoding
from encoding import BACKBONES, DATASETS, READOUTS, FitSpec, fit
from tests import PROJECT
from tests.conftest import TINY

README, EXTENDING = ((PROJECT / name).read_text() for name in ("README.md", "docs/extending.md"))
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md"))]


def example(path: str) -> str:
    """The code block that follows the mention of a file."""
    return re.search(rf"`{re.escape(path)}`.*?```python\n(.*?)```", EXTENDING, re.DOTALL)[1]


@pytest.fixture
def registries():
    """Forget what an example registered."""
    members = [DATASETS._members, READOUTS._members, BACKBONES.sources._members]
    list(DATASETS), list(READOUTS), list(BACKBONES)
    before = [dict(m) for m in members]
    yield
    for member, kept in zip(members, before, strict=True):
        member.clear()
        member.update(kept)


def run(path: str) -> None:
    """Import an example as if its file were there."""
    module = types.ModuleType(path.removesuffix(".py").replace("/", "."))
    exec(compile(example(path), path, "exec"), module.__dict__)


def test_the_backbone_can_be_fitted(registries, tiny, store):
    run("encoding/backbones/brightness.py")
    result = fit(FitSpec(dataset="tiny", backbone="brightness", layers=("grid",), n_components=0, split="holdout:0.75:5"), store)
    assert "brightness" in BACKBONES and np.isfinite(result.score("lh")).all()


def test_the_readout_can_be_fitted_and_is_each_components_own_slope(registries, tiny, store):
    run("encoding/readouts/marginal.py")
    from dataclasses import replace

    result = fit(replace(TINY, readout="marginal", layers=("colour",)), store)
    rows, Z = result.plan.folds[0].train, result.components()
    y = tiny.subject.responses["lh"][rows, 0]
    slope = np.polyfit(Z[rows, 1], y, 1)[0]
    assert result.model("lh").weights[1, 0] == pytest.approx(slope, rel=1e-3)


def test_the_data_set_can_be_fitted(registries, tiny, store, tmp_path, monkeypatch):
    monkeypatch.setenv("ENCODING_DATA_DIR", str(tmp_path))
    rng = np.random.default_rng(0)
    (tmp_path / "mine" / "images").mkdir(parents=True)
    pixels = rng.integers(0, 255, (40, 8, 8, 3), dtype=np.uint8)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / "mine" / "images" / f"{i:03d}.png")
    np.save(tmp_path / "mine" / "responses.npy", pixels.mean((1, 2)).astype(np.float32))
    run("encoding/datasets/mine.py")
    result = fit(
        FitSpec(dataset="mine", subject="me", backbone="tinynet", layers=("colour",), n_components=0, split="holdout:0.75:5"), store
    )
    assert (result.score("all") > 0.95).all()
    assert list(result.rois()["roi"]) == ["all"]


def test_the_page_shows_finished_fits(tiny, store, tmp_path, monkeypatch):
    from streamlit.testing.v1 import AppTest

    monkeypatch.setenv("ENCODING_CACHE_DIR", str(store.root))
    fit(TINY, store)
    page = AppTest.from_string(example("pages/views/90_finished.py")).run(timeout=20)
    assert not page.exception
    assert page.dataframe[0].value["backbone"].tolist() == ["tinynet"]


def run_in_a_process(code: str, folder: Path) -> str:
    """Run code in a process of its own, with ``folder`` as another installed package's; what it prints."""
    path = os.pathsep.join([str(folder), str(PROJECT)])
    environment = os.environ | {"PYTHONPATH": path, "ENCODING_DATA_DIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_another_package_adds_all_three_through_the_entry_points_that_are_shown(tmp_path):
    project = tomllib.loads(re.search(r"```toml\n(.*?)```", EXTENDING, re.DOTALL)[1])["project"]
    blocks = [example(f"encoding/{path}.py") for path in ("backbones/brightness", "readouts/marginal", "datasets/mine")]
    module = "\n".join(line for block in blocks for line in block.splitlines() if ".register(" not in line)
    [name] = {value.partition(":")[0] for group in project["entry-points"].values() for value in group.values()}
    (tmp_path / f"{name}.py").write_text(module)
    info = tmp_path / f"{name}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "\n".join(f"{key} = {value}" for key, value in its.items()) for group, its in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))
    code = "from encoding import BACKBONES, DATASETS, READOUTS; print(*(list(each) for each in (BACKBONES, DATASETS, READOUTS)))"
    listed = run_in_a_process(code, tmp_path)
    for added in ("brightness", "mine", "marginal"):
        assert f"'{added}'" in listed


def test_the_notebook_lines_are_the_names_that_exist():
    for name in re.search(r"from encoding import (.*)", README)[1].split(", "):
        assert hasattr(encoding, name)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_shell_lines_are_understood(path):
    from encoding.cli import parser

    for line in re.findall(r"^python -m encoding (.*)$", path.read_text(), re.MULTILINE):
        parser().parse_args(line.partition("#")[0].split())


def test_the_experiment_that_is_shown_can_be_run(tiny, store):
    """The grid of docs/experiments.md: its names are those that exist; the same grid over planted data runs to its end."""
    from dataclasses import replace

    from encoding.experiments import Experiment, run_experiment

    text = (PROJECT / "docs" / "experiments.md").read_text()
    grid = Experiment.from_toml(re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1])
    assert len(grid.cells()) == 2 * 3 * 2 and Experiment.from_toml(grid.to_toml()) == grid
    base = replace(grid.base, dataset="tiny", n_components=5, rois=("driven",), backbone="tinynet", split=TINY.split)
    vary = {name: values for name, values in grid.vary.items() if name not in ("subject", "backbone")}
    result = run_experiment(Experiment(base=base, vary=vary), store, device="cpu")
    assert result.status.count("done") == 4 and len(result.table()) == 4 * 2


def test_every_setting_that_may_vary_and_every_column_stands_in_its_table():
    from encoding.experiments.experiment import VARIABLE
    from encoding.experiments.table import COLUMNS, SPEC_COLUMNS, score_columns

    text = (PROJECT / "docs" / "experiments.md").read_text()
    assert [name for name in VARIABLE if f"`{name}`" not in text] == []
    assert [name for name in COLUMNS if name not in (*SPEC_COLUMNS, *score_columns()) and f"`{name}`" not in text] == []


def test_the_python_lines_of_experiments_are_python():
    text = (PROJECT / "docs" / "experiments.md").read_text()
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        compile(block, "docs/experiments.md", "exec")


CLUSTERS = PROJECT / "docs" / "clusters"


def test_the_files_for_clusters_start_workers_with_options_that_dask_has():
    """Each file is valid in its language, and its scheduler and workers are started as the tests of jobs start them."""
    from distributed.cli import dask_scheduler, dask_worker

    known = {
        kind: {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for kind, command in (("worker", dask_worker.main), ("scheduler", dask_scheduler.main))
    }
    shell, slurm = (CLUSTERS / "ssh_cluster.sh").read_text(), ast.parse((CLUSTERS / "slurm_cluster.py").read_text())
    assert subprocess.run(["bash", "-n", CLUSTERS / "ssh_cluster.sh"], check=False).returncode == 0
    pods = yaml.safe_load((CLUSTERS / "kubernetes.yaml").read_text())["spec"]
    commands = [pods[kind]["spec"]["containers"][0]["args"] for kind in ("worker", "scheduler")]
    commands += [match.replace("\\\n", " ").split() for match in re.findall(r"dask (?:worker|scheduler)(?:[^&'\\]|\\\n)*", shell)]
    call = next(node for node in ast.walk(slurm) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "SLURMCluster")
    extra = next(keyword.value for keyword in call.keywords if keyword.arg == "worker_extra_args")
    cores = next(keyword.value.value for keyword in call.keywords if keyword.arg == "cores")
    commands.append(["dask", "worker", "--nthreads", str(cores), *ast.literal_eval(extra)])
    assert [command[1] for command in commands] == ["worker", "scheduler", "scheduler", "worker", "worker"]
    for command in commands:
        assert {word for word in command if word.startswith("--")} <= known[command[1]]
        text = " ".join(command)
        if command[1] == "worker":
            assert all(part in text for part in ("--nthreads 1", "--resources fit=1", "--preload encoding.jobs.worker")), text
        else:
            assert "--protocol tls" in text and "--no-dashboard" in text


@pytest.mark.parametrize(
    "file", ["docs/shared_server.md", "docs/clusters/ssh_cluster.sh", "encoding/jobs/__init__.py", "encoding/jobs/scheduler.py"]
)
def test_workers_are_started_so_that_they_find_a_project_that_is_not_installed(file):
    lines = [line for line in (PROJECT / file).read_text().splitlines() if re.search(r"dask worker (tls|{)", line)]
    assert lines and all("python -m dask worker" in line for line in lines)


def test_the_options_of_the_slurm_cluster_exist():
    jobqueue = pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    call = next(
        node
        for node in ast.walk(ast.parse((CLUSTERS / "slurm_cluster.py").read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "SLURMCluster"
    )
    of_scheduler = ("protocol", "scheduler_options")
    options = {each.arg: ast.literal_eval(each.value) for each in call.keywords if each.arg not in of_scheduler}
    job = jobqueue.slurm.SLURMJob(scheduler="tls://head:8786", name="encoding", **options)
    assert "--preload encoding.jobs.worker" in job.job_script() and "--gres=gpu:1" in job.job_script()


def test_the_readme_shows_the_shell():
    assert len(re.findall(r"^python -m encoding ", README, re.MULTILINE)) >= 6


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path):
    text = path.read_text()
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (path.parent / target).exists(), target
    headings = {re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-") for line in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= headings


def test_every_data_set_and_readout_stands_in_its_table():
    data_sets, readouts = ((PROJECT / "docs" / name).read_text() for name in ("data_sets.md", "readouts.md"))
    built_in = [
        name
        for name, known in DATASETS.items()
        if type(known).__module__.startswith("encoding.datasets.") and "own" not in type(known).__module__
    ]
    assert [name for name in built_in if f"| `{name}` |" not in data_sets] == []
    assert [name for name in READOUTS if f"`{name}`" not in readouts.split("## ")[0]] == []


def test_both_commands_are_shown():
    assert "pip install -r requirements.txt && streamlit run app.py\n" in README
    assert "pip install -r requirements.txt -r tests/requirements.txt && pytest\n" in README
    assert sys.version_info >= (3, 11)
