"""Read tables of a TOML file key by key; every error names the file, the key and what to write instead."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoding.datasets._base import BadData
from encoding.datasets._images import require_regular
from encoding.datasets._spelling import decoded, on_disk
from encoding.datasets.own.array_files import split_member
from encoding.runtime.registry import unknown
from encoding.storage.files import raise_passing

MAX_BYTES = 1_000_000
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Section:
    """One table of a TOML file.

    Attributes
    ----------
    file : the TOML file; paths in it are relative to its folder.
    name : the table's dotted name; empty for the file as a whole.
    values : what is in it.
    """

    file: Path
    name: str
    values: Mapping[str, Any]

    @classmethod
    def of(cls, file: Path) -> Section:
        """Parse a TOML file in UTF-8 or UTF-16, with or without a byte order mark.

        Raises
        ------
        BadData for any failure to parse it, so that one bad file does not affect other data sets. OSError where it cannot be read now.
        """
        require_regular(file)
        try:
            content = file.read_bytes() if file.stat().st_size <= MAX_BYTES else None
            if content is None:
                raise BadData(f"{file} has more than {MAX_BYTES:,} bytes, which no description needs. Arrays and lists stand in files.")
            return cls(file, "", tomllib.loads(decoded(content)))
        except BadData:
            raise
        except OSError as error:
            raise_passing(error, file)
            raise BadData(f"{file} cannot be read ({error.strerror}). Write it again.") from error
        except UnicodeDecodeError as error:
            raise BadData(f"{file} is not text in UTF-8 ({error}). Save it again as UTF-8.") from error
        except tomllib.TOMLDecodeError as error:
            raise BadData(
                f'{file} is not TOML: {error}. Text stands in quotes (title = "Mine"), tables in brackets ([stimuli]).'
            ) from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise BadData(f"{file} cannot be used ({error or type(error).__name__}). Write short numbers and a few tables.") from error

    def knows(self, *keys: str) -> None:
        """Check that the table has no keys but these.

        Raises
        ------
        BadData for another key, with the nearest valid one.
        """
        where = f" in [{self.name}]" if self.name else ""
        for key in self.values:
            if key not in keys:
                raise BadData(f"{self.file}: {unknown(f'key{where}', key, keys, show=len(keys))}")

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def wrong(self, key: str, needed: str) -> BadData:
        """Build the BadData error for an invalid value of ``key``."""
        found = f", not {self.values[key]!r}" if key in self.values else ""
        return BadData(f"{self.file}: {self.path_of(key)} must be {needed}{found}.")

    def path_of(self, key: str) -> str:
        """Dotted name of a key."""
        return f"{self.name}.{key}" if self.name else key

    def text(self, key: str, default: str = "") -> str:
        """Text under ``key``; BadData where it is of another type."""
        return self._kind(key, str, "text in quotes", default)

    def flag(self, key: str, default: bool = False) -> bool:
        """Boolean under ``key``; BadData where it is of another type."""
        return self._kind(key, bool, "true or false", default)

    def file_at(self, key: str) -> Path | None:
        """Path under ``key``, absolute or relative to the TOML file's folder; None where the key is missing."""
        text = self._kind(key, str, 'the path of a file or folder in quotes, such as "responses.npy"', None)
        if text is None:
            return None
        try:
            path = self.file.parent / Path(text).expanduser()
        except RuntimeError as error:
            raise BadData(f"{self.file}: {self.path_of(key)}: {text!r} names a home folder that does not exist here. {error}") from error
        if "\0" in text:
            raise self.wrong(key, "a path, which holds no NUL")
        if "\\" in text and not path.exists():
            path = self.file.parent / text.replace("\\", "/")
        file, member = split_member(path)
        return Path(f"{on_disk(file)}:{member}") if member else on_disk(path)

    def files_at(self, key: str) -> tuple[Path, ...]:
        """Paths under ``key``: of one text, or of a list of texts in its order; empty where the key is missing."""
        if not isinstance(self.values.get(key), list):
            return tuple(path for path in [self.file_at(key)] if path)
        if not self.values[key]:
            raise self.wrong(key, "one file in quotes, or a list of files")
        return tuple(Section(self.file, self.name, {key: text}).file_at(key) for text in self.values[key])

    def section(self, key: str) -> Section:
        """Table under ``key``; empty where it is missing."""
        return Section(self.file, self.path_of(key), self._kind(key, dict, f"a table, such as [{self.path_of(key)}]", {}))

    def sections(self) -> Iterable[tuple[str, Section]]:
        """List all keys with the tables under them."""
        return [(key, self.section(key)) for key in self.values]

    def files(self) -> dict[str, Path]:
        """List all keys with the paths under them."""
        return {key: self.file_at(key) for key in self.values}

    def checked(self, key: str, check: Callable[[Any], Any], default: str) -> str:
        """Text under ``key``, validated by ``check``, whose ValueError becomes :class:`BadData` naming the key."""
        text = self.text(key, default)
        try:
            check(text)
        except ValueError as error:
            raise BadData(f"{self.file}: {self.path_of(key)}: {error}") from error
        return text

    def _kind(self, key: str, kind: type, needed: str, default: Any) -> Any:
        value = self.values.get(key, default)
        if key in self.values and not isinstance(value, kind):
            raise self.wrong(key, needed)
        return value


def toml_value(value: Any) -> str:
    """Write a value of text, numbers, booleans, lists and tables as one line of TOML."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{toml_key(str(key))} = {toml_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def toml_key(key: str) -> str:
    """Write a key, in quotes where it needs them."""
    return key if BARE_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)
