"""The README's code is run as it stands there."""

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import encoding
from encoding import BACKBONES, DATASETS, READOUTS, FitSpec, fit
from tests.conftest import TINY

README = (Path(__file__).parents[1] / "README.md").read_text()


def example(path: str) -> str:
    """The code block that follows the mention of a file."""
    return re.search(rf"`{re.escape(path)}`.*?```python\n(.*?)```", README, re.DOTALL)[1]


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
    result = fit(FitSpec(dataset="mine", subject="me", backbone="tinynet", layers=("colour",), n_components=0), store)
    assert (result.score("all") > 0.95).all()
    assert list(result.rois()["roi"]) == ["all"]


def test_the_page_shows_finished_fits(tiny, store, tmp_path, monkeypatch):
    from streamlit.testing.v1 import AppTest

    monkeypatch.setenv("ENCODING_CACHE_DIR", str(store.root))
    fit(TINY, store)
    page = AppTest.from_string(example("pages/views/90_finished.py")).run(timeout=20)
    assert not page.exception
    assert page.dataframe[0].value["backbone"].tolist() == ["tinynet"]


def test_the_notebook_lines_are_the_names_that_exist():
    for name in re.search(r"from encoding import (.*)", README)[1].split(", "):
        assert hasattr(encoding, name)


def test_the_shell_lines_are_understood():
    from encoding.cli import parser

    lines = re.findall(r"^python -m encoding (.*)$", README, re.MULTILINE)
    assert len(lines) >= 6
    for line in lines:
        parser().parse_args(line.split())


def test_both_commands_are_shown():
    assert "pip install -r requirements.txt && streamlit run app.py\n" in README
    assert "pip install -r requirements.txt -r tests/requirements.txt && pytest\n" in README
    assert sys.version_info >= (3, 11)
