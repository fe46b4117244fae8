"""The import contracts: every entry of ``encoding/`` stands in a layer, and tests mirror the tree they test."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

from tests import PROJECT

CONTRACTS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def entries(package: str) -> set[str]:
    """Names of the modules and packages directly in a package of the project."""
    folder = PROJECT / package.replace(".", "/")
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    return modules | {path.name for path in folder.iterdir() if (path / "__init__.py").exists()}


@pytest.mark.parametrize(
    "contract", [contract for contract in CONTRACTS if contract["type"] == "layers"], ids=lambda one: one["containers"][0]
)
def test_every_entry_stands_in_a_layer(contract):
    layers = {name.strip() for layer in contract["layers"] for name in layer.split("|")}
    assert layers == entries(contract["containers"][0])


def test_the_contracts_hold():
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    run = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_a_module_in_no_layer_breaks_the_contract(tmp_path):
    """A package with one module outside its layers, under the same exhaustive contract."""
    package = tmp_path / "house"
    package.mkdir()
    for name in ("__init__", "ground", "roof", "shed"):
        (package / f"{name}.py").write_text("")
    (tmp_path / ".importlinter").write_text(
        "[importlinter]\nroot_package = house\n\n[importlinter:contract:1]\nname = floors\ntype = layers\n"
        "containers = house\nexhaustive = True\nlayers =\n    roof\n    ground\n"
    )
    code = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command; lint_imports_command()"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode and "shed" in run.stdout


def test_tests_mirror_the_tree():
    """Every folder of tests/encoding and tests/pages exists in the tree that it tests."""
    for top in ("encoding", "pages"):
        for folder in (PROJECT / "tests" / top).rglob("*"):
            if folder.is_dir() and folder.name != "__pycache__" and any(folder.glob("test_*.py")):
                assert (PROJECT / folder.relative_to(PROJECT / "tests")).is_dir(), folder
