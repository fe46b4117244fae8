"""Read and validate the entries of the catalogue."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from string import Formatter
from typing import Any

from encoding.datasets._base import BadData
from encoding.datasets.own.sections import Section
from encoding.runtime.registry import UnknownName, unknown
from encoding.storage.download import check_address

FOLDER = Path(__file__).parent
CONVERTERS = "encoding.datasets.catalogue.converters"
TEXTS = ("title", "about", "shows", "licence", "citation", "page", "seen", "tried")
MORE_TEXTS = ("terms", "form", "stimuli", "converter")
KEYS = (*TEXTS, *MORE_TEXTS, "made_gb", "subjects", "parts", "default_parts", "small_parts", "files", "more", "more_bytes", "clips", "try")
FILE_KEYS = ("name", "address", "bytes", "about_bytes", "md5", "sha256", "each", "of", "subject")
NAME = re.compile(r"[a-z][a-z0-9_]*")
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]*")


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file to download.

    Attributes
    ----------
    name : path below the folder of downloads, with slashes.
    n_bytes : published size; None where none is published. about_bytes : an estimate for display.
    md5, sha256 : published hashes, empty where there are none.
    subject : whose it is; empty where it is everybody's.
    """

    name: str
    address: str
    n_bytes: int | None = None
    about_bytes: int = 0
    md5: str = ""
    sha256: str = ""
    subject: str = ""

    @property
    def size(self) -> int:
        """Published or estimated bytes."""
        return self.about_bytes if self.n_bytes is None else self.n_bytes


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An open data set.

    Attributes
    ----------
    name : of its TOML file, and of the folder that it is written to.
    title, about : what it is. shows : what one sees of it here. page : where its makers describe it.
    licence, citation : as its makers state them.
    terms : what has to be confirmed before anything is fetched; empty where nothing has.
    form : what the user has to do, where the data are behind a form or a password; such data are never fetched.
    stimuli : what folder the user has to give, where images or clips cannot be fetched; empty where they come along.
    seen : what of the real files was never seen here. tried : what was tried, and with what.
    converter : module of :data:`CONVERTERS`.
    made_gb : size of what one subject becomes, GB; of a part, where there are parts.
    subjects : that exist; the first is fetched unless others are named.
    parts : name to description. default_parts : those fetched unless others are named. small_parts : those that add no rows, which do not
        count in ``made_gb`` and ``more_bytes``.
    files : templates, tables of :data:`FILE_KEYS`; ``{subject}``, ``{part}`` and the names in ``each`` are filled in. A table with ``of``
        holds for these parts alone, one with ``subject`` for this subject.
    more : address, with ``{name}``, of files that only others of the data set name; empty where there are none. more_bytes : of these, a
        subject and part.
    clips : whether stimuli are clips.
    example : options of ``fit`` that give a first result.
    """

    name: str
    title: str
    about: str
    shows: str
    licence: str
    citation: str
    page: str
    seen: str
    tried: str
    terms: str = ""
    form: str = ""
    stimuli: str = ""
    converter: str = ""
    made_gb: float = 0.0
    subjects: tuple[str, ...] = ()
    parts: Mapping[str, str]
    default_parts: tuple[str, ...] = ()
    small_parts: tuple[str, ...] = ()
    files: tuple[Mapping[str, Any], ...] = ()
    more: str = ""
    more_bytes: int = 0
    clips: bool = False
    example: str = ""

    @property
    def needs(self) -> str:
        """What is asked of the user, in a word or two."""
        wanted = [("a form", self.form), ("terms confirmed", self.terms and not self.form), ("your stimuli", self.stimuli)]
        return ", ".join(word for word, is_needed in wanted if is_needed) or "nothing"

    @property
    def first_bytes(self) -> int:
        """Bytes of what is fetched where no subject or part is named, as published or estimated; 0 where nothing is fetched."""
        return self.sizes(*self.check_choice((), ()))[0] if self.files else 0

    def sizes(self, subjects: Sequence[str], parts: Sequence[str]) -> tuple[int, int]:
        """Bytes that are fetched, as published or estimated, and bytes that they become."""
        n_units = len(subjects) * max(1, len(set(parts) - set(self.small_parts)))
        fetched = sum(file.size for file in self.remote_files(subjects, parts)) + n_units * self.more_bytes
        return fetched, int(n_units * self.made_gb * 1e9)

    @property
    def row(self) -> dict[str, str]:
        """The entry in the table "Which data could I use?"."""
        return {
            "name": self.name,
            "what it is": self.title,
            "it needs": self.needs,
            "download": f"{self.first_bytes / 1e6:,.0f} MB" if self.first_bytes else "",
            "licence": self.licence,
            "what you see of it": self.shows,
            "tried": self.tried,
        }

    def check_choice(self, subjects: Sequence[str], parts: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the subjects and parts to fetch, those of the entry where none are named; UnknownName for one that does not exist."""
        for subject in subjects:
            if subject not in self.subjects:
                raise UnknownName(unknown(f"subject of {self.name}", subject, self.subjects))
        for part in parts:
            if part not in self.parts:
                raise UnknownName(unknown(f"part of {self.name}", part, tuple(self.parts)))
        return tuple(dict.fromkeys(subjects)) or self.subjects[:1], tuple(dict.fromkeys(parts)) or self.default_parts

    def remote_files(self, subjects: Sequence[str], parts: Sequence[str]) -> list[RemoteFile]:
        """List the files of these subjects and parts, those of everybody first."""
        return sorted((file for table in self.files for file in _expanded(table, subjects, parts)), key=lambda file: file.subject)


def entries() -> tuple[Entry, ...]:
    """All entries of the catalogue, by name.

    Raises
    ------
    BadData for one that is invalid.
    """
    return tuple(_read(path) for path in sorted(FOLDER.glob("*.toml")))


def find_entry(name: str) -> Entry:
    """The entry of a name; UnknownName, with the nearest, where there is none."""
    known = {entry.name: entry for entry in entries()}
    if name not in known:
        raise UnknownName(unknown("open data set", name, tuple(known)))
    return known[name]


@cache
def _read(path: Path) -> Entry:
    return read_entry(path)


def read_entry(path: Path) -> Entry:
    """Parse and validate one entry.

    Raises
    ------
    BadData for an unknown or missing key, an unsafe name, an address that is not https, or a converter that does not exist.
    """
    top = Section.of(path)
    top.knows(*KEYS)
    if not NAME.fullmatch(path.stem):
        raise BadData(f"{path}: name the file with small letters, digits and _.")
    if missing := [key for key in TEXTS if not top.text(key).strip()]:
        raise BadData(f"{path} needs {missing[0]}, a text in quotes.")
    entry = Entry(
        name=path.stem,
        **{key: " ".join(top.text(key).split()) for key in (*TEXTS, *MORE_TEXTS)},
        made_gb=float(top.values.get("made_gb", 0)),
        subjects=_names(top, "subjects"),
        parts={name: str(about) for name, about in top.section("parts").values.items()},
        default_parts=_names(top, "default_parts"),
        small_parts=_names(top, "small_parts"),
        files=tuple(top.values.get("files", ())),
        more=top.text("more"),
        more_bytes=int(top.values.get("more_bytes", 0)),
        clips=top.flag("clips"),
        example=top.text("try"),
    )
    if bool(entry.form) == bool(entry.files):
        raise BadData(f"{path} needs either files to fetch, or form, which says what the user has to do.")
    if entry.form:
        return entry
    if not NAME.fullmatch(entry.converter) or find_spec(f"{CONVERTERS}.{entry.converter}") is None:
        raise BadData(f"{path}: there is no converter {entry.converter!r} in {CONVERTERS}.")
    named = {*entry.default_parts, *entry.small_parts, *(part for table in entry.files for part in table.get("of", ()))}
    if not entry.subjects or not entry.made_gb > 0 or not named <= set(entry.parts):
        raise BadData(f"{path} needs subjects, made_gb, and default_parts, small_parts and of that are among its parts.")
    more = [RemoteFile(name="more", address=entry.more, about_bytes=entry.more_bytes)] if entry.more else []
    for file in [*entry.remote_files(entry.subjects, tuple(entry.parts)), *more]:
        _check_file(path, file)
    return entry


def _names(top: Section, key: str) -> tuple[str, ...]:
    names = top.values.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) and SAFE.fullmatch(name) for name in names):
        raise top.wrong(key, "a list of names in quotes")
    return tuple(names)


def check_name(name: str) -> bool:
    """Whether a path below a folder is made of plain names."""
    return bool(name) and all(SAFE.fullmatch(step) for step in name.split("/"))


def _check_file(path: Path, file: RemoteFile) -> None:
    if not check_name(file.name):
        raise BadData(f"{path}: {file.name!r} is no name for a file.")
    try:
        check_address(file.address)
    except OSError as error:
        raise BadData(f"{path}: {error}") from error
    for algorithm, digits, length in (("md5", file.md5, 32), ("sha256", file.sha256, 64)):
        if digits and not re.fullmatch(f"[0-9a-f]{{{length}}}", digits):
            raise BadData(f"{path}: {algorithm} of {file.name} has {length} hexadecimal digits.")
    if file.size <= 0:
        raise BadData(f"{path}: {file.name} needs bytes, or about_bytes where its size is not published.")


def _expanded(table: Mapping[str, Any], subjects: Sequence[str], parts: Sequence[str]) -> list[RemoteFile]:
    if strange := set(table) - set(FILE_KEYS):
        raise BadData(unknown("key of files", sorted(strange)[0], FILE_KEYS))
    if "of" in table:
        parts = [part for part in parts if part in table["of"]]
        if not parts:
            return []
    if table.get("subject", "") not in ("", *subjects):
        return []
    fields = {field for key in ("name", "address") for _, field, _, _ in Formatter().parse(table[key]) if field}
    choices: dict[str, Sequence[Any]] = dict(table.get("each", {}))
    choices |= {"subject": subjects} if "subject" in fields else {}
    choices |= {"part": parts} if "part" in fields else {}
    if strange := fields - set(choices):
        raise BadData(f"{table['name']}: nothing says what {{{sorted(strange)[0]}}} is; add it to each.")
    found = []
    for values in product(*choices.values()):
        filled = dict(zip(choices, values, strict=True))
        found.append(
            RemoteFile(
                name=table["name"].format(**filled),
                address=table["address"].format(**filled),
                n_bytes=table.get("bytes"),
                about_bytes=table.get("about_bytes", 0),
                md5=table.get("md5", ""),
                sha256=table.get("sha256", ""),
                subject=filled.get("subject", table.get("subject", "")),
            )
        )
    return found
