"""The import contracts: every entry of ``encoding/`` stands in a layer, and tests mirror the tree they test."""

from __future__ import annotations

import ast
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


def test_public_functions_classes_and_methods_are_documented():
    """By themselves, or by the class of this project whose method they override."""
    trees = {path: ast.parse(path.read_text()) for path in (PROJECT / "encoding").rglob("*.py")}
    classes = {node.name: node for tree in trees.values() for node in tree.body if isinstance(node, ast.ClassDef)}

    def documented(owner: ast.ClassDef, name: str) -> bool:
        own = [node for node in owner.body if isinstance(node, ast.FunctionDef) and node.name == name]
        bases = [ast.unparse(base).partition("[")[0] for base in owner.bases]
        inherited = [documented(classes[base], name) if base in classes else base not in ("ABC", "Protocol") for base in bases]
        return any(map(ast.get_docstring, own)) or any(inherited)

    missing = []
    for path, tree in trees.items():
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            missing += [] if ast.get_docstring(node) else [f"{path}: {node.name}"]
            methods = node.body if isinstance(node, ast.ClassDef) else []
            names = {each.name for each in methods if isinstance(each, ast.FunctionDef) and not each.name.startswith("_")}
            missing += [f"{path}: {node.name}.{name}" for name in sorted(names) if not documented(node, name)]
    assert missing == []


@pytest.mark.parametrize("top", ["encoding", "pages"])
def test_numbers_written_with_their_sign_have_no_minus_before_0(top):
    """A sign is asked for together with the option that drops it where a number rounds to 0; Plotly's own formats are no f-strings."""
    wrong = []
    for path in (PROJECT / top).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            spec = node.format_spec.values if isinstance(node, ast.FormattedValue) and node.format_spec else []
            text = "".join(str(each.value) for each in spec if isinstance(each, ast.Constant))
            if text.startswith("+") and text.endswith("f") and "z" not in text:
                wrong.append(f"{path.relative_to(PROJECT)}:{node.lineno} {text}")
    assert not wrong
