"""A proposed ``dataset.toml``: lines with reasons, open choices, and what is missing with the line that would give it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from encoding.datasets._base import BadData
from encoding.datasets.own.description import FILE
from encoding.datasets.own.sections import toml_key, toml_value
from encoding.runtime.registry import UnknownName, unknown


@dataclass(frozen=True)
class Line:
    """One line of the proposal: the value of ``key`` in the table ``table``, and why. Paths are absolute."""

    table: str
    key: str
    value: Any
    why: str


@dataclass(frozen=True)
class Choice:
    """Something that the folder leaves open.

    Attributes
    ----------
    key : by which an answer is given, such as ``sub-01.responses``. options : answer to what it means.
    is_needed : whether there can be no description without it.
    """

    key: str
    question: str
    options: Mapping[str, str]
    is_needed: bool = True


@dataclass(frozen=True)
class Missing:
    """Something that was not found, and the line that would give it."""

    what: str
    line: str
    is_needed: bool = False


@dataclass
class Proposal:
    """A description of a folder as far as the folder itself gives it.

    Attributes
    ----------
    notes : what else was seen, such as files that are not used or cannot be read.
    """

    folder: Path
    lines: list[Line] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether :meth:`toml` describes a data set; False while a choice is open or something needed is missing."""
        return bool(self.lines) and not any(each.is_needed for each in (*self.choices, *self.missing))

    def toml(self, target: Path | None = None) -> str:
        """The lines as text, each below its reason.

        Parameters
        ----------
        target : where it will stand, by default in the folder itself: paths below its folder are relative, others absolute.
        """
        home = (target or self.folder / FILE).parent
        text = [f"# Proposed from {self.folder.name}; check it with: python -m encoding doctor {home.name}"]
        for table in dict.fromkeys(line.table for line in self.lines):
            text += ["", f"[{table}]"] if table else [""]
            for line in self.lines:
                if line.table == table:
                    text += [f"# {' '.join(line.why.split())}", f"{toml_key(line.key)} = {toml_value(relative(line.value, home))}"]
        return "\n".join(text) + "\n"


class Answers:
    """Answers to choices by key. Those that no choice asks for are found by :meth:`check_all_asked`."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given, self._asked = dict(given), set()

    def given(self, key: str, options: Sequence[str] | None = None) -> str | None:
        """The answer to a choice, None where there is none; UnknownName where it is none of the options."""
        if options is not None:
            self._asked.add(key)
            if key in self._given and self._given[key] not in options:
                raise UnknownName(unknown(f"answer to {key}", self._given[key], options))
        return self._given.get(key)

    def check_all_asked(self) -> None:
        """Raise UnknownName for an answer to something that is not open."""
        for key in self._given:
            if key not in self._asked:
                raise UnknownName(unknown("choice", key, sorted(self._asked)))


@dataclass
class Draft:
    """The part of a proposal that is about one subject, named ``name``."""

    proposal: Proposal
    answers: Answers
    name: str

    def add(self, key: str, value: Any, why: str) -> None:
        """Add a line to the subject's table."""
        self.proposal.lines.append(Line(f"subjects.{toml_key(self.name)}", key, value, why))

    def has(self, *keys: str) -> bool:
        """Whether the subject's table has one of some keys."""
        return any(line.table == f"subjects.{toml_key(self.name)}" and line.key in keys for line in self.proposal.lines)

    def choose(
        self, key: str, question: str, options: Mapping[str, str], *, decided: str | None = None, is_needed: bool = True
    ) -> str | None:
        """The answer to a choice, else what the folder itself has ``decided``; without either, list the choice and return None."""
        answer = self.answers.given(f"{self.name}.{key}", list(options)) or decided
        if answer is None:
            self.proposal.choices.append(Choice(f"{self.name}.{key}", question, options, is_needed))
        return answer

    def lacks(self, what: str, line: str, *, is_needed: bool = False) -> None:
        """Add something that was not found."""
        self.proposal.missing.append(Missing(what, line, is_needed))

    def note(self, text: str) -> None:
        """Add a remark, once."""
        if text not in self.proposal.notes:
            self.proposal.notes.append(text)


def write(proposal: Proposal, target: Path) -> Path:
    """Write a complete proposal to a new file.

    Raises
    ------
    BadData where the proposal is not complete. FileExistsError where there is a file: none is written over.
    """
    if not proposal.is_complete:
        reasons = [f"choose {each.key} ({', '.join(each.options)})" for each in proposal.choices if each.is_needed]
        reasons += [each.what for each in proposal.missing if each.is_needed]
        raise BadData(f"There is no description of {proposal.folder} yet: {'; '.join(reasons)}")
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(proposal.toml(target.resolve()))
    except FileExistsError as error:
        raise FileExistsError(f"{target} exists and is not written over. Name another folder with --out, or move it away.") from error
    return target


def relative(value: Any, home: Path) -> Any:
    """Paths as TOML has them: below ``home`` relative to it."""
    if isinstance(value, Mapping):
        return {key: relative(each, home) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [relative(each, home) for each in value]
    if isinstance(value, Path):
        return value.relative_to(home).as_posix() if value.is_relative_to(home) else value.as_posix()
    return value
