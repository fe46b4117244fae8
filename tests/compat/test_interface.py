"""Commands, flags, parameters of readouts and URL parameters of the first release are still accepted."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import json
from pathlib import Path

import pytest

from encoding.cli import parser
from encoding.readouts import READOUTS
from pages.parts.shared.former_links import FORMER_PARAMETERS
from tests import PROJECT

FIRST = json.loads((PROJECT / "tests" / "compat" / "interface.json").read_text())


def accepted(command: str) -> set[str]:
    """Option strings of a command such as ``cache prune``."""
    found = parser()
    for word in command.split():
        (commands,) = (action for action in found._actions if isinstance(action, argparse._SubParsersAction))
        found = commands.choices[word]
    return set(found._option_string_actions)


def url_parameters(folder: Path = PROJECT / "pages") -> set[str]:
    """Names that pages read from the URL: keys of bound widgets, and what is looked up in ``st.query_params``."""
    names: set[str] = set()
    for path in folder.rglob("*.py"):
        tree = ast.parse(path.read_text())
        constants = {
            target.id: node.value.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            keys: list[ast.expr | None] = []
            if isinstance(node, ast.Call):
                keywords = {keyword.arg: keyword.value for keyword in node.keywords}
                function = ast.unparse(node.func)
                keys += [keywords.get("key")] if "bind" in keywords or function in ("hemi_choice", "outline_control") else []
                keys += [value for name, value in keywords.items() if name and name.endswith("_key")]  # of a control that binds it
                keys += node.args[:1] if function in ("st.query_params.get", "st.query_params.get_all", "adopt_link", "write_link") else []
                settings = ("choose", "choose_several", "count", "enter", "pick", "switch", "_several", "linked_value")
                keys += [keywords["link"]] if "link" in keywords else node.args[1:2] if function in settings else []
            elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "st.query_params":
                keys.append(node.slice)
            names |= {key.value for key in keys if isinstance(key, ast.Constant)}
            names |= {constants[key.id] for key in keys if isinstance(key, ast.Name) and key.id in constants}
            names |= {key.values[0].value for key in keys if isinstance(key, ast.JoinedStr)}  # the fixed beginning of a name
    return names


@pytest.mark.parametrize("command", FIRST["flags"])
def test_every_flag_of_the_first_release_is_accepted(command):
    assert set(FIRST["flags"][command]) <= accepted(command)


@pytest.mark.parametrize("readout", FIRST["parameters"])
def test_every_parameter_of_a_readout_of_the_first_release_is_known(readout):
    assert set(FIRST["parameters"][readout]) <= {field.name for field in dataclasses.fields(READOUTS[readout].options)}


def test_every_url_parameter_of_the_first_release_is_read():
    assert set(FIRST["url"]) - set(FORMER_PARAMETERS) <= url_parameters()
    assert set(FORMER_PARAMETERS.values()) <= url_parameters()


def test_every_page_of_the_first_release_is_at_its_address():
    assert set(FIRST["pages"]) <= {path.stem.partition("_")[2] for path in (PROJECT / "pages" / "views").glob("*.py")}
